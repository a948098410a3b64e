"""Networks that also return the activations of inner layers."""

from collections.abc import Sequence

import keras

from mpvn.network import VideoNetwork


def with_outputs(network: VideoNetwork, layers: Sequence[str]) -> VideoNetwork:
    """Return a network with the same layers and weights, and more outputs.

    Args:
        network: a network with one output.
        layers: names of nodes of its plan.

    Returns:
        A network with the outputs `[B, T, ...]` of `network` and of each of `layers`, in order.

    Raises:
        ValueError: there is no such layer, it is inside a nested model, the frame model is one
            node, or `network` has more than one output.
    """
    nodes = network.graph.by_name
    missing = [name for name in layers if name not in nodes]
    if missing:
        raise ValueError(
            f"{network.name!r} has no layer {', '.join(map(repr, missing))}. Expected nodes of its "
            f"plan, such as {', '.join(network.plan.nodes[-3:])}"
        )
    inside = [name for name in layers if "/" in name]
    if inside:
        raise ValueError(
            f"{network.name!r}: expected layers of the frame model itself. Received: "
            f"{', '.join(map(repr, inside))}, inside nested models"
        )
    model = network.frame_model
    if network.graph.nodes[0].operation is model:
        raise ValueError(
            f"{network.name!r}: expected a frame model of several layers. Received: "
            f"{model.name!r}, which has a call of its own and so is one node"
        )
    if len(model.outputs) != 1:
        raise ValueError(
            f"{network.name!r}: expected a network with one output. Received: "
            f"{len(model.outputs)} outputs"
        )
    activations = [nodes[name].symbolic_outputs[0] for name in layers]
    inputs = model.inputs[0] if isinstance(model, keras.Sequential) else model.input
    wider = keras.Model(inputs, [model.outputs[0], *activations], name=model.name)
    return VideoNetwork(
        wider,
        network.plan.over(wider),
        network.executor,
        network.rematerialize,
        start=network.start,
    )

"""An image model's features at all of its scales, as one vector.

A classifier alone is a poor video network: with clocks its output changes only at the rate of its
slowest layers, and whatever faster layers compute in between, nobody reads. Reading every scale
makes the output follow the fastest features while the slow ones are held, as the multi-scale heads
of *Massively Parallel Video Networks* (section 4) do.
"""

import keras

from mpvn.plan.graph import read_graph


def multi_scale(model: keras.Model) -> keras.Model:
    """A frame model that shares the layers of `model` and puts out features of all its scales.

    The last map `[H, W, C]` of each resolution is averaged over space; the averages are
    concatenated, coarse scales last.

    Args:
        model: a functional Keras model over one frame, without nested models.

    Returns:
        A functional model with output `[B, sum of channels]`, float32.

    Raises:
        ValueError: the model has no maps.
    """
    graph = read_graph(model)
    last: dict[tuple[int, int], keras.KerasTensor] = {}
    for node in graph.nodes:
        shape = graph.tensors[node.outputs[0]].shape
        if len(shape) == 3 and min(shape[:2]) > 1 and "/" not in node.name:
            last[shape[:2]] = node.symbolic_outputs[0]
    if not last:
        raise ValueError(
            f"{model.name!r} has no maps [height, width, channels] to take features of"
        )
    pooled = [
        keras.layers.GlobalAveragePooling2D(name=f"mean_{height}x{width}")(last[height, width])
        for height, width in sorted(last, reverse=True)
    ]
    joined = keras.layers.Concatenate(name="features", dtype="float32")(pooled)
    return keras.Model(model.input, joined, name=f"{model.name}_multi_scale")

"""The key `schedule` of `mpvn.json`: how to run the static graphs of an export.

    frames      for each input: dtype and shape of a frame
    states      for each state: dtype and shape; all begin as zeros
    first       the graph of each of the first steps
    cycle       the graphs of the steps after them, again and again
    graphs      for each graph:
        file        the file that it is in; null if it computes nothing
        reads       the inputs and states that it reads, in the order of the file's inputs
        makes       the values that it makes, in the order of the file's outputs
        outputs     for each output of the network, the name of its value
        states      the same for each state that changes

A value is one that the graph makes, a frame, or a state before the step. `mpvn.export.static` shows
the runner, and `examples/` has one for each format.
"""

import math
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from mpvn.export.description import Description, describe
from mpvn.export.static import Specs, StaticGraph, StaticNetwork

FORM = "state in and out, one counter"

BATCH = 1

_LIMIT = 2**31 - 2**24  # of a graph and of a flatbuffer, whose offsets are 32 bits; with some room


def describe_static(
    static: StaticNetwork, format: str, files: dict[str, str], **own: Any
) -> Description:
    """Return the description of an export of static graphs.

    Args:
        static: the network.
        format: the format.
        files: the file of each graph that computes something, by name.
        **own: keys of the format.
    """
    signatures = {graph.name: (graph.reads, graph.makes) for graph in static.graphs}
    schedule: dict[str, Any] = {
        "frames": _tensors(static.frames),
        "states": _tensors(static.states),
        "first": [graph.name for graph in static.first],
        "cycle": [graph.name for graph in static.cycle],
        "graphs": {graph.name: _graph(graph, files.get(graph.name)) for graph in static.graphs},
    }
    description = describe(static.network, format, FORM, signatures, **own, schedule=schedule)
    # The counter is the runner's own, and half precision travels as float32.
    states = {
        name: {
            **description["states"][name],
            **tensor,
            "bytes": math.prod(tensor["shape"][1:]) * tf.as_dtype(tensor["dtype"]).size,
        }
        for name, tensor in schedule["states"].items()
    }
    size = sum(state["bytes"] for state in states.values())
    return {**description, "states": states, "bytes_per_stream": size}


def _graph(graph: StaticGraph, file: str | None) -> dict[str, Any]:
    return {
        "file": file,
        "reads": list(graph.reads),
        "makes": list(graph.makes),
        "outputs": graph.outputs,
        "states": graph.states,
    }


def _tensors(specs: Specs) -> dict[str, dict[str, Any]]:
    return {
        name: {"dtype": spec.dtype.name, "shape": spec.shape.as_list()}
        for name, spec in specs.items()
    }


def static_network(
    network: Any, clips: Sequence[tf.TensorSpec], batch: int | None
) -> StaticNetwork:
    """Return the static graphs of a network for a batch size.

    Args:
        network: a causal `VideoNetwork`.
        clips: the spec `[B, T, ...]` of each input. A batch size in them, or one that the frame
            model has, takes the place of the default, 1.
        batch: number of streams; None leaves it open.

    Raises:
        ValueError: the batch size does not fit, or the network is too large for one graph.
    """
    if batch is not None and (isinstance(batch, bool) or not isinstance(batch, int) or batch < 1):
        raise ValueError(f"Invalid batch. Expected a positive int or None. Received: {batch!r}.")
    given = clips[0].shape[0] or network.graph.batch_size
    if given and batch not in (BATCH, given):
        raise ValueError(
            f"Invalid batch. Expected {given}, the batch size of the input_signature or of the "
            f"frame model. Received: {batch}."
        )
    copies = 2 if network.start == "primed" else 1  # in the graph of the first step
    size = copies * sum(variable.numpy().nbytes for variable in network.variables)
    if size > _LIMIT:
        raise ValueError(
            f"Cannot export {network.name!r} as static graphs. Expected weights of at most 2 GiB, "
            f"which one graph can hold. Received: {size / 2**30:.2f} GiB. Use "
            "format='tf_saved_model'."
        )
    rows = given or batch
    return StaticNetwork(network, [tf.TensorSpec((rows, *c.shape[1:]), c.dtype) for c in clips])

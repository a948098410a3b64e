"""Adds memories to a network: recurrent layers that learn what to keep from tick to tick.

    x  ->  x + memory(x)            zero until it is trained, so the network first is the old one

Between ticks, a network holds its last values. *Massively Parallel Video Networks*, section 3.1,
notes that the internal state of a subnetwork may as well be that of any spatial recurrent module.
"""

from collections.abc import Sequence

import keras
from keras import layers

from keras_layers import TemporalConvGRU2D, TemporalConvLSTM2D
from mpvn.graph.data import Graph, Node
from mpvn.graph.reading import read_graph
from mpvn.models.surgery.rebuild import rebuild
from mpvn.plan.units import UNIT_SEPARATOR, units

CELLS = {"gru": TemporalConvGRU2D, "lstm": TemporalConvLSTM2D}
"""The recurrent layers by name."""


def insert_recurrent(
    model: keras.Model,
    after: str | Sequence[str],
    cell: str = "gru",
    kernel_size: int | tuple[int, int] = 3,
    *,
    name: str | None = None,
) -> keras.Model:
    """Build a model that shares the layers and weights of `model`, with memories in some places.

    Every node that reads one of these places reads the sum of it and of a recurrent layer. Kernels
    over the frame start as zeros: before training, the new model computes what `model` does.

    Args:
        model: A functional model over one frame. It is not changed.
        after: Name or names of nodes whose output is a map `[H, W, C]`, or of units, meaning their
            last nodes; for example the last units of subnetworks.
        cell: `"gru"` or `"lstm"`.
        kernel_size: Int, or `(height, width)`, of the recurrent layers' kernels.
        name: Name of the new model. Defaults to the name of `model` with `_recurrent` appended.

    Returns:
        A functional model. After a node `x`, the new layers are called `x_memory` and `x_sum`.

    Raises:
        ValueError: If `after` names no such nodes or units, or nodes that no other node reads; or
            `cell` is unknown.
    """
    if cell not in CELLS:
        raise ValueError(f"Invalid cell. Expected one of {tuple(CELLS)}. Received: {cell!r}")
    graph = read_graph(model)
    ends = {node.outputs[0]: node for node in _ends(graph, after)}
    sums: dict[int, keras.KerasTensor] = {}

    def read(values: dict[int, keras.KerasTensor], tensor: int, _: Node) -> keras.KerasTensor:
        if tensor in ends and tensor not in sums:
            sums[tensor] = _remembered(values[tensor], ends[tensor], cell, kernel_size)
        return sums.get(tensor, values[tensor])

    return rebuild(graph, read, name or f"{model.name}_recurrent")


def _remembered(
    value: keras.KerasTensor, node: Node, cell: str, kernel_size: int | tuple[int, int]
) -> keras.KerasTensor:
    """Return the sum of `value`, the output of `node`, and of a memory of it."""
    name = node.name.replace("/", "_").replace(":", "_")
    options = {"dtype": getattr(node.operation, "dtype_policy", None)}
    memory = CELLS[cell](
        value.shape[-1],
        kernel_size,
        kernel_initializer="zeros",
        name=f"{name}_memory",
        **options,
    )
    return layers.Add(name=f"{name}_sum", **options)([value, memory(value)])


def _ends(graph: Graph, after: str | Sequence[str]) -> list[Node]:
    """Return the nodes that `after` names."""
    after = [after] if isinstance(after, str) else after
    nodes = dict(graph.by_name)
    if units(graph.names):
        for node in graph.nodes:  # the last node of a unit stays
            unit, separator, _ = node.name.partition(UNIT_SEPARATOR)
            nodes |= {unit: node} if separator else {}
    read = {tensor for node in graph.nodes for tensor in node.inputs}
    maps = {
        name
        for name, node in nodes.items()
        if len(graph.tensors[node.outputs[0]].shape) == 3 and node.outputs[0] in read
    }
    invalid = [name for name in after if name not in maps]
    if invalid or not after:
        raise ValueError(
            f"Invalid after. Expected names of nodes or units of {graph.model.name!r} whose maps "
            f"[H, W, C] other nodes read, such as {', '.join(sorted(maps)[:3])}. "
            f"Received: {', '.join(invalid) or 'none'}"
        )
    return [nodes[name] for name in after]

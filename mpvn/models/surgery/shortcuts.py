"""Adds shortcuts over units to a network that has none, as *Skip-Sideways* does to a chain.

    offsets=(3,)        unit 3 reads units 2 and 0, unit 4 reads units 3 and 1, ...

When every connection between units takes one step, the shorter path delivers a newer frame, so
units see motion (*Gradient Forward-Propagation for Large-Scale Temporal Video Modelling*, CVPR
2021).
"""

from collections.abc import Sequence

import keras

from keras_layers.shortcut_merge import ShortcutMerge, check_shortcuts
from mpvn.graph.data import Graph, Node
from mpvn.graph.reading import read_graph
from mpvn.models.surgery.rebuild import rebuild
from mpvn.plan.units import UNIT_SEPARATOR, units


def insert_shortcuts(
    model: keras.Model,
    offsets: Sequence[int] = (3,),
    merge: str = "project",
    *,
    starts: Sequence[str] | None = None,
    name: str | None = None,
) -> keras.Model:
    """Build a model that shares the layers and weights of `model`, with shortcuts over its units.

    Args:
        model: A functional model over one frame, a chain of units. It is not changed.
        offsets: Ints, at least 2. For each offset k, unit l reads unit l - k besides unit
            l - 1, for all l >= k.
        merge: `"project"` or `"add"`; see `keras_layers.ShortcutMerge`. (Concatenation would
            change the number of channels that existing layers read.)
        starts: Names of the nodes where units 1, 2, ... start. Defaults to the units of published
            networks, whose nodes are called `unit.part`.
        name: Name of the new model. Defaults to the name of `model` with `_shortcut` appended.

    Returns:
        A functional model. Each unit with shortcuts starts with a `ShortcutMerge` layer called
        `unit.merge`.

    Raises:
        ValueError: If `offsets` or `merge` are out of range, there are no units, no unit is far
            enough from the first one, or the shapes cannot be merged.
    """
    _check(offsets, merge, model)
    graph = read_graph(model)
    firsts = _first_nodes(graph, starts)
    if len(firsts) <= min(offsets):
        raise ValueError(
            f"Cannot insert shortcuts into {model.name!r}. Expected more than {min(offsets)} "
            f"units, the smallest offset. Received: {len(firsts)} units. Give smaller offsets, or "
            "more units with starts=[...]."
        )
    # sent[l]: the tensor that unit l sends to unit l + 1. The last unit has no entry.
    sent = [first.inputs[0] for first in firsts[1:]]
    unit_of = {node.index: sum(node.index >= f.index for f in firsts) - 1 for node in graph.nodes}
    merged: dict[int, keras.KerasTensor] = {}

    def read(values: dict[int, keras.KerasTensor], tensor: int, reader: Node) -> keras.KerasTensor:
        unit = unit_of[reader.index]
        earlier = [sent[unit - k] for k in sorted(set(offsets)) if k <= unit]
        if not earlier or tensor != sent[unit - 1]:
            return values[tensor]
        if unit not in merged:
            first = firsts[unit]
            layer = ShortcutMerge(
                merge, dtype=first.operation.dtype_policy, name=_merge_name(first.name)
            )
            merged[unit] = layer([values[index] for index in (tensor, *earlier)])
        return merged[unit]

    return rebuild(graph, read, name or f"{model.name}_shortcut")


def _check(offsets: Sequence[int], merge: str, model: keras.Model) -> None:
    check_shortcuts(offsets, f"{model.name!r}")
    if not offsets:
        raise ValueError(f"Invalid shortcuts of {model.name!r}. Expected offsets. Received: none")
    ShortcutMerge(merge)  # raises for unknown merges
    if merge == "concatenate":
        raise ValueError(
            f"Invalid merge for shortcuts in {model.name!r}, because it changes the number of "
            f"channels that existing layers read. Expected 'add' or 'project'. Received: {merge!r}"
        )


def _first_nodes(graph: Graph, starts: Sequence[str] | None) -> list[Node]:
    """Return the first node of each unit."""
    nodes, name = graph.nodes, graph.model.name
    if starts is None:
        firsts = [nodes[index] for index in units([node.name for node in nodes]).values()]
        if not firsts:
            raise ValueError(
                f"{name!r} has no units (nodes called unit.part). Name the nodes where units start "
                f"with starts=[...], such as {nodes[min(1, len(nodes) - 1)].name!r}."
            )
        return firsts
    unknown = [start for start in starts if start not in graph.by_name]
    if unknown:
        raise ValueError(
            f"Invalid starts. Expected names of nodes of {name!r}, such as {nodes[0].name!r}. "
            f"Received: {', '.join(unknown)}"
        )
    chosen = {nodes[0], *(graph.by_name[start] for start in starts)}
    return sorted(chosen, key=lambda node: node.index)


def _merge_name(first: str) -> str:
    unit, separator, _ = first.partition(UNIT_SEPARATOR)
    return f"{unit}.merge" if separator else f"{first}_merge"

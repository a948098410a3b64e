"""Shortcuts over units in a network that has none: what *Skip-Sideways* makes of a chain.

    offset 3      unit 3 reads units 2 and 0, unit 4 reads units 3 and 1, ...

Where every edge takes a step, the shorter way brings the fresher frame: units see motion
(*Gradient Forward-Propagation for Large-Scale Temporal Video Modelling*, CVPR 2021).
"""

from collections.abc import Sequence

import keras

from keras_layers.shortcut_merge import ShortcutMerge
from mpvn.models.surgery.rebuild import rebuilt
from mpvn.plan.graph import Node, read_graph
from mpvn.plan.units import UNIT_SEPARATOR, units

MERGES = ("add", "project")


def insert_shortcuts(
    model: keras.Model,
    offsets: Sequence[int] = (3,),
    merge: str = "project",
    *,
    starts: Sequence[str] | None = None,
    name: str | None = None,
) -> keras.Model:
    """A model that shares the layers and weights of `model`, with shortcuts over its units.

    Args:
        model: a functional model over one frame, a chain of units; it stays as it is.
        offsets: at least 2. Unit l reads unit l - k besides unit l - 1, for all l >= k.
        merge: `"add"`, or `"project"`, which first brings shortcuts to the chain's channels by a
            linear layer of its own; see `keras_layers.ShortcutMerge`.
        starts: names of the nodes at which units 1, 2, ... begin; default: the units of published
            networks, whose nodes are called `unit.part`.
        name: of the new model; default: that of `model` with `_shortcut`.

    Returns:
        A functional model; a unit with shortcuts begins with their merge, called `unit.merge`.

    Raises:
        ValueError: offsets or merge out of range, no units, no unit far enough from the first, or
            shapes that do not merge.
    """
    if not offsets or any(not isinstance(offset, int) or offset < 2 for offset in offsets):
        raise ValueError(
            "offsets must be ints of at least 2, for offset 1 is the chain. "
            f"Received: {tuple(offsets)}"
        )
    if merge not in MERGES:
        raise ValueError(f"merge must be one of {', '.join(MERGES)}. Received: {merge!r}")
    graph = read_graph(model)
    firsts = _first_nodes(graph.nodes, graph.by_name, starts, model.name)
    if len(firsts) <= min(offsets):
        raise ValueError(
            f"{model.name!r} has {len(firsts)} units: none lies {min(offsets)} after another. Give "
            "smaller offsets, or more units with starts=[...]"
        )
    # made[l]: what unit l sends along the chain; the last one's is never read.
    made = [first.inputs[0] for first in firsts[1:]]
    of_node = {node.index: sum(node.index >= f.index for f in firsts) - 1 for node in graph.nodes}
    merged: dict[int, keras.KerasTensor] = {}

    def read(values: dict[int, keras.KerasTensor], tensor: int, reader: Node) -> keras.KerasTensor:
        unit = of_node[reader.index]
        older = [made[unit - k] for k in sorted(set(offsets)) if k <= unit]
        if not older or tensor != made[unit - 1]:
            return values[tensor]
        if unit not in merged:
            first = firsts[unit]
            layer = ShortcutMerge(
                merge, dtype=first.operation.dtype_policy, name=_merge_name(first.name)
            )
            merged[unit] = layer([values[index] for index in (tensor, *older)])
        return merged[unit]

    return rebuilt(graph, read, name or f"{model.name}_shortcut")


def _first_nodes(
    nodes: Sequence[Node], by_name: dict[str, Node], starts: Sequence[str] | None, model: str
) -> list[Node]:
    """The first node of each unit."""
    if starts is None:
        found = [nodes[index] for index in units([node.name for node in nodes]).values()]
        if not found:
            raise ValueError(
                f"{model!r} has no units, nodes called unit.part: say where units begin with "
                f"starts=[...], such as {nodes[min(1, len(nodes) - 1)].name!r}"
            )
        return found
    unknown = [name for name in starts if name not in by_name]
    if unknown:
        raise ValueError(
            f"starts must name nodes of {model!r}, such as {nodes[0].name!r}. "
            f"Received: {', '.join(unknown)}"
        )
    return sorted({nodes[0], *(by_name[name] for name in starts)}, key=lambda node: node.index)


def _merge_name(first: str) -> str:
    unit, separator, _ = first.partition(UNIT_SEPARATOR)
    return f"{unit}.merge" if separator else f"{first}_merge"

"""Units: runs of nodes that belong together, such as a block of a published network."""

from collections.abc import Sequence

UNIT_SEPARATOR = "."
"""A node named `unit.part` belongs to the unit `unit`."""

HEAD_UNIT = "head"
"""Name of the unit that is the head of a model."""


def units(names: Sequence[str]) -> dict[str, int]:
    """Return the index of the first node of each unit, by the name of the unit.

    A node whose name has no unit belongs to the unit before it. A model has no units if its first
    node has none.

    Args:
        names: names of the nodes, in plan order.
    """
    starts: dict[str, int] = {}
    for index, name in enumerate(names):
        unit, separator, _ = name.partition(UNIT_SEPARATOR)
        if separator and unit not in starts:
            starts[unit] = index
    return starts if 0 in starts.values() else {}

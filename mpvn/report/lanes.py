"""The rows of a recording: the lanes of `mpvn.plan.lanes`, and those of units of several."""

from typing import NamedTuple

from mpvn.graph.data import Node
from mpvn.plan.lanes import lane_name
from mpvn.runtime import Event
from mpvn.runtime.unit import Unit


def unit_nodes(unit: Unit) -> list[Node]:
    """Return the nodes that a unit computes."""
    return [unit.plan.graph.nodes[index] for index in unit.nodes]


def unit_lanes(unit: Unit) -> list[int]:
    """Return the lanes of the nodes that a unit computes."""
    return sorted({unit.plan.subnetwork(node) for node in unit_nodes(unit)})


class Row(NamedTuple):
    """A row of a recording: where it stands among others, and its name."""

    order: int
    name: str


def event_row(event: Event) -> Row:
    """Return the row of an event: steps, the lane of a unit, or units of several lanes."""
    if event.unit is None:
        return Row(-1, "steps")
    plan, lanes = event.unit.plan, unit_lanes(event.unit)
    if len(lanes) == 1:
        return Row(lanes[0], lane_name(plan, lanes[0]))
    return Row(plan.subnetworks + 1, "several subnetworks")

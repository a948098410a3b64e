"""The nodes of a plan by lane: one lane per subnetwork, and one for the head."""

from collections.abc import Sequence
from typing import NamedTuple

from mpvn.graph.data import Node
from mpvn.plan import Plan
from mpvn.runtime import Event
from mpvn.runtime.unit import Unit


def lanes(plan: Plan) -> list[list[Node]]:
    """Return the nodes of each lane in plan order."""
    nodes: list[list[Node]] = [[] for _ in range(plan.subnetworks + (plan.head is not None))]
    for node in plan.graph.nodes:
        nodes[plan.subnetwork(node)].append(node)
    return nodes


def lane_name(plan: Plan, lane: int) -> str:
    """Return the name of a lane."""
    return f"subnetwork {lane}" if lane < plan.subnetworks else "head"


def ticking(plan: Plan, nodes: Sequence[Node], step: int) -> list[Node]:
    """Return the nodes that compute at `step`."""
    return [node for node in nodes if plan.clock(node).ticks(step)]


def work(plan: Plan, nodes: Sequence[Node]) -> int:
    """Return the multiply-adds of one tick of each node."""
    return sum(plan.multiply_adds[node.index] for node in nodes)


def newest_frame(plan: Plan, nodes: Sequence[Node], step: int) -> int | None:
    """Return the newest frame that the last of `nodes` has seen at `step`, without feedback.

    It is negative for the zeros before the first frame, and None if the nodes read feedback alone.
    """
    ages = [plan.node_ages[node.index] for node in nodes]
    newest = [age.newest for age in ages if age is not None]
    return step - newest[-1][step % plan.period] if newest else None


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

"""The nodes of a plan by lane: one lane per subnetwork, and one for the head."""

from collections.abc import Sequence

from mpvn.graph.data import Node
from mpvn.plan.plan import Plan


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


def lane_ages(plan: Plan, lane: int) -> list[int | None]:
    """Return the age of the frame that a lane works on, in steps, by `step % plan.period`.

    It is the age of `newest_frame`; None where the lane does not work, or on feedback alone.
    """
    nodes = lanes(plan)[lane]
    frames = [newest_frame(plan, ticking(plan, nodes, step), step) for step in range(plan.period)]
    return [None if frame is None else step - frame for step, frame in enumerate(frames)]

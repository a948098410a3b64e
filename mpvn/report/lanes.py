"""Which nodes of a plan share a row or a column of a figure.

A lane is a subnetwork; the head is a lane of its own, or counts with the last subnetwork, as it
does in `Plan.costs`.
"""

from collections.abc import Sequence

from mpvn.plan import Plan
from mpvn.plan.graph import Node


def lanes(plan: Plan, head_apart: bool = True) -> list[list[Node]]:
    """Nodes of each lane, in plan order."""
    count = plan.subnetworks + (head_apart and plan.head is not None)
    found: list[list[Node]] = [[] for _ in range(count)]
    for node in plan.graph.nodes:
        found[min(plan.subnetwork(node), count - 1)].append(node)
    return found


def lane_name(plan: Plan, lane: int) -> str:
    """What a lane is called where the head is one of its own."""
    return f"subnetwork {lane}" if lane < plan.subnetworks else "head"


def ticking(plan: Plan, nodes: Sequence[Node], step: int) -> list[Node]:
    """Those of `nodes` that compute at `step`."""
    return [node for node in nodes if plan.clock(node).ticks(step)]


def work(plan: Plan, nodes: Sequence[Node]) -> int:
    """Multiply-adds of one tick of each of `nodes`."""
    return sum(plan.node_costs[node.index] for node in nodes)

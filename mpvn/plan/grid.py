"""Draws a schedule as text: a row per step of the period, a column per subnetwork."""

from collections.abc import Sequence

from mpvn.plan.cost import costs_by_step
from mpvn.plan.schedule import Schedule

_BLOCKS = " ▁▂▃▄▅▆▇█"


def draw_grid(schedule: Schedule, node_costs: Sequence[int]) -> str:
    """Return the grid, one line per step.

    A cell shows the share of its subnetwork's costs that runs at that step, in eighths of a block;
    a dot means that no node of the subnetwork ticks.

    Args:
        schedule: the schedule.
        node_costs: cost of one tick of each node, in plan order.
    """
    subnetworks = range(schedule.subnetworks)
    full = [0] * schedule.subnetworks
    for node, cost in zip(schedule.graph.nodes, node_costs, strict=True):
        full[schedule.column(node)] += cost
    total = sum(full) or 1
    width = max(3, len(str(subnetworks[-1])) + 1)
    lines = ["step " + "".join(f"{s:>{width}}" for s in subnetworks) + "   cost"]
    for step, costs in enumerate(costs_by_step(schedule, node_costs)):
        ticking = {
            schedule.column(node)
            for node in schedule.graph.nodes
            if schedule.clock(node).ticks(step)
        }
        cells = "".join(
            (_block(costs[s], full[s]) if s in ticking else ".").rjust(width) for s in subnetworks
        )
        lines.append(f"{step:>4} {cells}  {100 * sum(costs) / total:4.0f} %")
    return "\n".join(lines)


def _block(cost: int, full: int) -> str:
    return _BLOCKS[max(1, round(8 * cost / full))] if full else _BLOCKS[1]

"""The schedule figure: what each subnetwork does at each step of a period, and what that costs.

The schedules are those of *Massively Parallel Video Networks*, section 3. A period of several
hundred steps makes a tall figure.
"""

import xml.etree.ElementTree as ET
from typing import NamedTuple

from mpvn.plan import Plan
from mpvn.report import svg
from mpvn.report.lanes import lanes, ticking, work
from mpvn.report.wording import count, percent

_LEFT = 52
_TOP = 64


class _Cell(NamedTuple):
    """A subnetwork at a step: its multiply-adds, and as a share of all that it has."""

    step: int
    column: int
    cost: int
    share: float
    works: bool


def schedule_figure(plan: Plan) -> str:
    """One period of `plan`: a row per step, a column per subnetwork, and what each step costs.

    A cell's shade and number are the percentage of its subnetwork's multiply-adds that run at that
    step; an empty cell is rest. The bar at the right is the step's cost relative to the whole frame
    model. The head is counted with the last subnetwork, as in `Plan.costs`.
    """
    rows, columns = plan.period, lanes(plan, head_apart=False)
    wide, high = min(60, 432 // len(columns)), 24 if rows <= 24 else 15
    bottom = _TOP + rows * high
    bar_left = _LEFT + max(len(columns) * wide, 84) + 20
    bar_wide = svg.WIDTH - bar_left - 52
    total = max(1, sum(plan.node_costs))
    figure = svg.canvas(svg.WIDTH, bottom + 34, f"Schedule of {plan.graph.model.name}")

    svg.text(figure, _LEFT - 12, _TOP - 10, "step", "soft", "end")
    heading = "subnetwork" if len(columns) < 5 else "subnetwork, % of its multiply-adds"
    svg.text(figure, _LEFT, 18, heading, "ink")
    svg.text(figure, bar_left, 18, "step cost, % of the frame model", "ink")
    for column in range(len(columns)):
        name = f"{column}+h" if plan.head and column + 1 == len(columns) else column
        svg.text(figure, _LEFT + (column + 0.5) * wide, _TOP - 10, name, "soft", "middle")
    for tick in (0, 25, 50, 75, 100):
        x = bar_left + bar_wide * tick / 100
        svg.line(figure, x, _TOP - 4, x, bottom, "rule")
        svg.text(figure, x, _TOP - 10, tick, "soft", "middle", svg.SMALL)

    whole = [max(1, work(plan, nodes)) for nodes in columns]
    every = 1 if rows <= 24 else 4
    for step, costs in enumerate(plan.costs):
        y = _TOP + step * high
        if step % every == 0:
            svg.text(figure, _LEFT - 12, y + high / 2 + 4, step, "soft", "end")
        for column, (nodes, cost) in enumerate(zip(columns, costs, strict=True)):
            works = bool(ticking(plan, nodes, step))
            cell = _Cell(step, column, cost, cost / whole[column], works)
            _draw_cell(figure, cell, _LEFT + column * wide, y, wide, high)
        cost = sum(costs)
        length = bar_wide * cost / total
        kind = "accent cost"
        bar = svg.rect(figure, bar_left, y + 4, length, high - 8, kind, radius=2, data_cost=cost)
        svg.tip(bar, f"step {step}: {cost:,} multiply-adds")
        share = percent(cost / total)
        svg.text(figure, svg.WIDTH - 8, y + high / 2 + 4, share, "ink", "end", svg.SMALL)

    mean = sum(plan.step_costs) / total / rows
    x = bar_left + bar_wide * mean
    svg.line(figure, x, _TOP, x, bottom + 8, "mark", stroke_dasharray="4 3")
    svg.text(figure, x, bottom + 22, f"mean {percent(mean)} %", "soft", "middle")
    svg.text(figure, _LEFT, bottom + 22, f"{count(rows, 'step')} in a period", "soft")
    return svg.string(figure)


def _draw_cell(
    figure: ET.Element, cell: _Cell, x: float, y: float, wide: float, high: float
) -> None:
    drawn = svg.rect(
        figure,
        x + 1,
        y + 1,
        wide - 2,
        high - 2,
        "accent works cell" if cell.works else "card rest cell",
        radius=3,
        data_step=cell.step,
        data_subnetwork=cell.column,
        data_cost=cell.cost,
        fill_opacity=f"{0.16 + 0.84 * cell.share:.2f}" if cell.works else None,
    )
    does = f"{cell.cost:,} multiply-adds" if cell.works else "rest"
    svg.tip(drawn, f"step {cell.step}, subnetwork {cell.column}: {does}")
    if cell.works and high >= 20:
        shade = "on-full" if cell.share > 0.72 else "on-half" if cell.share > 0.5 else "ink"
        size = svg.SMALL if wide >= 34 else svg.SMALL - 1
        middle = y + high / 2 + 4
        svg.text(figure, x + wide / 2, middle, percent(cell.share), shade, "middle", size)

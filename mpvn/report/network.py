"""The network figure: how a plan cuts its model, from frame to output.

It shows what no single step does: each subnetwork's work, nodes and clock rates, and what is handed
over at the boundaries between them.
"""

import math
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence

from mpvn.plan import Plan
from mpvn.plan.graph import Node
from mpvn.report import svg
from mpvn.report.lanes import lane_name, lanes, work
from mpvn.report.theme import ramp
from mpvn.report.wording import count, percent, shortened, size

_LEFT = 16
_TOP = 76
# Where, from left to right, arrows, words beside arrows, bars, numbers of nodes and rates stand.
_ARROWS, _WORDS, _BARS, _NODES, _RATES = 58, 74, 152, 598, 624
_LONGEST_BAR = 342


def network_figure(plan: Plan) -> str:
    """The subnetworks from frame to output: work, clock rates, nodes, and what crosses boundaries.

    Bars are multiply-adds as percentages of the whole frame model, colored by the clock rate of
    the nodes that do them. Between two subnetworks stand the values handed over there from one step
    to the next, for one stream; a skip connection counts at every boundary it crosses. The head
    reads within the step, so nothing is handed over before it. What is fed back is named at the
    bottom and counts at no boundary.
    """
    by_lane = lanes(plan)
    high, gap = (44, 30) if len(by_lane) <= 8 else (34, 22)
    bottom = _TOP + len(by_lane) * (high + gap) - gap
    rates = sorted({clock.rate for clock in plan.clock_of.values()})
    colors = dict(zip(rates, ramp(len(rates)), strict=True))
    most = max(1, *(work(plan, nodes) for nodes in by_lane))
    figure = svg.canvas(svg.WIDTH, bottom + 34, f"Subnetworks of {plan.graph.model.name}")

    _draw_rates(figure, colors)
    _draw_input(figure, plan)
    between = _handed_over(plan)
    for lane, nodes in enumerate(by_lane):
        y = _TOP + lane * (high + gap)
        cost = work(plan, nodes)
        wide = svg.WIDTH - 2 * _LEFT
        svg.rect(figure, _LEFT, y, wide, high, "card lane", radius=7, data_cost=cost)
        name = lane_name(plan, lane)
        _draw_lane(figure, plan, name, nodes, y + high / 2, colors, _LONGEST_BAR / most)
        if lane < len(between):
            _draw_arrow(figure, y + high + 4, gap - 8)
            words = (_WORDS, y + high + gap / 2 + 4, between[lane])
            svg.text(figure, *words, "soft boundary", size=svg.SMALL)
    _draw_output(figure, plan, bottom)
    return svg.string(figure)


def _handed_over(plan: Plan) -> list[str]:
    """What crosses each boundary forward from one step to the next, and the way into the head."""
    crossing: list[set[int]] = [set() for _ in range(plan.subnetworks - 1)]
    for node in plan.graph.nodes:
        for tensor in () if node.feedback_source else node.inputs:
            producer = plan.graph.producer(tensor)
            if producer is not None and plan.delay(producer, node):
                for boundary in range(plan.subnetwork(producer), plan.subnetwork(node)):
                    crossing[boundary].add(tensor)
    words = []
    for tensors in crossing:
        values = sum(math.prod(plan.graph.tensors[tensor].shape) for tensor in tensors)
        words.append(f"{values:,} values in {count(len(tensors), 'tensor')}")
    return words if plan.head is None else [*words, "read in the same step"]


def _draw_rates(figure: ET.Element, colors: Mapping[int, str]) -> None:
    """A swatch for each clock rate, at the top; of many, only the first and the last are named."""
    svg.text(figure, _LEFT, 20, "% of the frame model's multiply-adds, at clock rate", "ink")
    x = _LEFT + 358
    named = list(colors) if len(colors) <= 7 else [min(colors), max(colors)]
    for rate, color in colors.items():
        svg.rect(figure, x, 9, 14, 14, radius=2, fill=color)
        x += 20
        if rate in named:
            svg.text(figure, x, 20, rate, "ink")
            x += 14 + 8 * len(str(rate))


def _draw_input(figure: ET.Element, plan: Plan) -> None:
    """The frame above the first lane, and what the columns at the right are."""
    shapes = [plan.graph.tensors[index].shape for index in plan.graph.inputs]
    frame = "frame " + ", ".join(" × ".join(map(str, shape)) for shape in shapes)
    _draw_arrow(figure, _TOP - 28, 20)
    svg.text(figure, _WORDS, _TOP - 14, shortened(frame, 50), "soft")
    svg.text(figure, _NODES, _TOP - 14, "nodes", "soft", "end")
    svg.text(figure, _RATES, _TOP - 14, "clock rates", "soft")


def _draw_lane(
    figure: ET.Element,
    plan: Plan,
    name: str,
    nodes: Sequence[Node],
    middle: float,
    colors: Mapping[int, str],
    scale: float,
) -> None:
    """A lane's bar, `scale` pixels per multiply-add, between its name and its numbers."""
    svg.text(figure, _LEFT + 12, middle + 4.5, name, "ink", font_weight="600")
    rates = sorted({plan.clock(node).rate for node in nodes})
    x = float(_BARS)
    for rate in rates:
        cost = work(plan, [node for node in nodes if plan.clock(node).rate == rate])
        bar = svg.rect(figure, x, middle - 8, cost * scale, 16, fill=colors[rate])
        svg.tip(bar, f"{name}, clock rate {rate}: {cost:,} multiply-adds a tick")
        x += cost * scale
    share = work(plan, nodes) / max(1, sum(plan.node_costs))
    svg.text(figure, x + 7, middle + 4, f"{percent(share)} %", "ink", size=svg.SMALL)
    svg.text(figure, _NODES, middle + 4.5, len(nodes), "ink", "end")
    listed = ", ".join(map(str, rates)) if len(rates) <= 5 else f"{rates[0]} to {rates[-1]}"
    svg.text(figure, _RATES, middle + 4.5, listed, "ink")


def _draw_output(figure: ET.Element, plan: Plan, y: float) -> None:
    """What leaves the last lane, whose lower edge is at `y`, and figures of the whole plan."""
    _draw_arrow(figure, y + 4, 20)
    fed_back = dict.fromkeys(n.feedback_source for n in plan.graph.nodes if n.feedback_source)
    output = ", ".join(["output", *(f"{source} fed back" for source in fed_back)])
    svg.text(figure, _WORDS, y + 19, shortened(output, 36), "soft")
    fewest, most = plan.information_latency
    latency = count(most, "step") if fewest == most else f"{fewest} to {most} steps"
    words = f"information latency {latency} · {size(plan.cached_bytes)} kept per stream"
    svg.text(figure, svg.WIDTH - _LEFT, y + 19, words, "soft", "end")


def _draw_arrow(figure: ET.Element, y: float, length: float) -> None:
    """An arrow down from `y`."""
    x, end = _ARROWS, y + length
    svg.line(figure, x, y, x, end - 4, "mark")
    head = svg.points([(x - 4, end - 6), (x + 4, end - 6), (x, end)])
    svg.element(figure, "polygon", points=head, class_="soft")

"""The timeline figure: when each subnetwork works, and on which frame.

It is computed from the plan: every step is as wide as every other, and nothing is measured.
*Massively Parallel Video Networks*, figure 9, shows timelines measured on devices.
"""

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from typing import NamedTuple

from mpvn.graph.data import Node
from mpvn.plan import Plan
from mpvn.report import svg
from mpvn.report.lanes import lane_name, lanes, ticking, work
from mpvn.report.theme import category
from mpvn.report.wording import percent

_LEFT = 116
_TOP = 34
_LANE = 38  # Height of a lane.


class _Box(NamedTuple):
    """The work of one lane at one step.

    Attributes:
        lane: Index of the lane.
        step: The step.
        frame: The frame that the lane works on; negative for the zeros before the first frame; None
            if the lane only reads feedback.
        share: Share of the lane's multiply-adds.
    """

    lane: int
    step: int
    frame: int | None
    share: float


def timeline_figure(plan: Plan, steps: int) -> str:
    """Return SVG of the first steps of a stream: when each subnetwork works, and on which frame.

    Time runs to the right, with one lane per subnetwork and one for the head. A box means that the
    subnetwork works. Its number and color are the newest frame that the last of its working nodes
    has seen, without feedback. Its height is the share of the subnetwork's multiply-adds. A dashed
    box works on no frame: on zeros, because no frame has arrived there yet, or on feedback alone.
    Lines connect the first use of a frame in one lane to its first use in the lane that reads it:
    of several lanes above that a lane reads, the lowest.

    Args:
        plan: The plan.
        steps: Number of steps. Many steps make a wide figure.

    Raises:
        ValueError: If `steps` is not a positive integer.
    """
    if not isinstance(steps, int) or isinstance(steps, bool) or steps < 1:
        raise ValueError(f"steps: Expected an integer of at least 1. Received: {steps!r}")
    count = len(lanes(plan))
    width = max(24.0, min(48.0, (svg.WIDTH - _LEFT - 14) / steps))
    right = _LEFT + steps * width
    bottom = _TOP + count * _LANE
    name = f"Timeline of {plan.graph.model.name}"
    figure = svg.canvas(max(svg.WIDTH, right + 14), bottom + 32, name)

    for lane in range(count):
        y = _TOP + (lane + 1) * _LANE
        svg.line(figure, _LEFT, y, right, y, "rule")
        svg.text(figure, _LEFT - 12, y - 13, lane_name(plan, lane), "ink", "end")
    for step in range(steps):
        svg.text(figure, _LEFT + (step + 0.5) * width, _TOP - 8, step, "soft", "middle", svg.SMALL)
    svg.text(figure, _LEFT - 12, _TOP - 8, "step", "soft", "end", svg.SMALL)

    boxes = _boxes(plan, steps)
    _draw_journeys(figure, plan, boxes, width)
    for box in boxes:
        _draw_box(figure, box, width)

    legend = "number and color: frame · height: share of the lane's work"
    if any(box.frame is None for box in boxes):
        legend += " · dashed: no frame"
    elif any(box.frame is not None and box.frame < 0 for box in boxes):
        legend += " · dashed: zeros, before frame 0"
    svg.text(figure, _LEFT, bottom + 24, legend, "soft", size=svg.SMALL)
    return svg.to_string(figure)


def _boxes(plan: Plan, steps: int) -> list[_Box]:
    """Return the boxes, lane by lane and step by step."""
    boxes = []
    for lane, nodes in enumerate(lanes(plan)):
        total = max(1, work(plan, nodes))
        for step in range(steps):
            working = ticking(plan, nodes, step)
            if working:
                frame = _frame(plan, working, step)
                boxes.append(_Box(lane, step, frame, work(plan, working) / total))
    return boxes


def _frame(plan: Plan, nodes: Sequence[Node], step: int) -> int | None:
    """Return the newest frame that the last of `nodes` has seen at `step`, without feedback."""
    ages = [plan.node_ages[node.index] for node in nodes]
    newest = [age.newest for age in ages if age is not None]
    return step - newest[-1][step % plan.period] if newest else None


def _draw_box(figure: ET.Element, box: _Box, width: float) -> None:
    x, base = _LEFT + box.step * width, _TOP + (box.lane + 1) * _LANE
    height = 14 + (_LANE - 20) * box.share
    place = (x + 1.5, base - height - 2, width - 3, height)
    data = {"data_lane": box.lane, "data_step": box.step}
    if box.frame is None or box.frame < 0:
        rect = svg.rect(
            figure, *place, "mark box", radius=3, fill="none", **data, stroke_dasharray="3 3"
        )
        content = "feedback only" if box.frame is None else "zeros, before the first frame"
        svg.tooltip(rect, f"step {box.step}: works on {content}")
        return
    color, text_color = category(box.frame)
    rect = svg.rect(figure, *place, "box", radius=3, fill=color, **data, data_frame=box.frame)
    content = f"frame {box.frame}, {percent(box.share)} % of the lane's work"
    svg.tooltip(rect, f"step {box.step}: works on {content}")
    middle = base - height / 2 + 2
    svg.text(figure, x + width / 2, middle, box.frame, None, "middle", svg.SMALL, fill=text_color)


def _draw_journeys(figure: ET.Element, plan: Plan, boxes: Sequence[_Box], width: float) -> None:
    """Draw lines to the first box of a frame in each lane, from its first box in a lane above."""
    first: dict[tuple[int, int], _Box] = {}
    for box in boxes:
        if box.frame is not None and box.frame >= 0:
            first.setdefault((box.lane, box.frame), box)
    for (lane, frame), box in first.items():
        above = [read for read in plan.read_by[lane] if read < lane]
        before = first.get((max(above), frame)) if above else None
        if before and before.step <= box.step:
            svg.line(
                figure,
                _LEFT + (before.step + 0.5) * width,
                _TOP + (before.lane + 1) * _LANE - 9,
                _LEFT + (box.step + 0.5) * width,
                _TOP + (lane + 1) * _LANE - 9,
                "journey",
                stroke=category(frame)[0],
                stroke_width=2,
            )

"""The timeline figure: which subnetwork works when, and on which frame.

It is figure 9 of *Massively Parallel Video Networks*, for any plan. Many steps make a wide figure.
"""

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from typing import NamedTuple

from mpvn.plan import Plan
from mpvn.plan.graph import Node
from mpvn.report import svg
from mpvn.report.lanes import lane_name, lanes, ticking, work
from mpvn.report.theme import category
from mpvn.report.wording import percent

_LEFT = 116
_TOP = 34
_HIGH = 38


class _Box(NamedTuple):
    """A lane at work at a step: on which frame, and on which share of its multiply-adds.

    The frame is negative before the first, and None for what stems from feedback alone.
    """

    lane: int
    step: int
    frame: int | None
    share: float


def timeline_figure(plan: Plan, steps: int) -> str:
    """The first `steps` steps of a stream: when each subnetwork works, and on which frame.

    As the paper's figure 9: time runs to the right, one lane per subnetwork (and one for the head,
    if there is one). A box says that the subnetwork works; its number and color are the newest
    frame that the last of its nodes at work has seen, what is fed back left out; its height is the
    share of the subnetwork's multiply-adds. A dashed box works on no frame: on zeros, for none has
    come so far yet, or on what is fed back alone. Lines join the first use of a frame in one lane
    to its first use in the next.

    Raises:
        ValueError: `steps` is no positive integer.
    """
    if not isinstance(steps, int) or isinstance(steps, bool) or steps < 1:
        raise ValueError(f"steps: expected an integer of at least 1. Received: {steps!r}")
    count = len(lanes(plan))
    wide = max(24.0, min(48.0, (svg.WIDTH - _LEFT - 14) / steps))
    right = _LEFT + steps * wide
    bottom = _TOP + count * _HIGH
    name = f"Timeline of {plan.graph.model.name}"
    figure = svg.canvas(max(svg.WIDTH, right + 14), bottom + 32, name)

    for lane in range(count):
        y = _TOP + (lane + 1) * _HIGH
        svg.line(figure, _LEFT, y, right, y, "rule")
        svg.text(figure, _LEFT - 12, y - 13, lane_name(plan, lane), "ink", "end")
    for step in range(steps):
        svg.text(figure, _LEFT + (step + 0.5) * wide, _TOP - 8, step, "soft", "middle", svg.SMALL)
    svg.text(figure, _LEFT - 12, _TOP - 8, "step", "soft", "end", svg.SMALL)

    boxes = _boxes(plan, steps)
    _draw_journeys(figure, boxes, wide)
    for box in boxes:
        _draw_box(figure, box, wide)

    legend = "number and color: frame worked on · height: share of the lane's multiply-adds"
    if any(box.frame is None for box in boxes):
        legend += " · dashed: on no frame"
    elif any(box.frame is not None and box.frame < 0 for box in boxes):
        legend += " · dashed: on zeros, before frame 0"
    svg.text(figure, _LEFT, bottom + 24, legend, "soft", size=svg.SMALL)
    return svg.string(figure)


def _boxes(plan: Plan, steps: int) -> list[_Box]:
    """The boxes, lane by lane and step by step."""
    boxes = []
    for lane, nodes in enumerate(lanes(plan)):
        whole = max(1, work(plan, nodes))
        for step in range(steps):
            at_work = ticking(plan, nodes, step)
            if at_work:
                frame = _frame(plan, at_work, step)
                boxes.append(_Box(lane, step, frame, work(plan, at_work) / whole))
    return boxes


def _frame(plan: Plan, nodes: Sequence[Node], step: int) -> int | None:
    """The newest frame that the last of `nodes` has seen at `step`, but for feedback alone."""
    ages = [plan.node_ages[node.index] for node in nodes]
    newest = [age.newest for age in ages if age is not None]
    return step - newest[-1][step % plan.period] if newest else None


def _draw_box(figure: ET.Element, box: _Box, wide: float) -> None:
    x, base = _LEFT + box.step * wide, _TOP + (box.lane + 1) * _HIGH
    tall = 14 + (_HIGH - 20) * box.share
    place = (x + 1.5, base - tall - 2, wide - 3, tall)
    where = {"data_lane": box.lane, "data_step": box.step}
    if box.frame is None or box.frame < 0:
        drawn = svg.rect(
            figure, *place, "mark box", radius=3, fill="none", **where, stroke_dasharray="3 3"
        )
        on = "what is fed back alone" if box.frame is None else "zeros, before the first frame"
        svg.tip(drawn, f"step {box.step}: works on {on}")
        return
    color, on_color = category(box.frame)
    drawn = svg.rect(figure, *place, "box", radius=3, fill=color, **where, data_frame=box.frame)
    does = f"works on frame {box.frame}, {percent(box.share)} % of its work"
    svg.tip(drawn, f"step {box.step}: {does}")
    middle = base - tall / 2 + 2
    svg.text(figure, x + wide / 2, middle, box.frame, None, "middle", svg.SMALL, fill=on_color)


def _draw_journeys(figure: ET.Element, boxes: Sequence[_Box], wide: float) -> None:
    """Lines from the first box of a frame in each lane to its first box in the next."""
    first: dict[tuple[int, int], _Box] = {}
    for box in boxes:
        if box.frame is not None and box.frame >= 0:
            first.setdefault((box.lane, box.frame), box)
    for (lane, frame), box in first.items():
        onward = first.get((lane + 1, frame))
        if onward and onward.step >= box.step:
            svg.line(
                figure,
                _LEFT + (box.step + 0.5) * wide,
                _TOP + (lane + 1) * _HIGH - 9,
                _LEFT + (onward.step + 0.5) * wide,
                _TOP + (lane + 2) * _HIGH - 9,
                "journey",
                stroke=category(frame)[0],
                stroke_width=2,
            )

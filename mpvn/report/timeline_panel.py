"""Draws a timeline: lanes below one another, boxes that work on frames, and lines between them.

The drawing knows nothing of where boxes come from: a plan, or a recording (`mpvn.report.timeline`).
"""

import dataclasses
import functools
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from typing import NamedTuple

from mpvn.plan import Plan
from mpvn.plan.lanes import lane_name
from mpvn.report import svg
from mpvn.report.scales import round_numbers
from mpvn.report.theme import category

LEFT = 116
"""Width of the names of lanes in pixels."""

_HEADER = 20  # Height of the numbers of steps.


class Box(NamedTuple):
    """The work of a lane during some time.

    Attributes:
        lane: Index of the lane.
        step: The step.
        frame: The frame that the lane works on; negative for the zeros before the first frame; None
            if the lane only reads feedback.
        start: When it begins, in the panel's unit of time.
        end: When it ends.
        height: Share of the lane's height, 0 to 1.
        text: What is done, for the tooltip.
    """

    lane: int
    step: int
    frame: int | None
    start: float
    end: float
    height: float
    text: str


class Span(NamedTuple):
    """A time, and what it is: a step, or time between units."""

    name: object
    start: float
    end: float


@dataclasses.dataclass(frozen=True)
class Panel:
    """One timeline.

    Attributes:
        plan: The plan, which names the lanes.
        boxes: What to draw.
        steps: Where the steps are; their names are written above the lanes.
        scale: Pixels per unit of time.
        lane: Height of a lane in pixels.
        top: Where the panel begins, in pixels.
        idle: Further spans, in a lane of their own.
        rules: Whether to draw a line where a step begins.
    """

    plan: Plan
    boxes: Sequence[Box]
    steps: Sequence[Span]
    scale: float
    lane: float
    top: float
    idle: Sequence[Span] = ()
    rules: bool = False

    @functools.cached_property
    def lanes(self) -> int:
        """Number of lanes, the one of idle spans not included."""
        return self.plan.subnetworks + (self.plan.head is not None)

    @property
    def right(self) -> float:
        """Where the last step ends, in pixels."""
        return self.x(max(span.end for span in self.steps))

    @property
    def bottom(self) -> float:
        """Where the last lane ends, in pixels."""
        return self.base(self.lanes - (not self.idle))

    def x(self, time: float) -> float:
        """Return the position of a time in pixels."""
        return LEFT + time * self.scale

    def base(self, lane: int) -> float:
        """Return where a lane ends, in pixels."""
        return self.top + _HEADER + (lane + 1) * self.lane

    def draw(self, figure: ET.Element) -> None:
        """Draw the panel."""
        names = [lane_name(self.plan, lane) for lane in range(self.lanes)]
        for lane, name in enumerate([*names, *["between units"] * bool(self.idle)]):
            y = self.base(lane)
            svg.line(figure, LEFT, y, self.right, y, "rule")
            svg.text(figure, LEFT - 12, y - self.lane / 2 + 6, name, "ink", "end")
        for span in self.steps if self.rules else ():
            x = self.x(span.start)
            svg.line(figure, x, self.base(-1), x, self.bottom, "rule")
        self._draw_steps(figure)
        self._draw_journeys(figure)
        for box in self.boxes:
            self._draw_box(figure, box)
        for span in self.idle:
            place = (self.x(span.start), self.base(self.lanes) - self.lane + 4)
            size = ((span.end - span.start) * self.scale, self.lane - 6)
            svg.tooltip(svg.rect(figure, *place, *size, "soft idle"), str(span.name))

    def draw_time(self, figure: ET.Element, unit: str) -> None:
        """Draw the axis of time, below the lanes."""
        for tick in round_numbers((self.right - LEFT) / self.scale, 8):
            svg.line(figure, self.x(tick), self.bottom, self.x(tick), self.bottom + 5, "rule")
            svg.text(
                figure, self.x(tick), self.bottom + 18, f"{tick:g}", "soft", "middle", svg.SMALL
            )
        svg.text(figure, LEFT - 12, self.bottom + 18, unit, "soft", "end", svg.SMALL)

    def _draw_steps(self, figure: ET.Element) -> None:
        """Write the numbers of the steps, as far as they have room."""
        y, free = self.top + _HEADER - 8, LEFT - 4.0
        for span in self.steps:
            middle, half = self.x((span.start + span.end) / 2), svg.text_width(str(span.name)) / 2
            if middle - half >= free:
                svg.text(figure, middle, y, span.name, "soft", "middle", svg.SMALL)
                free = middle + half + 4
        svg.text(figure, LEFT - 12, y, "step", "soft", "end", svg.SMALL)

    def _draw_box(self, figure: ET.Element, box: Box) -> None:
        width = (box.end - box.start) * self.scale
        height = 14 + (self.lane - 20) * box.height
        x, base, gap = self.x(box.start), self.base(box.lane), min(1.5, width / 16)
        place = (x + gap, base - height - 2, width - 2 * gap, height)
        shape = {"radius": min(3.0, width / 4), "data_lane": box.lane, "data_step": box.step}
        if box.frame is None or box.frame < 0:
            rect = svg.rect(
                figure, *place, "mark box", fill="none", **shape, stroke_dasharray="3 3"
            )
            svg.tooltip(rect, f"step {box.step}: {box.text}")
            return
        color, text_color = category(box.frame)
        rect = svg.rect(figure, *place, "box", fill=color, **shape, data_frame=box.frame)
        svg.tooltip(rect, f"step {box.step}: {box.text}")
        if width >= svg.text_width(str(box.frame)) + 4:
            middle = base - height / 2 + 2
            style = {"fill": text_color}
            svg.text(figure, x + width / 2, middle, box.frame, None, "middle", svg.SMALL, **style)

    def _draw_journeys(self, figure: ET.Element) -> None:
        """Draw lines to the first box of a frame in each lane, from its first in a lane above."""
        first: dict[tuple[int, int], Box] = {}
        for box in self.boxes:
            if box.frame is not None and box.frame >= 0:
                first.setdefault((box.lane, box.frame), box)
        for (lane, frame), box in first.items():
            above = [read for read in self.plan.read_by[lane] if read < lane]
            before = first.get((max(above), frame)) if above else None
            if before and before.start <= box.start:
                svg.line(
                    figure,
                    self.x((before.start + before.end) / 2),
                    self.base(before.lane) - 9,
                    self.x((box.start + box.end) / 2),
                    self.base(lane) - 9,
                    "journey",
                    stroke=category(frame)[0],
                    stroke_width=2,
                )

"""Horizontal positions in the architecture figure."""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

from mpvn.plan import Plan
from mpvn.report import svg
from mpvn.report.architecture.bars import Bar, bars_and_links

LEFT, RIGHT = 84, 16
"""Margins."""
GAP = 6
"""Space between subnetworks."""

_MIN_ROOM = 2.2  # Of one bar.
_MIN_NAMED, _MIN_NUMBERED = 36, 10  # Minimum widths of sections with a name or a number.


class Section(NamedTuple):
    """The consecutive bars of one subnetwork, of the head, or of the inputs.

    Attributes:
        subnetwork: Index of the subnetwork; `Plan.subnetworks` for the head; None for the inputs.
        first: Index of the first bar.
        end: Index after the last bar.
        left: Left edge.
        right: Right edge.
    """

    subnetwork: int | None
    first: int
    end: int
    left: float
    right: float

    def edge(self, index: int) -> float:
        """Return the left edge of the room of bar `index`."""
        share = (index - self.first) / (self.end - self.first)
        return self.left + share * (self.right - self.left)


class Columns:
    """The bars of a plan from left to right.

    Attributes:
        plan: The plan.
        bars: Its bars. Lists of positions have one entry per bar.
        links: Which bar reads which.
        sections: Sections from left to right.
        lefts: Left edges of the bars' rooms.
        rooms: Widths of the rooms.
        centers: Centers of the rooms and of the bars.
        widths: Widths of the bars.
        right: Right edge of the last section.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.bars, self.links = bars_and_links(plan)
        self.sections = _sections(plan, self.bars)
        rooms = [
            (section.edge(index), section.edge(index + 1))
            for section in self.sections
            for index in range(section.first, section.end)
        ]
        self.lefts = [left for left, _ in rooms]
        self.rooms = [right - left for left, right in rooms]
        self.centers = [left + (right - left) / 2 for left, right in rooms]
        self.widths = _widths(self.rooms)
        self.right = self.sections[-1].right


def _sections(plan: Plan, bars: Sequence[Bar]) -> list[Section]:
    """Return the sections over the width of the figure, or wider if the bars need it."""
    groups = [
        (subnetwork, len(list(group)))
        for subnetwork, group in itertools.groupby(bar.subnetwork for bar in bars)
    ]
    named = (None, plan.subnetworks)  # The inputs and the head.
    min_widths = [_MIN_NAMED if subnetwork in named else _MIN_NUMBERED for subnetwork, _ in groups]
    free = svg.WIDTH - LEFT - RIGHT - GAP * (len(groups) - 1) - sum(min_widths)
    room = max(_MIN_ROOM, free / len(bars))
    sections: list[Section] = []
    first, left = 0, float(LEFT)
    for (subnetwork, size), min_width in zip(groups, min_widths, strict=True):
        right = left + min_width + size * room
        sections.append(Section(subnetwork, first, first + size, left, right))
        first, left = first + size, right + GAP
    return sections


def _widths(rooms: Sequence[float]) -> list[float]:
    """Return the widths of bars within their rooms. Limit those of bars with much room."""
    limit = max(12.0, min(26.0, 0.7 * min(rooms)))
    return [min(max(room - 2, 0.7 * room), limit) for room in rooms]

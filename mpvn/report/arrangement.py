"""Where everything stands in the architecture figure: bars from left to right, the rest below."""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from mpvn.plan import Plan
from mpvn.plan.units import units
from mpvn.report import svg
from mpvn.report.slots import Link, Slot, slots_and_links

LEFT, RIGHT, TOP = 84, 16, 40
"""Room at the sides, and above the arcs."""
GAP = 6
"""Between subnetworks."""
STRIP = 18
"""Height of the subnetworks' numbers."""
LINE = 15
"""Between lines of names."""

_NARROWEST = 2.2  # room of a bar
_VECTOR, _SHORT, _TALL = 6.0, 20.0, 88.0  # bars of vectors, of the smallest and the largest maps
_OCTAVE = 22.0  # between bars of maps of which one is twice as large, at most
_MOST_STEPS = 32
_LONGEST_NAME = 24


class Part(NamedTuple):
    """The bars from `first` up to `end` of a subnetwork, of the head, or (None) of the inputs."""

    subnetwork: int | None
    first: int
    end: int
    left: float
    right: float

    def edge(self, bar: int) -> float:
        """Where the room of `bar` begins."""
        share = (bar - self.first) / (self.end - self.first)
        return self.left + share * (self.right - self.left)


class Label(NamedTuple):
    """A name, where it stands and on which line, and the room of what it names."""

    words: str
    x: float
    left: float
    right: float
    line: int = 0


class Labels(NamedTuple):
    """Names below the bars, of what they are, and how they stand: `anchor` None is upright."""

    of: str
    names: Sequence[Label]
    anchor: str | None

    @property
    def high(self) -> float:
        """Room that the names need."""
        if self.anchor is None:
            return max((text_width(label.words) for label in self.names), default=0)
        return LINE * (1 + max(label.line for label in self.names))


class Arrangement:
    """A plan's bars, what they read of one another, and where all that is drawn.

    Attributes:
        plan: the plan.
        slots: its bars; a bar is meant by its number.
        links: what they read.
        parts: the runs of bars of one subnetwork.
        left, rooms, middles: of each bar, where its room begins, how wide that is, its middle.
        right: where the last bar's room ends.
        widths, lengths: of each bar.
        labels: the names below.
        steps: for how many steps it is shown what computes; `row` is the height of one.
        axis, loops, strip, grid, bottom, legend: heights, from the top: where bars hang; below
            the longest bar; of the subnetworks' numbers; of the first step; below the last; of the
            legend.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.slots, self.links = slots_and_links(plan)
        self.parts = _parts(plan, self.slots)
        self.left = [part.edge(bar) for part in self.parts for bar in range(part.first, part.end)]
        ends = [part.edge(bar + 1) for part in self.parts for bar in range(part.first, part.end)]
        self.rooms = [end - left for left, end in zip(self.left, ends, strict=True)]
        self.middles = [left + room / 2 for left, room in zip(self.left, self.rooms, strict=True)]
        self.right = self.parts[-1].right
        self.widths = _widths(self.rooms)
        self.lengths = _lengths([slot.extent for slot in self.slots])
        self.labels = _labels(self)

        self.steps = min(plan.period, _MOST_STEPS)
        self.row = max(5.0, min(14.0, 96 / self.steps))
        loops = sum(link.feedback for link in self.links)
        self.axis = TOP + max((self.rise(link) for link in self.arcs), default=0)
        self.loops = self.axis + _TALL + 8
        self.strip = self.loops + (8 + min(12 * loops, 60) if loops else 4)
        self.grid = self.strip + STRIP + 22
        self.bottom = self.grid + self.steps * self.row
        self.legend = self.bottom + 10 + self.labels.high + 18

    @property
    def arcs(self) -> list[Link]:
        """The links that are arcs, those across boundaries last."""
        found = [link for link in self.links if not link.feedback and not _beside(link)]
        return sorted(found, key=lambda link: link.delay)

    @property
    def joints(self) -> list[Link]:
        """The links between bars side by side that need no arc."""
        return [link for link in self.links if not link.feedback and _beside(link)]

    @property
    def feedback(self) -> list[Link]:
        """The links from a step to the next, the shortest first."""
        found = [link for link in self.links if link.feedback]
        return sorted(found, key=lambda link: abs(link.start - link.end))

    def rise(self, link: Link) -> float:
        """Height of an arc: long ones are flatter, or a long skip would dwarf all others."""
        across = self.middles[link.end] - self.middles[link.start]
        return min(0.7 * across, 4 * math.sqrt(across))


def text_width(words: str, size: float = svg.SMALL) -> float:
    """About how wide `words` are."""
    return 0.6 * size * len(words)


def _beside(link: Link) -> bool:
    return link.end == link.start + 1 and not link.delay


def _parts(plan: Plan, slots: Sequence[Slot]) -> list[Part]:
    """The runs of bars of one subnetwork, over the width of the figure, or wider if they must."""
    runs = [
        (subnetwork, len(list(run)))
        for subnetwork, run in itertools.groupby(slot.subnetwork for slot in slots)
    ]
    in_words = (None, plan.subnetworks)  # inputs and the head have names, others numbers
    least = [36 if subnetwork in in_words else 10 for subnetwork, _ in runs]
    free = svg.WIDTH - LEFT - RIGHT - GAP * (len(runs) - 1) - sum(least)
    room = max(_NARROWEST, free / len(slots))
    parts: list[Part] = []
    first, left = 0, float(LEFT)
    for (subnetwork, bars), at_least in zip(runs, least, strict=True):
        right = left + at_least + bars * room
        parts.append(Part(subnetwork, first, first + bars, left, right))
        first, left = first + bars, right + GAP
    return parts


def _widths(rooms: Sequence[float]) -> list[float]:
    """Widths of bars within their rooms; one with much room is hardly wider than the others."""
    most = max(12.0, min(26.0, 0.7 * min(rooms)))
    return [min(max(room - 2, 0.7 * room), most) for room in rooms]


def _lengths(extents: Sequence[int]) -> list[float]:
    """Lengths of bars of maps of these extents, on a log scale that vectors lie below."""
    low, high = min((e for e in extents if e > 1), default=1), max(extents)
    octave = min(_OCTAVE, (_TALL - _SHORT) / max(1e-9, math.log2(high / low)))
    return [_VECTOR if e == 1 else _TALL - octave * math.log2(high / e) for e in extents]


# --- names --------------------------------------------------------------------------------------


def _labels(arranged: Arrangement) -> Labels:
    """The finest names for which there is room: of units, of bars, or of where subnetworks begin.

    Names stand upright where they do not fit side by side.
    """
    slots, parts = arranged.slots, arranged.parts
    bar_of = {node.index: bar for bar, slot in enumerate(slots) for node in slot.nodes}
    unit_bars = {name: bar_of[index] for name, index in units(arranged.plan.nodes).items()}
    every = {slot.name: bar for bar, slot in enumerate(slots) if slot.nodes}
    begins = {slots[part.first].name: part.first for part in parts if part.subnetwork is not None}
    for of, bars in (("unit", unit_bars), ("layer", every)):
        named = _named(arranged, bars)
        if named and all(text_width(n.words) <= n.right - n.left - 4 for n in named):
            return Labels(of, named, "middle")
        if named and _apart(named):
            return Labels(of, named, None)
    named = _named(arranged, begins)
    staggered = list(_staggered(arranged, named))
    if len(staggered) == len(named):
        return Labels("begins at", staggered, "start")
    upright = [
        label._replace(x=arranged.middles[bar])
        for label, bar in zip(named, begins.values(), strict=True)
    ]
    return Labels("begins at", upright if _apart(upright) else [], None)


def _named(arranged: Arrangement, bars: Mapping[str, int]) -> list[Label]:
    """The names of runs of bars, in the middle below each, given the first bar of each."""
    lefts = [arranged.left[bar] for bar in bars.values()]
    last = [bar - 1 for bar in [*bars.values(), len(arranged.slots)][1:]]
    rights = [arranged.left[bar] + arranged.rooms[bar] for bar in last]
    return [
        Label(_short(name), (left + right) / 2, left, right)
        for name, left, right in zip(bars, lefts, rights, strict=True)
    ]


def _short(name: str) -> str:
    """`name`, or its beginning and its end, which tells it from others."""
    half = _LONGEST_NAME // 2
    return name if len(name) <= _LONGEST_NAME else f"{name[: half - 1]}…{name[-half:]}"


def _apart(upright: Sequence[Label]) -> bool:
    """Whether names that stand upright do not touch."""
    return all(b.x - a.x >= 12.5 for a, b in itertools.pairwise(upright))


def _staggered(arranged: Arrangement, named: Sequence[Label]) -> Iterator[Label]:
    """Those names that find room on one of two lines, beginning below their bars if they can."""
    free = [0.0, 0.0]
    for label in named:
        x = min(label.left, arranged.right - text_width(label.words))
        line = 0 if free[0] <= x else 1
        if free[line] <= x:
            free[line] = x + text_width(label.words) + 12
            yield label._replace(x=x, line=line)

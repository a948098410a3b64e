"""Names below the bars of the architecture figure: of units, of bars, or of subnetworks."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from mpvn.plan.units import units
from mpvn.report.architecture.columns import Columns
from mpvn.report.svg import text_width

LINE = 15
"""Distance between lines of names."""

_MAX_LENGTH = 24  # In characters.


class Label(NamedTuple):
    """A name.

    Attributes:
        text: The name.
        x: Position of its anchor.
        left: Left edge of what it names.
        right: Right edge of what it names.
        line: Line of text, from the top.
    """

    text: str
    x: float
    left: float
    right: float
    line: int = 0


class Labels(NamedTuple):
    """The names below the bars.

    Attributes:
        kind: What they name: `"unit"`, `"layer"` or `"begins at"`.
        names: From left to right.
        anchor: SVG's `text-anchor`; None for names turned by 90 degrees.
    """

    kind: str
    names: Sequence[Label]
    anchor: str | None

    @property
    def height(self) -> float:
        """Height of all lines."""
        if self.anchor is None:
            return max((text_width(label.text) for label in self.names), default=0)
        return LINE * (1 + max(label.line for label in self.names))


def choose_labels(columns: Columns) -> Labels:
    """Return the most detailed names that fit.

    In this order: names of units or bars side by side, or turned by 90 degrees; names of the first
    bars of subnetworks on two lines, or turned by 90 degrees.
    """
    bars, sections = columns.bars, columns.sections
    bar_of = {node.index: index for index, bar in enumerate(bars) for node in bar.nodes}
    unit_bars = {name: bar_of[node] for name, node in units(columns.plan.nodes).items()}
    all_bars = {bar.name: index for index, bar in enumerate(bars) if bar.nodes}
    for kind, first_bars in (("unit", unit_bars), ("layer", all_bars)):
        names = _names(columns, first_bars)
        if names and all(text_width(n.text) <= n.right - n.left - 4 for n in names):
            return Labels(kind, names, "middle")
        if names and _fit_turned(names):
            return Labels(kind, names, None)
    starts = {bars[s.first].name: s.first for s in sections if s.subnetwork is not None}
    names = _names(columns, starts)
    staggered = list(_staggered(columns.right, names))
    if len(staggered) == len(names):
        return Labels("begins at", staggered, "start")
    turned = [
        label._replace(x=columns.centers[index])
        for label, index in zip(names, starts.values(), strict=True)
    ]
    return Labels("begins at", turned if _fit_turned(turned) else [], None)


def _names(columns: Columns, first_bars: Mapping[str, int]) -> list[Label]:
    """Return centered names of runs of bars, given the first bar of each run."""
    lefts = [columns.lefts[index] for index in first_bars.values()]
    last = [index - 1 for index in [*first_bars.values(), len(columns.bars)][1:]]
    rights = [columns.lefts[index] + columns.rooms[index] for index in last]
    return [
        Label(_short(name), (left + right) / 2, left, right)
        for name, left, right in zip(first_bars, lefts, rights, strict=True)
    ]


def _short(name: str) -> str:
    """Return `name`, or its start and its end, which usually holds a number."""
    half = _MAX_LENGTH // 2
    return name if len(name) <= _MAX_LENGTH else f"{name[: half - 1]}…{name[-half:]}"


def _fit_turned(names: Sequence[Label]) -> bool:
    """Return whether names that are turned by 90 degrees do not overlap."""
    return all(b.x - a.x >= 12.5 for a, b in itertools.pairwise(names))


def _staggered(right: float, names: Sequence[Label]) -> Iterator[Label]:
    """Yield the names that fit on one of two lines, left-aligned with their bars if possible."""
    free = [0.0, 0.0]  # Where each line is free from.
    for label in names:
        x = min(label.left, right - text_width(label.text))
        line = 0 if free[0] <= x else 1
        if free[line] <= x:
            free[line] = x + text_width(label.text) + 12
            yield label._replace(x=x, line=line)

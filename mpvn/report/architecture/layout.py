"""Vertical positions in the architecture figure."""

import math
from collections.abc import Sequence

from mpvn.plan import Plan
from mpvn.report.architecture.bars import Link
from mpvn.report.architecture.columns import Columns
from mpvn.report.architecture.labels import choose_labels

TOP = 40
"""Space above the arcs."""
STRIP = 18
"""Height of the strip with the numbers of the subnetworks."""

_VECTOR, _SHORTEST, _LONGEST = 6.0, 20.0, 88.0  # Bars of vectors, smallest and largest maps.
_MAX_OCTAVE = 22.0  # Difference in length when the map is twice as large.
_MAX_STEPS = 32


class Layout(Columns):
    """All positions in the architecture figure of a plan.

    Attributes, besides those of `Columns`:
        lengths: Lengths of the bars.
        labels: The names below the bars.
        steps: Number of steps shown.
        row: Height of one step.
        axis: Top edge of the bars.
        loops: Below the longest bar, where feedback is drawn.
        strip: Top edge of the strip with the numbers of the subnetworks.
        grid: Top edge of the first step.
        bottom: Bottom edge of the last step.
        legend: Where the legend starts.
    """

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self.lengths = _lengths([bar.extent for bar in self.bars])
        self.labels = choose_labels(self)
        self.steps = min(plan.period, _MAX_STEPS)
        self.row = max(5.0, min(14.0, 96 / self.steps))
        loops = len(self.feedback)
        self.axis = TOP + max((self.rise(link) for link in self.arcs), default=0)
        self.loops = self.axis + _LONGEST + 8
        self.strip = self.loops + (8 + min(12 * loops, 60) if loops else 4)
        self.grid = self.strip + STRIP + 22
        self.bottom = self.grid + self.steps * self.row
        self.legend = self.bottom + 10 + self.labels.height + 18

    @property
    def arcs(self) -> list[Link]:
        """The links drawn as arcs; those across boundaries last, on top of the others."""
        arcs = [link for link in self.links if not link.feedback and not link.is_joint]
        return sorted(arcs, key=lambda link: link.delay)

    @property
    def joints(self) -> list[Link]:
        """The links between neighbors, which need no arc."""
        return [link for link in self.links if link.is_joint]

    @property
    def feedback(self) -> list[Link]:
        """The links from one step to the next, shortest first."""
        feedback = [link for link in self.links if link.feedback]
        return sorted(feedback, key=lambda link: abs(link.start - link.end))

    def rise(self, link: Link) -> float:
        """Return the height of an arc. Long arcs are flatter; else one would dwarf the others."""
        distance = self.centers[link.end] - self.centers[link.start]
        return min(0.7 * distance, 4 * math.sqrt(distance))


def _lengths(extents: Sequence[int]) -> list[float]:
    """Return the lengths of bars on a log scale of the extents of their maps."""
    low, high = min((e for e in extents if e > 1), default=1), max(extents)
    octave = min(_MAX_OCTAVE, (_LONGEST - _SHORTEST) / max(1e-9, math.log2(high / low)))
    return [_VECTOR if e == 1 else _LONGEST - octave * math.log2(high / e) for e in extents]

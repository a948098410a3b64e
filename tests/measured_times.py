"""Costs in time that no machine measured."""

import dataclasses

from mpvn.graph.data import Graph
from mpvn.plan.cost import TIME, Unit

MS = 10**6
"""Nanoseconds of a millisecond."""


@dataclasses.dataclass(frozen=True)
class Times:
    """Milliseconds of each node, in plan order, and nanoseconds of a step besides its nodes."""

    milliseconds: tuple[float, ...]
    of_step: int = 0
    unit: Unit = TIME

    def of_nodes(self, graph: Graph) -> tuple[int, ...]:
        return tuple(round(MS * value) for value in self.milliseconds)

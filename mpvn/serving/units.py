"""When the units of a step ran, for each stream of a batch."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from mpvn.runtime import CompiledNetwork, Event, record


class UnitTime(NamedTuple):
    """A unit that ran, as the lane of a timeline has it.

    Attributes:
        subnetwork: index of the subnetwork whose nodes it has; a unit of several subnetworks has
            an entry for each. That of a fresh head is the number of subnetworks.
        name: the name of the unit.
        start, end: seconds since the step began.
    """

    subnetwork: int
    name: str
    start: float
    end: float


@contextlib.contextmanager
def recorded(network: Any, wanted: bool) -> Iterator[list[Event]]:
    """Record what a network runs in the block, if that is wanted and the network is compiled."""
    if not wanted or not isinstance(network, CompiledNetwork):
        yield []
        return
    with record(network) as events:
        yield events


def units_of(events: Sequence[Event], step: int) -> tuple[UnitTime, ...]:
    """Return the units that a stream ran.

    Args:
        events: those of one step of a batch.
        step: the number of the step of the stream: streams at one step run the same units.
    """
    begin = next((event.start for event in events if event.unit is None), 0.0)
    times = []
    for event in events:
        unit = event.unit
        if unit is None or step not in event.steps:
            continue
        nodes = [unit.plan.graph.nodes[index] for index in unit.nodes]
        for lane in sorted({unit.plan.subnetwork(node) for node in nodes}):
            times.append(UnitTime(lane, unit.name, event.start - begin, event.end - begin))
    return tuple(times)

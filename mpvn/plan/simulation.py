"""Simulates subnetworks on several devices, from what they cost: when each of them would work.

The *work* of a subnetwork at a step starts when its device is free and all that it reads is there:

    for work in works:                       # in the order in which each device takes them
        start = max(free[work.device], finish[read] + travel(read) for read in work.reads)
        finish = free[work.device] = start + work.duration

A value between devices travels for the latency of the link, and then byte by byte; on one device it
is there at once. Values across a boundary are those of the previous step (*Massively Parallel Video
Networks*, section 3), so the subnetworks of a step do not wait for each other. A *chunk* is the
steps that one call runs: all devices wait for the end of one before the next begins. One step in
each chunk is the paper's step that waits for all subnetworks; one chunk of all steps is a pipeline
that waits for data alone.

Times are in the unit of the costs: seconds, nanoseconds, or multiply-adds.

What it does not model: values that wait for each other on a link, a device that computes slower
while it sends, times that vary, frames on their way to the first subnetwork, and memory: within a
chunk, a subnetwork may run any number of steps ahead.
"""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

from mpvn.plan.partition import balanced_starts
from mpvn.plan.plan import Plan
from mpvn.plan.traffic import values_of_step


class Link(NamedTuple):
    """How long values travel between any two devices.

    Attributes:
        latency: time of a message without content.
        per_byte: time of each byte.
    """

    latency: float = 0.0
    per_byte: float = 0.0

    def time(self, size: float) -> float:
        """Return the time of a message of `size` bytes."""
        return self.latency + self.per_byte * size


FREE = Link()
"""A link that takes no time."""


class Reading(NamedTuple):
    """What a work reads: the index of the work that made it, and its size in bytes."""

    work: int
    size: float = 0.0


class Work(NamedTuple):
    """What a device does without a pause.

    Attributes:
        device: index of the device.
        duration: how long it takes.
        reads: what must be there before it starts, of earlier works.
    """

    device: int
    duration: float
    reads: tuple[Reading, ...] = ()


@dataclasses.dataclass(frozen=True)
class Timeline:
    """When each work ran.

    Attributes:
        works: the works.
        starts: the start of each.
        finishes: the end of each.
    """

    works: tuple[Work, ...]
    starts: tuple[float, ...]
    finishes: tuple[float, ...]

    @property
    def length(self) -> float:
        """Time from 0 to the end of the last work."""
        return max(self.finishes, default=0.0)

    @property
    def busy(self) -> dict[int, float]:
        """Time that each device works."""
        busy: dict[int, float] = {}
        for work in self.works:
            busy[work.device] = busy.get(work.device, 0.0) + work.duration
        return busy


def simulate(works: Sequence[Work], link: Link = FREE) -> Timeline:
    """Run works, each device in the order in which they are listed.

    Raises:
        ValueError: a work reads one that is not before it.
    """
    free: dict[int, float] = {}
    starts: list[float] = []
    finishes: list[float] = []
    for index, work in enumerate(works):
        start = free.get(work.device, 0.0)
        for reading in work.reads:
            if not 0 <= reading.work < index:
                raise ValueError(
                    f"A work reads what comes later. Expected an index below {index}. "
                    f"Received: {reading.work}. List works in an order in which they can run."
                )
            away = works[reading.work].device != work.device
            start = max(start, finishes[reading.work] + (link.time(reading.size) if away else 0.0))
        starts.append(start)
        finishes.append(start + work.duration)
        free[work.device] = finishes[-1]
    return Timeline(tuple(works), tuple(starts), tuple(finishes))


# --- streams ------------------------------------------------------------------------------------


class Message(NamedTuple):
    """What a subnetwork reads of another one.

    Attributes:
        source: the subnetwork that made it.
        target: the subnetwork that reads it.
        delay: steps from one to the other.
        sizes: bytes that the target reads at each step of a period; 0 where it reads nothing.
    """

    source: int
    target: int
    delay: int
    sizes: tuple[float, ...]


@dataclasses.dataclass(frozen=True)
class Stream:
    """What each subnetwork computes and reads, step by step.

    Attributes:
        costs: `[period][subnetworks]`, the time of each subnetwork; a fresh head is the last.
        messages: what they read of each other.
    """

    costs: tuple[tuple[float, ...], ...]
    messages: tuple[Message, ...] = ()

    @property
    def period(self) -> int:
        """Steps after which all repeats."""
        return len(self.costs)

    @property
    def subnetworks(self) -> int:
        """Number of subnetworks, a fresh head included."""
        return len(self.costs[0])

    @property
    def loads(self) -> list[float]:
        """Time of each subnetwork in a step, averaged over a period."""
        return [sum(column) / self.period for column in zip(*self.costs, strict=True)]

    def scaled(self, factor: float) -> "Stream":
        """Return the stream whose works take `factor` times as long."""
        costs = tuple(tuple(factor * cost for cost in row) for row in self.costs)
        return dataclasses.replace(self, costs=costs)


def stream(plan: Plan, batch: int = 1) -> Stream:
    """Return what the subnetworks of a plan compute and read.

    A node reads values of other subnetworks whenever it ticks; see `mpvn.plan.traffic`.

    Args:
        plan: the plan. Times are in its unit of costs.
        batch: number of streams that are computed together.
    """
    lanes = plan.subnetworks + (plan.head is not None)
    costs = [[0.0] * lanes for _ in range(plan.period)]
    sizes: dict[tuple[int, int, int], list[float]] = {}
    for step in range(plan.period):
        for node in plan.graph.nodes:
            if plan.clock(node).ticks(step):
                costs[step][plan.subnetwork(node)] += batch * plan.node_costs[node.index]
        values = values_of_step(plan, step, plan.subnetwork, place=lambda lane: lane)
        for value, size in values.items():
            key = value.source, value.target, value.delay
            sizes.setdefault(key, [0.0] * plan.period)[step] += batch * size
    messages = (Message(*key, tuple(by_step)) for key, by_step in sorted(sizes.items()))
    return Stream(tuple(map(tuple, costs)), tuple(messages))


def stream_works(
    stream: Stream,
    devices: Sequence[int],
    steps: int,
    chunk: int | None = None,
    call: float = 0.0,
) -> list[Work]:
    """Return the works of the first steps of a stream.

    Args:
        stream: the subnetworks.
        devices: the device of each; see `place`.
        steps: number of steps.
        chunk: number of steps that one call runs. None: one call runs all.
        call: time of a call besides the subnetworks. It is spent on a device of its own, which
            hears from all subnetworks at the end of a chunk and starts the next one.

    Raises:
        ValueError: there is not one device for each subnetwork, or a number is below 1.
    """
    _check(stream, devices, steps, chunk)
    caller = max(devices) + 1
    works: list[Work] = []
    last: dict[int, list[int]] = {}  # the works of the subnetworks, by step
    for step in range(steps):
        if step % (chunk or steps) == 0:
            works.append(Work(caller, call, tuple(map(Reading, last.get(step - 1, ())))))
            begun = Reading(len(works) - 1)
        last[step] = []
        for lane in range(stream.subnetworks):
            reads = [
                Reading(last[step - message.delay][message.source], size)
                for message in stream.messages
                if message.target == lane
                and step >= message.delay
                and (size := message.sizes[step % stream.period])
            ]
            duration = stream.costs[step % stream.period][lane]
            last[step].append(len(works))
            works.append(Work(devices[lane], duration, (begun, *reads)))
    return works


def stream_rate(
    stream: Stream,
    devices: Sequence[int],
    link: Link = FREE,
    chunk: int | None = None,
    call: float = 0.0,
    steps: int | None = None,
) -> float:
    """Return the steps of a stream in a unit of time.

    Args:
        stream, devices, chunk, call: as in `stream_works`.
        link: how long values travel between devices.
        steps: number of steps that are simulated. Default: 20 periods, and at least 200.
    """
    steps = steps or max(200, 20 * stream.period)
    works = stream_works(stream, devices, steps, chunk, call)
    return steps / simulate(works, link).length


def ring_all_reduce_time(size: float, devices: int, link: Link) -> float:
    """Return how long devices take to sum `size` bytes of each, in a ring.

    Each sends a part of 1 / devices to the next one, 2 (devices - 1) times.
    """
    return 2 * (devices - 1) * link.time(size / devices)


def place(loads: Sequence[float], devices: int) -> list[int]:
    """Return the device of each subnetwork: runs of neighbors, so that the busiest has least.

    Args:
        loads: time of each subnetwork.
        devices: number of devices; if there are fewer subnetworks, only as many are used.

    Example:
        >>> place([3, 1, 1, 1], 2)
        [0, 1, 1, 1]
    """
    starts = balanced_starts(loads, min(devices, len(loads)))
    return [sum(index >= start for start in starts) - 1 for index in range(len(loads))]


def _check(stream: Stream, devices: Sequence[int], steps: int, chunk: int | None) -> None:
    if len(devices) != stream.subnetworks:
        raise ValueError(
            f"Invalid devices. Expected one for each of {stream.subnetworks} subnetworks. "
            f"Received: {list(devices)}. A fresh head counts as a subnetwork."
        )
    if steps < 1 or (chunk is not None and chunk < 1):
        raise ValueError(
            f"Invalid numbers of steps. Expected at least 1. Received: steps={steps}, chunk={chunk}"
        )

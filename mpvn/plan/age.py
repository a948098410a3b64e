"""The age of information in a schedule, and how far back its nodes see.

All functions go through the nodes in plan order and use clocks, delays and windows. The rule of
ages is in `mpvn.plan.flow`. In the steady state, everything repeats with the schedule's period.
"""

import dataclasses
import itertools
import math
from collections.abc import Sequence

import numpy as np

from mpvn.graph.data import Node
from mpvn.plan.flow import Flow
from mpvn.plan.schedule import Schedule


@dataclasses.dataclass(frozen=True)
class Ages:
    """Age of information, in steps, at each step of a period.

    Attributes:
        newest: age along the fastest path from a frame.
        oldest: age along the slowest path.
    """

    newest: tuple[int, ...]
    oldest: tuple[int, ...]

    @property
    def mean(self) -> float:
        """Mean age along the slowest path."""
        return sum(self.oldest) / len(self.oldest)

    @property
    def worst(self) -> int:
        """Greatest age along the slowest path."""
        return max(self.oldest)


_FRAME = Ages((0,), (0,))
"""Ages of the input frame: always new."""


def node_ages(schedule: Schedule) -> list[Ages | None]:
    """Return the ages of each node's value; None for nodes that depend on feedback alone.

    Feedback edges and memories of recurrent layers do not count: information that comes through
    them is older than information that comes straight from a frame, and its age has no bound.
    """
    flow = Flow(schedule, list(zip(schedule.node_subnetworks, schedule.node_clocks, strict=True)))
    waits = flow.waits(flow.phases)
    newest, oldest = (flow.ages(waits, combine) for combine in (np.minimum, np.maximum))
    ages = [
        Ages(tuple(new[0].tolist()), tuple(old[0].tolist()))
        for new, old in zip(newest, oldest, strict=True)
    ]
    return [None if value is None else ages[value] for value in flow.value_of]


def output_ages(schedule: Schedule, ages: Sequence[Ages | None]) -> dict[str, Ages]:
    """Return the ages of each output of the model, by the name of its tensor.

    Args:
        schedule: the schedule.
        ages: ages of its nodes, from `node_ages`.
    """
    of_outputs = {}
    for tensor in schedule.graph.outputs:
        node = schedule.graph.producer(tensor)
        of_output = _FRAME if node is None else ages[node.index]
        if of_output is not None:
            of_outputs[schedule.graph.tensors[tensor].name] = of_output
    return of_outputs


def information_latency(schedule: Schedule) -> tuple[int, int]:
    """Return the fewest and the most boundaries from the frame to an output, without feedback."""
    paths: list[tuple[int, int] | None] = []
    for node in schedule.graph.nodes:
        arrivals = []
        for producer in schedule.graph.sources(node):
            delay = schedule.delay(producer, node)
            path = (0, 0) if producer is None else paths[producer.index]
            if path is not None:
                arrivals.append((delay + path[0], delay + path[1]))
        if arrivals:
            paths.append((min(few for few, _ in arrivals), max(many for _, many in arrivals)))
        else:
            paths.append(None)
    producers = [schedule.graph.producer(tensor) for tensor in schedule.graph.outputs]
    ends = [(0, 0) if node is None else paths[node.index] for node in producers]
    reached = [end for end in ends if end is not None] or [(0, 0)]
    return min(few for few, _ in reached), max(many for _, many in reached)


def first_informed_step(schedule: Schedule) -> int:
    """Return the first step at which every output can depend on a frame.

    Before it, at least one output is a constant. Outputs that no frame ever reaches are ignored.
    """
    informed = first_informed_steps(schedule)
    producers = [schedule.graph.producer(tensor) for tensor in schedule.graph.outputs]
    steps = [0 if node is None else informed[node.index] for node in producers]
    return int(max((step for step in steps if step < math.inf), default=0))


def first_informed_steps(schedule: Schedule) -> list[float]:
    """Return, for each node, the first step at which its value can depend on a frame, or infinity.

    A stream starts at step 0 with all states zero. Information reaches a node at its first tick at
    which one of its sources is informed.
    """
    informed = [math.inf] * len(schedule.graph.nodes)
    before: list[float] = []
    while informed != before:  # feedback reads later nodes: repeat until nothing changes
        before = list(informed)
        for node in schedule.graph.nodes:
            arrivals = (_arrival(schedule, node, s, informed) for s in _sources(schedule, node))
            arrival = min(arrivals, default=math.inf)
            if arrival < math.inf:
                clock = schedule.clock(node)
                informed[node.index] = arrival + (clock.phase - arrival) % clock.rate
    return informed


def first_steps_in_domain(schedule: Schedule) -> list[int]:
    """Return, for each node, the first step from which all of its inputs depend on frames.

    Before it, the node is called on values that come from no frame. What depends on feedback alone
    does not count: the frame model itself reads zeros there. Nor do past ticks of a window: a
    temporal layer reads zeros before the start of a clip.
    """
    informed = first_informed_steps(schedule)
    steps = []
    for node in schedule.graph.nodes:
        sources = [
            source
            for source in schedule.graph.sources(node)
            if source is None or source.index not in schedule.graph.feedback_only
        ]
        arrivals = [_arrival(schedule, node, source, informed) for source in sources]
        steps.append(int(max((step for step in arrivals if step < math.inf), default=0)))
    return steps


def first_full_step(schedule: Schedule, node: Node, ages: Ages | None) -> int:
    """Return the first tick of a node at which its whole window holds values made of frames.

    These values have come on their slowest paths. Before, the node reads zeros in their place.

    Args:
        schedule: the plan.
        node: the node.
        ages: those of its value; None if it reads feedback alone, which has no frame to wait for.
    """
    if ages is None:
        return 0
    steps = itertools.count()
    arrival = next(step for step in steps if ages.oldest[step % len(ages.oldest)] <= step)
    ahead = node.temporal.lookahead if node.temporal else 0
    rates = [schedule.clock(schedule.graph.producer(tensor)).rate for tensor in node.inputs]
    full = arrival + (node.window - 1 - ahead) * max(rates, default=1)
    clock = schedule.clock(node)
    return full + (clock.phase - full) % clock.rate if full > arrival else arrival


def _sources(schedule: Schedule, node: Node) -> list[Node | None]:
    """Return the nodes that `node` reads, feedback included; None stands for a frame."""
    source = schedule.feedback_source(node)
    return [source] if source else schedule.graph.sources(node)


def _arrival(
    schedule: Schedule, node: Node, source: Node | None, informed: Sequence[float]
) -> float:
    """Return the first step at which `node` sees an informed value of `source`."""
    delay = 1 if node.feedback_source else schedule.delay(source, node)
    ahead = node.temporal.lookahead * schedule.clock(source).rate if node.temporal else 0
    return max(0, (0 if source is None else informed[source.index]) + delay - ahead)


def receptive_field(schedule: Schedule) -> int | None:
    """Return the number of frames that an output can see, oldest to newest; None if unbounded.

    Feedback and recurrent layers have no bound.
    """
    if schedule.has_feedback or any(node.memory for node in schedule.graph.nodes):
        return None
    # reach[node][step]: ages of the oldest and of the newest frame that the node has seen
    reach: list[list[tuple[int, int]]] = []
    for node in schedule.graph.nodes:
        ahead = node.temporal.lookahead if node.temporal else 0
        row = []
        for step in range(schedule.period):
            tick = schedule.clock(node).last(step)
            ends = []
            for tensor in node.inputs:
                producer = schedule.graph.producer(tensor)
                clock = schedule.clock(producer)
                newest = clock.last(tick - schedule.delay(producer, node)) + ahead * clock.rate
                oldest = newest - (node.window - 1) * clock.rate
                source = [(0, 0)] * schedule.period if producer is None else reach[producer.index]
                ends.append(
                    (
                        step - oldest + source[oldest % schedule.period][0],
                        step - newest + source[newest % schedule.period][1],
                    )
                )
            row.append((max(old for old, _ in ends), min(new for _, new in ends)))
        reach.append(row)
    producers = [schedule.graph.producer(tensor) for tensor in schedule.graph.outputs]
    spans = [old - new + 1 for node in producers if node for old, new in reach[node.index]]
    return max(spans, default=1)


def ticks_read(schedule: Schedule) -> list[frozenset[int]]:
    """Return, for each node, the steps of a period at which it computes a value that is read.

    A tick is read if an output, or a tick that is itself read, uses its value before the next tick
    replaces it. Sources of feedback and recurrent layers are read at every tick.
    """
    ticks: list[set[int]] = [set() for _ in schedule.graph.nodes]

    def mark(producer: Node | None, step: int, window: int) -> None:
        if producer is not None:
            clock = schedule.clock(producer)
            for lag in range(window):
                ticks[producer.index].add((clock.last(step) - lag * clock.rate) % schedule.period)

    for step in range(schedule.period):
        for tensor in schedule.graph.outputs:
            mark(schedule.graph.producer(tensor), step, 1)
        for source in schedule.feedback.values():
            mark(schedule.graph.nodes[source], step, 1)
        for node in schedule.graph.nodes:
            mark(node if node.memory else None, step, 1)
    for node in reversed(schedule.graph.nodes):
        for step in sorted(ticks[node.index]):
            for producer in schedule.graph.sources(node):
                mark(producer, step - schedule.delay(producer, node), node.window)
    return [frozenset(steps) for steps in ticks]

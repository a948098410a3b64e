"""How old the information is that a plan's nodes hold, and how far back they see.

All follows from clocks, delays and windows, node by node in plan order: what a node holds at a step
was computed at its last tick, from what its producers held then (or, across a boundary, one step
before). In the steady state everything repeats with the plan's period.
"""

import dataclasses
import math
from typing import TYPE_CHECKING

from mpvn.plan.graph import Node

if TYPE_CHECKING:
    from mpvn.plan import Plan


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
"""The frame itself is always new."""


def node_ages(plan: "Plan") -> list[Ages | None]:
    """Ages of what each node holds; None for what stems from feedback alone.

    What is fed back is left out: it is older than anything that comes straight from a frame, and
    without bound.
    """
    ages: list[Ages | None] = []
    for node in plan.graph.nodes:
        newest, oldest = [], []
        for step in range(plan.period):
            tick = plan.clock(node).last(step)
            seen = []
            for producer in plan.graph.sources(node):
                delay = plan.delay(producer, node)
                at = (tick - delay) % plan.period
                source = _FRAME if producer is None else ages[producer.index]
                if source is not None:
                    new, old = source.newest, source.oldest
                    seen.append((delay + new[at % len(new)], delay + old[at % len(old)]))
            if seen:
                newest.append(step - tick + min(new for new, _ in seen))
                oldest.append(step - tick + max(old for _, old in seen))
        ages.append(Ages(tuple(newest), tuple(oldest)) if newest else None)
    return ages


def output_ages(plan: "Plan") -> dict[str, Ages]:
    """Ages of each output of the model, by the name of the node that makes it."""
    found = {}
    for tensor in plan.graph.outputs:
        node = plan.graph.producer(tensor)
        of_node = plan.node_ages[node.index] if node is not None else _FRAME
        if of_node is not None:
            found[plan.graph.tensors[tensor].name] = of_node
    return found


def information_latency(plan: "Plan") -> tuple[int, int]:
    """Fewest and most boundaries on a path from the frame to an output, feedback left out."""
    paths: list[tuple[int, int] | None] = []
    for node in plan.graph.nodes:
        seen = []
        for producer in plan.graph.sources(node):
            delay = plan.delay(producer, node)
            path = (0, 0) if producer is None else paths[producer.index]
            if path is not None:
                seen.append((delay + path[0], delay + path[1]))
        paths.append((min(f for f, _ in seen), max(m for _, m in seen)) if seen else None)
    found = [plan.graph.producer(tensor) for tensor in plan.graph.outputs]
    ends = [(0, 0) if node is None else paths[node.index] for node in found]
    reached = [end for end in ends if end is not None] or [(0, 0)]
    return min(few for few, _ in reached), max(most for _, most in reached)


def first_informed_step(plan: "Plan") -> int:
    """The first step at which every output can depend on a frame; before it, outputs are constants.

    A clip begins at step 0 with all memories zero. Information reaches a node at its first tick at
    which something that it reads is informed. Outputs that no frame ever reaches are left out.
    """
    informed = [math.inf] * len(plan.graph.nodes)
    before: list[float] = []
    while informed != before:  # feedback reads later nodes: again, until nothing comes earlier
        before = list(informed)
        for node in plan.graph.nodes:
            arrivals = (_arrival(plan, node, source, informed) for source in _read(plan, node))
            arrival = min(arrivals, default=math.inf)
            if arrival < math.inf:
                clock = plan.clock(node)
                informed[node.index] = arrival + (clock.phase - arrival) % clock.rate
    found = [plan.graph.producer(tensor) for tensor in plan.graph.outputs]
    steps = [0 if node is None else informed[node.index] for node in found]
    return int(max((step for step in steps if step < math.inf), default=0))


def _read(plan: "Plan", node: Node) -> list[Node | None]:
    """What `node` reads, None standing for a frame; of a feedback, what it feeds back."""
    if node.feedback_source:
        return [plan.graph.by_name[node.feedback_source]]
    return plan.graph.sources(node)


def _arrival(plan: "Plan", node: Node, source: Node | None, informed: list[float]) -> float:
    """The first step at which `node` sees an informed value of `source`."""
    delay = 1 if node.feedback_source else plan.delay(source, node)
    ahead = node.temporal.lookahead * plan.clock(source).rate if node.temporal else 0
    return max(0, (0 if source is None else informed[source.index]) + delay - ahead)


def receptive_field(plan: "Plan") -> int | None:
    """Frames from the oldest to the newest that an output can see; None with feedback."""
    if plan.has_feedback:
        return None
    # reach[n][s]: (age of the oldest frame, age of the newest) that node n saw, at step s
    reach: list[list[tuple[int, int]]] = []
    for node in plan.graph.nodes:
        ahead = node.temporal.lookahead if node.temporal else 0
        row = []
        for step in range(plan.period):
            tick = plan.clock(node).last(step)
            ends = []
            for tensor in node.inputs:
                producer = plan.graph.producer(tensor)
                clock = plan.clock(producer)
                newest = clock.last(tick - plan.delay(producer, node)) + ahead * clock.rate
                oldest = newest - (node.window - 1) * clock.rate
                source = [(0, 0)] * plan.period if producer is None else reach[producer.index]
                ends.append(
                    (
                        step - oldest + source[oldest % plan.period][0],
                        step - newest + source[newest % plan.period][1],
                    )
                )
            row.append((max(old for old, _ in ends), min(new for _, new in ends)))
        reach.append(row)
    found = [plan.graph.producer(tensor) for tensor in plan.graph.outputs]
    spans = [old - new + 1 for node in found if node for old, new in reach[node.index]]
    return max(spans, default=1)


def seen_ticks(plan: "Plan") -> list[frozenset[int]]:
    """For each node, the steps of a period at which what it computes is ever read.

    A tick is read if an output or a tick that is itself read looks at it before the next one
    replaces it. What feeds back is read at every tick.
    """
    seen: list[set[int]] = [set() for _ in plan.graph.nodes]

    def look(producer: Node | None, step: int, window: int) -> None:
        if producer is not None:
            clock = plan.clock(producer)
            for lag in range(window):
                seen[producer.index].add((clock.last(step) - lag * clock.rate) % plan.period)

    sources = {node.feedback_source for node in plan.graph.nodes}
    for step in range(plan.period):
        for tensor in plan.graph.outputs:
            look(plan.graph.producer(tensor), step, 1)
        for node in plan.graph.nodes:
            if node.name in sources:
                look(node, step, 1)
    for node in reversed(plan.graph.nodes):
        for step in sorted(seen[node.index]):
            for producer in plan.graph.sources(node):
                look(producer, step - plan.delay(producer, node), node.window)
    return [frozenset(ticks) for ticks in seen]

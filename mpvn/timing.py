"""How old the information is that a plan's nodes hold, and how far back they see.

All follows from clocks, delays and windows, node by node in plan order: what a node holds at a step
was computed at its last tick, from what its producers held then (or, across a boundary, one step
before). In the steady state everything repeats with the plan's period.
"""

import dataclasses
from typing import TYPE_CHECKING

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


def node_ages(plan: "Plan") -> list[Ages]:
    """Ages of what each node holds. What is fed back counts as new: its age has no bound."""
    ages: list[Ages] = []
    for node in plan.graph.nodes:
        newest, oldest = [], []
        for step in range(plan.period):
            tick = plan.clock(node).last(step)
            held = step - tick
            seen = [(0, 0)] if not plan.graph.producers(node) else []
            for tensor in () if node.feedback_source else node.inputs:
                producer = plan.graph.producer(tensor)
                if producer is None:
                    seen.append((0, 0))
                    continue
                delay = plan.delay(producer, node)
                at = (tick - delay) % plan.period
                source = ages[producer.index]
                seen.append((source.newest[at] + delay, source.oldest[at] + delay))
            newest.append(held + min(new for new, _ in seen))
            oldest.append(held + max(old for _, old in seen))
        ages.append(Ages(tuple(newest), tuple(oldest)))
    return ages


def output_ages(plan: "Plan") -> dict[str, Ages]:
    """Ages of each output of the model, by the name of the node that makes it."""
    ages = node_ages(plan)
    found = (plan.graph.producer(tensor) for tensor in plan.graph.outputs)
    return {node.name: ages[node.index] for node in found if node is not None}


def information_latency(plan: "Plan") -> tuple[int, int]:
    """Fewest and most boundaries on a path from the frame to an output."""
    paths: list[tuple[int, int]] = []
    for node in plan.graph.nodes:
        seen = []
        for producer in plan.graph.producers(node):
            delay = plan.delay(producer, node)
            fewest, most = paths[producer.index]
            seen.append((fewest + delay, most + delay))
        if not seen or any(plan.graph.producer(tensor) is None for tensor in node.inputs):
            seen.append((0, 0))
        paths.append((min(few for few, _ in seen), max(most for _, most in seen)))
    found = [plan.graph.producer(tensor) for tensor in plan.graph.outputs]
    ends = [paths[node.index] for node in found if node is not None] or [(0, 0)]
    return min(few for few, _ in ends), max(most for _, most in ends)


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

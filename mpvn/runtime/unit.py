"""Units: the parts of a step that a runtime compiles and runs as one call each.

    "block"      the frames | block 0 | block 1 | ...    a block: nodes of one subnetwork and clock
    "pattern"    the frames and all blocks that tick     one unit for each pattern of clocks

The units of a step run one after the other. Each reads values at places (`mpvn.executors.run`) and
makes values at other places. A stream that starts primed runs one unit more at its first step.
"""

import dataclasses
import functools
from collections.abc import Callable

import tensorflow as tf

from mpvn.executors.prime import prime
from mpvn.executors.run import Place, Time, after, before, now
from mpvn.executors.step_run import StepRun
from mpvn.graph.data import Node
from mpvn.plan import Plan

DIVISIONS = ("block", "pattern")
"""What a unit is."""


@dataclasses.dataclass(frozen=True)
class Unit:
    """A part of a step.

    Attributes:
        plan: the plan that it is a part of.
        name: a name for messages, reports and traces.
        position: units of lower positions run first.
        nodes: indices of the nodes that it computes, in order.
        frames: whether it takes the frames of the step in.
        settled: whether calls of its nodes are cut: those whose `plan.cut_before` is greater.
        primes: whether it fills all slots from a first frame instead.
    """

    plan: Plan = dataclasses.field(repr=False, compare=False)
    name: str = dataclasses.field(compare=False)
    position: int
    nodes: tuple[int, ...] = ()
    frames: bool = False
    settled: int = 0
    primes: bool = False

    @functools.cached_property
    def entering(self) -> list[Place]:
        """The places whose values it reads."""
        inputs = [*map(now, self.plan.graph.inputs)]
        if self.primes:
            return inputs
        places = self._run.entering(self._nodes)
        if self.frames:
            histories = [
                h for tensor in self.plan.graph.inputs for h in self.plan.histories.of(tensor)
            ]
            older = [before(slot) for history in histories for slot in history.slots[1:]]
            places = [*inputs, *older, *(p for p in places if p not in self._frame_places)]
        return list(dict.fromkeys(places))

    @functools.cached_property
    def leaving(self) -> list[Place]:
        """The places that it fills for others: other units, outputs, the next step."""
        if self.primes:
            return [before(slot) for slot in self.plan.histories.specs]
        run = self._run
        places = run.leaving(self._nodes)
        if self.frames:  # no other unit of the step has nodes, or this one has none
            read = {*run.reads(None)}
            places = [place for place in places if place.time is Time.AFTER or place in read]
            places = [*self._frame_places, *places]
        return places

    def compute(self, values: list[tf.Tensor]) -> list[tf.Tensor]:
        """Return the values `[B, ...]` of `leaving`, given those of `entering`."""
        given = dict(zip(self.entering, values, strict=True))
        if self.primes:
            slots = prime(self.plan, values, training=False)
            return [slots[str(place.key)] for place in self.leaving]
        run = self._run
        run.values = given
        for tensor in self.plan.graph.inputs if self.frames else ():
            run.put(tensor, given[now(tensor)])
        run.run(self._nodes)
        return [run.values[place] for place in self.leaving]

    @property
    def _run(self) -> StepRun:
        return StepRun(self.plan, {}, training=False, number=self.settled)

    @property
    def _nodes(self) -> list[Node]:
        return [self.plan.graph.nodes[index] for index in self.nodes]

    @property
    def _frame_places(self) -> list[Place]:
        """The slots that the frames of the step fill."""
        histories = self.plan.histories
        return [
            after(slot)
            for tensor in self.plan.graph.inputs
            for history in histories.of(tensor)
            for slot in history.slots
        ]


UnitsAt = Callable[[int], list[Unit]]
"""Returns the units of a step, in order, given the number of the step."""


def divide(plan: Plan, start: str, division: str) -> UnitsAt:
    """Return the units of each step.

    Args:
        plan: the plan to run.
        start: what memories hold before the first step, `"zeros"` or `"primed"`.
        division: one of `DIVISIONS`.
    """
    units_at = {"block": _blocks_at, "pattern": _pattern_at}[division]

    @functools.cache
    def at(number: int) -> list[Unit]:
        if start == "zeros":
            return units_at(plan, number)
        first = [Unit(plan, "first frame", -1, primes=True)] if number == 0 else []
        return first + units_at(plan, plan.after_cuts(number))

    return at


def lasting_units(plan: Plan, start: str, division: str) -> list[Unit]:
    """Return the units that run again and again, unlike those that only start streams.

    Args:
        plan, start, division: as in `divide`.
    """
    units_at, first = divide(plan, start, division), settled_step(plan, start)
    steps = range(first, first + plan.period)
    return list(dict.fromkeys(unit for step in steps for unit in units_at(step)))


def settled_step(plan: Plan, start: str) -> int:
    """Return the first step from which on the same units run at steps of equal phase."""
    return 1 if start == "primed" else plan.settled_step


def _blocks_at(plan: Plan, number: int) -> list[Unit]:
    """Return a unit for the frames, if any are kept, and one for each block that ticks."""
    units = [Unit(plan, "frames", 0, frames=True)]
    for position, nodes in enumerate(plan.blocks, start=1):
        if plan.clock(nodes[0]).ticks(number):
            name = nodes[0].name if len(nodes) == 1 else f"{nodes[0].name} ... {nodes[-1].name}"
            units.append(_unit(plan, name, position, nodes, number))
    return units


def _pattern_at(plan: Plan, number: int) -> list[Unit]:
    """Return one unit: the frames, and all blocks that tick."""
    ticking = [block for block in plan.blocks if plan.clock(block[0]).ticks(number)]
    name = f"step {number % plan.period}"
    nodes = [node for block in ticking for node in block]
    return [_unit(plan, name, 0, nodes, number, frames=True)]


def _unit(
    plan: Plan, name: str, position: int, nodes: list[Node], number: int, frames: bool = False
) -> Unit:
    thresholds = (plan.cut_before[node.index] for node in nodes)
    settled = max((step for step in thresholds if step <= number), default=0)
    return Unit(plan, name, position, tuple(n.index for n in nodes), frames, settled)

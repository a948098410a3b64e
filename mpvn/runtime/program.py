"""The order of calls at one step, over a list of values.

    values   0        1    2       3           4
             frame    slots        block 0     block 1
             calls:   block 0 reads 0, 1       block 1 reads 3, 2
             after:   output 4, slots 3, 2     a slot that nothing fills stays as it is

Places become positions in that list once. A step then moves no value: it only lists the positions
of outputs and slots.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from mpvn.executors.run import Place, Time, after, before, now
from mpvn.executors.step_run import StepRun
from mpvn.plan import Plan
from mpvn.runtime.freeze import Frozen
from mpvn.runtime.runtime import Run, Value
from mpvn.runtime.unit import Unit

Observer = Callable[[Unit, Run, Sequence[Value]], Sequence[Value]]
"""Runs a unit in place of the scheduler: takes the unit, its function, and the values it reads."""


class Compiled(NamedTuple):
    """A unit, and the function that runs it; None if it computes nothing."""

    frozen: Frozen
    run: Run | None


class _Call(NamedTuple):
    """A call of a program: the unit, its function, and the positions of the values it reads."""

    unit: Unit
    run: Run
    reads: tuple[int, ...]


class Program:
    """The calls of one step of streams that tick together.

    Args:
        plan: the plan.
        units: the compiled units of the step, in order.
        outputs: the places of the outputs.
    """

    def __init__(self, plan: Plan, units: Sequence[Compiled], outputs: Sequence[Place]) -> None:
        starts = [*map(now, plan.graph.inputs), *map(before, plan.histories.specs)]
        self._position = {place: index for index, place in enumerate(starts)}
        self._calls: list[_Call] = []
        count = len(starts)
        for frozen, run in units:
            if run is not None:
                reads = tuple(map(self._find, frozen.entering))
                self._calls.append(_Call(frozen.unit, run, reads))
            moved = {p: self._find(s) for p, s in frozen.same.items() if s not in frozen.leaving}
            self._position |= {place: i for i, place in enumerate(frozen.leaving, start=count)}
            self._position |= moved
            self._position |= {p: self._find(s) for p, s in frozen.same.items() if p not in moved}
            count += len(frozen.leaving)
        self._outputs = [*map(self._find, outputs)]
        self._slots = [self._find(after(slot)) for slot in plan.histories.specs]

    def __call__(
        self, values: list[Value], observer: Observer | None
    ) -> tuple[list[Value], list[Value]]:
        """Run the step.

        Args:
            values: the frames, then the slots before the step.
            observer: runs the units, if there is one.

        Returns:
            The outputs, and the slots after the step.
        """
        for unit, run, reads in self._calls:
            arguments = [values[index] for index in reads]
            values += run(arguments) if observer is None else observer(unit, run, arguments)
        return [values[i] for i in self._outputs], [values[i] for i in self._slots]

    def _find(self, place: Place) -> int:
        return self._position[place if place in self._position else held(place)]


def held(place: Place) -> Place:
    """Return where to read a slot that nothing has filled in this step."""
    return before(str(place.key)) if place.time is Time.AFTER else place


def output_places(plan: Plan) -> list[Place]:
    """Return the places of the outputs of the frame model."""
    return StepRun(plan, {}).reads(None)

"""The order of calls at one step, over a list of values.

    values   0        1    2       3           4
             frame    slots        block 0     block 1
             calls:   block 0 reads 0, 1       block 1 reads 3, 2
             after:   output 4, slots 3, 2     a slot that nothing fills stays as it is

Places become positions in that list once. A step then moves no value: it only lists the positions
of outputs and slots. Positions also tell which calls a call needs: those that make what it reads.
Calls that do not need each other may run at once (`mpvn.runtime.parallel`), such as subnetworks,
which read values of the step before.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from mpvn.executors.run import Place, Time, after, before, now
from mpvn.executors.step_run import StepRun
from mpvn.plan import Plan
from mpvn.runtime.freeze import Frozen
from mpvn.runtime.parallel import Order, Workers
from mpvn.runtime.runtime import Run, Value
from mpvn.runtime.unit import Unit, divide, lasting_units, settled_step

Observer = Callable[[Unit, Run, Sequence[Value]], Sequence[Value]]
"""Runs a unit in place of the scheduler: takes the unit, its function, and the values it reads."""


class Compiled(NamedTuple):
    """A unit, and the function that runs it; None if it computes nothing."""

    frozen: Frozen
    run: Run | None


class _Call(NamedTuple):
    """A call of a program: the unit, its function, and the positions of the values."""

    unit: Unit
    run: Run
    reads: tuple[int, ...]
    makes: range


class Program:
    """The calls of one step of streams that tick together.

    Args:
        plan: the plan.
        units: the compiled units of the step, in order.
        outputs: the places of the outputs.

    Attributes:
        order: which calls need which others.
    """

    def __init__(self, plan: Plan, units: Sequence[Compiled], outputs: Sequence[Place]) -> None:
        starts = [*map(now, plan.graph.inputs), *map(before, plan.histories.specs)]
        self._position = {place: index for index, place in enumerate(starts)}
        self._calls: list[_Call] = []
        self._starts = count = len(starts)
        for frozen, run in units:
            if run is not None:
                reads = tuple(map(self._find, frozen.entering))
                makes = range(count, count + len(frozen.leaving))
                self._calls.append(_Call(frozen.unit, run, reads, makes))
            moved = {p: self._find(s) for p, s in frozen.same.items() if s not in frozen.leaving}
            self._position |= {place: i for i, place in enumerate(frozen.leaving, start=count)}
            self._position |= moved
            self._position |= {p: self._find(s) for p, s in frozen.same.items() if p not in moved}
            count += len(frozen.leaving)
        self._count = count
        self._outputs = [*map(self._find, outputs)]
        self._slots = [self._find(after(slot)) for slot in plan.histories.specs]
        self.order = self._order(plan)

    def __call__(
        self, values: list[Value], observer: Observer | None, workers: Workers | None = None
    ) -> tuple[list[Value], list[Value]]:
        """Run the step.

        Args:
            values: the frames, then the slots before the step.
            observer: runs the units, if there is one.
            workers: run units at once; None: one after the other, in order.

        Returns:
            The outputs, and the slots after the step.
        """
        values = values + [None] * (self._count - self._starts)

        def run(index: int) -> None:
            unit, function, reads, makes = self._calls[index]
            arguments = [values[i] for i in reads]
            results = observer(unit, function, arguments) if observer else function(arguments)
            for position, value in zip(makes, results, strict=True):
                values[position] = value

        if workers is None or self.order.width == 1:
            for index in range(len(self._calls)):
                run(index)
        else:
            workers.run(self.order, run)
        return [values[i] for i in self._outputs], [values[i] for i in self._slots]

    def _order(self, plan: Plan) -> Order:
        """Return the order in which positions are made before they are read."""
        makers: dict[int, int] = {}
        needs, costs = [], []
        for index, call in enumerate(self._calls):
            needs.append(sorted({makers[i] for i in call.reads if i in makers}))
            costs.append(sum(plan.node_costs[node] for node in call.unit.nodes))
            makers |= dict.fromkeys(call.makes, index)
        return Order(needs, costs)

    def _find(self, place: Place) -> int:
        return self._position[place if place in self._position else held(place)]


def widths(plan: Plan, start: str, division: str) -> set[int]:
    """Return how many units can run at once: for each step but those that only start streams.

    Args:
        plan, start, division: as in `mpvn.runtime.unit.divide`.
    """
    first, units_at = settled_step(plan, start), divide(plan, start, division)
    units = {unit: unit for unit in lasting_units(plan, start, division)}  # one of those alike
    steps = range(first, first + plan.period)
    programs = {tuple(units[unit] for unit in units_at(step)) for step in steps}
    return {width(plan, program) for program in programs}


def width(plan: Plan, units: Sequence[Unit]) -> int:
    """Return how many units of a step can run at once, before they are compiled."""
    calls = [
        Compiled(Frozen(unit, None, tuple(unit.entering), tuple(unit.leaving), {}), _not_called)
        for unit in units
        if unit.nodes
    ]
    return Program(plan, calls, output_places(plan)).order.width


def _not_called(values: Sequence[Value]) -> Sequence[Value]:
    raise NotImplementedError


def held(place: Place) -> Place:
    """Return where to read a slot that nothing has filled in this step."""
    return before(str(place.key)) if place.time is Time.AFTER else place


def output_places(plan: Plan) -> list[Place]:
    """Return the places of the outputs of the frame model."""
    return StepRun(plan, {}).reads(None)

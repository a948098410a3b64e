"""The order of calls in successive steps, over a list of values.

    values   0        1    2       3           4
             frame    slots        block 0     block 1
             calls:   block 0 reads 0, 1       block 1 reads 3, 2
             after:   output 4, slots 3, 2     a slot that nothing fills stays as it is

Places become positions in that list once. A step then moves no value: it only lists the positions
of outputs and slots, and the next step reads them there. Positions also tell which calls a call
needs: those that make what it reads. Calls that do not need each other may run at once
(`mpvn.runtime.parallel`), such as subnetworks, which read values of the step before, and frames.
Calls whose values nobody reads are left out.
"""

import itertools
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from mpvn.executors.run import Place, Time, after, before, now
from mpvn.executors.step_run import StepRun
from mpvn.plan import Plan
from mpvn.runtime.freeze import Frozen
from mpvn.runtime.parallel import Order, Workers
from mpvn.runtime.runtime import Run, Value
from mpvn.runtime.unit import Unit, divide, lasting_units, settled_step

Observer = Callable[[Unit, Run, Sequence[Value], int], Sequence[Value]]
"""Runs a unit in place of the scheduler.

It takes the unit, its function, the values that it reads, and how many steps of the same call are
before its own.
"""

Promised = tuple[Any, int]
"""One of the values that a call will return: the call, and the index of its result."""


class Compiled(NamedTuple):
    """A unit, and the function that runs it; None if it computes nothing."""

    frozen: Frozen
    run: Run | None


class _Call(NamedTuple):
    """A call of a program: its step, the unit, its function, and the positions of the values."""

    step: int
    unit: Unit
    run: Run
    reads: tuple[int, ...]
    makes: range


class Program:
    """The calls of successive steps of streams that tick together.

    Args:
        plan: the plan.
        steps: the compiled units of each step, in order.

    Attributes:
        order: which calls need which others.
    """

    def __init__(self, plan: Plan, steps: Sequence[Sequence[Compiled]]) -> None:
        inputs, slots = [*map(now, plan.graph.inputs)], [*plan.histories.specs]
        frames = len(steps) * len(inputs)
        position = {before(slot): index for index, slot in enumerate(slots, start=frames)}
        self._count = self._starts = frames + len(slots)
        self._outputs: list[list[int]] = []
        calls: list[_Call] = []
        for step, units in enumerate(steps):
            start = step * len(inputs)
            position |= {place: index for index, place in enumerate(inputs, start=start)}
            for unit in units:
                calls += self._add(step, unit, position)
            self._outputs.append([_find(position, place) for place in output_places(plan)])
            position = {before(slot): _find(position, after(slot)) for slot in slots}
        self._slots = [*position.values()]
        self._readers = [0] * self._count
        for index in itertools.chain(self._slots, *self._outputs):
            self._readers[index] += 1
        self._calls = self._read_calls(calls)
        self.order = self._order(plan)

    def __call__(
        self, values: list[Value], observer: Observer | None, workers: Workers | None = None
    ) -> tuple[list[list[Value]], list[Value]]:
        """Run the steps.

        Args:
            values: the frames of each step, then the slots before the first one. The list is used
                up: values leave it when nobody reads them any more.
            observer: runs the units, if there is one.
            workers: run units at once; None: one after the other, in order.

        Returns:
            The outputs of each step, and the slots after the last one.
        """
        values += [None] * (self._count - self._starts)
        readers, lock = [*self._readers], threading.Lock()

        def run(index: int) -> None:
            step, unit, function, reads, makes = self._calls[index]
            arguments = [values[i] for i in reads]
            results = observer(unit, function, arguments, step) if observer else function(arguments)
            for position, value in zip(makes, results, strict=True):
                values[position] = value if readers[position] else None
            with lock:
                for position in reads:
                    readers[position] -= 1
                    if not readers[position]:
                        values[position] = None

        if workers is None or self.order.width == 1:
            for index in range(len(self._calls)):
                run(index)
        else:
            workers.run(self.order, run)
        outputs = [[values[i] for i in positions] for positions in self._outputs]
        return outputs, [values[i] for i in self._slots]

    def promise(
        self, values: Sequence[Promised], send: Callable[[Unit, Run, list[Promised]], Any]
    ) -> tuple[list[Promised], list[Promised]]:
        """Return the outputs and the slots of a single step before its calls have ended.

        Args:
            values: the frames, then the slots before the step: calls, and indices of their results.
            send: begins a call, given the unit, its function, and the values that it reads.
        """
        made = dict(enumerate(values))
        for _, unit, function, reads, makes in self._calls:
            call = send(unit, function, [made[i] for i in reads])
            made |= {position: (call, index) for index, position in enumerate(makes)}
        return [made[i] for i in self._outputs[0]], [made[i] for i in self._slots]

    def _add(self, step: int, unit: Compiled, position: dict[Place, int]) -> list[_Call]:
        """Note where the values of a unit are; return its call, if it computes something."""
        (frozen, run), start, calls = unit, self._count, list[_Call]()
        if run is not None:
            reads = tuple(_find(position, place) for place in frozen.entering)
            makes = range(start, start + len(frozen.leaving))
            calls.append(_Call(step, frozen.unit, run, reads, makes))
        made = {place: index for index, place in enumerate(frozen.leaving, start=start)}
        same = {
            place: made[source] if source in made else _find(position, source)
            for place, source in frozen.same.items()
        }
        position |= made | same
        self._count += len(made)
        return calls

    def _read_calls(self, calls: list[_Call]) -> list[_Call]:
        """Return the calls that make something that is read, and count the readers."""
        read: list[_Call] = []
        for call in reversed(calls):
            if any(self._readers[index] for index in call.makes):
                read.append(call)
                for index in call.reads:
                    self._readers[index] += 1
        return read[::-1]

    def _order(self, plan: Plan) -> Order:
        """Return the order in which positions are made before they are read.

        Earlier steps go first, so that few values are kept at a time.
        """
        makers: dict[int, int] = {}
        needs, costs = [], []
        for index, call in enumerate(self._calls):
            needs.append(sorted({makers[i] for i in call.reads if i in makers}))
            costs.append(sum(plan.node_costs[node] for node in call.unit.nodes))
            makers |= dict.fromkeys(call.makes, index)
        return Order(needs, costs, [call.step for call in self._calls])


def _find(position: Mapping[Place, int], place: Place) -> int:
    return position[place if place in position else held(place)]


def widths(plan: Plan, start: str, division: str, clip: int | None = None) -> set[int]:
    """Return how many units can run at once: for each step, or for a clip.

    Steps that only start streams do not count.

    Args:
        plan, start, division: as in `mpvn.runtime.unit.divide`.
        clip: number of steps that are computed at once; None for single steps.
    """
    first, units_at = settled_step(plan, start), divide(plan, start, division)
    units = {unit: unit for unit in lasting_units(plan, start, division)}  # one of those alike
    numbers = (first + step % plan.period for step in range(clip or plan.period))
    steps = [tuple(units[unit] for unit in units_at(number)) for number in numbers]
    return {width(plan, steps)} if clip else {width(plan, [step]) for step in {*steps}}


def width(plan: Plan, steps: Sequence[Sequence[Unit]]) -> int:
    """Return how many units of successive steps can run at once, before they are compiled."""
    calls = [[uncompiled(unit) for unit in units if unit.nodes] for units in steps]
    return Program(plan, calls).order.width


def uncompiled(unit: Unit) -> Compiled:
    """Return a unit as a program takes it, whose function is not there."""
    frozen = Frozen(unit, None, tuple(unit.entering), tuple(unit.leaving), {})
    return Compiled(frozen, _not_called)


def _not_called(values: Sequence[Value]) -> Sequence[Value]:
    raise NotImplementedError


def held(place: Place) -> Place:
    """Return where to read a slot that nothing has filled in this step."""
    return before(str(place.key)) if place.time is Time.AFTER else place


def output_places(plan: Plan) -> list[Place]:
    """Return the places of the outputs of the frame model."""
    return StepRun(plan, {}).reads(None)

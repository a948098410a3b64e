"""One step of streams of different ages: each unit runs on the streams that need it.

ages        0   3   4          of three streams
block 0     x   x   x          ticks at every step
block 1     x       x          ticks at every other step: gather two rows, run, scatter
"""

from collections.abc import Mapping, Sequence

from mpvn.executors.rows import check_parts
from mpvn.executors.run import Place, after, before, now
from mpvn.plan import Plan
from mpvn.runtime.program import Compiled, Observer, held, output_places
from mpvn.runtime.runtime import Runtime, Value
from mpvn.runtime.specs import Specs
from mpvn.runtime.unit import Unit, UnitsAt


class Mixture:
    """The calls of one step of streams of different ages.

    Args:
        plan: the plan.
        runtime: holds values.
        specs: specs of values at places.
        compiled: the compiled units.
        units_at: the units of a step.
    """

    def __init__(
        self,
        plan: Plan,
        runtime: Runtime,
        specs: Specs,
        compiled: Mapping[Unit, Compiled],
        units_at: UnitsAt,
    ) -> None:
        self._plan = plan
        self._runtime = runtime
        self._specs = specs
        self._compiled = compiled
        self._units_at = units_at

    def __call__(
        self, values: list[Value], numbers: Sequence[int], observer: Observer | None
    ) -> tuple[list[Value], list[Value]]:
        """Run the step; as `Program`, but with the number of each stream's step."""
        check_parts(self._plan)
        starts = [*map(now, self._plan.graph.inputs), *map(before, self._plan.histories.specs)]
        places = dict(zip(starts, values, strict=True))
        rows_of = rows_of_units(self._units_at, numbers)
        for unit in sorted(rows_of, key=lambda unit: unit.position):
            self._run(self._compiled[unit], places, rows_of[unit], len(numbers), observer)
        outputs = [self._read(places, place) for place in output_places(self._plan)]
        return outputs, [self._read(places, after(slot)) for slot in self._plan.histories.specs]

    def _run(
        self,
        compiled: Compiled,
        places: dict[Place, Value],
        rows: list[int],
        batch: int,
        observer: Observer | None,
    ) -> None:
        frozen, run = compiled
        everyone = len(rows) == batch
        gather = self._runtime.gather

        def read(place: Place) -> Value:
            value = self._read(places, place)
            return value if everyone else gather(value, rows)

        results: dict[Place, Value] = {}
        if run is not None:
            arguments = [read(place) for place in frozen.entering]
            values = observer(frozen.unit, run, arguments, 0) if observer else run(arguments)
            results = dict(zip(frozen.leaving, values, strict=True))
        moved = {place: results.get(source) for place, source in frozen.same.items()}
        results |= {p: read(frozen.same[p]) if x is None else x for p, x in moved.items()}
        for place, value in results.items():
            if not everyone:
                value = self._runtime.scatter(self._old(places, place, batch), rows, value)
            places[place] = value

    def _read(self, places: dict[Place, Value], place: Place) -> Value:
        return places[place] if place in places else places[held(place)]

    def _old(self, places: dict[Place, Value], place: Place, batch: int) -> Value:
        """Return the value at a place before a unit fills some of its rows."""
        if place in places or held(place) in places:
            return self._read(places, place)
        return self._runtime.zeros(batch, self._specs[place])


def rows_of_units(units_at: UnitsAt, numbers: Sequence[int]) -> dict[Unit, list[int]]:
    """Return which streams run each unit of a step, given the number of each stream's step."""
    rows_of: dict[Unit, list[int]] = {}
    for row, number in enumerate(numbers):
        for unit in units_at(number):
            rows_of.setdefault(unit, []).append(row)
    return rows_of

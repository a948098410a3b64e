"""Steps that begin before earlier ones have ended: streams whose outputs may come late.

    steps        0      1      2      3                 with `ahead=2`, step 3 is sent out
    device 0     A0     A1     A2     A3                when the outputs of step 1 are taken
    device 1     B0     B1     B2     B3                B1 reads what A0 made, not what A1 makes

Each subnetwork has two threads, so that its next call is there when its last one ends. A call waits
for what it reads, which calls of the same or of earlier steps make. They are sent out in order, so
none waits for ever. Values stay on the devices of their subnetworks.
"""

import collections
import concurrent.futures
import contextlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from mpvn.plan import Plan
from mpvn.runtime.program import Observer, Program, Promised
from mpvn.runtime.runtime import Run, Value
from mpvn.runtime.unit import Unit

Later = concurrent.futures.Future
"""What a call returns, when it has ended."""

_THREADS = 2  # of each subnetwork


class StepsAhead:
    """Threads that run the calls of steps, each as soon as what it reads is there.

    Args:
        plan: the plan of the network.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._threads = [
            concurrent.futures.ThreadPoolExecutor(_THREADS, f"mpvn {part}")
            for part in range(plan.subnetworks)
        ]

    def close(self) -> None:
        """End the threads; calls that have not begun are left out."""
        for threads in self._threads:
            threads.shutdown(cancel_futures=True)

    def send(
        self, program: Program, values: Sequence[Promised], observer: Observer | None
    ) -> tuple[list[Promised], list[Promised]]:
        """Send out the calls of a step.

        Args:
            program: the program of one step.
            values: the frames, then the slots before the step.
            observer: runs the units, if there is one.

        Returns:
            The outputs, and the slots after the step, as soon as they will be there.
        """

        def begin(unit: Unit, function: Run, reads: list[Promised]) -> Later:
            return self._of(unit).submit(_call, unit, function, reads, observer)

        return program.promise(values, begin)

    def _of(self, unit: Unit) -> concurrent.futures.ThreadPoolExecutor:
        nodes = self._plan.graph.nodes
        return self._threads[self._plan.column(nodes[unit.nodes[0]]) if unit.nodes else 0]


def there(values: Iterable[Value]) -> list[Promised]:
    """Return values that are there as results of a call."""
    call: Later = Later()
    given = [*values]
    call.set_result(given)
    return [(call, index) for index in range(len(given))]


def take(values: Iterable[Promised]) -> list[Value]:
    """Return values, once they are there; raise what a call of theirs raised."""
    return [call.result()[index] for call, index in values]


def in_order(
    sent: Iterator[Any], ahead: int, closing: contextlib.AbstractContextManager
) -> Iterator[Any]:
    """Yield what `sent` yields, but take `ahead` more from it first."""
    waiting: collections.deque[Any] = collections.deque()
    with closing:
        for each in sent:
            waiting.append(each)
            if len(waiting) > ahead:
                yield waiting.popleft()
        yield from waiting


def _call(
    unit: Unit, function: Run, reads: Sequence[Promised], observer: Observer | None
) -> Sequence[Value]:
    values = take(reads)
    return observer(unit, function, values, 0) if observer else function(values)

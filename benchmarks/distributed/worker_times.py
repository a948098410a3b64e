"""When the subnetworks of steps run, by the clock of the workers that run them.

A call that is sent to a worker returns before it ends, so the process that sends it cannot see when
it ran. Here each call takes the time on its device, before and after. The workers are processes of
one machine, which share its clock.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple


class Call(NamedTuple):
    """A subnetwork at a step: its number, that of the step, and seconds since the first call."""

    subnetwork: int
    step: int
    start: float
    end: float


class WorkerTimes:
    """The observer of a compiled network in which each subnetwork is one unit."""

    def __init__(self) -> None:
        self._timed: dict[Any, Callable] = {}
        self._taken: dict[Any, list[tuple[Any, Any]]] = {}

    def __call__(self, unit: Any, function: Callable, values: Sequence[Any], step: int) -> Any:
        if unit not in self._timed:
            self._timed[unit] = timed(function, function(values)[0].device)
        *results, start, end = self._timed[unit](values)
        self._taken.setdefault(unit, []).append((start, end))
        return results

    def forget(self) -> None:
        """Forget what has run: the first calls are slow, because they trace."""
        self._taken.clear()

    def calls(self) -> list[Call]:
        """Return what has run, of all subnetworks in their order."""
        taken = sorted(self._taken.items(), key=lambda each: each[0].position)
        found = [
            Call(number, step, start, end)
            for number, (_, times) in enumerate(taken)
            for step, (start, end) in enumerate(sorted((float(a), float(b)) for a, b in times))
        ]
        first = min(call.start for call in found)
        return [call._replace(start=call.start - first, end=call.end - first) for call in found]


def timed(function: Callable, device: str) -> Callable:
    """Return `function` with two more results: when it began and ended on its device."""
    import tensorflow as tf

    @tf.function(autograph=False)
    def run(values: list[Any]) -> list[Any]:
        with tf.device(device):
            with tf.control_dependencies(values):
                start = tf.timestamp()
            with tf.control_dependencies([start]):
                results = function([tf.identity(value) for value in values])
            # The end of a call that is merged into this graph does not mean that its results exist.
            results = [tf.identity(result) for result in results]
            with tf.control_dependencies(results):
                return [*results, start, tf.timestamp()]

    return run


def both_at_once(calls: Sequence[Call]) -> float:
    """Return the share of the time from the first call to the last in which all subnetworks run."""
    lanes = {call.subnetwork for call in calls}
    times = sorted({time for call in calls for time in (call.start, call.end)})
    full = sum(
        end - start
        for start, end in zip(times, times[1:], strict=False)
        if {c.subnetwork for c in calls if c.start <= start and end <= c.end} == lanes
    )
    return full / (times[-1] - times[0])


def timeline(calls: Sequence[Call], steps: range) -> str:
    """Return SVG of some steps: a lane for each subnetwork, a box for each call, named by step."""
    from mpvn.report.matplotlib_svg import drawing

    shown = [call for call in calls if call.step in steps]
    begin = min(call.start for call in shown)
    count = 1 + max(call.subnetwork for call in shown)
    with drawing(90 + 44 * count) as drawn:
        axes = drawn.figure.subplots()
        for call in shown:
            left, width = 1e3 * (call.start - begin), 1e3 * (call.end - call.start)
            axes.barh(
                call.subnetwork, width, left=left, height=0.7, color=f"C{call.step % 2}", alpha=0.6
            )
            axes.text(left + width / 2, call.subnetwork, str(call.step), ha="center", va="center")
        axes.set(xlabel="ms", yticks=range(count), ylim=(count - 0.5, -0.5))
        axes.set_yticklabels([f"subnetwork {number}" for number in range(count)])
    return drawn.to_svg("When the subnetworks of steps run, by the clock of their workers")

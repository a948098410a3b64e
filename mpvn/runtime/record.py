"""Records what a compiled network runs: which unit, when, on which device, at which step.

    with record(compiled) as events:
        outputs, state = compiled.step(frame, state)

Recording changes no value. `mpvn.report.timeline` draws the events, and `mpvn.report.trace` makes
them a trace for Perfetto.
"""

import contextlib
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from mpvn.runtime.compiled import CompiledNetwork
from mpvn.runtime.runtime import Run, Value
from mpvn.runtime.unit import Unit


class Event(NamedTuple):
    """A unit that ran, or a whole step or clip.

    Attributes:
        unit: the unit; None for the step or clip as a whole, from its lock to its outputs.
        steps: the number of the step of each stream that ran it; of a clip, of its first step.
        start: when it began, in seconds of `time.perf_counter`.
        end: when its results were there.
        device: where its results are, by TensorFlow's name; None if the runtime has one device.
    """

    unit: Unit | None
    steps: tuple[int, ...]
    start: float
    end: float
    device: str | None = None

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.end - self.start


@contextlib.contextmanager
def record(compiled: CompiledNetwork) -> Iterator[list[Event]]:
    """Record the units and the steps that a compiled network runs inside the `with` statement.

    On a GPU, where TensorFlow does not wait for results, each unit is waited for. So steps may take
    longer there while they are recorded.

    Args:
        compiled: the network. Observers that it has already go on observing.

    Yields:
        A list to which each unit and each step is added when it ends.
    """
    events: list[Event] = []
    before = compiled.observer, compiled.step_observer
    recorder = _Recorder(compiled, events)
    compiled.observer, compiled.step_observer = recorder.unit, recorder.step
    try:
        yield events
    finally:
        compiled.observer, compiled.step_observer = before


def between_units(events: Sequence[Event]) -> list[Event]:
    """Return the times of whole steps in which no unit ran: what the scheduler costs."""
    idle, units = [], []
    for event in events:
        if event.unit is not None:
            units.append(event)
            continue
        free = event.start
        for unit in sorted(units, key=lambda unit: unit.start):
            if unit.start > free:
                idle.append(event._replace(start=free, end=unit.start))
            free = max(free, unit.end)
        idle.append(event._replace(start=free))
        units = []
    return idle


class Overhead(NamedTuple):
    """What the scheduler costs.

    Attributes:
        step: mean seconds of a step.
        share: share of that time in which no unit ran.
        unit: seconds in which no unit ran, for each unit that did.
    """

    step: float
    share: float
    unit: float

    @classmethod
    def of(cls, events: Sequence[Event]) -> "Overhead":
        """Return that of whole steps."""
        steps = [event.seconds for event in events if event.unit is None]
        idle = sum(event.seconds for event in between_units(events))
        return cls(
            sum(steps) / len(steps), idle / sum(steps), idle / max(1, len(events) - len(steps))
        )

    def __str__(self) -> str:
        return f"{100 * self.share:.2g} % of the time, {1e3 * self.unit:.2g} ms for each unit"


class _Recorder:
    """Adds what runs to a list.

    Args:
        compiled: the network; what observes it goes on observing it.
        events: the list.
    """

    def __init__(self, compiled: CompiledNetwork, events: list[Event]) -> None:
        self._compiled = compiled
        self._events = events
        self._observer = compiled.observer
        self._step_observer = compiled.step_observer
        self._steps: tuple[int, ...] = ()
        self._steps_of: dict[Unit, tuple[int, ...]] = {}  # of those that not all streams run
        self._asynchronous = bool(tf.config.list_logical_devices("GPU"))

    @contextlib.contextmanager
    def step(self, counter: np.ndarray) -> Iterator[None]:
        """Record a step; only one runs at a time."""
        other = self._step_observer
        with contextlib.nullcontext() if other is None else other(counter):
            steps = self._steps = tuple(counter.tolist())
            alike = len(set(steps)) == 1
            rows_of = {} if alike else self._compiled.rows_of_units(counter)
            self._steps_of = {u: tuple(steps[row] for row in rows) for u, rows in rows_of.items()}
            start = time.perf_counter()
            yield
            self._events.append(Event(None, self._steps, start, time.perf_counter()))

    def unit(self, unit: Unit, run: Run, values: Sequence[Value], step: int) -> Sequence[Value]:
        """Run a unit and record it."""
        start = time.perf_counter()
        results = self._observer(unit, run, values, step) if self._observer else run(values)
        if self._asynchronous:
            tf.test.experimental.sync_devices()
        end = time.perf_counter()
        device = getattr(results[0], "device", None)
        steps = tuple(first + step for first in self._steps_of.get(unit, self._steps))
        self._events.append(Event(unit, steps, start, end, device))
        return results

"""The times of a stream's steps, and the ages of what its outputs depend on."""

import collections
import dataclasses
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

MAX_STEPS = 100_000
"""Number of steps whose times are kept: more than an hour of video, in bounded memory."""


def _newest() -> collections.deque:
    return collections.deque(maxlen=MAX_STEPS)


@dataclasses.dataclass
class StreamStatistics:
    """Time that the steps of a stream took.

    Attributes:
        frames: number of steps.
        seconds: wall-clock time from the first step to the last, with reading and drawing between.
        busy: seconds spent in steps.
        latencies: seconds of each of the last `MAX_STEPS` steps, from a frame to its outputs in
            memory. Steps in one call have the seconds of that call, from its last frame.
        later: for as many steps, how many later frames of its call each one waited for.
        ages: seconds from the arrival of the oldest frame that an output waited for to the output,
            for as many steps. Steps before such a frame reaches the output have none.
    """

    frames: int = 0
    seconds: float = 0.0
    busy: float = 0.0
    latencies: collections.deque[float] = dataclasses.field(default_factory=_newest)
    later: collections.deque[int] = dataclasses.field(default_factory=_newest)
    ages: collections.deque[float] = dataclasses.field(default_factory=_newest)
    _began: float | None = None

    def add(self, start: float, end: float, arrived: float | None = None) -> None:
        """Count a step.

        Args:
            start: when it began, in seconds of `time.perf_counter`.
            end: when its outputs were in memory.
            arrived: when the oldest frame that the outputs depend on arrived, if any has.
        """
        self.add_call(start, end, [arrived])

    def add_call(self, start: float, end: float, arrived: Sequence[float | None]) -> None:
        """Count the steps of a call.

        Args:
            start, end: as in `add`.
            arrived: for each step, when the oldest frame that its outputs depend on arrived; None
                if none has.
        """
        self.frames += len(arrived)
        self.busy += end - start
        self.latencies.extend([end - start] * len(arrived))
        self.later.extend(reversed(range(len(arrived))))
        self.ages.extend(end - each for each in arrived if each is not None)
        self._began = start if self._began is None else self._began
        self.seconds = end - self._began

    def merge(self, other: "StreamStatistics") -> None:
        """Add the steps of a later part of the stream, without the time between the parts."""
        self.frames += other.frames
        self.busy += other.busy
        self.seconds += other.seconds
        self.latencies += other.latencies
        self.later += other.later
        self.ages += other.ages

    @property
    def frames_per_second(self) -> float:
        """Frames per second of the network alone, without reading and drawing."""
        return self.frames / self.busy if self.busy else 0.0

    def percentile(self, percent: float) -> float:
        """Return the latency in milliseconds that `percent` % of the steps do not exceed."""
        return 1000 * float(np.percentile(self.latencies, percent)) if self.latencies else 0.0

    def responses(self, rate: float) -> list[float]:
        """Return seconds from a frame's arrival to its outputs if frames came at `rate`.

        A frame that comes while the one before it is computed waits for that, and a frame of a
        buffer for the last one of it.
        """
        free, responses, waited = 0.0, list[float](), 0
        for step, (latency, later) in enumerate(zip(self.latencies, self.later, strict=True)):
            if not waited:  # the first step of a call
                free = max(free, (step + later) / rate) + latency
            waited = later
            responses.append(free - step / rate)
        return responses

    def unevenness(self, period: int) -> float | None:
        """Return the slowest step of a period over the mean, in medians over the periods.

        It is what the schedule makes of the steps. The slowest step of all is often one that
        something else disturbed.

        Args:
            period: number of steps of a period.

        Returns:
            1 for equal steps; None for less than a period, and for steps of one call.
        """
        if len(self.latencies) < period or any(self.later):
            return None
        latencies = np.array(self.latencies)
        medians = np.array([np.median(latencies[step::period]) for step in range(period)])
        return float(medians.max() / medians.mean())


class Spread(NamedTuple):
    """The mean and the greatest of some values."""

    mean: float
    worst: float

    @classmethod
    def of(cls, values: Iterable[float], scale: float = 1.0) -> "Spread | None":
        """Return the spread of `values` times `scale`; None if there are no values."""
        scaled = [scale * value for value in values]
        return cls(sum(scaled) / len(scaled), max(scaled)) if scaled else None

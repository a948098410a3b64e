"""When the frames of a video are shown: the only description, for streams, clips and sections.

frames      0-----1--2-----------3-----|     each from its own time until the next one's
at a rate   0   0   1   2   2   2   3   3    at n / rate: the newest frame
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence
from fractions import Fraction
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from mpvn.data.video.errors import VideoError

Ticks = Sequence[int] | npt.NDArray[np.int64]

TicksOrTick = TypeVar("TicksOrTick", int, npt.NDArray[np.int64])

DEFAULT_FPS = 25
"""Frames per second of an image folder, or of a file that does not state its rate."""


def frame_rate(fps: float | Fraction) -> Fraction:
    """Return `fps` as an exact fraction: 29.97002997 becomes 30000/1001.

    Raises:
        VideoError: `fps` is not positive and finite.
    """
    if not math.isfinite(fps) or fps <= 0:
        raise VideoError(f"fps: expected a positive number of frames per second. Received: {fps}.")
    if isinstance(fps, Fraction):
        return fps
    rate = Fraction(fps).limit_denominator(1_000_000)
    if rate == 0:
        raise VideoError(f"fps: expected at least one frame in a million seconds. Received: {fps}.")
    return rate


@dataclasses.dataclass(frozen=True, eq=False)
class Timeline:
    """When the frames of a video are shown.

    Attributes:
        times: Start of each frame, in ticks after the start of the first one, not descending.
        end: End of the last frame, in ticks.
        tick: Length of a tick, in seconds.
        rate: Frames per second: constant, or the average.
        period: Time between frames on an even grid, in ticks; 0 if they are not on one.
        tolerance: Ticks by which other times may be late, because the container rounded them.
    """

    times: Ticks
    end: int
    tick: Fraction
    rate: Fraction
    period: int = 0
    tolerance: int = 0

    @classmethod
    def even(cls, count: int, rate: float | Fraction) -> Timeline:
        """Return the timeline of `count` frames at a constant rate, in frames per second."""
        exact = frame_rate(rate)
        return cls(range(count), count, 1 / exact, exact, period=1)

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self.times)

    @property
    def duration(self) -> Fraction:
        """Length of the video, in seconds."""
        return self.end * self.tick

    def seconds(self, frame: int) -> Fraction:
        """Return the start of a frame, in seconds after the start of the first one."""
        return int(self.times[frame]) * self.tick

    def at_rate(self, rate: float | Fraction) -> npt.NDArray[np.int64]:
        """Bring the video to a constant rate, by repeating and dropping frames.

        Returns:
            For n = 0, 1, ... until the end of the video, the newest frame that is shown at n / rate
            seconds, int64 `[N]`.
        """
        period = 1 / (frame_rate(rate) * self.tick)  # in ticks
        count = max(1, math.ceil(self.end / period))
        due = [math.floor(n * period) for n in range(count)]
        times = np.asarray(self.times)
        earliest = times - slack(times, self.period, self.tolerance)
        return np.searchsorted(earliest, due, "right") - 1

    def between(self, start: float | Fraction | None, end: float | Fraction | None) -> range:
        """Return the frames that start from `start` until before `end`, in seconds."""
        first = 0 if start is None else self._first_at(start)
        last = len(self) if end is None else self._first_at(end)
        return range(first, max(first, last))

    def section(self, frames: range) -> Timeline:
        """Return the timeline of one or more consecutive frames, which starts with the first."""
        start = int(self.times[frames[0]])
        end = self.end if frames.stop == len(self) else int(self.times[frames.stop])
        times = self.times[frames.start : frames.stop]
        shifted = compact([int(time) - start for time in times])
        return dataclasses.replace(self, times=shifted, end=end - start)

    def _first_at(self, seconds: float | Fraction) -> int:
        exact = Fraction(seconds).limit_denominator(1_000_000)
        # Programs print times with six decimals: a little later than a frame still means it.
        exact -= Fraction(1, 1_000_000)
        times = np.asarray(self.times)
        latest = times + slack(times, self.period, self.tolerance)
        return int(np.searchsorted(latest, math.ceil(exact / self.tick)))


def slack(times: TicksOrTick, period: int, tolerance: int) -> TicksOrTick:
    """Return by how much times may be off because they were rounded; see `Timeline`."""
    on_grid = (times % period == 0) if period else (times == 0)
    return tolerance * (1 - on_grid)


def compact(times: list[int]) -> Ticks:
    """Return evenly spaced times as a range: a data set keeps the times of all its videos."""
    step = times[1] - times[0] if len(times) > 1 else 1
    if times and step > 0 and all(b - a == step for a, b in itertools.pairwise(times)):
        return range(times[0], times[-1] + 1, step)
    return np.array(times, np.int64)

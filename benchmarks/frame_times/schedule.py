"""When the frames of a recording are shown: the truth that readers are compared with.

A frame carries its number as ten black and white blocks, most significant bit first, which every
lossy codec leaves readable. So the frames that a reader returns are known by their pictures, and
their times are known from the schedule that the recording was made from.
"""

import bisect
import dataclasses
import itertools
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple

import numpy as np

BITS = 10
BLOCK_WIDTH, BLOCK_HEIGHT = 16, 32
UNREADABLE = -1
"""Number of a picture whose blocks are neither black nor white."""


def picture(number: int, size: tuple[int, int]) -> np.ndarray:
    """Return a gray picture `[height, width]` that shows `number`; what is below moves with it."""
    height, width = size
    y, x = np.mgrid[:height, :width]
    pixels = (96 + 64 * (((x + 3 * number) // 24 + y // 24) % 2)).astype(np.uint8)
    pixels[: BLOCK_HEIGHT + 8] = 0
    for bit in range(BITS):
        left = bit * BLOCK_WIDTH
        white = number >> (BITS - 1 - bit) & 1
        pixels[:BLOCK_HEIGHT, left : left + BLOCK_WIDTH] = 255 * white
    return pixels


def number_in(pixels: np.ndarray) -> int:
    """Return the number that a picture `[height, width]` shows, or `UNREADABLE`."""
    blocks = pixels[8 : BLOCK_HEIGHT - 8, : BITS * BLOCK_WIDTH].astype(float)
    levels = blocks.reshape(-1, BITS, BLOCK_WIDTH)[:, :, 4:-4].mean(axis=(0, 2))
    if np.any((levels > 85) & (levels < 170)):
        return UNREADABLE
    return int("".join("1" if level > 127 else "0" for level in levels), 2)


def wrong_numbers(expected: Sequence[int], received: Sequence[int]) -> int:
    """Return how many numbers differ, missing and extra ones included."""
    differ = sum(a != b for a, b in zip(expected, received, strict=False))
    return differ + abs(len(expected) - len(received))


class Reading(NamedTuple):
    """What a reader shows of a recording.

    Attributes:
        numbers: Numbers of the frames.
        seconds: When they are shown, after the first.
        at_rates: Numbers of the frames, by the rate that the recording is brought to.
    """

    numbers: Sequence[int]
    seconds: Sequence[float | Fraction]
    at_rates: Mapping[Fraction, Sequence[int]]


@dataclasses.dataclass(frozen=True)
class Schedule:
    """The frames of a recording and when they are shown.

    Attributes:
        numbers: Number of each frame.
        times: When each frame is shown, in seconds after the first, ascending.
        last: Seconds that the last frame is shown. None if the recording does not say.
        rate: Frames per second, if they are evenly spaced.
        is_section: Whether this is a part of a recording, so that the first time may be rounded.
    """

    numbers: tuple[int, ...]
    times: tuple[Fraction, ...]
    last: Fraction | None = None
    rate: Fraction | None = None
    is_section: bool = False

    @classmethod
    def even(cls, rate: Fraction, numbers: Iterable[int]) -> "Schedule":
        """Return a schedule of evenly spaced frames."""
        numbers = tuple(numbers)
        return cls(numbers, tuple(n / rate for n in range(len(numbers))), 1 / rate, rate)

    @classmethod
    def at(
        cls, times: Iterable[Fraction | int], numbers: Iterable[int] | None = None
    ) -> "Schedule":
        """Return a schedule of frames at `times`, which are numbered from 0 by default."""
        times = tuple(map(Fraction, times))
        return cls(tuple(range(len(times)) if numbers is None else numbers), times)

    def __len__(self) -> int:
        return len(self.numbers)

    def rates(self, tick: Fraction) -> tuple[Fraction, Fraction]:
        """Return the lowest and the highest rate that describes the recording.

        Uneven frames are described by their mean rate, by the usual rate, and by all in between.
        """
        if len(self) == 1:
            return (self.rate or Fraction(0)), (self.rate or Fraction(10**6))
        waits = sorted(b - a for a, b in itertools.pairwise(self.times))
        mean, usual = (len(self) - 1) / self.times[-1], 1 / waits[len(waits) // 2]
        uncertain = self.rounding(tick) / 2 / self.times[-1] + Fraction(1, 5000)
        if self.rate is None:
            uncertain += Fraction(3, 100)
        return min(mean, usual) * (1 - uncertain), max(mean, usual) * (1 + uncertain)

    def section(self, first: int, stop: int) -> "Schedule":
        """Return the schedule of the frames from `first` until before `stop`."""
        start, *times = self.times[first : stop + 1]
        shifted = (Fraction(0), *(time - start for time in times))
        last = shifted[stop - first] - shifted[stop - first - 1]
        return Schedule(
            self.numbers[first:stop], shifted[: stop - first], last, self.rate, is_section=True
        )

    def mistakes(self, reading: Reading, tick: Fraction) -> tuple[int, int, int]:
        """Return the number of wrong frames, wrong times and wrong frames at other rates.

        Args:
            reading: What a reader shows.
            tick: Tick of the file's clock, in seconds.
        """
        return (
            wrong_numbers(self.numbers, reading.numbers),
            self.wrong_times(reading.seconds, tick),
            sum(self.wrong_at_rate(*item, tick) for item in reading.at_rates.items()),
        )

    def wrong_times(self, seconds: Sequence[float | Fraction], tick: Fraction) -> int:
        """Return how many times differ from the schedule by more than the clock's rounding.

        Where the clock holds the times exactly, they may differ by a quarter of a tick.
        """
        tolerance = self.rounding(tick) or tick / 4
        pairs = zip(self.times, seconds, strict=False)
        wrong = sum(abs(time - Fraction(found)) > tolerance for time, found in pairs)
        return wrong + abs(len(self) - len(seconds))

    def wrong_at_rate(self, rate: Fraction, numbers: Sequence[int], tick: Fraction) -> int:
        """Return how many numbers are not those of the newest frames at 0, 1 / rate, 2 / rate, ...

        A clock with ticks cannot tell times apart that differ by less than a tick. If a frame is
        that close to n / rate, it and the frame before it are both right at n / rate, unless it is
        due at n / rate exactly: then it is the newest; see `_is_due`.
        """
        least, most = self._counts(rate, tick)
        wrong = max(least - len(numbers), len(numbers) - most, 0)
        rounding = self.rounding(tick)
        for n, number in enumerate(numbers[:most]):
            due = n / rate
            before = bisect.bisect_left(self.times, due + rounding)
            low = high = max(before, bisect.bisect_right(self.times, due)) - 1
            while low > 0 and due - rounding < self.times[low] and not self._is_due(low, due):
                low -= 1
            wrong += number not in self.numbers[low : high + 1]
        return wrong

    def _is_due(self, frame: int, due: Fraction) -> bool:
        """Return whether a frame is due exactly. In a section of uneven frames, nobody can know."""
        return self.times[frame] == due and not (self.is_section and self.rate is None)

    def _counts(self, rate: Fraction, tick: Fraction) -> tuple[int, int]:
        """Return the least and the greatest number of frames at another rate.

        Frames come until the last one ends. If the recording does not say when, it is shown at
        least once where it is due, and at most for as long as the longest wait between two frames.
        """
        if self.last is None:
            waits = [b - a for a, b in itertools.pairwise(self.times)]
            longest = max([*waits, Fraction(1, 10)])
            return int(self.times[-1] * rate), int((self.times[-1] + longest) * rate) + 2
        end = (self.times[-1] + self.last) * rate
        if end.denominator == 1:
            return int(end), int(end)
        slack = self.rounding(tick) * rate
        return -int(-(end - slack) // 1), -int(-(end + slack) // 1)

    def rounding(self, tick: Fraction) -> Fraction:
        """Return by how much a clock changes these times: not at all, or by up to a tick.

        In a section of uneven frames, two rounded times make a difference. A reader cannot know
        that nothing was rounded, unless the ticks are as long as the frames.
        """
        exact = all((time / tick).denominator == 1 for time in self.times)
        if self.is_section and self.rate is None:
            shortest = min(b - a for a, b in itertools.pairwise(self.times))
            return Fraction(0) if exact and tick >= shortest else 2 * tick
        return Fraction(0) if exact else tick

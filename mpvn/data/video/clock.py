"""The clock of a source: from the time stamps of its frames to the times at which they are shown.

A container rounds time stamps to its tick: at 30 frames per second, Matroska stores 0, 33, 67 and
100 ms. A stamp within a tick of a multiple of the frame period is taken as that multiple; other
stamps may be up to half a tick late. A frame whose stamp goes back, or jumps ahead by more than a
pause, belongs to another recording, or the camera's clock was set: it follows the frame before it.

The claims of a container are checked against the first packets of a file: its frame rate (a
browser's recording claims 1000), and its presentation times. AVI and ASF have none: FFmpeg works
them out for some codecs only. A raw stream has no times at all.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
import statistics
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from typing import NamedTuple

from mpvn.data.video.timeline import DEFAULT_FPS, Timeline, compact, slack

PAUSE = Fraction(600)
"""The longest time from the end of a frame to the next one, in seconds: a screen may stand still
for minutes, and a clock is set by hours."""

BROADCAST_PAUSE = Fraction(10)
"""The same in formats that are joined and cut at will, and from live sources: FFmpeg's limit."""

MICROSECOND = Fraction(1, 1_000_000)
_MOST_CLAIMED = 480  # a higher rate may be the container's tick, such as 1000


class Stamp(NamedTuple):
    """The times of a packet, in ticks."""

    presentation: int | None = None
    decoding: int | None = None
    duration: int | None = None


@dataclasses.dataclass(frozen=True)
class Clock:
    """How to read the time stamps of a source. All ints are in units.

    Attributes:
        unit: Length of a unit, in seconds.
        tick: Length of a tick of the stamps.
        rounding: Length to whose multiples the source has rounded times: a tick or more.
        period: Time between frames on an even grid; 0 if they are not on one.
        frame: Length of a frame that has no stated one.
        pause: Longest time from the end of a frame to the next one.
        rate: Frames per second; None if unknown.
        is_average: Whether the rate is an average, of the first frames.
        states_durations: Whether the source's durations of frames are credible.
        in_order: Whether frames take decoding times, in the order in which they are shown, because
            the source has no presentation times.
    """

    unit: Fraction
    tick: int
    rounding: int
    period: int
    frame: int
    pause: int
    rate: Fraction | None
    is_average: bool = False
    states_durations: bool = True
    in_order: bool = False

    def snap(self, time: int) -> int:
        """Return the multiple of the period that was rounded to `time`, or `time`."""
        if not self.period:
            return time
        nearest = (2 * time + self.period) // (2 * self.period) * self.period
        return nearest if abs(nearest - time) <= self.rounding else time

    def slack(self, time: int) -> int:
        """Return by how much a time may be late because its stamp was rounded."""
        return slack(time, self.period, self.rounding // 2)

    def length(self, duration: int | None) -> int:
        """Return the length of a frame, given the one that the source states, in ticks."""
        return duration * self.tick if duration and self.states_durations else self.frame

    def stated_end(self, stamp: int | None, duration: int | None) -> int:
        """Return where a frame ends in the time of the source, given its own in ticks."""
        return (stamp or 0) * self.tick + self.length(duration)

    def timeline(self, stamps: Iterable[tuple[int | None, int | None]]) -> Timeline:
        """Return the timeline of frames, given the stamp and the duration of each, in ticks."""
        running = FrameTimes(self)
        times = [running.add(*stamp)[0] for stamp in stamps]
        rate = self.rate or Fraction(DEFAULT_FPS)
        if self.is_average and times[-1]:
            rate = ((len(times) - 1) / (times[-1] * self.unit)).limit_denominator(1001)
        tolerance = self.rounding // 2
        return Timeline(compact(times), running.end, self.unit, rate, self.period, tolerance)


class FrameTimes:
    """Convert stamps of successive frames to times, in units after the first frame.

    Args:
        clock: The clock.

    Attributes:
        end: End of the newest frame.
        stated_end: The latest end of a frame in the time of the source.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._first: int | None = None  # the first stamp of the recording, in ticks
        self._start = 0  # its time
        self._newest = 0
        self.end = 0
        self.stated_end = 0

    def add(self, stamp: int | None, duration: int | None) -> tuple[int, int]:
        """Return the time and the duration of the next frame, given its own in ticks."""
        clock = self._clock
        time = self._time(stamp)
        self._newest = time
        end = self._start + clock.snap(time + clock.length(duration) - self._start)
        self.end = max(time, end)
        self.stated_end = max(self.stated_end, clock.stated_end(stamp, duration))
        return time, self.end - time

    def _time(self, stamp: int | None) -> int:
        if stamp is None:
            return self.end
        if self._first is not None:
            clock = self._clock
            time = self._start + clock.snap((stamp - self._first) * clock.tick)
            if self._newest <= time <= self.end + clock.pause:
                return time
        self._first, self._start = stamp, self.end
        return self.end


def claimed_clock(tick: Fraction | None, rates: Sequence[Fraction], pause: Fraction) -> Clock:
    """Return the clock of a source whose claims cannot be checked, such as a camera.

    Args:
        tick: Seconds per tick; None if not stated.
        rates: Claimed frame rates, the best first.
        pause: The longest pause, in seconds.
    """
    tick = tick or MICROSECOND
    rate = next((r for r in rates if r <= _MOST_CLAIMED or r * tick * 2 <= 1), None)
    return _clock(tick, tick, rate, rate, pause, states_durations=rate is not None)


def raw_clock(rates: Sequence[Fraction]) -> Clock:
    """Return the clock of a stream without time stamps, given its claimed rates."""
    rate = rates[-1] if rates else Fraction(DEFAULT_FPS)
    return _clock(1 / rate, 1 / rate, rate, rate, PAUSE, states_durations=False, in_order=True)


def measured_clock(
    stamps: Sequence[Stamp],
    tick: Fraction | None,
    rates: Sequence[Fraction],
    pause: Fraction,
    decoding_times_only: bool = False,
) -> Clock:
    """Return the clock of a file, whose claims are checked against its first packets.

    Args:
        stamps: The times of the first packets, in the order of the file.
        tick: Seconds per tick; None if not stated.
        rates: Claimed frame rates, the best first.
        pause: The longest pause, in seconds.
        decoding_times_only: Whether the format has no presentation times. Those that FFmpeg works
            out are used if they show that it knows the order of the frames.
    """
    tick = tick or MICROSECOND
    parts = recordings(stamps)
    known = [s for s in stamps if s.presentation is not None and s.decoding is not None]
    in_order = decoding_times_only and _is_guess(known)
    times = [[stamp.decoding if in_order else stamp.presentation for stamp in p] for p in parts]
    runs = [sorted(time for time in part if time is not None) for part in times]
    steps = [b - a for run in runs for a, b in itertools.pairwise(run) if 0 < b - a <= pause / tick]
    if not steps:
        length = next((stamp.duration for stamp in stamps if stamp.duration), None)
        clock = claimed_clock(tick, [1 / (length * tick)] if length else rates, pause)
        return dataclasses.replace(clock, in_order=in_order)
    rounding = _rounding(steps, tick)
    average, usual = Fraction(sum(steps), len(steps)), statistics.median_low(steps)
    measured = 1 / (average * tick)
    simple = [*_simple_rates(measured), *_simple_rates(1 / (usual * tick))]
    if usual == rounding:  # A coarse clock, as in AVI, which has a tick per frame.
        simple.append(1 / (usual * tick))
    grid = _find_grid([*rates, *simple], tick, usual, runs, rounding)
    frame = 1 / grid if grid else usual * tick  # The average may include pauses.
    claims = [grid, *rates] if grid else rates
    claim = next((r for r in claims if abs(measured - r) <= measured / 20), None)
    if grid is None and min(steps) < 2 * rounding:
        grid = 1 / (rounding * tick)  # The clock itself is the grid: it rounded nothing.
    rate = claim or measured.limit_denominator(1001)
    durations = [stamp.duration or 0 for stamp in stamps]
    states_durations = 2 * statistics.median(durations) >= usual
    return _clock(
        tick,
        rounding * tick,
        grid,
        rate,
        pause,
        frame,
        is_average=claim is None,
        states_durations=states_durations,
        in_order=in_order,
    )


def _is_guess(stamps: Sequence[Stamp]) -> bool:
    """Return whether presentation times are decoding times with another offset."""
    shown = [stamp.presentation or 0 for stamp in stamps]
    ascends = all(a <= b for a, b in itertools.pairwise(shown))
    return ascends and any(stamp.presentation != stamp.decoding for stamp in stamps)


def _is_usual(rate: Fraction) -> bool:
    """Return whether a rate is one that cameras have, and not a quotient of rounded times."""
    return rate.denominator in (1, 2, 3, 4, 5, 1001)


def _simple_rates(measured: Fraction) -> Iterator[Fraction]:
    """Yield rates near a measured one: of television, then fractions with small denominators."""
    whole = max(1, round(measured))
    yield from (Fraction(whole), Fraction(1000 * whole, 1001))
    rates = (measured.limit_denominator(most) for most in range(2, 6))
    yield from (rate for rate in rates if rate)


def recordings(stamps: Sequence[Stamp]) -> list[list[Stamp]]:
    """Split stamps, in the order of the file, where decoding times go back."""
    parts: list[list[Stamp]] = [[]]
    newest: int | None = None
    for stamp in stamps:
        if newest is not None and stamp.decoding is not None and stamp.decoding < newest:
            parts.append([])
        parts[-1].append(stamp)
        newest = newest if stamp.decoding is None else stamp.decoding
    return parts


def _clock(
    tick: Fraction,
    rounding: Fraction,
    grid: Fraction | None,
    rate: Fraction | None,
    pause: Fraction,
    frame: Fraction | None = None,
    **facts: bool,
) -> Clock:
    """Return a clock, given lengths in seconds, rates in frames per second, and other `facts`."""
    period = 1 / grid if grid else Fraction(0)
    frame = frame or 1 / (rate or Fraction(DEFAULT_FPS))
    # Halves of a unit are whole, too: the tolerance is half of the rounding.
    unit = functools.reduce(_common, (length for length in (rounding, period, frame) if length)) / 2
    unit = _common(unit, tick)
    return Clock(
        unit=unit,
        tick=int(tick / unit),
        rounding=int(rounding / unit),
        period=int(period / unit),
        frame=int(frame / unit),
        pause=int(pause / unit),
        rate=rate,
        **facts,
    )


def _common(a: Fraction, b: Fraction) -> Fraction:
    """Return the greatest length of which both are multiples."""
    numerator = math.gcd(a.numerator * b.denominator, b.numerator * a.denominator)
    return Fraction(numerator, a.denominator * b.denominator)


def _rounding(steps: Sequence[int], tick: Fraction) -> int:
    """Return the ticks to which stamps are rounded: more than one if they come from milliseconds.

    A file that was converted from Matroska keeps times rounded to milliseconds in finer ticks.
    """
    millisecond = Fraction(1, 1000) / tick
    if millisecond.denominator > 1:
        return 1
    return math.gcd(int(millisecond), *steps)


def _find_grid(
    rates: Sequence[Fraction],
    tick: Fraction,
    usual: int,
    runs: Sequence[Sequence[int]],
    rounding: int,
) -> Fraction | None:
    """Return the rate of an even grid that the stamps were rounded from, or None.

    A rate that fits exactly is returned, else a usual one, else a claimed quotient; among them, one
    near the claim.
    """
    near = sorted(rates, key=lambda rate: min(abs(rate / rates[0] - 1), Fraction(1, 100)))
    usual_rates = [rate for rate in near if _is_usual(rate)]
    half, whole = Fraction(rounding, 2), Fraction(rounding)
    attempts = [
        (near, Fraction(0)),
        *((usual_rates, error) for error in (half, whole)),
        *((near, error) for error in (half, whole)),
    ]
    for candidates, error in attempts:
        for rate in candidates:
            if _is_grid(1 / (rate * tick), usual, runs, rounding, error):
                return rate
    return None


def _is_grid(
    period: Fraction, usual: int, runs: Sequence[Sequence[int]], rounding: int, error: Fraction
) -> bool:
    """Return whether the usual step is `period`, and all stamps are near multiples of it."""
    if period < rounding or abs(period - usual) > rounding:
        return False
    return all(
        abs(round((stamp - run[0]) / period) * period - (stamp - run[0])) <= error
        for run in runs
        for stamp in run
    )

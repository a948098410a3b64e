"""Frame rates, and converting a video to another rate."""

import math
from collections.abc import Iterator
from fractions import Fraction

from mpvn.data.video.errors import VideoError
from mpvn.data.video.frames import Picture

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


def resample(pictures: Iterator[Picture], rate: Fraction) -> Iterator[Picture]:
    """Yield, for each time n / rate, the newest picture that is not later.

    source   0-----1--2-----------3-----|     (each at its own time)
    output   0---0---2---2---2---3---3--      (every 1 / rate, until the last picture ends)

    A picture is yielded once its successor is known, which delays a live source by one frame.
    """
    period = 1 / rate
    due = Fraction(0)
    newest = next(pictures, None)
    while newest is not None:
        successor = next(pictures, None)
        end = newest.time + newest.duration if successor is None else successor.time
        while due < end:
            # Copy a picture that is yielded again: the consumer may draw on the array.
            is_repeated = due + period < end
            yield Picture(due, period, newest.pixels.copy() if is_repeated else newest.pixels)
            due += period
        newest = successor

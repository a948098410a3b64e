"""Bring a stream to another frame rate, as `Timeline.at_rate` brings a video."""

from collections.abc import Iterator
from fractions import Fraction

from mpvn.data.video.frames import Picture


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
        if successor is None:
            end = newest.time + newest.duration
        else:
            end = successor.time - successor.slack
        while due < end:
            # Copy a picture that is yielded again: the consumer may draw on the array.
            is_repeated = due + period < end
            pixels = newest.pixels.copy() if is_repeated else newest.pixels
            yield newest._replace(pixels=pixels, time=due, duration=period, slack=Fraction(0))
            due += period
        newest = successor

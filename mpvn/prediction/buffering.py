"""Collects the frames that a stream computes in one call; none that was read is lost."""

import itertools
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from mpvn.data.video.frames import View


class Read(NamedTuple):
    """A frame, and when it was read, in seconds of `time.perf_counter`."""

    view: View
    time: float


def read(views: Iterator[View], before_read: Callable[[], object]) -> Iterator[View]:
    """Yield frames, and call `before_read` before each of them."""
    before_read()
    for view in views:
        yield view
        before_read()


def calls(views: Iterator[View], size: int) -> Iterator[list[Read]]:
    """Yield frames in the lists that calls take; the last one is shorter.

    An error of the source, and Ctrl-C while frames are read, come after the frames before them.

    Args:
        views: the frames.
        size: number of frames that a call takes.
    """
    ended: BaseException | None = None
    full = True
    while full:
        collected: list[Read] = []
        try:
            for view in itertools.islice(views, size):
                collected.append(Read(view, time.perf_counter()))
        except (Exception, KeyboardInterrupt) as error:
            ended = error
        full = len(collected) == size and ended is None
        if collected:
            yield collected
    if ended is not None:
        raise ended

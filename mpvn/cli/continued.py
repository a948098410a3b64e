"""A stream that goes on in another process after a fault; see `mpvn.cluster.supervise`.

The memory of the network begins anew, which is a reset of the stream. The next answer is about the
first frame that has none. A file is read from there; what a camera has shown meanwhile is lost.
"""

import argparse
import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING

from mpvn.cluster import supervised

if TYPE_CHECKING:
    from mpvn.data.video.frames import View
    from mpvn.prediction import Prediction
    from mpvn.prediction.opened import Opened


def after_fault(arguments: argparse.Namespace) -> str:
    """Return what happens after a fault, with a place for the number of answered frames."""
    if arguments.output:
        return "the stream starts over, because a video file cannot be continued"
    return "the stream is reset and goes on from frame {kept}"


class Continued:
    """Tells the supervisor what a stream has done, and what was done before this process.

    Without a supervisor, nothing was.

    Args:
        arguments: those of `mpvn stream`.

    Attributes:
        supervised: whether the answers say which are the first after a reset.
        done: frames that have their answers.
    """

    def __init__(self, arguments: argparse.Namespace) -> None:
        orders = supervised.orders()
        self.supervised = orders is not None and not arguments.output
        self.done = (orders.kept or 0) if orders is not None and self.supervised else 0
        self._source: str = arguments.video

    def views(self, opened: "Opened") -> "Iterator[View]":
        """Yield the frames of a source that have no answers yet."""
        from mpvn.prediction.opened import is_file

        first = self.done if is_file(self._source) else 0
        views = itertools.islice(opened.views(), first, None)
        supervised.waits()
        for view in views:
            supervised.beat()
            yield view
            supervised.waits()

    def __call__(self, prediction: "Prediction") -> None:
        """Tell that a frame has its answer."""
        self.done += 1
        if self.supervised:
            supervised.kept(self.done)

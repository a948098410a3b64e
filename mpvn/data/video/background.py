"""Decode a source in a thread of its own, so that waiting for its data can be interrupted.

FFmpeg and the operating system wait for a camera, a server or a pipe without noticing Ctrl-C, or
the thread that closes the source. They wait in this thread instead. It stays at most a few
frames ahead of the consumer, and no frame is dropped.

Limitations: a thread that waits when its source is closed ends when its wait does, after `timeout`
seconds at the latest. (FFmpeg's wait for a camera on Linux that sends nothing has no such limit.)
"""

from __future__ import annotations

import queue
import threading
import weakref
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import NamedTuple, Protocol

from mpvn.data.video.frames import Decoded

_AHEAD = 2  # decoded frames that wait for the consumer
_POLL = 0.1  # seconds between checks whether the wait was stopped
_PATIENCE = 1.0  # seconds to wait for the thread when the source is closed


class Decoding(Protocol):
    """A source that a thread can decode."""

    @property
    def is_live(self) -> bool:
        """Whether frames arrive in real time."""
        ...

    @property
    def rate(self) -> Fraction | None:
        """Frames per second; None if not stated."""
        ...

    @property
    def frame_count(self) -> int | None:
        """Number of frames; None if not stated."""
        ...

    @property
    def duration(self) -> Fraction | None:
        """Length in seconds; None if not stated."""
        ...

    def frames(self) -> Iterator[Decoded]:
        """Decode all frames."""
        ...

    def close(self) -> None:
        """Close the source."""
        ...


class BackgroundSource:
    """A source that is opened, decoded and closed in its own thread.

    Its attributes are known from the first frame on.

    Args:
        open_source: Opens the source. The event is set when the source is closed: waits must end.

    Attributes:
        rate: Frames per second; None if not stated.
        frame_count: Number of frames; None if not stated.
        duration: Length in seconds; None if not stated.
        is_live: Whether frames arrive in real time.
    """

    rate: Fraction | None
    frame_count: int | None
    duration: Fraction | None
    is_live: bool

    def __init__(self, open_source: Callable[[threading.Event], Decoding]) -> None:
        self._handover = _Handover()
        self._thread = threading.Thread(
            target=_decode, args=(open_source, self._handover), name="mpvn-source", daemon=True
        )
        # The thread does not know this object, and so ends when it is forgotten.
        weakref.finalize(self, self._handover.stop.set)
        self._thread.start()

    def frames(self) -> Iterator[Decoded]:
        """Wait until the source is open, and yield all frames. They end early when it is closed.

        Raises:
            Exception: `open_source` or the source raised it.
        """
        while (item := self._handover.get()) is not None:
            if isinstance(item, _Facts):
                self.rate, self.frame_count, self.duration, self.is_live = item
            else:
                yield item

    def close(self) -> None:
        """Stop the thread, which closes the source. Any thread may call this, at any time."""
        if not self._handover.stop.is_set():
            self._handover.stop.set()
            self._thread.join(_PATIENCE)


class _Facts(NamedTuple):
    """What is known of an open source. Reading it may take data from the source."""

    rate: Fraction | None
    frame_count: int | None
    duration: Fraction | None
    is_live: bool


class _Handover:
    """A short queue that does not wait after `stop` is set."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self._queue: queue.Queue[_Facts | Decoded | Exception | None] = queue.Queue(_AHEAD)

    def get(self) -> _Facts | Decoded | None:
        """Wait for an item and return it, or raise it. Return None if stopped."""
        while not self.stop.is_set():
            try:
                item = self._queue.get(timeout=_POLL)
            except queue.Empty:
                continue
            if isinstance(item, Exception):
                raise item
            return item
        return None

    def put(self, item: _Facts | Decoded | Exception | None) -> bool:
        """Wait until there is room. Return False if stopped."""
        while not self.stop.is_set():
            try:
                self._queue.put(item, timeout=_POLL)
            except queue.Full:
                continue
            return True
        return False


def _decode(open_source: Callable[[threading.Event], Decoding], handover: _Handover) -> None:
    """Hand over the facts of a source, its frames, and None or an error at the end."""
    end: Exception | None = None
    try:
        source = open_source(handover.stop)
        try:
            facts = _Facts(source.rate, source.frame_count, source.duration, source.is_live)
            handover.put(facts)
            for decoded in source.frames():
                if not handover.put(decoded):
                    break
        finally:
            source.close()
    except Exception as error:  # raised in the consumer's thread
        end = error
    handover.put(end)

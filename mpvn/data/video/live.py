"""Read the newest frame of a live source, for a consumer that may be slower than the source.

If a network takes 50 ms per frame and a camera delivers one every 33 ms, reading every frame would
fall further and further behind. Frames that arrive while the consumer is busy are dropped and
counted instead. A background thread decodes ahead and keeps a single frame, so memory does not grow
and the delay stays below one frame.

Limitations: dropped frames are decoded too, because later frames depend on them. A reader that
waits without a method `interrupt()` may keep its thread, and stay open, after `close()`.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any, Protocol, Self, runtime_checkable

from mpvn.data.video.frames import Frame, View

_PATIENCE = 2.0  # seconds to wait for the thread at the end

_Item = tuple[Any, ...]
"""A `View`, or `(seconds, frame)` of a reader without `views()`."""


@runtime_checkable
class TimedFrames(Protocol):
    """A reader that `realtime=True` accepts, such as `VideoReader`."""

    def timed(self) -> Iterator[tuple[float, Frame]]:
        """Yield `(seconds since the first frame, frame)`."""
        ...


@runtime_checkable
class Viewed(Protocol):
    """A reader whose frames come with their whole pictures, such as `VideoReader`."""

    def views(self) -> Iterator[View]:
        """Yield frames with their times and whole pictures."""
        ...


class LiveSource:
    """An iterator over the newest frames of a reader. Frames not consumed in time are dropped.

    The background thread starts at the first `next()` and stops at the end of the source or at
    `close()`, which also closes the reader. Supports a single consumer.

    Args:
        reader: A `VideoReader`, or any iterable of frames `uint8 [height, width, 3]`.
        realtime: Whether to delay each frame until its time, relative to the first frame, so that a
            file behaves like a camera. The reader must have `timed()`, and not be live itself.

    Raises:
        TypeError: `realtime` is True and the reader has no `timed()`.
        ValueError: `realtime` is True and the reader is live.
        Exception: While iterating, the reader's exception, after the last frame before it.

    Example:
        >>> with LiveSource(VideoReader("camera:0", size=(224, 224))) as frames:
        ...     for frame in frames:  # uint8 [224, 224, 3], RGB
        ...         ...
    """

    def __init__(self, reader: Iterable[Frame], *, realtime: bool = False) -> None:
        self._reader = reader
        self._timed: TimedFrames | None = None
        if realtime:
            if not isinstance(reader, TimedFrames):
                raise TypeError(
                    "realtime=True: expected a reader with a method timed() that yields (seconds, "
                    f"frame), such as VideoReader. Received: {type(reader).__name__}."
                )
            if getattr(reader, "is_live", False):
                raise ValueError(
                    "realtime=True: expected a source that waits for its reader, such as a file. "
                    "Received: a live source, whose frames arrive in real time. Leave it out."
                )
            self._timed = reader
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="mpvn-live", daemon=True)
        self._started = False
        # The attributes below are shared with the thread and guarded by the condition.
        self._changed = threading.Condition()
        self._newest: _Item | None = None
        self._ended = False  # no frame will come
        self._finished = False  # the thread no longer uses the reader
        self._closed = False
        self._error: Exception | None = None
        self._arrived = 0.0  # when `_newest` came
        self._delivered = 0
        self._dropped = 0
        self._taken: float | None = None

    @property
    def delivered(self) -> int:
        """Number of frames that the consumer has received."""
        return self._delivered

    @property
    def dropped(self) -> int:
        """Number of decoded frames that the consumer was too late for."""
        return self._dropped

    @property
    def arrived(self) -> float | None:
        """When the last frame that the consumer received arrived, in `time.perf_counter` seconds.

        It is the time at which the frame was decoded. None before the first one.
        """
        return self._taken

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Frame:
        """Wait for a frame newer than the last one and return it, `uint8 [height, width, 3]`."""
        return self._next()[1]

    def views(self) -> Iterator[View]:
        """Yield the frames that come in time, from a reader that has `views()`.

        Raises:
            TypeError: The reader has none.
        """
        if not isinstance(self._reader, Viewed):
            raise TypeError(
                "views: expected a reader with a method views(), such as VideoReader. Received: "
                f"{type(self._reader).__name__}."
            )
        with contextlib.suppress(StopIteration):
            while True:
                yield View(*self._next())

    def timed(self) -> Iterator[tuple[float, Frame]]:
        """Yield `(seconds since the source's first frame, frame)` of the frames that come in time.

        The times are those of the reader's `timed()`, or else of the arrival of frames.
        """
        with contextlib.suppress(StopIteration):
            while True:
                seconds, frame, *_ = self._next()
                yield seconds, frame

    def _next(self) -> _Item:
        """Wait for a newer frame and return it with its time."""
        if not self._started and not self._stop.is_set():
            self._started = True
            self._thread.start()
        with self._changed:
            self._changed.wait_for(lambda: self._newest is not None or self._ended)
            newest, self._newest = self._newest, None
            if newest is not None:
                self._delivered += 1
                self._taken = self._arrived
                return newest
            error, self._error = self._error, None
        if error is not None:
            raise error
        raise StopIteration

    def close(self) -> None:
        """Stop the thread and close the reader. A frame not yet consumed counts as dropped."""
        self._stop.set()
        if self._started:
            _call(self._reader, "interrupt")
            self._thread.join(_PATIENCE)
        with self._changed:
            self._dropped += self._newest is not None
            self._newest = None
            self._closed = self._ended = True
            is_idle = self._finished or not self._started
            self._changed.notify_all()
        if is_idle:  # otherwise the thread closes the reader
            _call(self._reader, "close")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def _run(self) -> None:
        frames: Iterator[_Item] | None = None
        error: Exception | None = None
        try:
            frames = self._paced(self._timed) if self._timed is not None else _items(self._reader)
            for frame in frames:
                if self._stop.is_set():
                    break
                with self._changed:
                    self._dropped += self._newest is not None
                    self._newest, self._arrived = frame, time.perf_counter()
                    self._changed.notify_all()
        except Exception as raised:  # re-raised in the consumer's thread
            error = raised
        finally:
            _call(frames, "close")
            with self._changed:
                is_last = self._closed
                self._error = None if self._stop.is_set() else error
                self._ended = self._finished = True
                self._changed.notify_all()
            if is_last:  # `close` did not wait for this
                _call(self._reader, "close")

    def _paced(self, reader: TimedFrames) -> Iterator[_Item]:
        """Yield each frame no sooner than its time. Return as soon as the source is closed."""
        items = _items(reader)
        try:
            start = time.monotonic()
            for item in items:
                if self._stop.wait(max(0.0, start + item[0] - time.monotonic())):
                    return
                yield item
        finally:
            _call(items, "close")


def _items(reader: Any) -> Iterator[_Item]:
    """Yield the frames of a reader with their times, or with the times of their arrival."""
    if isinstance(reader, Viewed):
        yield from reader.views()
    elif isinstance(reader, TimedFrames):
        yield from reader.timed()
    else:
        start = time.monotonic()
        for frame in reader:
            yield time.monotonic() - start, frame


def _call(thing: object, name: str) -> None:
    """Call a method of a generator or reader, if it has it."""
    method = getattr(thing, name, None)
    if method is not None:
        method()

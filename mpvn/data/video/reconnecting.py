"""Open a live source again when it is lost."""

from __future__ import annotations

import itertools
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from fractions import Fraction

from mpvn.data.video.container import Container
from mpvn.data.video.errors import ConnectionLost, VideoError
from mpvn.data.video.frames import Decoded
from mpvn.data.video.link import lost

_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 8.0  # seconds between two attempts


class ReconnectingSource:
    """A live source that continues when its connection comes back.

    frames   0--1--2--3  (lost, pause, attempt, pause, attempt)  0--1--2
    times    0  1  2  3                                          4  5  6

    The clock of the new connection is set to continue where the last frame ended: the time without
    frames is left out. The source ends without an error where the sender states it: at the end of a
    playlist, or of a download of known length.

    Args:
        container: The first connection.
        connect: Opens the source again.
        name: Name of the source, for messages.
        stop: Set when the source is closed.
        limit: Seconds after each loss in which attempts begin. 0 never opens the source again.

    Attributes:
        rate: Frames per second; None if not stated.
        frame_count: None, because it is unknown.
        duration: None.
        is_live: True.
    """

    frame_count = None
    duration = None
    is_live = True

    def __init__(
        self,
        container: Container,
        connect: Callable[[], Container],
        name: str,
        stop: threading.Event,
        limit: float,
    ) -> None:
        self._container = container
        self._connect = connect
        self._name = name
        self._stop = stop
        self._limit = limit
        self._first: float | None = None  # stamps of the first and newest frame, in seconds
        self._newest: float | None = None
        self.rate = container.rate

    def frames(self) -> Iterator[Decoded]:
        """Decode the frames of one connection after the other.

        Raises:
            ConnectionLost: The connection did not come back before the limit.

        Warns:
            RuntimeWarning: The connection was lost and came back.
        """
        frames: Iterator[Decoded] | None = self._unseen()
        end = Fraction(0)
        while frames is not None:
            shift: Fraction | None = None
            try:
                for decoded in frames:
                    shift = end - decoded.time if shift is None else shift
                    moved = decoded._replace(time=decoded.time + shift)
                    end = moved.time + moved.duration
                    yield moved
                if self._container.is_complete or not self._container.is_live:
                    return
                loss = lost(self._name, "the sender closed the connection")
            except ConnectionLost as error:
                loss = error
            frames = self._reconnect(loss, end)

    def close(self) -> None:
        """Close the current connection."""
        self._container.close()

    def _reconnect(self, loss: ConnectionLost, end: Fraction) -> Iterator[Decoded] | None:
        """Return the frames of a new connection; None if the source was closed."""
        lost_at = time.monotonic()
        pause = _FIRST_PAUSE
        for attempt in itertools.count(1):
            self._container.close()
            seconds = time.monotonic() - lost_at
            if not self._limit:
                raise loss
            if seconds + pause > self._limit:
                tried = f"{attempt - 1} attempts in {seconds:.1f} s to open it again failed"
                raise ConnectionLost(f"{loss} ({tried}.)") from loss
            if self._stop.wait(pause):
                return None
            pause = min(2 * pause, _LONGEST_PAUSE)
            frames = self._attempt()
            if frames is not None:
                break
        if not self._container.is_live:  # a playlist that has got its end
            return frames
        warnings.warn(
            f"{self._name}: expected frames without a break. Received: none for "
            f"{time.monotonic() - lost_at:.1f} s after {float(end):.2f} s of video. Attempt "
            f"{attempt} to open it again succeeded; the time between is left out.",
            RuntimeWarning,
            stacklevel=2,
        )
        return frames

    def _attempt(self) -> Iterator[Decoded] | None:
        """Return the frames of a new connection; None if it has none yet."""
        try:
            self._container = self._connect()
            frames = self._unseen()
            first = next(frames, None)
        except VideoError:
            return None
        if first is None:
            return None if self._container.is_live else frames
        return itertools.chain([first], frames)

    def _unseen(self) -> Iterator[Decoded]:
        """Decode the frames of the current connection, but none that came before.

        A playlist keeps its clock, and is read again from before its end.
        """
        seen: float | None = None
        frames = self._container.frames()
        for number, decoded in enumerate(frames):
            stamp = decoded.frame.time
            if stamp is None or not self._container.is_playlist:
                yield decoded
                continue
            if self._first is None or self._newest is None:
                self._first = self._newest = stamp
            elif number == 0 and self._first <= stamp <= self._newest:
                seen = self._newest
            if seen is None or stamp > seen:
                self._newest = stamp
                yield decoded

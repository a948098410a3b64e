"""Notice the missing parts of a video that is a list of files (HLS, DASH)."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from mpvn.data.video.container import Container
from mpvn.data.video.frames import Decoded
from mpvn.data.video.link import lost

_LONGEST_GAP = 1  # second


class FinitePlaylist:
    """A playlist with an end. FFmpeg passes over parts that it cannot read, without an error.

    Limitations: parts of less than a second are not missed.

    Args:
        container: The open playlist.
        name: Its name, for messages.

    Attributes:
        rate: Frames per second; None if not stated.
        frame_count: Number of frames; None if not stated.
        duration: Length in seconds; None if not stated.
        is_live: False.
    """

    is_live = False

    def __init__(self, container: Container, name: str) -> None:
        self._container = container
        self._name = name
        self.rate = container.rate
        self.frame_count = container.frame_count
        self.duration = container.duration

    def frames(self) -> Iterator[Decoded]:
        """Decode all frames.

        Raises:
            ConnectionLost: A part is missing.
        """
        end = Fraction(0)
        for decoded in self._container.frames():
            self._check_gap(end, decoded.time)
            yield decoded
            end = decoded.time + decoded.duration
        self._check_gap(end, self.duration or end)

    def close(self) -> None:
        """Close the playlist."""
        self._container.close()

    def _check_gap(self, start: Fraction, end: Fraction) -> None:
        if end - start > _LONGEST_GAP:
            raise lost(self._name, f"no frames from {float(start):.2f} to {float(end):.2f} s")

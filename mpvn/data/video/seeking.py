"""Read single frames of a video file by number, decoding from the key frame before each.

Seeking by time is not exact: containers round times, seek by decoding time instead of presentation
time, or land where they can. So a file's packets are listed once without decoding, which is cheap;
their sorted times number the frames. A key frame is identified by its position in the file, and
every frame decoded after it must have the time that the list has for its number. If any of this
fails, the file is decoded from its start. If even that disagrees with the list (packets without
times, or packets without a frame), the whole file is decoded once to count its frames.

Limitations: files of the last kind, for example raw streams, are decoded from the start at every
read.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mpvn.data.video.container import Container, KeyFrame
from mpvn.data.video.errors import VideoError
from mpvn.data.video.frames import Decoded
from mpvn.data.video.sources import open_source
from mpvn.data.video.timeline import DEFAULT_FPS, Ticks, Timeline, compact

_SEEK_COST = 16  # a seek costs about as much as decoding this number of frames
_HIDDEN_FRAME_CODECS = frozenset({"vp8"})  # codecs with packets for frames that are never shown
_MICROSECOND = Fraction(1, 1_000_000)


class SeekError(Exception):
    """The frames of a file are not those in its index."""


@dataclasses.dataclass(frozen=True, eq=False)
class FrameIndex:
    """The time of every frame of a file, and the key frames where decoding can start.

    Attributes:
        times: Presentation time of each frame, in ticks, ascending.
        tick: Length of a tick, in seconds.
        rate: Frames per second.
        keys: int64 `[key frames, 5]`: the frame's number, then the fields of `KeyFrame`. If empty,
            decoding starts at the beginning of the file.
        counted: Whether the index comes from decoding the whole file. Frames are then identified
            by counting, not by time.
    """

    times: Ticks
    tick: Fraction
    rate: Fraction
    keys: npt.NDArray[np.int64] = dataclasses.field(default_factory=lambda: np.empty((0, 5), int))
    counted: bool = False

    def __len__(self) -> int:
        return len(self.times)

    def key_before(self, frame: int) -> tuple[int, KeyFrame | None]:
        """Return the last key frame at or before `frame`: its number and place in the file.

        The place is None at the start of the file.
        """
        if not len(self.keys):
            return 0, None
        number, *key = self.keys[np.searchsorted(self.keys[:, 0], frame, "right") - 1].tolist()
        return number, KeyFrame(*key)

    @functools.cached_property
    def timeline(self) -> Timeline:
        """When the frames are shown."""
        start = int(self.times[0])
        times = compact([int(time) - start for time in self.times])
        end = math.ceil(int(times[-1]) + 1 / (self.rate * self.tick))
        return Timeline(times, end, self.tick, self.rate)


def index_frames(path: Path) -> FrameIndex:
    """List the frames of a video file, without decoding it if its packets have enough information.

    Raises:
        VideoError: The file cannot be opened, or has no frames.

    Warns:
        RuntimeWarning: The file is damaged. Frames that cannot be read are left out.
    """
    container = _open(path, strict=False)
    try:
        keys: list[KeyFrame] = []
        times: list[int | None] = []
        ends: list[int] = []
        for packet in container.packets():
            key = KeyFrame.from_packet(packet)
            if key is not None:
                keys.append(key)
            # Discarded packets, left by a cut without re-encoding, are decoded but not shown.
            if packet.size and not packet.is_discard:
                times.append(packet.pts)
                ends.append((packet.pts or 0) + (packet.duration or 0))
        sorted_times = sorted({time for time in times if time is not None})
        tick = container.time_base
        if (
            not keys
            or not sorted_times
            or len(sorted_times) < len(times)
            or keys[0].time > sorted_times[0]
            or container.codec in _HIDDEN_FRAME_CODECS
            or tick is None
        ):
            return count_frames(path)
        container.check_end(max(ends) * tick)
        rows = sorted((np.searchsorted(sorted_times, key.time), *key) for key in keys)
        return FrameIndex(
            compact(sorted_times),
            tick,
            _rate(container, sorted_times, tick),
            np.array(rows, np.int64),
        )
    finally:
        container.close()


def count_frames(path: Path) -> FrameIndex:
    """List the frames of a video file by decoding it. Raises and warns like `index_frames`."""
    container = _open(path, strict=False)
    try:
        times = [round(decoded.time / _MICROSECOND) for decoded in container.frames()]
        if not times:
            raise VideoError(
                f"{path}: expected at least one frame that decodes. Received: none. "
                "The file is damaged or was cut short: download or record it again."
            )
        rate = _rate(container, times, _MICROSECOND)
        return FrameIndex(compact(times), _MICROSECOND, rate, counted=True)
    finally:
        container.close()


def decode(path: Path, index: FrameIndex, numbers: Sequence[int]) -> Iterator[Decoded]:
    """Decode the frames with the given numbers, which must be ascending and unique.

    Raises:
        VideoError: The file is damaged at these frames, or cannot be opened.
        SeekError: Its frames are not those of the index.
    """
    container = _open(path, strict=True)
    container.decode_in_one_thread()
    try:
        for run in _runs(index, numbers):
            yield from _select(_numbered(container, index, run[0]), run)
    finally:
        container.close()


def _open(path: Path, strict: bool) -> Container:
    source = open_source(str(path.absolute()), None, strict, 10.0, {})
    if not isinstance(source, Container):
        raise VideoError(f"{path}: expected a video file. Received: a folder.")
    return source


def _runs(index: FrameIndex, numbers: Sequence[int]) -> Iterator[list[int]]:
    """Group frames that are decoded in one run. A new run starts where seeking saves decoding.

    keys     K-----------K-----------K-----------     (a run starts at a K)
    numbers  --x---x-----------x---------x-------
    runs     [-------]   [-----]     [---]
    """
    run: list[int] = []
    for number in numbers:
        key, _ = index.key_before(number)
        if run and key > run[-1] + _SEEK_COST:
            yield run
            run = []
        run.append(number)
    yield run


def _numbered(container: Container, index: FrameIndex, first: int) -> Iterator[tuple[int, Decoded]]:
    """Yield numbered frames from the key frame before `first` on, checked against the index.

    Stops at the first frame that differs from the index.
    """
    if index.counted:
        yield from enumerate(container.frames())
        return
    number, key = index.key_before(first)
    for decoded in container.frames(key):
        frame = decoded.frame
        if number >= len(index) or frame.pts != index.times[number]:
            return
        if key is not None and frame.pts == key.time and not frame.key_frame:
            return
        yield number, decoded
        number += 1


def _select(numbered: Iterator[tuple[int, Decoded]], numbers: Sequence[int]) -> Iterator[Decoded]:
    """Yield the frames with the given numbers. Decodes no further than the last of them.

    Raises:
        SeekError: The frames end before the last of them.
    """
    remaining = iter(numbers)
    due = next(remaining)
    for number, decoded in numbered:
        if number == due:
            yield decoded
            successor = next(remaining, None)
            if successor is None:
                return
            due = successor
    raise SeekError(f"frame {due} is not where the index has it")


def _rate(container: Container, times: Sequence[int], tick: Fraction) -> Fraction:
    """Return the stated rate if it agrees with the times, which are rounded, to 5%.

    Otherwise return the average rate.
    """
    stated = container.rate
    if len(times) < 2 or times[-1] <= times[0]:
        return stated or Fraction(DEFAULT_FPS)
    measured = (len(times) - 1) / ((times[-1] - times[0]) * tick)
    if stated is not None and abs(stated - measured) <= measured / 20:
        return stated
    return measured

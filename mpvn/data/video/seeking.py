"""Single frames of a video file by number, decoding from the key frame before them only.

Seeking by time is not exact: containers round times, seek by when a frame is decoded rather than
shown, or land where they can. So a file's packets are listed once, undecoded, which is cheap: their
times, sorted, number the frames. A key frame is known again by its place in the file, and every
frame decoded after it must have the very time the list gives its number. Where any of this fails,
the file is decoded from its start; where not even that agrees with the list (packets without times,
or without a picture of their own), it is decoded once as a whole to count its frames.

What it does not do well: files of the last kind, for example raw streams, are decoded from the
start at each reading.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mpvn.data.video.frames import Decoded, VideoError
from mpvn.data.video.sources import DEFAULT_FPS, Container, Key, open_source

_WORTH_SEEKING = 16  # Frames to decode in vain that cost about as much as seeking.
_HIDES_FRAMES = frozenset({"vp8"})  # Codecs with packets of their own for what is never shown.
_MICROSECOND = Fraction(1, 1_000_000)


class SeekError(Exception):
    """A file does not show the frames that its index lists."""


@dataclasses.dataclass(frozen=True, eq=False)
class FrameIndex:
    """When the frames of a file are shown, and from where each can be decoded.

    Attributes:
        times: of each frame, in ticks, ascending.
        tick: in seconds.
        rate: frames per second.
        keys: int64 `[key frames, 5]`: number of the frame, then a `Key`; none to decode from the
            start.
        counted: whether the frames have been decoded and counted, so that only counting tells which
            is which.
    """

    times: Sequence[int] | npt.NDArray[np.int64]
    tick: Fraction
    rate: Fraction
    keys: npt.NDArray[np.int64] = dataclasses.field(default_factory=lambda: np.empty((0, 5), int))
    counted: bool = False

    def __len__(self) -> int:
        return len(self.times)

    def key_before(self, frame: int) -> tuple[int, Key | None]:
        """Number of the last key frame at or before `frame`, and where it is; None: at the start"""
        if not len(self.keys):
            return 0, None
        number, *key = self.keys[np.searchsorted(self.keys[:, 0], frame, "right") - 1].tolist()
        return number, Key(*key)

    def between(self, start: float | Fraction | None, end: float | Fraction | None) -> range:
        """The frames shown from `start` until before `end`, in seconds after the first frame."""
        first = 0 if start is None else self._first_at(start)
        last = len(self) if end is None else self._first_at(end)
        return range(first, max(first, last))

    def _first_at(self, seconds: float | Fraction) -> int:
        exact = Fraction(seconds).limit_denominator(1_000_000)
        ticks = math.ceil(int(self.times[0]) + exact / self.tick)
        return int(np.searchsorted(np.asarray(self.times), ticks))


def index_frames(path: Path) -> FrameIndex:
    """Lists the frames of a video file, without decoding it where its packets tell enough.

    Raises:
        VideoError: The file cannot be opened, or holds no frame.

    Warns:
        RuntimeWarning: The file is damaged; frames that cannot be read are left out.
    """
    container = _open(path, strict=False)
    try:
        keys: list[Key] = []
        times: list[int | None] = []
        ends: list[int] = []
        for packet in container.packets():
            key = Key.of(packet)
            if key is not None:
                keys.append(key)
            # What a cut without coding anew leaves before its first frame is decoded, not shown.
            if packet.size and not packet.is_discard:
                times.append(packet.pts)
                ends.append((packet.pts or 0) + (packet.duration or 0))
        ordered = sorted({time for time in times if time is not None})
        tick = container.time_base
        if (
            not keys
            or not ordered
            or len(ordered) < len(times)
            or keys[0].time > ordered[0]
            or container.codec in _HIDES_FRAMES
            or tick is None
        ):
            return count_frames(path)
        container.ends_at(max(ends) * tick)
        rows = sorted((np.searchsorted(ordered, key.time), *key) for key in keys)
        return FrameIndex(
            _compact(ordered), tick, _rate(container, ordered, tick), np.array(rows, np.int64)
        )
    finally:
        container.close()


def count_frames(path: Path) -> FrameIndex:
    """Lists the frames of a video file by decoding it; errors and warnings as `index_frames`."""
    container = _open(path, strict=False)
    try:
        times = [round(decoded.time / _MICROSECOND) for decoded in container.frames()]
        if not times:
            raise VideoError(
                f"{path}: expected at least one frame that decodes, received none. "
                "The file is damaged or was cut short: fetch or record it again."
            )
        rate = _rate(container, times, _MICROSECOND)
        return FrameIndex(_compact(times), _MICROSECOND, rate, counted=True)
    finally:
        container.close()


def decode(path: Path, index: FrameIndex, wanted: Sequence[int]) -> Iterator[Decoded]:
    """Decodes the frames `wanted`, ascending and each once, and what they need.

    Raises:
        VideoError: The file is damaged there, or cannot be opened.
        SeekError: Its frames are not those of the index.
    """
    container = _open(path, strict=True)
    container.decode_one_by_one()
    try:
        for near, run in _runs(index, wanted):
            yield from _pick(_numbered(container, index, near), run)
    finally:
        container.close()


def _open(path: Path, strict: bool) -> Container:
    opened = open_source(str(path.absolute()), None, strict, 10.0, {})
    if not isinstance(opened, Container):
        raise VideoError(f"{path}: expected a video file, received a folder.")
    return opened


def _runs(index: FrameIndex, wanted: Sequence[int]) -> Iterator[tuple[int, list[int]]]:
    """Frames to decode in one go, and the first of them: seeking where it saves decoding.

    keys     K-----------K-----------K-----------     (a run begins at a K)
    wanted   --x---x-----------x---------x-------
    runs     [-------]   [-----]     [---]
    """
    run: list[int] = []
    for frame in wanted:
        key, _ = index.key_before(frame)
        if run and key > run[-1] + _WORTH_SEEKING:
            yield run[0], run
            run = []
        run.append(frame)
    yield run[0], run


def _numbered(container: Container, index: FrameIndex, near: int) -> Iterator[tuple[int, Decoded]]:
    """Frames with their numbers from the key frame before `near` on, held against the index.

    Ends at the first frame that is not as the index has it.
    """
    if index.counted:
        yield from enumerate(container.frames())
        return
    number, key = index.key_before(near)
    for decoded in container.frames(key):
        frame = decoded.frame
        if number >= len(index) or frame.pts != index.times[number]:
            return
        if key is not None and frame.pts == key.time and not frame.key_frame:
            return
        yield number, decoded
        number += 1


def _pick(numbered: Iterator[tuple[int, Decoded]], wanted: Sequence[int]) -> Iterator[Decoded]:
    """Those of the numbers `wanted`; decodes no further than the last."""
    due = iter(wanted)
    next_due = next(due)
    for number, decoded in numbered:
        if number == next_due:
            yield decoded
            found = next(due, None)
            if found is None:
                return
            next_due = found
    raise SeekError(f"frame {next_due} is not where it should be")


def _compact(times: list[int]) -> Sequence[int] | npt.NDArray[np.int64]:
    """A range where it can be, since a data set keeps one of these for each of its videos."""
    step = times[1] - times[0] if len(times) > 1 else 1
    if step > 0 and all(b - a == step for a, b in itertools.pairwise(times)):
        return range(times[0], times[-1] + 1, step)
    return np.array(times, np.int64)


def _rate(container: Container, times: Sequence[int], tick: Fraction) -> Fraction:
    """The rate that the file states, unless its frames say otherwise; times are rounded."""
    stated = container.rate
    if len(times) < 2 or times[-1] <= times[0]:
        return stated or Fraction(DEFAULT_FPS)
    measured = (len(times) - 1) / ((times[-1] - times[0]) * tick)
    if stated is not None and abs(stated - measured) <= measured / 20:
        return stated
    return measured

"""Read single frames of a video file by number, decoding from the key frame before each.

Seeking by time is not exact: containers round times, seek by decoding time instead of presentation
time, or land where they can. So a file's packets are listed once without decoding, which is cheap;
their sorted times number the frames. A key frame is identified by its position in the file, and
every frame decoded after it must have a time stamp of the list. Decoders leave out frames that are
neither wanted nor needed by others. If any of this fails, the file is decoded from its start. If
even that disagrees with the list (packets without times, or packets without a frame), the whole
file is decoded once to count its frames.

Limitations: files of the last kind, for example raw streams, and files without presentation times,
such as H.264 with B-frames in AVI, are decoded from the start at every read.
"""

from __future__ import annotations

import bisect
import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from mpvn.data.video.clock import Stamp, recordings
from mpvn.data.video.container import Container
from mpvn.data.video.errors import VideoError, no_frames
from mpvn.data.video.frames import Decoded
from mpvn.data.video.packets import KeyFrame, has_frame
from mpvn.data.video.sources import is_pipe, open_source
from mpvn.data.video.timeline import Ticks, Timeline, compact

_SEEK_COST = 16  # a seek costs about as much as decoding this number of frames
_PLACEHOLDER = 8  # bytes; a packet of at most this size may hold no frame, as in DivX files
_HIDDEN_FRAME_CODECS = frozenset({"vp8"})  # codecs with packets for frames that are never shown

_HEADERS_ALONE = {"skip_frame": "all", "probesize": "32"}
"""Options to open a file without decoding any frame: for large frames several times faster than
decoding some to find out more, which costs as much as reading them. Reading checks the frames."""


class SeekError(Exception):
    """The frames of a file are not those in its index."""


@dataclasses.dataclass(frozen=True, eq=False)
class FrameIndex:
    """When the frames of a file are shown, and the key frames where decoding can start.

    Attributes:
        timeline: When the frames are shown.
        stamps: Presentation time of each frame as the file has it, in ticks of the stream. None if
            frames are identified by counting from the start of the file.
        keys: int64 `[key frames, 5]`: the frame's number, then the fields of `KeyFrame`. If empty,
            decoding starts at the beginning of the file.
        described: Whether the file is opened by its headers alone, without decoding frames to find
            out more about it.
    """

    timeline: Timeline
    stamps: Ticks | None
    keys: npt.NDArray[np.int64] = dataclasses.field(default_factory=lambda: np.empty((0, 5), int))
    described: bool = False

    def __len__(self) -> int:
        return len(self.timeline)

    @functools.cached_property
    def ascends(self) -> bool:
        """Whether a time stamp identifies a frame: the file is one recording."""
        return self.stamps is not None and bool((np.diff(self.stamps) > 0).all())

    def more_careful(self) -> FrameIndex:
        """Return the index for the next attempt to read: with probing, then from the start."""
        if self.described:
            return dataclasses.replace(self, described=False)
        return dataclasses.replace(self, keys=self.keys[:0])

    def key_before(self, frame: int) -> tuple[int, KeyFrame | None]:
        """Return the last key frame at or before `frame`: its number and place in the file.

        The place is None at the start of the file.
        """
        if not len(self.keys):
            return 0, None
        number, *key = self.keys[self._rows_before(frame)].tolist()
        return number, KeyFrame(*key)

    def keys_before(self, frames: Sequence[int]) -> Sequence[int]:
        """Return the number of the last key frame at or before each frame."""
        if not len(self.keys):
            return [0] * len(frames)
        numbers: list[int] = self.keys[self._rows_before(frames), 0].tolist()
        return numbers

    def _rows_before(self, frames: int | Sequence[int]) -> npt.NDArray[np.int64]:
        return np.searchsorted(self.keys[:, 0], frames, "right") - 1


def index_frames(path: Path) -> FrameIndex:
    """List the frames of a video file, without decoding it if its packets have enough information.

    Raises:
        VideoError: The file cannot be opened, has no frames, or is damaged before its end.

    Warns:
        RuntimeWarning: The end of the file is missing.
    """
    container = _open(path)
    container.damage.allows_cut_end = True
    try:
        in_order = container.clock.in_order  # Measured now: the packets tell it.
        # Packets may hold no frame or half of one. This must show now: if a read found it out,
        # clips would depend on those that were read before.
        is_uneven = container.codec in _HIDDEN_FRAME_CODECS or container.is_interlaced
        packets: list[Stamp] = []
        keys: list[tuple[int, KeyFrame]] = []  # with the number of its packet
        for packet in container.packets():
            key = KeyFrame.from_packet(packet)
            if key is not None:
                keys.append((len(packets), key))
            if has_frame(packet):
                packets.append(container.stamp(packet))
                is_uneven = is_uneven or packet.size <= _PLACEHOLDER
        if not packets or not keys or is_uneven:
            return count_frames(path)
        if in_order:
            shown = [(stamp.decoding, stamp.duration) for stamp in packets]
            return FrameIndex(container.timeline(shown), None)
        return _index(container, packets, keys) or count_frames(path)
    finally:
        container.close()


def _index(
    container: Container, packets: Sequence[Stamp], keys: Sequence[tuple[int, KeyFrame]]
) -> FrameIndex | None:
    """Return the index of frames that have time stamps; None if they do not identify them."""
    shown: list[Stamp] = []
    rows: list[tuple[int, ...]] = []
    first = 0
    for part in recordings(packets):
        times = sorted({s.presentation for s in part if s.presentation is not None})
        if len(times) < len(part):
            return None
        for number, key in keys:
            if first <= number < first + len(part):
                rows.append((len(shown) + bisect.bisect_left(times, key.time), *key))
        shown += sorted(part)
        first += len(part)
    # A frame before the first key frame may not decode.
    if min(row[0] for row in rows):
        return None
    stamps = [int(s.presentation or 0) for s in shown]
    timeline = container.timeline([(s.presentation, s.duration) for s in shown])
    keys_of_frames = np.array(sorted(rows), np.int64)
    return FrameIndex(timeline, compact(stamps), keys_of_frames, container.is_described)


def count_frames(path: Path) -> FrameIndex:
    """List the frames of a video file by decoding it. Raises and warns like `index_frames`."""
    container = _open(path)
    container.damage.allows_cut_end = True
    try:
        shown = [(stamp, frame.duration) for frame, stamp in container.stamped_frames()]
        if not shown:
            raise no_frames(path)
        return FrameIndex(container.timeline(shown), None)
    finally:
        container.close()


def decode(path: Path, index: FrameIndex, numbers: Sequence[int]) -> Iterator[Decoded]:
    """Decode the frames with the given numbers, which must be ascending and unique.

    Raises:
        VideoError: The file is damaged at these frames, or cannot be opened.
        SeekError: Its frames are not those of the index.
    """
    container = _open(path, _HEADERS_ALONE if index.described else {})
    container.decode_in_one_thread()
    try:
        for run in _runs(index, numbers):
            yield from _select(_numbered(container, index, run), run)
    finally:
        container.close()


def _open(path: Path, options: Mapping[str, str] = MappingProxyType({})) -> Container:
    if is_pipe(str(path)):
        raise VideoError(
            f"{path}: expected a video file. Received: a pipe, which can be read only once."
        )
    source = open_source(str(path.absolute()), None, True, 10.0, dict(options))
    if not isinstance(source, Container):
        source.close()
        raise VideoError(f"{path}: expected a video file. Received: a folder, or a playlist.")
    return source


def _runs(index: FrameIndex, numbers: Sequence[int]) -> Iterator[list[int]]:
    """Group frames that are decoded in one run. A new run starts where seeking saves decoding.

    keys     K-----------K-----------K-----------     (a run starts at a K)
    numbers  --x---x-----------x---------x-------
    runs     [-------]   [-----]     [---]
    """
    run: list[int] = []
    for number, key in zip(numbers, index.keys_before(numbers), strict=True):
        if run and key > run[-1] + _SEEK_COST:
            yield run
            run = []
        run.append(number)
    yield run


def _numbered(
    container: Container, index: FrameIndex, run: Sequence[int]
) -> Iterator[tuple[int, Decoded]]:
    """Yield numbered frames from the key frame before a run on, checked against the index.

    After a key frame, frames between those of the run may be left out. Stops at the first frame
    that differs from the index.
    """
    start, key = index.key_before(run[0])
    expected = None if index.stamps is None else _ints(index.stamps[start : run[-1] + 1])
    numbers: dict[int | None, int] | None = None
    wanted = None
    if key is not None and expected is not None and index.ascends:
        numbers = {stamp: start + place for place, stamp in enumerate(expected)}
        wanted = {expected[number - start] for number in run}
    number = start
    for frame, orientation in container.oriented_frames(key, wanted):
        stamp = frame.pts
        if numbers is not None and number > start:
            number = max(number, numbers.get(stamp, number))
        if number > run[-1] or (expected is not None and stamp != expected[number - start]):
            return
        if key is not None and stamp == key.time and not frame.key_frame:
            return
        yield number, Decoded(frame, orientation)
        number += 1


def _ints(stamps: Ticks) -> list[int]:
    """Return time stamps as `int`, which are compared and looked up faster than NumPy's."""
    return stamps.tolist() if isinstance(stamps, np.ndarray) else list(stamps)


def _select(numbered: Iterator[tuple[int, Decoded]], numbers: Sequence[int]) -> Iterator[Decoded]:
    """Yield the frames with the given numbers. Decodes no further than the last of them.

    Raises:
        SeekError: One of them is missing.
    """
    remaining = iter(numbers)
    due = next(remaining)
    for number, decoded in numbered:
        if number > due:
            break
        if number == due:
            yield decoded
            successor = next(remaining, None)
            if successor is None:
                return
            due = successor
    raise SeekError(f"frame {due} is not where the index has it")

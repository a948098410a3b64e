"""Read frames from files, image folders, network streams and cameras, through PyAV (FFmpeg).

There is one reader for every source, so that its users (training, the demo, the command line) need
not know where frames come from. It handles cases that are easy to miss and silently corrupt
results: rotation stored as metadata (phones), variable frame rates, odd sizes, gray, palette and
alpha images, truncated files.

`sources` opens a source, `container` and `image_folder` decode it, `frames` converts it to RGB and
`rates` to another frame rate. The reader combines them and owns the open sources. The docstring of
the package lists all modules; limitations are listed in each.
"""

from __future__ import annotations

import functools
import itertools
import math
import os
import weakref
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import NamedTuple, Self

from mpvn.data.video.background import BackgroundSource
from mpvn.data.video.errors import VideoError, no_frames
from mpvn.data.video.frames import Decoded, Frame, View, WholePictures, upright_pictures
from mpvn.data.video.framing import Cropped
from mpvn.data.video.image_folder import ImageFolder
from mpvn.data.video.rates import resample
from mpvn.data.video.sources import Source, is_pipe, open_source
from mpvn.data.video.timeline import frame_rate

_READERS: weakref.WeakSet[VideoReader] = weakref.WeakSet()


def is_being_read(path: str | os.PathLike[str]) -> bool:
    """Return whether a `VideoReader` of this process has the file or folder `path` open."""
    for reader in list(_READERS):
        try:
            if reader.is_open and os.path.samefile(reader.source, path):
                return True
        except OSError:  # The source is not a path, or does not exist.
            continue
    return False


class _Started(NamedTuple):
    """An open source, with its first frame decoded."""

    source: Source
    frames: Iterator[Decoded]
    first: Decoded


class VideoReader:
    """An iterable over the frames of one video source.

    Iterating again restarts a file from its first frame and reconnects a camera or stream; a pipe
    can be read only once. Each array belongs to the consumer; the reader keeps only few frames.

    The frames of a live source arrive in real time and are lost if they are not read in time: read
    it with `LiveSource`. Any other source waits for its reader, and no frame is lost; it is an
    error if its data stop before their end. `mpvn.data.video.sources` lists the live sources.

    Args:
        source: One of
            a video file;
            a folder of images, read in the order of their numbers (`2.png` before `10.png`); or
            some images of a folder, such as `clip/rgb_*`: see `mpvn.data.video.image_series`;
            a URL such as `rtsp://...` or `https://...`;
            a named pipe, or `-` for standard input;
            a camera: `/dev/video0`, `camera:0`, or `camera:NAME`.
        size: `(height, width)` in pixels. Frames are scaled, keeping their aspect ratio, until they
            just cover this size, and cropped equally on both sides. None keeps the source's size.
        shorter_side: Scale frames to this shorter side instead, in pixels, and crop `size` out of
            the center.
        fps: Frames per second. Output frame `n` is the newest source frame whose time, relative to
            the first frame, is at most `n / fps` seconds: frames are repeated or dropped, never
            blended. None returns every source frame. A folder of images has no timestamps: `fps` is
            its frame rate (25 by default) and nothing is dropped, unless `image_fps` is given.
        stride: Return every `stride`-th of these frames, from the first.
        strict: Whether damaged data raises an error. If False, the frames that decode are returned,
            with one `RuntimeWarning` per iteration.
        timeout: Seconds to wait for a stream or camera to open, and for its next data. None waits
            10 seconds, and for a pipe without limit.
        options: FFmpeg options for the source, for example
            `{"video_size": "640x480", "framerate": "30"}` for a camera.
        stream: Number of the video stream to read, from 0. None reads the one that the file flags
            as its default; without a flag, or with several, the one with the largest pictures.
        live: Whether the source is live. None decides by the kind of the source.
        image_fps: The frame rate of a folder of images, which is then brought to `fps` as any other
            source. Ignored for other sources.
        reconnect: Seconds after the loss of a live source in which it is opened again, with growing
            pauses. The times of its frames continue without the gap. 0 raises an error at once.

    Raises:
        VideoError: The source is missing, empty, unreadable, damaged or without video; there is no
            such `stream`; `size`, `shorter_side`, `fps` or `stride` is not positive; or
            `shorter_side` is too short for `size`, or given without it. While iterating: a frame's
            size differs from the first although `size` is None; a stream stopped, and did not come
            back; a pipe is read again; damaged data if `strict`.

    Warns:
        RuntimeWarning: While iterating: a live source was lost, and came back; damaged data unless
            `strict`.

    Example:
        >>> with VideoReader("walk.mp4", size=(224, 224), fps=25) as video:
        ...     for frame in video:  # uint8 [224, 224, 3], RGB
        ...         ...
    """

    def __init__(
        self,
        source: str | os.PathLike[str],
        size: tuple[int, int] | None = None,
        fps: float | Fraction | None = None,
        *,
        shorter_side: int | None = None,
        stride: int = 1,
        strict: bool = False,
        timeout: float | None = None,
        options: Mapping[str, str] | None = None,
        stream: int | None = None,
        live: bool | None = None,
        reconnect: float = 30.0,
        image_fps: float | Fraction | None = None,
    ) -> None:
        self.source = os.fspath(source)
        self._size = _checked_size(size)
        self._shorter_side = _checked_shorter_side(shorter_side, size)
        self._rate = None if fps is None else frame_rate(fps)
        self._image_rate = self._rate if image_fps is None else frame_rate(image_fps)
        self._stride = _checked_stride(stride)
        self._strict = strict
        self._timeout = timeout
        self._options = dict(options or {})
        self._stream = stream
        self._live = live
        self._reconnect = _checked_seconds("reconnect", reconnect)
        self._closed = False
        self._open_sources: list[Source] = []
        _READERS.add(self)
        # Open the source and decode one frame right away: errors then appear where the source is
        # named, and the size after rotation is known. The first iteration continues from here.
        started = self._start()
        self._started: _Started | None = started
        self._height, self._width = self._size or started.first.upright_size
        self._framing = Cropped((self._height, self._width), shorter_side=self._shorter_side)
        self._is_live = started.source.is_live
        self._source_rate = started.source.rate
        self._source_count = started.source.frame_count
        self._source_duration = started.source.duration
        self._has_rate = not isinstance(started.source, ImageFolder) or image_fps is not None
        self._resample_rate = self._rate if self._has_rate else None

    @property
    def height(self) -> int:
        """Height of every frame, in pixels."""
        return self._height

    @property
    def width(self) -> int:
        """Width of every frame, in pixels."""
        return self._width

    @property
    def is_live(self) -> bool:
        """Whether frames arrive in real time, and are lost if they are not read in time."""
        return self._is_live

    @property
    def fps(self) -> float | None:
        """Frames per second that are returned: of the argument `fps`, or of the source on average.

        None if unknown.
        """
        rate = self._rate or self._source_rate
        return None if rate is None else float(rate / self._stride)

    @property
    def source_fps(self) -> float | None:
        """Frames per second of the source, on average. None if unknown."""
        return None if self._source_rate is None else float(self._source_rate)

    def bring_to(self, fps: float | Fraction | None, stride: int = 1) -> None:
        """Set the rate of the frames from the next iteration on, once the source is known.

        Args:
            fps, stride: As in the class. A folder of images that has no `image_fps` keeps its own
                rate: nothing is repeated or dropped.

        Raises:
            VideoError: One of them is not positive.
        """
        self._rate = None if fps is None else frame_rate(fps)
        self._stride = _checked_stride(stride)
        self._resample_rate = self._rate if self._has_rate else None

    @property
    def duration(self) -> float | None:
        """Length in seconds, as stated by the source; None if not stated, as in live sources."""
        return None if self._source_duration is None else float(self._source_duration)

    @property
    def frame_count(self) -> int | None:
        """Number of frames in one iteration, as stated by the source; None if unknown."""
        count = self._source_count
        if self._resample_rate is not None:
            duration = self._source_duration
            count = None if duration is None else math.ceil(duration * self._resample_rate)
        return None if count is None else math.ceil(count / self._stride)

    def __iter__(self) -> Iterator[Frame]:
        for _, frame in self.timed():
            yield frame

    def timed(self) -> Iterator[tuple[float, Frame]]:
        """Yield `(seconds since the first frame, frame uint8 [height, width, 3])`."""
        for view in self.views():
            yield view.seconds, view.frame

    def views(self) -> Iterator[View]:
        """Yield frames with their times and with the whole pictures that they are parts of."""
        self._require_open()
        if self._started is None and is_pipe(self.source):
            raise VideoError(
                f"{self.source}: expected to be read once. Received: a second iteration over a "
                "pipe, whose frames are gone. Keep them, or save the video as a file first."
            )
        source, frames, first = self._started or self._start()
        self._started = None
        scale = self._size is not None
        pictures = upright_pictures(first, frames, self._framing, scale, self.source)
        if self._resample_rate is not None:
            pictures = resample(pictures, self._resample_rate)
        wholes = WholePictures()
        try:
            for picture in itertools.islice(pictures, 0, None, self._stride):
                whole = functools.partial(wholes.of, picture.decoded)
                yield View(float(picture.time), picture.pixels, picture.part, whole)
                self._require_open()
            self._require_open()
        finally:
            self._release(source)

    @property
    def is_open(self) -> bool:
        """Whether the source is open: until the end of an iteration, or `close()`."""
        return bool(self._open_sources)

    def interrupt(self) -> None:
        """End the iteration that waits for data in another thread, before `close`."""
        for source in list(self._open_sources):
            if isinstance(source, BackgroundSource):
                self._release(source)

    def close(self) -> None:
        """Close the source. Running iterations raise `VideoError` at their next frame."""
        self._closed = True
        self._started = None
        for source in list(self._open_sources):
            self._release(source)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def _start(self) -> _Started:
        """Open the source and decode its first frame."""
        source = open_source(
            self.source,
            self._image_rate,
            self._strict,
            self._timeout,
            self._options,
            self._stream,
            self._live,
            self._reconnect,
        )
        self._open_sources.append(source)
        try:
            frames = source.frames()
            first = next(frames, None)
            if first is None:
                raise no_frames(self.source) if source in self._open_sources else self._not_open()
        except BaseException:
            self._release(source)
            raise
        return _Started(source, frames, first)

    def _release(self, source: Source) -> None:
        if source in self._open_sources:
            self._open_sources.remove(source)
            source.close()

    def _require_open(self) -> None:
        if self._closed:
            raise self._not_open()

    def _not_open(self) -> VideoError:
        return VideoError(
            f"{self.source}: expected an open reader. Received: a closed one. "
            "Iterate inside the `with` block, or create a new VideoReader."
        )


def _checked_size(size: tuple[int, int] | None) -> tuple[int, int] | None:
    if size is None:
        return None
    if len(size) != 2 or any(int(side) != side or side < 1 for side in size):
        raise VideoError(f"size: expected (height, width), positive integers. Received: {size}.")
    return int(size[0]), int(size[1])


def _checked_shorter_side(length: int | None, size: tuple[int, int] | None) -> int | None:
    if length is not None and (size is None or length < min(size)):
        raise VideoError(
            f"shorter_side: expected a size, and at least its smaller side. Received: {length} "
            f"and size {size}."
        )
    return length


def _checked_stride(stride: int) -> int:
    if not isinstance(stride, int) or stride < 1:
        raise VideoError(f"stride: expected an int of at least 1. Received: {stride!r}.")
    return stride


def _checked_seconds(name: str, value: float) -> float:
    if not value >= 0:  # also if it is NaN
        raise VideoError(f"{name}: expected seconds, 0 or more. Received: {value}.")
    return value

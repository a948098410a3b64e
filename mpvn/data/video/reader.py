"""Frames from files, image folders, network streams and cameras, all through PyAV (FFmpeg).

One reader for every source, so that what consumes frames (training, the demo, the command line)
never asks where they come from. What it takes care of, because each has spoilt results unseen:
rotation stored as metadata (phones), variable frame rates, odd sizes, gray, palette and alpha
pictures, files cut short.

`sources` opens and decodes, `frames` makes RGB of what was decoded; the limits of each are told
there. The reader joins the two and owns what is open.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Self

from mpvn.data.video.frames import Decoded, Frame, VideoError, resample, upright_pictures
from mpvn.data.video.sources import ImageFolder, Source, open_source

__all__ = ["Frame", "VideoError", "VideoReader", "frame_rate"]


class VideoReader:
    """An iterable of the frames of one video source.

    Iterating again starts again: a file from its first frame, a camera or stream by a new
    connection. Each array is the consumer's own; the reader keeps no frame but the current one.

    Args:
        source: One of
            a video file; a folder of images, read in natural order (`2.png` before `10.png`);
            a URL such as `rtsp://...` or `https://...`;
            a camera: `/dev/video0`, `camera:0`, or `camera:NAME`.
        size: `(height, width)` in pixels. Frames are scaled, keeping their proportions, until they
            just cover this size, and what stands out is cropped equally on both sides.
            None keeps the size of the source.
        fps: Frames per second. Output frame `n` is the newest source frame whose time, counted from
            the first frame, is at most `n / fps` seconds: frames are repeated or dropped, never
            blended. None passes every source frame as it is. A folder of images has no times of
            its own: there `fps` is the rate of the folder (25 by default) and nothing is dropped.
        strict: Whether damaged data raises an error. If False, what decodes is delivered, and one
            `RuntimeWarning` per iteration tells of the damage.
        timeout: Seconds to wait for a stream or camera to open, and for its next data.
        options: FFmpeg options handed to the source, for example
            `{"video_size": "640x480", "framerate": "30"}` for a camera.

    Raises:
        VideoError: The source is missing, empty, unreadable, damaged or without pictures; or `size`
            or `fps` is not positive. While iterating: a frame of another size than the first
            although `size` is None; data lost from a stream; damaged data if `strict`.

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
        strict: bool = False,
        timeout: float = 10.0,
        options: Mapping[str, str] | None = None,
    ) -> None:
        self.source = os.fspath(source)
        self._size = _checked_size(size)
        self._rate = None if fps is None else frame_rate(fps)
        self._strict = strict
        self._timeout = timeout
        self._options = dict(options or {})
        self._closed = False
        self._inputs: list[Source] = []
        # Opening and decoding one frame now finds faults where the user can see which source it is,
        # and tells the size after rotation. The first iteration goes on from here.
        opened, frames, first = self._begin()
        self._begun: tuple[Source, Iterator[Decoded], Decoded] | None = (opened, frames, first)
        self._height, self._width = self._size or first.upright_size
        self._source_rate = opened.rate
        self._source_count = opened.frame_count
        self._source_duration = opened.duration
        self._resample_rate = None if isinstance(opened, ImageFolder) else self._rate

    @property
    def height(self) -> int:
        """Height of every frame, in pixels."""
        return self._height

    @property
    def width(self) -> int:
        """Width of every frame, in pixels."""
        return self._width

    @property
    def fps(self) -> float | None:
        """Frames per second delivered: as asked for, else the source's average; None if unknown."""
        rate = self._rate or self._source_rate
        return None if rate is None else float(rate)

    @property
    def duration(self) -> float | None:
        """Length in seconds as the source states it; None if it states none (live sources)."""
        return None if self._source_duration is None else float(self._source_duration)

    @property
    def frame_count(self) -> int | None:
        """Number of frames to come from one iteration, as the source states it; None if unknown."""
        if self._resample_rate is None:
            return self._source_count
        if self._source_duration is None:
            return None
        return math.ceil(self._source_duration * self._resample_rate)

    def __iter__(self) -> Iterator[Frame]:
        for _, frame in self.timed():
            yield frame

    def timed(self) -> Iterator[tuple[float, Frame]]:
        """Yields `(seconds since the first frame, frame uint8 [height, width, 3])`."""
        self._require_open()
        opened, frames, first = self._begun or self._begin()
        self._begun = None
        shape = (self._height, self._width)
        pictures = upright_pictures(first, frames, shape, self._size is not None, self.source)
        if self._resample_rate is not None:
            pictures = resample(pictures, self._resample_rate)
        try:
            for picture in pictures:
                yield float(picture.time), picture.pixels
                self._require_open()
        finally:
            self._release(opened)

    def close(self) -> None:
        """Releases the source; iterations under way raise `VideoError` at their next frame."""
        self._closed = True
        self._begun = None
        for opened in list(self._inputs):
            self._release(opened)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def _begin(self) -> tuple[Source, Iterator[Decoded], Decoded]:
        """Opens the source and decodes its first frame."""
        opened = open_source(self.source, self._rate, self._strict, self._timeout, self._options)
        self._inputs.append(opened)
        try:
            frames = opened.frames()
            first = next(frames, None)
            if first is None:
                raise VideoError(
                    f"{self.source}: expected at least one frame that decodes, received none. "
                    "The file is damaged or was cut short: fetch or record it again."
                )
        except BaseException:
            self._release(opened)
            raise
        return opened, frames, first

    def _release(self, opened: Source) -> None:
        if opened in self._inputs:
            self._inputs.remove(opened)
            opened.close()

    def _require_open(self) -> None:
        if self._closed:
            raise VideoError(
                f"{self.source}: expected an open reader, received a closed one. "
                "Iterate inside the `with` block, or create a new VideoReader."
            )


def frame_rate(fps: float | Fraction) -> Fraction:
    """The exact rate meant by `fps`: 29.97002997 becomes 30000/1001.

    Raises:
        VideoError: `fps` is not a positive, finite number.
    """
    if not math.isfinite(fps) or fps <= 0:
        raise VideoError(f"fps: expected a positive number of frames per second, received {fps}.")
    if isinstance(fps, Fraction):
        return fps
    rate = Fraction(fps).limit_denominator(1_000_000)
    if rate == 0:
        raise VideoError(f"fps: expected at least one frame in a million seconds, received {fps}.")
    return rate


def _checked_size(size: tuple[int, int] | None) -> tuple[int, int] | None:
    if size is None:
        return None
    if len(size) != 2 or any(int(side) != side or side < 1 for side in size):
        raise VideoError(f"size: expected (height, width), two positive integers, received {size}.")
    return int(size[0]), int(size[1])

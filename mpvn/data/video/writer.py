"""Write frames to an H.264 video file.

The file gets its name only when it is complete. Until then it has a hidden, temporary name in the
same folder, so that a crash leaves the old file or none.

Limitations: the encoding is lossy and halves the color resolution (yuv420p, which every player
supports); there is no audio.
"""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Self

import av
import numpy as np
from av.container import OutputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from mpvn.data.video.errors import VideoError
from mpvn.data.video.frames import Frame
from mpvn.data.video.reader import is_being_read
from mpvn.data.video.timeline import frame_rate
from mpvn.files import AtomicPath, cannot_write

_FORMATS = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska"}  # FFmpeg's names, by suffix
SUFFIXES = tuple(_FORMATS)
"""Endings of the files that `VideoWriter` writes."""

# Put the index of MP4 and MOV first, so that players can start before the download ends.
_INDEX_FIRST = {"movflags": "faststart"}
_TICKS = 30_000  # per second, at least, for frames with times
_MOST_TICKS = 65_535  # of the MPEG-4 encoder
_BT709 = 1  # the same number in FFmpeg's tables of color matrices, primaries and transfer curves
_LIMITED_RANGE = 1


class VideoWriter:
    """Write frames `uint8 [height, width, 3]`, RGB, to a video file.

    The first frame sets the size. An odd height or width is padded by repeating the last row or
    column, because yuv420p stores one color for 2x2 pixels. Leaving the `with` block completes the
    file; leaving it with an exception deletes it.

    Frames are evenly spaced, or each is written with its time, as `VideoReader.timed()` yields it.
    The last frame is shown for `1 / fps` seconds in both cases.

    Args:
        path: The file to write, `.mp4`, `.mov` or `.mkv`. An existing file is replaced at the end.
        fps: Frames per second; of frames with times, their average.
        crf: Constant rate factor of H.264, from 0 (lossless) to 51 (worst). Adding 6 halves the
            file size.

    Raises:
        VideoError: The file is being read, its folder does not exist, or it cannot be written; the
            suffix is not supported, `fps` is not positive, or no frame was written; a frame has the
            wrong shape, dtype or time.

    Example:
        >>> with VideoWriter("out.mp4", fps=25) as video:
        ...     for frame in frames:
        ...         video.write(frame)
    """

    def __init__(
        self, path: str | os.PathLike[str], fps: float | Fraction, *, crf: int = 18
    ) -> None:
        self.path = Path(path)
        _check_path(self.path)
        if not 0 <= crf <= 51:
            raise VideoError(f"crf: expected a number from 0 to 51. Received: {crf}.")
        self._rate = frame_rate(fps)
        self._crf = crf
        self._file = AtomicPath(self.path)
        self._container: OutputContainer | None = None
        self._stream: VideoStream | None = None
        self._shape: tuple[int, ...] | None = None
        self._tick = Fraction(0)
        self._last: int | None = None
        self._timed = False
        self._closed = False
        self._count = 0

    @property
    def frame_count(self) -> int:
        """Number of frames written so far."""
        return self._count

    def write(self, frame: Frame, time: float | Fraction | None = None) -> None:
        """Append one frame.

        Args:
            frame: `uint8 [height, width, 3]`, RGB.
            time: Seconds from the start of the video to this frame, later than the last frame's.
                None for evenly spaced frames. Either all frames have a time, or none.
        """
        if self._closed:
            raise VideoError(f"{self.path}: expected an open writer. Received: a closed one.")
        self._check(frame)
        self._check_time(time)
        height, width, _ = frame.shape
        with self._explained():
            if self._container is None or self._stream is None:
                self._timed, self._shape = time is not None, frame.shape
                self._tick = _tick(self._rate) if self._timed else 1 / self._rate
                self._container, self._stream = self._open(height, width)
            padded = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
            image = VideoFrame.from_ndarray(np.ascontiguousarray(padded), format="rgb24").reformat(
                format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG"
            )
            image.pts = self._pts(time)
            image.time_base = self._tick
            image.duration = round(1 / self._rate / self._tick)  # until the next one, if there is
            self._container.mux(self._stream.encode(image))
        self._last = image.pts
        self._count += 1

    def close(self) -> None:
        """Complete the file and rename it to its final name. The second call does nothing."""
        if self._closed:
            return
        if self._container is None or self._stream is None:
            self._closed = True
            raise VideoError(f"{self.path}: expected at least one frame. Received: none.")
        try:
            with self._explained():
                self._container.mux(self._stream.encode(None))
                self._container.close()
                self._file.commit()
        except BaseException:
            self.abort()
            raise
        self._closed = True

    def abort(self) -> None:
        """Discard the frames written so far. An older file of the same name is kept."""
        if self._closed:
            return
        self._closed = True
        try:
            if self._container is not None:
                with contextlib.suppress(av.FFmpegError, OSError):  # The disk is still full.
                    self._container.close()
        finally:
            self._file.discard()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Raise the errors of FFmpeg and of the system as a `VideoError` that names the file."""
        try:
            yield
        except (av.FFmpegError, OSError) as error:
            raise VideoError(cannot_write(self.path, error)) from error

    def _check(self, frame: Frame) -> None:
        expected = f"frame {self._count}: expected a NumPy array uint8 [height, width, 3]"
        if not isinstance(frame, np.ndarray):
            raise VideoError(f"{expected}. Received: {type(frame).__name__}. Use np.asarray.")
        if frame.dtype != np.uint8:
            raise VideoError(
                f"{expected}. Received: dtype {frame.dtype}. Scale it to 0..255 and use "
                "astype(uint8)."
            )
        if frame.ndim != 3 or frame.shape[2] != 3 or 0 in frame.shape:
            raise VideoError(f"{expected}. Received: shape {list(frame.shape)}.")
        if self._shape is not None and frame.shape != self._shape:
            raise VideoError(
                f"{expected} of the first frame's shape {list(self._shape)}. Received: "
                f"{list(frame.shape)}. Resize it, or write another file."
            )

    def _check_time(self, time: float | Fraction | None) -> None:
        if self._count and self._timed != (time is not None):
            raise VideoError(
                f"frame {self._count}: expected {'a' if self._timed else 'no'} time, as for the "
                f"frames before. Received: {time}."
            )
        if time is not None and not (math.isfinite(time) and time >= 0):
            raise VideoError(
                f"frame {self._count}: expected a time in seconds, at least 0. Received: {time}."
            )

    def _pts(self, time: float | Fraction | None) -> int:
        """Return when the next frame is shown, in ticks."""
        if time is None:
            return self._count
        ticks = round(Fraction(time) / self._tick)
        if self._last is not None and ticks <= self._last:
            raise VideoError(
                f"frame {self._count}: expected a later time than the last frame's, "
                f"{float(self._last * self._tick):g} s. Received: {float(time):g} s."
            )
        return ticks

    def _open(self, height: int, width: int) -> tuple[OutputContainer, VideoStream]:
        suffix = self.path.suffix.lower()
        container = av.open(
            f"file:{self._file.temporary}",  # without a protocol, a colon would end one
            "w",
            format=_FORMATS[suffix],
            options={} if suffix == ".mkv" else _INDEX_FIRST,
        )
        if "libx264" in av.codecs_available:
            stream = container.add_stream(
                "libx264", rate=self._rate, options={"crf": str(self._crf)}
            )
        else:
            stream = container.add_stream("mpeg4", rate=self._rate)
            stream.bit_rate = int(height * width * self._rate / 4)
        stream.height = height + height % 2
        stream.width = width + width % 2
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = self._tick
        # Without these tags, players guess the color space from the size of the video.
        stream.codec_context.colorspace = _BT709
        stream.codec_context.color_primaries = _BT709
        stream.codec_context.color_trc = _BT709
        stream.codec_context.color_range = _LIMITED_RANGE
        return container, stream


def _check_path(path: Path) -> None:
    if path.suffix.lower() not in _FORMATS:
        raise VideoError(
            f"{path}: expected a file name that ends in {', '.join(SUFFIXES)}. "
            f"Received: {path.suffix or 'no suffix'!r}. Rename it."
        )
    if not path.parent.is_dir():
        raise VideoError(
            f"{path}: expected an existing folder. Received: {path.parent}, which does not exist. "
            "Create it first."
        )
    if path.is_dir():
        raise VideoError(
            f"{path}: expected the path of a file. Received: a folder. Choose another path."
        )
    if is_being_read(path):
        raise VideoError(
            f"{path}: expected another file than the ones that are being read. Received: one that "
            "a VideoReader has open. Choose another path."
        )


def _tick(rate: Fraction) -> Fraction:
    """Return a fine tick, in seconds: milliseconds and frames at a constant `rate` are exact."""
    ticks = math.lcm(1000, rate.numerator)
    ticks *= math.ceil(_TICKS / ticks)
    return Fraction(1, ticks if ticks <= _MOST_TICKS else 2 * _TICKS)

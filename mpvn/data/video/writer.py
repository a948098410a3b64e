"""Write frames to an H.264 video file.

The file gets its name only when it is complete. Until then it has a hidden, temporary name in the
same folder, so that a crash leaves the old file or none.

Limitations: the encoding is lossy and halves the color resolution (yuv420p, which every player
supports); there is no audio; frames are evenly spaced in time.
"""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import av
import numpy as np
from av.container import OutputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from mpvn.data.video.errors import VideoError
from mpvn.data.video.frames import Frame
from mpvn.data.video.timeline import frame_rate
from mpvn.files import AtomicPath

_FORMATS = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska"}  # FFmpeg's names, by suffix
_BT709 = 1  # the same number in FFmpeg's tables of color matrices, primaries and transfer curves
_LIMITED_RANGE = 1


class VideoWriter:
    """Write frames `uint8 [height, width, 3]`, RGB, to a video file.

    The first frame sets the size. An odd height or width is padded by repeating the last row or
    column, because yuv420p stores one color for 2x2 pixels. Leaving the `with` block completes the
    file; leaving it with an exception deletes it.

    Args:
        path: The file to write, `.mp4`, `.mov` or `.mkv`. An existing file is replaced at the end.
        fps: Frames per second.
        crf: Constant rate factor of H.264, from 0 (lossless) to 51 (worst). Adding 6 halves the
            file size.

    Raises:
        VideoError: The folder does not exist, the suffix is not supported, `fps` is not positive,
            or no frame was written; a frame has the wrong shape or dtype.

    Example:
        >>> with VideoWriter("out.mp4", fps=25) as video:
        ...     for frame in frames:
        ...         video.write(frame)
    """

    def __init__(
        self, path: str | os.PathLike[str], fps: float | Fraction, *, crf: int = 18
    ) -> None:
        self.path = Path(path)
        if self.path.suffix.lower() not in _FORMATS:
            raise VideoError(
                f"{self.path}: expected a file name that ends in {', '.join(_FORMATS)}. "
                f"Received: {self.path.suffix or 'no suffix'!r}. Rename it."
            )
        if not self.path.parent.is_dir():
            raise VideoError(
                f"{self.path}: expected an existing folder. Received: {self.path.parent}, which "
                "does not exist. Create it first."
            )
        if not 0 <= crf <= 51:
            raise VideoError(f"crf: expected a number from 0 to 51. Received: {crf}.")
        self._rate = frame_rate(fps)
        self._crf = crf
        self._file = AtomicPath(self.path)
        self._container: OutputContainer | None = None
        self._stream: VideoStream | None = None
        self._shape: tuple[int, ...] | None = None
        self._closed = False
        self._count = 0

    @property
    def frame_count(self) -> int:
        """Number of frames written so far."""
        return self._count

    def write(self, frame: Frame) -> None:
        """Append one frame `uint8 [height, width, 3]`, RGB."""
        if self._closed:
            raise VideoError(f"{self.path}: expected an open writer. Received: a closed one.")
        self._check(frame)
        if self._container is None or self._stream is None:
            self._container, self._stream = self._open(frame.shape[0], frame.shape[1])
            self._shape = frame.shape
        height, width, _ = frame.shape
        padded = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        image = VideoFrame.from_ndarray(np.ascontiguousarray(padded), format="rgb24").reformat(
            format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG"
        )
        image.pts = self._count
        image.time_base = 1 / self._rate
        self._container.mux(self._stream.encode(image))
        self._count += 1

    def close(self) -> None:
        """Complete the file and rename it to its final name. The second call does nothing."""
        if self._closed:
            return
        if self._container is None or self._stream is None:
            self._closed = True
            raise VideoError(f"{self.path}: expected at least one frame. Received: none.")
        try:
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
                self._container.close()
        finally:
            self._file.discard()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()

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

    def _open(self, height: int, width: int) -> tuple[OutputContainer, VideoStream]:
        container = av.open(
            str(self._file.temporary),
            "w",
            format=_FORMATS[self.path.suffix.lower()],
            options={"movflags": "faststart"},
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
        # Without these tags, players guess the color space from the size of the video.
        stream.codec_context.colorspace = _BT709
        stream.codec_context.color_primaries = _BT709
        stream.codec_context.color_trc = _BT709
        stream.codec_context.color_range = _LIMITED_RANGE
        return container, stream

"""Frames into an H.264 video file, and text onto frames.

The file appears under its name only when it is whole: it is written beside it under a hidden,
temporary name and renamed at the end, so that a crash leaves the old file, or none.

What it does not do well: H.264 here is lossy and halves the color resolution (yuv420p, which every
player shows); there is no sound; frames are evenly spaced in time.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import av
import numpy as np
from av.container import OutputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from PIL import Image, ImageDraw, ImageFont

from mpvn.data.video.reader import Frame, VideoError, frame_rate
from mpvn.files import AtomicPath

_FORMATS = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska"}  # FFmpeg's names, by suffix
_BT709 = 1  # The same number in FFmpeg's tables of matrices, primaries and transfer curves.
_LIMITED_RANGE = 1


class VideoWriter:
    """Writes frames `uint8 [height, width, 3]`, RGB, to a video file.

    The first frame sets the size. An odd height or width is made even by repeating the last row or
    column, since yuv420p stores one color for 2 x 2 pixels.

    Args:
        path: The file to write, `.mp4` (or `.mov`, `.mkv`); an existing one is replaced at the end.
        fps: Frames per second.
        crf: Quality of H.264, from 0 (lossless) to 51 (worst); 6 more halves the file.

    Raises:
        VideoError: The folder does not exist, the suffix is another, `fps` is not positive, no
            frame was written; a frame has another shape or dtype than it must have.

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
                f"{self.path}: expected a file name ending in {', '.join(_FORMATS)}, received "
                f"{self.path.suffix or 'no ending'!r}. Rename it."
            )
        if not self.path.parent.is_dir():
            raise VideoError(
                f"{self.path}: expected an existing folder {self.path.parent}, received none. "
                "Create it first."
            )
        if not 0 <= crf <= 51:
            raise VideoError(f"crf: expected 0 to 51, received {crf}.")
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
        """Appends one frame `uint8 [height, width, 3]`, RGB."""
        if self._closed:
            raise VideoError(f"{self.path}: expected an open writer, received a closed one.")
        self._check(frame)
        if self._container is None or self._stream is None:
            self._container, self._stream = self._open(frame.shape[0], frame.shape[1])
            self._shape = frame.shape
        height, width, _ = frame.shape
        padded = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        picture = VideoFrame.from_ndarray(np.ascontiguousarray(padded), format="rgb24").reformat(
            format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG"
        )
        picture.pts = self._count
        picture.time_base = 1 / self._rate
        self._container.mux(self._stream.encode(picture))
        self._count += 1

    def close(self) -> None:
        """Completes the file and gives it its name; does nothing the second time."""
        if self._closed:
            return
        if self._container is None or self._stream is None:
            self._closed = True
            raise VideoError(f"{self.path}: expected at least one frame, received none.")
        try:
            self._container.mux(self._stream.encode(None))
            self._container.close()
            self._file.commit()
        except BaseException:
            self.abort()
            raise
        self._closed = True

    def abort(self) -> None:
        """Gives up: removes what was written and leaves an older file of that name alone."""
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
        wanted = f"frame {self._count}: expected a NumPy array uint8 [height, width, 3]"
        if not isinstance(frame, np.ndarray):
            raise VideoError(f"{wanted}, received {type(frame).__name__}. Use np.asarray.")
        if frame.dtype != np.uint8:
            raise VideoError(
                f"{wanted}, received dtype {frame.dtype}. Scale it to 0..255 and use astype(uint8)."
            )
        if frame.ndim != 3 or frame.shape[2] != 3 or 0 in frame.shape:
            raise VideoError(f"{wanted}, received shape {list(frame.shape)}.")
        if self._shape is not None and frame.shape != self._shape:
            raise VideoError(
                f"{wanted} of the first frame's shape {list(self._shape)}, received "
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
        # Without these tags players guess the colors by the size of the picture.
        stream.codec_context.colorspace = _BT709
        stream.codec_context.color_primaries = _BT709
        stream.codec_context.color_trc = _BT709
        stream.codec_context.color_range = _LIMITED_RANGE
        return container, stream


def draw_text(frame: Frame, lines: Sequence[str]) -> Frame:
    """A copy of the frame with lines of text on a dark ground at the top left.

    The letters are about a twentieth of the height, smaller where a line would not fit the width.

    Args:
        frame: `uint8 [height, width, 3]`, RGB. It is not changed.
        lines: The text, from top to bottom. None at all gives a plain copy.
    """
    if not lines:
        return frame.copy()
    height, width, _ = frame.shape
    text = "\n".join(lines)
    image = Image.fromarray(frame)
    canvas = ImageDraw.Draw(image, "RGBA")
    letter = max(10.0, height / 20)
    margin = letter / 2
    # Measured once: the size of the text grows in proportion to that of its letters.
    left, top, right, bottom = canvas.multiline_textbbox(
        (margin, margin), text, ImageFont.load_default(letter)
    )
    letter = max(6.0, letter * min(1.0, (width - 3 * margin) / max(1.0, right - left)))
    font = ImageFont.load_default(letter)
    left, top, right, bottom = canvas.multiline_textbbox((margin, margin), text, font)
    pad = letter / 3
    box = (left - pad, top - pad, right + pad, bottom + pad)
    canvas.rounded_rectangle(box, radius=pad, fill=(16, 18, 24, 176))
    canvas.multiline_text((margin, margin), text, fill=(255, 255, 255, 255), font=font)
    return np.array(image, dtype=np.uint8)

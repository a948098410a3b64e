"""Image files and pixels of any size as the frames of a network: those that `mpvn predict` reads.

Bytes of strangers are decoded as JPEG, PNG or WebP, and as nothing else: FFmpeg would find out the
format by itself, and some formats name other files to read. The size is read before anything is
decoded.
"""

import io
import re

import av
import numpy as np
from PIL import Image, UnidentifiedImageError

from mpvn.data import VideoError
from mpvn.data.video.frames import Converter, Decoded, read_orientation
from mpvn.data.video.framing import Cropped, frame_arrays
from mpvn.serving.errors import InvalidRequest, TooLarge

_FORMATS = {"JPEG": "jpeg_pipe", "PNG": "png_pipe", "WEBP": "webp_pipe"}
_BEGINNINGS = re.compile(rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|RIFF....WEBP", re.DOTALL)


class Images:
    """Makes frames of one size out of pictures of any size.

    Args:
        size: height and width of the frames.
        shorter_side: as in `VideoReader`.
        most_pixels: most pixels of a picture.
    """

    def __init__(self, size: tuple[int, int], shorter_side: int | None, most_pixels: int) -> None:
        self._framing = Cropped(size, shorter_side=shorter_side)
        self._most_pixels = most_pixels

    def decode(self, content: bytes) -> np.ndarray:
        """Return the frame of an image file, uint8 `[H, W, 3]`.

        Raises:
            InvalidRequest: it is no image, damaged, or too small.
            TooLarge: it has too many pixels.
        """
        kind = self._check(content)
        options = {"err_detect": "explode", "max_pixels": str(self._most_pixels)}
        try:
            with av.open(io.BytesIO(content), "r", kind) as container:
                container.streams.video[0].codec_context.options = options
                frame = next(container.decode(video=0))
        except (av.FFmpegError, IndexError, OSError, StopIteration, ValueError) as error:
            raise InvalidRequest(
                f"An image does not decode. Expected a whole JPEG, PNG or WebP file. Received: "
                f"{len(content)} bytes ({error})."
            ) from error
        decoded, converter = Decoded(frame, read_orientation(frame)), Converter(self._framing)
        pixels = np.empty((*self._framing.size, 3), np.uint8)
        try:
            converter.write(decoded, converter.place(decoded), pixels)
        except VideoError as error:
            raise InvalidRequest(f"{error}.") from error
        return pixels

    def crop(self, pixels: np.ndarray) -> np.ndarray:
        """Return the frame of pixels uint8 `[h, w, 3]`.

        Raises:
            InvalidRequest: there are no pixels, or too few.
            TooLarge: there are too many.
        """
        self._check_size(*pixels.shape[:2])
        try:
            return frame_arrays(pixels[None], self._framing).frames[0]
        except VideoError as error:
            raise InvalidRequest(f"{error}.") from error

    def _check(self, content: bytes) -> str:
        """Return FFmpeg's name of the format of an image file, whose size is not too large."""
        if not _BEGINNINGS.match(content):
            raise InvalidRequest(
                "Unknown format of an image. Expected a JPEG, PNG or WebP file. Received: "
                f"{len(content)} bytes that begin with {content[:8]!r}."
            )
        try:
            with Image.open(io.BytesIO(content), formats=[*_FORMATS]) as image:
                width, height = image.size
                kind = _FORMATS[str(image.format)]
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            raise TooLarge(self._too_large(str(error))) from error
        except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
            raise InvalidRequest(
                "An image has no size. Expected a whole JPEG, PNG or WebP file. Received: "
                f"{len(content)} bytes ({error})."
            ) from error
        self._check_size(height, width)
        return kind

    def _check_size(self, height: int, width: int) -> None:
        if not height * width:
            raise InvalidRequest(f"Expected a picture. Received: one of {height} x {width} pixels.")
        if height * width > self._most_pixels:
            raise TooLarge(self._too_large(f"{width} x {height}"))

    def _too_large(self, received: str) -> str:
        return (
            f"A picture is too large. Expected at most {self._most_pixels} pixels. Received: "
            f"{received}. Scale it down."
        )

"""Convert decoded frames to upright RGB arrays.

FFmpeg returns frames as they are stored: rotated, gray, with a palette or an alpha channel, and of
any size. All conversion is here, independent of the source, so that every source is treated alike.

Limitations: pixels are assumed square and frames progressive (no aspect-ratio correction, no
deinterlacing); a rotation is rounded to the nearest quarter turn; mirroring in EXIF data is
ignored; HDR is not tone-mapped.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import NamedTuple, cast

import numpy as np
import numpy.typing as npt
from av.sidedata.sidedata import SideData
from av.sidedata.sidedata import Type as SideDataType
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter

from mpvn.data.video.errors import VideoError

Frame = npt.NDArray[np.uint8]
"""`uint8 [height, width, 3]`, RGB."""


class Orientation(NamedTuple):
    """How to turn a stored frame upright: transpose, then flip rows, then flip columns."""

    transpose: bool = False
    flip_rows: bool = False
    flip_columns: bool = False


_QUARTER_TURNS = (  # 0, 1, 2 and 3 quarter turns counterclockwise
    Orientation(),
    Orientation(True, flip_rows=True),
    Orientation(False, flip_rows=True, flip_columns=True),
    Orientation(True, flip_columns=True),
)


class Decoded(NamedTuple):
    """A frame as FFmpeg decodes it. Times are in seconds."""

    time: Fraction
    duration: Fraction
    frame: VideoFrame
    orientation: Orientation

    @property
    def upright_size(self) -> tuple[int, int]:
        """(height, width) of the frame once it is upright."""
        height, width = self.frame.height, self.frame.width
        return (width, height) if self.orientation.transpose else (height, width)


class Picture(NamedTuple):
    """An upright frame, `uint8 [height, width, 3]`, RGB. Times are in seconds."""

    time: Fraction
    duration: Fraction
    pixels: Frame


def upright_pictures(
    first: Decoded, rest: Iterator[Decoded], shape: tuple[int, int], scale: bool, name: str
) -> Iterator[Picture]:
    """Convert decoded frames to pictures, with times relative to the first frame.

    Args:
        first: The first frame.
        rest: The frames after it.
        shape: (height, width) of every picture.
        scale: Whether to scale and crop frames of another size to `shape`. If False, they raise an
            error.
        name: Name of the source, for the error message.

    Raises:
        VideoError: A frame has another size than `shape` and `scale` is False.
    """
    reformatter = VideoReformatter()  # shared by all frames, because it caches conversion tables
    for decoded in itertools.chain([first], rest):
        if not scale and decoded.upright_size != shape:
            raise VideoError(
                f"{name}: expected every frame to have the (height, width) of the first, {shape}. "
                f"Received: {decoded.upright_size}. Pass `size=` to scale all frames to one size."
            )
        yield Picture(
            time=decoded.time - first.time,
            duration=decoded.duration,
            pixels=_upright_rgb(decoded, shape, reformatter),
        )


def _upright_rgb(decoded: Decoded, shape: tuple[int, int], reformatter: VideoReformatter) -> Frame:
    """Scale a frame until it just covers `shape`, turn it upright, and crop the center."""
    frame, orientation = decoded.frame, decoded.orientation
    height, width = decoded.upright_size
    scale = max(Fraction(shape[0], height), Fraction(shape[1], width))
    # One side matches exactly. Rounding cannot make the other too short: `shape` is integer.
    height = max(shape[0], round(height * scale))
    width = max(shape[1], round(width * scale))
    stored_height, stored_width = (width, height) if orientation.transpose else (height, width)
    if _has_alpha(frame):
        frame = _over_black(frame)
    rgb = reformatter.reformat(
        frame, width=stored_width, height=stored_height, format="rgb24", interpolation="BILINEAR"
    )
    pixels = rgb.to_ndarray()
    if orientation.transpose:
        pixels = pixels.swapaxes(0, 1)  # [H, W, 3] -> [W, H, 3]
    pixels = pixels[:: -1 if orientation.flip_rows else 1, :: -1 if orientation.flip_columns else 1]
    top = (height - shape[0]) // 2
    left = (width - shape[1]) // 2
    pixels = pixels[top : top + shape[0], left : left + shape[1]]
    return np.require(pixels, np.uint8, ["C", "W"])


def _has_alpha(frame: VideoFrame) -> bool:
    pixel_format = frame.format
    return pixel_format.has_palette or any(c.is_alpha for c in pixel_format.components)


def _over_black(frame: VideoFrame) -> VideoFrame:
    """Composite a frame over black. Must precede scaling, which would mix in hidden colors."""
    rgba = frame.reformat(format="rgba").to_ndarray().astype(np.uint16)  # [H, W, 4]
    rgb = (rgba[..., :3] * rgba[..., 3:] + 127) // 255
    return VideoFrame.from_ndarray(rgb.astype(np.uint8), format="rgb24")


def read_orientation(frame: VideoFrame) -> Orientation:
    """Return the orientation in a frame's display matrix.

    The matrix has nine integers (FFmpeg's libavutil/display.h) and maps a stored position to
    x' = a x + c y, y' = b x + d y. For quarter turns and mirror images either a and d are zero or
    b and c.
    """
    # Reading `side_data` creates a reference cycle that keeps the frame alive until the garbage
    # collector runs. Read it from a tiny copy instead.
    tiny = frame.reformat(width=2, height=2, format="gray")
    try:
        side_data = tiny.side_data
    except ValueError:
        # PyAV raises if it does not know one of the kinds, such as EXIF. `rotation` still works.
        return _QUARTER_TURNS[round(frame.rotation / 90) % 4]
    # PyAV annotates the elements as strings, but they are SideData.
    for data in cast(Iterable[SideData], side_data):
        if data.type == SideDataType.DISPLAYMATRIX:
            a, b, _, c, d = (int(value) for value in np.frombuffer(bytes(data), np.int32)[:5])
            if abs(b) + abs(c) > abs(a) + abs(d):
                return Orientation(True, b < 0, c < 0)
            return Orientation(False, d < 0, a < 0)
    return Orientation()

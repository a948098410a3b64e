"""Convert decoded frames to upright RGB arrays.

FFmpeg returns frames as they are stored: rotated, gray, with a palette or an alpha channel, and of
any size. All conversion is here, independent of the source, so that every source is treated alike.

Limitations: pixels are assumed square and frames progressive (no aspect-ratio correction, no
deinterlacing); a rotation is rounded to the nearest quarter turn; mirroring in EXIF data is
ignored; HDR is not tone-mapped.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from typing import NamedTuple, cast

import numpy as np
import numpy.typing as npt
from av.filter import Graph
from av.sidedata.sidedata import SideData
from av.sidedata.sidedata import Type as SideDataType
from av.video.format import VideoFormat
from av.video.frame import VideoFrame
from av.video.plane import VideoPlane
from av.video.reformatter import Interpolation, VideoReformatter

from mpvn.data.video.errors import VideoError
from mpvn.data.video.framing import Cropped, Framing, Placement, Unchanged

Frame = npt.NDArray[np.uint8]
"""`uint8 [height, width, 3]`, RGB."""


class Orientation(NamedTuple):
    """How to turn a stored frame upright: transpose, then flip rows, then flip columns."""

    transpose: bool = False
    flip_rows: bool = False
    flip_columns: bool = False

    def upright(self, pixels: Frame) -> Frame:
        """Return a view of stored pixels `[H, W]` or `[H, W, 3]`, turned upright."""
        turned = pixels.swapaxes(0, 1) if self.transpose else pixels
        return turned[:: -1 if self.flip_rows else 1, :: -1 if self.flip_columns else 1]

    def stored(self, part: Placement, size: tuple[int, int]) -> Placement:
        """Return the stored form of a part of an upright frame of (height, width) `size`."""
        flipped = self._flip(part, size)
        return _transpose(flipped) if self.transpose else flipped

    def shown(self, part: Placement, size: tuple[int, int]) -> Placement:
        """Return the part of an upright frame of `size` that is stored as `part`."""
        return self._flip(_transpose(part) if self.transpose else part, size)

    def _flip(self, part: Placement, size: tuple[int, int]) -> Placement:
        top = size[0] - part.top - part.height if self.flip_rows else part.top
        left = size[1] - part.left - part.width if self.flip_columns else part.left
        return part._replace(top=top, left=left)


def _transpose(part: Placement) -> Placement:
    height, width = part.size
    return Placement(part.left, part.top, part.width, part.height, (width, height))


_QUARTER_TURNS = (  # 0, 1, 2 and 3 quarter turns counterclockwise
    Orientation(),
    Orientation(True, flip_rows=True),
    Orientation(False, flip_rows=True, flip_columns=True),
    Orientation(True, flip_columns=True),
)


class Decoded(NamedTuple):
    """A frame as FFmpeg decodes it.

    Attributes:
        frame: The frame as it is stored.
        orientation: How to turn it upright.
        time: When it is shown, in seconds after the first frame; 0 if it was read by number.
        duration: How long it is shown, in seconds.
        slack: How late `time` may be, because it was rounded, in seconds.
    """

    frame: VideoFrame
    orientation: Orientation
    time: Fraction = Fraction(0)
    duration: Fraction = Fraction(0)
    slack: Fraction = Fraction(0)

    @property
    def upright_size(self) -> tuple[int, int]:
        """(height, width) of the frame once it is upright."""
        height, width = self.frame.height, self.frame.width
        return (width, height) if self.orientation.transpose else (height, width)


class Picture(NamedTuple):
    """An upright frame, `uint8 [height, width, 3]`, RGB. Times as in `Decoded`.

    Attributes:
        part: The part of the decoded frame that it shows.
        decoded: The frame that it was converted from.
    """

    pixels: Frame
    time: Fraction
    duration: Fraction
    slack: Fraction
    part: Placement
    decoded: Decoded


class View(NamedTuple):
    """A frame as a network is shown it, and a way to the picture that it is a part of.

    Attributes:
        seconds: Time since the first frame.
        frame: The part of the picture that is kept, uint8 `[height, width, 3]`.
        part: Where it is in the whole picture; maps points back by `Placement.back`.
        whole: Returns the whole picture in its own size, upright, uint8 `[height, width, 3]`. It
            is converted when it is asked for, so that it costs nothing before.
    """

    seconds: float
    frame: Frame
    part: Placement
    whole: Callable[[], Frame]


def upright_pictures(
    first: Decoded, rest: Iterator[Decoded], framing: Cropped, scale: bool, name: str
) -> Iterator[Picture]:
    """Convert decoded frames to pictures.

    Args:
        first: The first frame.
        rest: The frames after it.
        framing: The part of each frame to keep, and the (height, width) of every picture.
        scale: Whether to scale and crop frames of another size. If False, they raise an error.
        name: Name of the source, for the error message.

    Raises:
        VideoError: A frame has another size than the pictures and `scale` is False, or is too
            small for `framing`.
    """
    converter, shape = Converter(framing), framing.size
    for decoded in itertools.chain([first], rest):
        if not scale and decoded.upright_size != shape:
            raise VideoError(
                f"{name}: expected every frame to have the (height, width) of the first, {shape}. "
                f"Received: {decoded.upright_size}. Pass `size=` to scale all frames to one size."
            )
        pixels = np.empty((*shape, 3), np.uint8)
        part = converter.place(decoded)
        converter.write(decoded, part, pixels)
        time = decoded.time - first.time
        yield Picture(pixels, time, decoded.duration, decoded.slack, part, decoded)


_FILTER = Interpolation.BILINEAR | Interpolation.FULL_CHR_H_INP
"""FFmpeg widens the filter where it scales down, so that all pixels count. Without the second flag,
it leaves out half of the colors of RGB images."""


class Converter:
    """Converts decoded frames of one source to upright RGB.

    Only the part of a frame that is kept is scaled, in the pixel format of the decoder and in the
    same pass that converts it. Scaling to separate planes of red, green and blue is several times
    faster than scaling to interleaved ones, and keeps one color for each pixel.

    Args:
        framing: The part to keep of each frame, and its size.
    """

    def __init__(self, framing: Framing) -> None:
        self._framing = framing
        self._reformatter = VideoReformatter()  # It caches conversion tables.
        self._cropper: _Cropper | None = None

    def place(self, decoded: Decoded) -> Placement:
        """Return the part of an upright frame to keep.

        Most videos have one sample of color for 2x2 pixels, and FFmpeg scales whole samples. So the
        part starts where a sample starts, and also ends where one ends if it is scaled. This moves
        its edges by at most a pixel, but never colors against brightness.
        """
        size, pixel_format = decoded.upright_size, decoded.frame.format
        part = decoded.orientation.stored(self._framing.place(*size), size)
        rows, columns = 16 // pixel_format.chroma_height(16), 16 // pixel_format.chroma_width(16)
        part = part._replace(top=part.top // rows * rows, left=part.left // columns * columns)
        if part.is_scaled:
            height = part.height // rows * rows or part.height
            width = part.width // columns * columns or part.width
            part = part._replace(height=height, width=width)
        return decoded.orientation.shown(part, size)

    def write(self, decoded: Decoded, placement: Placement, pixels: Frame) -> None:
        """Write a part of a frame to `pixels`, uint8 `[*placement.size, 3]`."""
        part = decoded.orientation.stored(placement, decoded.upright_size)
        frame = decoded.frame
        if _has_alpha(frame.format.name):
            frame = _over_black(frame)
        rgb = self._reformatter.reformat(
            self._crop(frame, part),
            height=part.size[0],
            width=part.size[1],
            format="gbrp" if part.is_scaled else "rgb24",
            interpolation=_FILTER,
            threads=1,  # Other clips, or the decoder, occupy the other cores.
        )
        upright = decoded.orientation.upright
        planes = rgb.planes
        if len(planes) == 1:
            pixels[:] = upright(_rows(planes[0], 3 * part.size[1]).reshape(*part.size, 3))
            return
        for channel, plane in zip((1, 2, 0), planes, strict=True):  # green, blue, red
            pixels[..., channel] = upright(_rows(plane, part.size[1]))

    def _crop(self, frame: VideoFrame, part: Placement) -> VideoFrame:
        if (part.height, part.width) == (frame.height, frame.width):
            return frame
        if self._cropper is None or not self._cropper.fits(frame, part):
            self._cropper = _Cropper(frame, part)
        return self._cropper.crop(frame)


class _Cropper:
    """Cuts a part out of frames of one size and format, without copying pixels."""

    def __init__(self, frame: VideoFrame, part: Placement) -> None:
        self._kind = (frame.format.name, frame.width, frame.height, part)
        self._graph = Graph()
        self._graph.threads = 1
        buffer = self._graph.add_buffer(
            width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1)
        )
        place = f"{part.width}:{part.height}:{part.left}:{part.top}:exact=1"
        crop, sink = self._graph.add("crop", place), self._graph.add("buffersink")
        buffer.link_to(crop)
        crop.link_to(sink)
        self._graph.configure()

    def fits(self, frame: VideoFrame, part: Placement) -> bool:
        return self._kind == (frame.format.name, frame.width, frame.height, part)

    def crop(self, frame: VideoFrame) -> VideoFrame:
        self._graph.push(frame)
        return cast(VideoFrame, self._graph.pull())


class WholePictures:
    """Converts whole decoded frames of one source, in their own size."""

    def __init__(self) -> None:
        self._converter = Converter(Unchanged())

    def of(self, decoded: Decoded) -> Frame:
        """Return a frame upright, uint8 `[height, width, 3]`."""
        height, width = decoded.upright_size
        pixels = np.empty((height, width, 3), np.uint8)
        self._converter.write(decoded, Unchanged().place(height, width), pixels)
        return pixels


def _rows(plane: VideoPlane, width: int) -> Frame:
    """Return a view of a plane of 8 bits, `[height, width]`; `width` in bytes."""
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
    return rows[: plane.height, :width]


@functools.cache
def _has_alpha(name: str) -> bool:
    pixel_format = VideoFormat(name)
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
    tiny = frame.reformat(width=2, height=2, format="gray", interpolation="POINT", threads=1)
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

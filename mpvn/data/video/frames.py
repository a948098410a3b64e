"""One decoded picture into RGB as the user sees it, and a run of pictures onto an even rate.

FFmpeg hands out pictures as they are stored: on their side, gray, with a palette or alpha, of any
size, at any times. Everything that makes them uniform is here and knows nothing of where they come
from, so that every source gets the same treatment.

What it does not do well: pixels are taken as square and frames as progressive (no aspect-ratio
correction, no deinterlacing); rotations other than quarter turns go to the nearest one, and the
mirroring that EXIF can ask of an image is not done; HDR is not tone-mapped.
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

Frame = npt.NDArray[np.uint8]


class VideoError(ValueError):
    """A video source or target that cannot be used.

    The message says what was expected, what was received, and how to mend it.
    """


class Turn(NamedTuple):
    """What makes a stored frame upright: transpose, then flip rows, then flip columns."""

    transpose: bool = False
    flip_rows: bool = False
    flip_columns: bool = False


_QUARTER_TURNS = (  # Counter-clockwise: none, one, two, three.
    Turn(),
    Turn(True, flip_rows=True),
    Turn(False, flip_rows=True, flip_columns=True),
    Turn(True, flip_columns=True),
)


class Decoded(NamedTuple):
    """A frame as FFmpeg gives it, with its time and how long it is shown, in seconds."""

    time: Fraction
    shown_for: Fraction
    frame: VideoFrame
    turn: Turn

    @property
    def upright_size(self) -> tuple[int, int]:
        """(height, width) after the turn."""
        height, width = self.frame.height, self.frame.width
        return (width, height) if self.turn.transpose else (height, width)


class Picture(NamedTuple):
    """A decoded frame made an upright RGB array `uint8 [height, width, 3]`."""

    time: Fraction
    shown_for: Fraction
    pixels: Frame


def upright_pictures(
    first: Decoded, rest: Iterator[Decoded], shape: tuple[int, int], scale: bool, name: str
) -> Iterator[Picture]:
    """Makes RGB of decoded frames, and counts their time from the first.

    Args:
        first: The first frame.
        rest: Those after it.
        shape: (height, width) of every picture.
        scale: Whether frames of another size are scaled and cropped to `shape`, or are an error.
        name: What the error calls the source.
    """
    reformatter = VideoReformatter()  # One for all, since it caches its conversion tables.
    for decoded in itertools.chain([first], rest):
        if not scale and decoded.upright_size != shape:
            raise VideoError(
                f"{name}: expected every frame to be (height, width) {shape} as the first, "
                f"received {decoded.upright_size}. Give `size=` to bring all to one size."
            )
        yield Picture(
            time=decoded.time - first.time,
            shown_for=decoded.shown_for,
            pixels=_upright_rgb(decoded, shape, reformatter),
        )


def resample(pictures: Iterator[Picture], rate: Fraction) -> Iterator[Picture]:
    """At each n / rate the newest picture that is not later.

    source   0-----1--2-----------3-----|     (times as they come)
    output   0---0---2---2---2---3---3--      (every 1 / rate, until the last picture ends)

    A picture is passed on once its successor is known: live sources are one frame later by this.
    """
    period = 1 / rate
    due = Fraction(0)
    newest = next(pictures, None)
    while newest is not None:
        successor = next(pictures, None)
        end = newest.time + newest.shown_for if successor is None else successor.time
        while due < end:
            # A copy where the picture is needed again, since the consumer may draw on its own.
            again = due + period < end
            yield Picture(due, period, newest.pixels.copy() if again else newest.pixels)
            due += period
        newest = successor


def _upright_rgb(decoded: Decoded, shape: tuple[int, int], reformatter: VideoReformatter) -> Frame:
    """Scaled until it just covers `shape`, turned upright, and cropped in the middle."""
    frame, turn = decoded.frame, decoded.turn
    height, width = decoded.upright_size
    scale = max(Fraction(shape[0], height), Fraction(shape[1], width))
    # One side is exact; the other is no shorter, since rounding keeps whole numbers.
    height = max(shape[0], round(height * scale))
    width = max(shape[1], round(width * scale))
    stored = (width, height) if turn.transpose else (height, width)
    if _has_alpha(frame):
        frame = _over_black(frame)
    rgb = reformatter.reformat(
        frame, width=stored[1], height=stored[0], format="rgb24", interpolation="BILINEAR"
    )
    pixels = rgb.to_ndarray()
    if turn.transpose:
        pixels = pixels.swapaxes(0, 1)  # [H, W, 3] -> [W, H, 3]
    pixels = pixels[:: -1 if turn.flip_rows else 1, :: -1 if turn.flip_columns else 1]
    top = (height - shape[0]) // 2
    left = (width - shape[1]) // 2
    pixels = pixels[top : top + shape[0], left : left + shape[1]]
    return np.require(pixels, np.uint8, ["C", "W"])


def _has_alpha(frame: VideoFrame) -> bool:
    layout = frame.format
    return layout.has_palette or any(component.is_alpha for component in layout.components)


def _over_black(frame: VideoFrame) -> VideoFrame:
    """Composites the picture over black: color times alpha, before any scaling."""
    rgba = frame.reformat(format="rgba").to_ndarray().astype(np.uint16)  # [H, W, 4]
    rgb = (rgba[..., :3] * rgba[..., 3:] + 127) // 255
    return VideoFrame.from_ndarray(rgb.astype(np.uint8), format="rgb24")


def turn_of(frame: VideoFrame) -> Turn:
    """Reads the display matrix (nine integers, FFmpeg's libavutil/display.h) of a frame.

    It maps a stored position to x' = a x + c y, y' = b x + d y. For quarter turns and mirrorings
    either a and d are zero or b and c.
    """
    # A frame asked for its side data lives until the garbage collector comes, since both refer to
    # each other. So it is a tiny copy that is asked.
    tiny = frame.reformat(width=2, height=2, format="gray")
    try:
        side_data = tiny.side_data
    except ValueError:
        # PyAV knows no name for some kinds, as EXIF, and then gives none. The angle it still tells.
        return _QUARTER_TURNS[round(frame.rotation / 90) % 4]
    # PyAV's annotation calls the elements strings; they are SideData.
    for data in cast(Iterable[SideData], side_data):
        if data.type == SideDataType.DISPLAYMATRIX:
            a, b, _, c, d = (int(value) for value in np.frombuffer(bytes(data), np.int32)[:5])
            if abs(b) + abs(c) > abs(a) + abs(d):
                return Turn(True, b < 0, c < 0)
            return Turn(False, d < 0, a < 0)
    return Turn()

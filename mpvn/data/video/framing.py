"""Which part of a frame is kept, and at what size: decided before the frame is read.

Reading then scales no more than the part that is kept, and does so before it converts colors.
Streams, clips and arrays are framed by the same rules, so a network sees the same in training and
in a stream.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

from mpvn.data.video.errors import VideoError


class Placement(NamedTuple):
    """A part of a frame, in pixels, and the (height, width) to which it is scaled."""

    top: int
    left: int
    height: int
    width: int
    size: tuple[int, int]

    @property
    def is_scaled(self) -> bool:
        """Whether the part is scaled to another size."""
        return self.size != (self.height, self.width)

    def move(self, joints: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return joints in pixels of the part. Joints outside of it become invisible.

        Args:
            joints: `[..., 3]`: x and y in pixels of the frame, where whole numbers are centers of
                pixels, and 1 if the joint is visible, else 0.
        """
        x, y, visible = np.moveaxis(joints, -1, 0)
        height, width = self.size
        x = (x - self.left + 0.5) * (width / self.width) - 0.5
        y = (y - self.top + 0.5) * (height / self.height) - 0.5
        inside = (x >= -0.5) & (x < width - 0.5) & (y >= -0.5) & (y < height - 0.5)
        return np.stack([x, y, visible * inside], axis=-1).astype(np.float32)

    def back(self, joints: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return joints in pixels of the frame: the inverse of `move`.

        Args:
            joints: `[..., 3]`: x and y in pixels of the part, and anything, which is kept.
        """
        x, y, height_of_peak = np.moveaxis(joints, -1, 0)
        height, width = self.size
        x = (x + 0.5) * (self.width / width) - 0.5 + self.left
        y = (y + 0.5) * (self.height / height) - 0.5 + self.top
        return np.stack([x, y, height_of_peak], axis=-1).astype(np.float32)


class Framing(Protocol):
    """Decides which part of a frame is kept, and at what size."""

    def place(self, height: int, width: int) -> Placement:
        """Return the part of an upright frame of this size."""


@dataclasses.dataclass(frozen=True)
class Unchanged:
    """The whole frame, in its own size."""

    def place(self, height: int, width: int) -> Placement:
        return Placement(0, 0, height, width, (height, width))


@dataclasses.dataclass(frozen=True)
class Stretched:
    """The whole frame, without regard to its aspect ratio.

    Attributes:
        size: Height and width of the result, in pixels.
    """

    size: tuple[int, int]

    def place(self, height: int, width: int) -> Placement:
        return Placement(0, 0, height, width, self.size)


@dataclasses.dataclass(frozen=True)
class ShorterSide:
    """The whole frame, with its aspect ratio.

    Attributes:
        length: Shorter side of the result, in pixels. The longer side is rounded down.
    """

    length: int

    def place(self, height: int, width: int) -> Placement:
        shorter = min(height, width)
        size = (height * self.length // shorter, width * self.length // shorter)
        return Placement(0, 0, height, width, size)


@dataclasses.dataclass(frozen=True)
class Cropped:
    """A part of the frame with the aspect ratio of the result.

    Attributes:
        size: Height and width of the result, in pixels.
        scale: Sides of the part, relative to those at a scale of 1; at most 1.
        position: Place of the part in the available room, from (0, 0), top left, until before
            (1, 1). (0.5, 0.5) is the center, rounded up.
        shorter_side: Shorter side of the frame in pixels of the result, at a scale of 1: the frame
            is resized to it, and `size` is cut out. None: the part is the largest, and touches two
            sides of the frame.
    """

    size: tuple[int, int]
    scale: float = 1.0
    position: tuple[float, float] = (0.5, 0.5)
    shorter_side: int | None = None

    def place(self, height: int, width: int) -> Placement:
        pixel = largest = min(height / self.size[0], width / self.size[1])
        if self.shorter_side is not None:
            pixel = min(height, width) / self.shorter_side
        if pixel > largest:
            raise VideoError(
                f"A part of {self.size} does not fit. Expected frames that cover it when their "
                f"shorter side is {self.shorter_side}. Received: a frame of {(height, width)}, "
                "height and width. Use a longer shorter side"
            )
        rows, columns = (max(1, round(side * pixel * self.scale)) for side in self.size)
        top = math.floor((height - rows + 1) * self.position[0])
        left = math.floor((width - columns + 1) * self.position[1])
        return Placement(top, left, rows, columns, self.size)


class Framed(NamedTuple):
    """Frames, uint8 `[T, *placement.size, channels]`, and the part of the video that they show."""

    frames: npt.NDArray[np.uint8]
    placement: Placement


def frame_arrays(frames: npt.NDArray[np.uint8], framing: Framing) -> Framed:
    """Crop and scale frames `[T, H, W, channels]` that are in memory.

    Scaling down averages over all pixels, as in frames of files, within about a level of 255.
    """
    placement = framing.place(*frames.shape[1:3])
    top, left, height, width, size = placement
    parts = frames[:, top : top + height, left : left + width]
    if not placement.is_scaled:
        return Framed(parts, placement)
    scaled = np.empty((len(frames), *size, frames.shape[-1]), np.uint8)
    for part, result in zip(parts, scaled, strict=True):
        for source, target in zip(_pictures(part), _pictures(result), strict=True):
            image = Image.fromarray(np.ascontiguousarray(source))
            target[:] = np.asarray(image.resize(size[::-1], Image.Resampling.BILINEAR))
    return Framed(scaled, placement)


def _pictures(frame: npt.NDArray[np.uint8]) -> Sequence[npt.NDArray[np.uint8]]:
    """Return a frame `[H, W, channels]` as RGB, or channel by channel."""
    return [frame] if frame.shape[-1] == 3 else list(np.moveaxis(frame, -1, 0))

"""The views of a video that a test looks at: clips spread over it, and crops of each.

The protocols of *Temporal Shift Module* (section 5). The frames are brought to one shorter side,
and crops are cut out of them without further scaling:

    Views(Segments(8))                                       efficient: 1 clip, 1 crop of 224
    Views(Segments(8), clips=2, crops=3, size=(256, 256))    Something-Something
    Views(Dense(8), clips=10, crops=3, size=(256, 256))      Kinetics
    Views(Segments(8), size=None)                            full resolution: the whole frame

Crops reach the edges of the frame; the authors' can end up to three pixels before them.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from mpvn.data.clips.augmentation import FrameArray, mirrored, normalized, resized
from mpvn.data.clips.sampling import MultiClip, MultiClipSampling


class Place(NamedTuple):
    """Where a crop lies in halves of the room that it has, and whether its mirror image is seen."""

    down: int
    right: int
    mirrored: bool = False


_CENTER = Place(1, 1)
_FIVE = (Place(0, 0), Place(0, 2), Place(2, 0), Place(2, 2), _CENTER)
_PLACES = {
    1: (_CENTER,),
    3: (Place(1, 0), _CENTER, Place(1, 2)),
    5: _FIVE,
    10: (*_FIVE, *(place._replace(mirrored=True) for place in _FIVE)),
}
_UPRIGHT_PLACES = {**_PLACES, 3: (Place(0, 1), _CENTER, Place(2, 1))}


@dataclasses.dataclass(frozen=True)
class Views:
    """Which views of a video are looked at, clip after clip, and of a clip crop after crop.

    Attributes:
        sampling: which frames make a clip.
        clips: how many, spread over the video.
        crops: how many of each clip: 1 in the center; 3 along the longer side: left, center, right,
            or top, center, bottom of upright videos; 5: the corners, first those at the top, and
            the center; 10: those five, and their mirror images.
        size: height and width of the crops, in pixels; None for the whole frame, of which there is
            one view. TSM also calls 3 crops of the full shorter side full resolution.
        scale: shorter side of the frames that crops are cut out of, in pixels.

    Raises:
        ValueError: arguments out of range, or crops that fit into no frame.
    """

    sampling: MultiClipSampling
    clips: int = 1
    crops: int = 1
    size: tuple[int, int] | None = (224, 224)
    scale: int = 256

    def __post_init__(self) -> None:
        MultiClip(self.sampling, self.clips)
        _check_count(self.crops)
        if self.size is None and self.crops > 1:
            raise ValueError(
                f"the whole frame is one view; give a size for crops. Received: {self.crops} crops"
            )
        smallest = 1 if self.size is None else min(self.size)
        if not 1 <= smallest <= self.scale:
            raise ValueError(
                "size must be positive, and its smaller one at most scale, the shorter side of the "
                f"frames. Received: size={self.size}, scale={self.scale}"
            )

    @property
    def multi_clip(self) -> MultiClip:
        """The sampling of all clips."""
        return MultiClip(self.sampling, self.clips)

    @property
    def mirrored(self) -> tuple[bool, ...]:
        """By view, whether it is a mirror image."""
        return tuple(place.mirrored for place in _PLACES[self.crops]) * self.clips

    def of(self, frames: np.ndarray, horizontal: Sequence[int] = ()) -> Iterator[tf.Tensor]:
        """The views of a video, float32 `[T, h, w, C]` between -1 and 1, made one clip at a time.

        Args:
            frames: uint8 `[clips * T, H, W, C]`, as `multi_clip` samples them.
            horizontal: as `VideoSet`.

        Raises:
            ValueError: the video is smaller than its crops once it is scaled.
        """
        # [clips * T, H, W, C] -> [clips, T, H, W, C]
        for clip in frames.reshape(self.clips, -1, *frames.shape[1:]):
            shown = scaled(clip, self.scale)
            yield from crops(shown, self.size or tuple(shown.shape[1:3]), self.crops, horizontal)


def scaled(frames: np.ndarray | tf.Tensor, shorter: int) -> tf.Tensor:
    """Frames with a shorter side of so many pixels, of the shape that they had.

    Args:
        frames: with pixels from 0 to 255, `[T, H, W, C]`.
        shorter: height or width of the result; the longer side is rounded down.

    Returns:
        float32 `[T, H', W', C]` between -1 and 1.
    """
    height, width = frames.shape[1:3]
    least = min(height, width)
    return normalized(resized(frames, (height * shorter // least, width * shorter // least)))


def crops(
    frames: FrameArray, size: tuple[int, int], count: int, horizontal: Sequence[int] = ()
) -> list[FrameArray]:
    """Crops of frames, in the order that `Views` says.

    Args:
        frames: `[T, H, W, C]`.
        size: height and width of a crop, in pixels.
        count: how many: 1, 3, 5 or 10.
        horizontal: as `mirrored`.

    Returns:
        `[T, *size, C]` each.

    Raises:
        ValueError: another count, or frames that are smaller than a crop.
    """
    _check_count(count)
    height, width = frames.shape[1:3]
    down, right = height - size[0], width - size[1]
    if min(down, right) < 0:
        raise ValueError(
            f"crops of {size[0]}x{size[1]} do not fit into frames that are {height}x{width} once "
            "they are scaled. Scale them to a longer side, or ask for smaller crops"
        )
    places = (_UPRIGHT_PLACES if height > width else _PLACES)[count]
    found = []
    for place in places:
        # Halves are rounded up, as in the center of `Augmentation`.
        top, left = (down * place.down + 1) // 2, (right * place.right + 1) // 2
        crop = frames[:, top : top + size[0], left : left + size[1]]
        found.append(mirrored(crop, horizontal) if place.mirrored else crop)
    return found


def _check_count(count: int) -> None:
    if count not in _PLACES:
        known = ", ".join(map(str, _PLACES))
        raise ValueError(f"crops must be one of {known}. Received: {count!r}")

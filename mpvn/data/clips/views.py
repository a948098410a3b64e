"""The views of a video that a test evaluates: clips spread over the video, and crops of each clip.

These are the protocols of *Temporal Shift Module* (section 5.1.1). Frames are resized so that the
shorter side has one length, and crops are cut out without further scaling:

    Views(Segments(8))                                       efficient: 1 clip, 1 crop of 224
    Views(Segments(8), clips=2, crops=3, size=(256, 256))    Something-Something
    Views(Dense(8), clips=10, crops=3, size=(256, 256))      Kinetics
    Views(Segments(8), size=None)                            full resolution: the whole frame

Here, crops extend to the edges of the frame; in the authors' code, they can end up to three pixels
before the edge.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from mpvn.data.clips.augmentation import FrameArray, mirror
from mpvn.data.clips.sampling import MultiClip, MultiClipSampling
from mpvn.data.video.framing import ShorterSide
from mpvn.pixels import to_signed


class Position(NamedTuple):
    """Top left corner of a crop, in halves of the available room, and whether it is mirrored."""

    down: int
    right: int
    mirrored: bool = False


_CENTER = Position(1, 1)
_FIVE = (Position(0, 0), Position(0, 2), Position(2, 0), Position(2, 2), _CENTER)
_POSITIONS = {
    1: (_CENTER,),
    3: (Position(1, 0), _CENTER, Position(1, 2)),
    5: _FIVE,
    10: (*_FIVE, *(position._replace(mirrored=True) for position in _FIVE)),
}
_PORTRAIT_POSITIONS = {**_POSITIONS, 3: (Position(0, 1), _CENTER, Position(2, 1))}


@dataclasses.dataclass(frozen=True)
class Views:
    """The views of a video, ordered by clip, then by crop.

    Attributes:
        sampling: Selects the frames of a clip.
        clips: Number of clips, spread evenly over the video.
        crops: Number of crops of each clip. 1: the center. 3: along the longer side, i.e. left,
            center and right; or top, center and bottom of a portrait video. 5: the corners, top
            ones first, then the center. 10: these five, then their mirror images.
        size: Height and width of the crops, in pixels. None: the whole frame, which is one view.
            TSM also calls 3 crops of the full shorter side full resolution.
        scale: Length of the shorter side of the resized frames, in pixels.

    Raises:
        ValueError: Attributes are out of range, or crops are larger than frames.
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
                f"crops: expected 1, because size=None is the whole frame. Received: {self.crops}. "
                "Set the size of the crops."
            )
        shorter = 1 if self.size is None else min(self.size)
        if not 1 <= shorter <= self.scale:
            raise ValueError(
                "size: expected positive sides, the shorter one at most scale, the shorter side of "
                f"the frames. Received: size={self.size}, scale={self.scale}."
            )

    @property
    def multi_clip(self) -> MultiClip:
        """The sampling of all clips."""
        return MultiClip(self.sampling, self.clips)

    @property
    def framing(self) -> ShorterSide:
        """The size at which frames are read."""
        return ShorterSide(self.scale)

    @property
    def mirrored(self) -> tuple[bool, ...]:
        """For each view, whether it is a mirror image."""
        return tuple(position.mirrored for position in _POSITIONS[self.crops]) * self.clips

    def of(self, frames: np.ndarray, horizontal: Sequence[int] = ()) -> Iterator[tf.Tensor]:
        """Yield the views of a video, and compute them one clip at a time.

        Args:
            frames: uint8 `[clips * T, H, W, C]`, sampled by `multi_clip` and read by `framing`.
            horizontal: As in `VideoSet`.

        Yields:
            float32 `[T, h, w, C]` between -1 and 1.

        Raises:
            ValueError: The resized video is smaller than the crops.
        """
        # [clips * T, H, W, C] -> [clips, T, H, W, C]
        for clip in frames.reshape(self.clips, -1, *frames.shape[1:]):
            size = self.size or clip.shape[1:3]
            for crop in crops(clip, size, self.crops, horizontal):
                yield to_signed(tf.cast(crop, tf.float32))


def crops(
    frames: FrameArray, size: tuple[int, int], count: int, horizontal: Sequence[int] = ()
) -> list[FrameArray]:
    """Cut crops out of frames, in the order of `Views`.

    Args:
        frames: uint8 `[T, H, W, C]`.
        size: Height and width of a crop, in pixels.
        count: Number of crops: 1, 3, 5 or 10.
        horizontal: As in `mirror`.

    Returns:
        The crops, each `[T, *size, C]`.

    Raises:
        ValueError: `count` is a different number, or frames are smaller than a crop.
    """
    _check_count(count)
    height, width = frames.shape[1:3]
    room = height - size[0], width - size[1]
    if min(room) < 0:
        raise ValueError(
            f"Expected frames at least as large as the crops, {size[0]}x{size[1]}. Received: "
            f"frames resized to {height}x{width}. Resize them to a longer side, or use smaller "
            "crops."
        )
    results = []
    for position in (_PORTRAIT_POSITIONS if height > width else _POSITIONS)[count]:
        # Halves are rounded up, as in the center crop of `Augmentation`.
        top, left = (room[0] * position.down + 1) // 2, (room[1] * position.right + 1) // 2
        crop = frames[:, top : top + size[0], left : left + size[1]]
        results.append(mirror(crop, horizontal) if position.mirrored else crop)
    return results


def _check_count(count: int) -> None:
    if count not in _POSITIONS:
        known = ", ".join(map(str, _POSITIONS))
        raise ValueError(f"crops: expected one of {known}. Received: {count!r}.")

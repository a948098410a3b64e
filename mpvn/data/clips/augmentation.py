"""What is done to the frames of a clip before a network sees them: the same to every frame.

Chance comes from a seed alone, two ints for each clip, so that a clip can be made again.
"""

import dataclasses
from collections.abc import Sequence
from typing import Literal, Protocol, TypeVar

import numpy as np
import tensorflow as tf

from mpvn.data.video_set import NO_MIRROR, VideoSet
from mpvn.pixels import to_unit, unit_to_signed

Clip = dict[str, tf.Tensor]
FrameArray = TypeVar("FrameArray", np.ndarray, tf.Tensor)


class ClipTransform(Protocol):
    """What is done to the frames of a clip."""

    def check(self, videos: VideoSet) -> None:
        """Raises ValueError if it cannot be done to frames of that set."""

    def apply(self, clip: Clip, seed: tf.Tensor, videos: VideoSet) -> Clip:
        """The clip with what was done to it.

        Args:
            clip: `"frames"` uint8 `[T, H, W, C]`; `"label"` int `[]` and `"joints"` float32
                `[T, J, 3]` if the set has them; anything else passes.
            seed: two ints.
            videos: the set that the clip is of.
        """


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """Crop, mirror image and colors.

    Attributes:
        size: height and width of the clip, in pixels.
        crop: which part of the frame is brought to `size`: the largest part of the clip's shape in
            the `"center"`; a part of `scale` times that size at a `"random"` place; or the
            `"whole"` frame, stretched if its shape differs.
        scale: smallest and largest part that a random crop takes, as a share of the largest crop's
            sides; at most 1.
        flip: whether half of the clips are mirrored left to right. Joints of left and right change
            places, displacements turn round, and labels become those of the mirror image; a class
            without one stays.
        brightness: greatest change, as a share of the range of pixels.
        contrast: greatest change of the contrast, as a share.
        saturation: greatest change of the saturation, as a share.
        hue: greatest turn of the hue, as a share of the circle, at most 0.5.
    """

    size: tuple[int, int] = (224, 224)
    crop: Literal["center", "random", "whole"] = "center"
    scale: tuple[float, float] = (1.0, 1.0)
    flip: bool = False
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0

    def __post_init__(self) -> None:
        if self.crop not in ("center", "random", "whole"):
            raise ValueError(f"crop must be center, random or whole. Received: {self.crop!r}")
        low, high = self.scale
        if not 0 < low <= high <= 1:
            raise ValueError(f"scale must be 0 < smallest <= largest <= 1. Received: {self.scale}")
        if min(self.size) < 1:
            raise ValueError(f"size must be positive. Received: {self.size}")

    def check(self, videos: VideoSet) -> None:
        """Raises ValueError for changes of colors that frames of the set do not have."""
        asked = {
            "brightness": self.brightness,
            "contrast": self.contrast,
            "saturation": self.saturation,
            "hue": self.hue,
        }
        changed = [name for name, most in asked.items() if most]
        if changed and videos.channels != 3:
            raise ValueError(
                f"only RGB frames have colors, and those of {videos.name} have {videos.channels} "
                f"channels. Leave at 0: {', '.join(changed)}"
            )

    def apply(self, clip: Clip, seed: tf.Tensor, videos: VideoSet) -> Clip:
        """The augmented clip.

        Returns:
            The same with `"frames"` float32 `[T, *size, C]` between -1 and 1.
        """
        seeds = tf.unstack(tf.random.split(seed, 7))
        flipped, label = self._flipped(clip, seeds[0], videos)
        box = self._box(tf.shape(clip["frames"])[1:3], seeds[1], seeds[2])
        frames = self._cut(clip["frames"], box, videos.channels)
        upright = normalized(self._colored(frames, seeds[3:]))
        shown = tf.cond(flipped, lambda: mirrored(upright, videos.horizontal), lambda: upright)
        done = {**clip, "frames": shown}
        if label is not None:
            done["label"] = label
        if videos.joints:
            done["joints"] = self._placed(clip["joints"], box, flipped, videos)
        return done

    def _flipped(
        self, clip: Clip, seed: tf.Tensor, videos: VideoSet
    ) -> tuple[tf.Tensor, tf.Tensor | None]:
        """Whether the clip is mirrored, and its label then."""
        label = clip.get("label")
        flipped = tf.constant(False)
        if self.flip:
            flipped = tf.random.stateless_uniform([], seed) < 0.5
        if label is None or videos.mirrored_labels is None:
            return flipped, label
        mirrored = tf.gather(tf.constant(videos.mirrored_labels, label.dtype), label)
        flipped &= mirrored != NO_MIRROR
        return flipped, tf.where(flipped, mirrored, label)

    def _box(self, shape: tf.Tensor, size_seed: tf.Tensor, place_seed: tf.Tensor) -> tf.Tensor:
        """Top, left, height and width of the part that is shown, in pixels, float32."""
        whole = tf.cast(shape, tf.float32)
        if self.crop == "whole":
            return tf.concat([tf.zeros([2]), whole], 0)
        wanted = tf.constant(self.size, tf.float32)
        largest = wanted * tf.reduce_min(whole / wanted)
        if self.crop == "center":
            size, place = tf.round(largest), tf.constant([0.5, 0.5])
        else:
            share = tf.random.stateless_uniform([], size_seed, *self.scale)
            size = tf.maximum(tf.round(largest * share), 1.0)
            place = tf.random.stateless_uniform([2], place_seed)
        return tf.concat([tf.floor((whole - size + 1.0) * place), size], 0)

    def _cut(self, frames: tf.Tensor, box: tf.Tensor, channels: int) -> tf.Tensor:
        """Frames between 0 and 1."""
        top, left, height, width = tf.unstack(tf.cast(box, tf.int32))
        frames = frames[:, top : top + height, left : left + width]
        return tf.ensure_shape(resized(frames, self.size), [None, *self.size, channels])

    def _colored(self, frames: tf.Tensor, seeds: list[tf.Tensor]) -> tf.Tensor:
        def drawn(seed: tf.Tensor, most: float) -> tf.Tensor:
            return tf.random.stateless_uniform([], seed, -most, most)

        if self.brightness:
            frames = tf.image.adjust_brightness(frames, drawn(seeds[0], self.brightness))
        if self.contrast:
            frames = tf.image.adjust_contrast(frames, 1.0 + drawn(seeds[1], self.contrast))
        if self.saturation:
            frames = tf.image.adjust_saturation(
                tf.clip_by_value(frames, 0.0, 1.0), 1.0 + drawn(seeds[2], self.saturation)
            )
        if self.hue:
            frames = tf.image.adjust_hue(
                tf.clip_by_value(frames, 0.0, 1.0), drawn(seeds[3], self.hue)
            )
        return frames

    def _placed(
        self, joints: tf.Tensor, box: tf.Tensor, flipped: tf.Tensor, videos: VideoSet
    ) -> tf.Tensor:
        """Joints in pixels of the clip; what has left it is not visible."""
        x, y, visible = tf.unstack(joints, axis=-1)
        top, left, height, width = tf.unstack(box)
        x = (x - left + 0.5) * self.size[1] / width - 0.5
        y = (y - top + 0.5) * self.size[0] / height - 0.5
        inside = (x >= -0.5) & (x < self.size[1] - 0.5) & (y >= -0.5) & (y < self.size[0] - 0.5)
        placed = tf.stack([x, y, visible * tf.cast(inside, tf.float32)], axis=-1)
        mirrored = tf.stack([self.size[1] - 1.0 - x, y, placed[..., 2]], axis=-1)
        mirrored = tf.gather(mirrored, videos.mirrored_joints, axis=1)
        return tf.where(flipped, mirrored, placed)


@dataclasses.dataclass(frozen=True)
class NoAugmentation:
    """In the place of an `Augmentation`: frames stay uint8, and of the size that they have."""

    def check(self, videos: VideoSet) -> None:
        """Takes any frames."""

    def apply(self, clip: Clip, seed: tf.Tensor, videos: VideoSet) -> Clip:
        """The clip as it is."""
        return clip


def resized(frames: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    """Frames with pixels from 0 to 255, `[T, H, W, C]`, brought to `size`.

    Returns:
        float32 `[T, *size, C]` between 0 and 1, give or take rounding.
    """
    return tf.image.resize(to_unit(tf.cast(frames, tf.float32)), size, antialias=True)


def normalized(frames: tf.Tensor) -> tf.Tensor:
    """Frames between 0 and 1 as networks take them: float32 between -1 and 1."""
    return unit_to_signed(tf.clip_by_value(frames, 0.0, 1.0))


def mirrored(frames: FrameArray, horizontal: Sequence[int] = ()) -> FrameArray:
    """The mirror image, left to right, of frames `[T, H, W, C]`.

    Args:
        frames: floats between -1 and 1; of any kind if there are no displacements.
        horizontal: channels that are displacements to the right, which change their sign.
    """
    image = frames[:, :, ::-1]
    if not horizontal:
        return image
    signs = np.ones(frames.shape[-1], np.float32)
    signs[list(horizontal)] = -1
    return image * signs

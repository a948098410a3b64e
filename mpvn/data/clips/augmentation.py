"""Transform the frames of a clip before a network takes them: every frame in the same way.

All randomness comes from a seed of two ints per clip, so a clip can be reproduced.
"""

import dataclasses
import warnings
from collections.abc import Sequence
from typing import Literal, Protocol, TypeVar

import numpy as np
import tensorflow as tf

from mpvn.data.video_set import NO_MIRROR, VideoSet
from mpvn.pixels import to_unit, unit_to_signed

Clip = dict[str, tf.Tensor]
FrameArray = TypeVar("FrameArray", np.ndarray, tf.Tensor)


class ClipTransform(Protocol):
    """A transform of the frames of a clip, with its labels and joints."""

    def check(self, videos: VideoSet) -> None:
        """Raise ValueError if the transform does not apply to frames of this set."""

    def apply(self, clip: Clip, seed: tf.Tensor, videos: VideoSet) -> Clip:
        """Return the transformed clip.

        Args:
            clip: `"frames"` uint8 `[T, H, W, C]`; `"label"` int `[]` or `"labels"` float32
                `[classes]`, and `"joints"` float32 `[T, people, J, 3]` if the set has them.
                Other entries are returned unchanged.
            seed: Seed, int `[2]`.
            videos: The set that contains the clip.
        """


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """Crop, mirror image and color changes.

    Attributes:
        size: Height and width of the clip, in pixels.
        crop: The part of the frame that is resized to `size`. `"center"`: the largest central part
            with the aspect ratio of `size`. `"random"`: a part `scale` times as large, at a random
            position. `"whole"`: the whole frame, stretched if its aspect ratio is different.
        scale: Minimum and maximum size of a random crop, relative to the sides of the largest
            crop; at most 1.
        flip: Whether to mirror half of the clips left to right. Left and right joints swap,
            horizontal displacements change their sign, and labels become those of the mirror image.
            Clips with a class that has no mirror image are not mirrored; nor are those of a set
            whose joints do not say left and right by their names, which a warning says.
        brightness: Maximum change of brightness, as a fraction of the range of pixels.
        contrast: Maximum relative change of contrast.
        saturation: Maximum relative change of saturation.
        hue: Maximum shift of the hue, as a fraction of the color circle, at most 0.5.

    Raises:
        ValueError: `crop`, `scale` or `size` is invalid.
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
            raise ValueError(
                f"crop: expected one of center, random, whole. Received: {self.crop!r}."
            )
        low, high = self.scale
        if not 0 < low <= high <= 1:
            raise ValueError(
                f"scale: expected 0 < minimum <= maximum <= 1. Received: {self.scale}."
            )
        if min(self.size) < 1:
            raise ValueError(f"size: expected positive numbers of pixels. Received: {self.size}.")

    def check(self, videos: VideoSet) -> None:
        """Check that the transform applies to frames of this set.

        Raises:
            ValueError: Colors change, but frames are not RGB.

        Warns:
            UserWarning: `flip` has no effect, because the sides of the joints are unknown.
        """
        if self.flip and videos.mirrored_joints is None:
            warnings.warn(
                f"{videos.name}: flip: clips are not mirrored, because the names of the joints do "
                f"not say which are left and right: {', '.join(videos.joints)}.",
                stacklevel=2,
            )
        options = {
            "brightness": self.brightness,
            "contrast": self.contrast,
            "saturation": self.saturation,
            "hue": self.hue,
        }
        changed = [name for name, maximum in options.items() if maximum]
        if changed and videos.channels != 3:
            raise ValueError(
                f"{videos.name}: expected RGB frames to change colors. Received: frames of "
                f"{videos.channels} channels. Set to 0: {', '.join(changed)}."
            )

    def apply(self, clip: Clip, seed: tf.Tensor, videos: VideoSet) -> Clip:
        """Return the augmented clip, with `"frames"` float32 `[T, *size, C]` between -1 and 1."""
        seeds = tf.unstack(tf.random.split(seed, 7))
        flipped, labels = self._draw_flip(clip, seeds[0], videos)
        box = self._draw_box(tf.shape(clip["frames"])[1:3], seeds[1], seeds[2])
        frames = self._crop(clip["frames"], box, videos.channels)
        upright = normalize(self._change_colors(frames, seeds[3:]))
        augmented = tf.cond(flipped, lambda: mirror(upright, videos.horizontal), lambda: upright)
        result = {**clip, **labels, "frames": augmented}
        if videos.joints:
            result["joints"] = self._move_joints(clip["joints"], box, flipped, videos)
        return result

    def _draw_flip(self, clip: Clip, seed: tf.Tensor, videos: VideoSet) -> tuple[tf.Tensor, Clip]:
        """Draw whether to mirror the clip; return this and the entries of labels that change."""
        flipped = tf.constant(False)
        if self.flip and videos.mirrored_joints is not None:
            flipped = tf.random.stateless_uniform([], seed) < 0.5
        name = "labels" if videos.multi_label else "label"
        if name not in clip or videos.mirrored_labels is None:
            return flipped, {}
        mirrored, exists = mirror_label(clip[name], videos.mirrored_labels)
        flipped &= exists
        return flipped, {name: tf.where(flipped, mirrored, clip[name])}

    def _draw_box(
        self, shape: tf.Tensor, size_seed: tf.Tensor, position_seed: tf.Tensor
    ) -> tf.Tensor:
        """Return top, left, height and width of the crop in pixels, float32 `[4]`."""
        frame_size = tf.cast(shape, tf.float32)
        if self.crop == "whole":
            return tf.concat([tf.zeros([2]), frame_size], 0)
        output_size = tf.constant(self.size, tf.float32)
        largest = output_size * tf.reduce_min(frame_size / output_size)
        if self.crop == "center":
            size, position = tf.round(largest), tf.constant([0.5, 0.5])
        else:
            scale = tf.random.stateless_uniform([], size_seed, *self.scale)
            size = tf.maximum(tf.round(largest * scale), 1.0)
            position = tf.random.stateless_uniform([2], position_seed)
        return tf.concat([tf.floor((frame_size - size + 1.0) * position), size], 0)

    def _crop(self, frames: tf.Tensor, box: tf.Tensor, channels: int) -> tf.Tensor:
        """Return cropped and resized frames, between 0 and 1."""
        top, left, height, width = tf.unstack(tf.cast(box, tf.int32))
        frames = frames[:, top : top + height, left : left + width]
        return tf.ensure_shape(resize(frames, self.size), [None, *self.size, channels])

    def _change_colors(self, frames: tf.Tensor, seeds: list[tf.Tensor]) -> tf.Tensor:
        def draw(seed: tf.Tensor, maximum: float) -> tf.Tensor:
            return tf.random.stateless_uniform([], seed, -maximum, maximum)

        if self.brightness:
            frames = tf.image.adjust_brightness(frames, draw(seeds[0], self.brightness))
        if self.contrast:
            frames = tf.image.adjust_contrast(frames, 1.0 + draw(seeds[1], self.contrast))
        if self.saturation:
            frames = tf.image.adjust_saturation(
                tf.clip_by_value(frames, 0.0, 1.0), 1.0 + draw(seeds[2], self.saturation)
            )
        if self.hue:
            frames = tf.image.adjust_hue(
                tf.clip_by_value(frames, 0.0, 1.0), draw(seeds[3], self.hue)
            )
        return frames

    def _move_joints(
        self, joints: tf.Tensor, box: tf.Tensor, flipped: tf.Tensor, videos: VideoSet
    ) -> tf.Tensor:
        """Return joints `[T, people, J, 3]` in pixels of the clip. Those outside become hidden."""
        x, y, visible = tf.unstack(joints, axis=-1)
        top, left, height, width = tf.unstack(box)
        x = (x - left + 0.5) * self.size[1] / width - 0.5
        y = (y - top + 0.5) * self.size[0] / height - 0.5
        inside = (x >= -0.5) & (x < self.size[1] - 0.5) & (y >= -0.5) & (y < self.size[0] - 0.5)
        moved = tf.stack([x, y, visible * tf.cast(inside, tf.float32)], axis=-1)
        mirrored = tf.stack([self.size[1] - 1.0 - x, y, moved[..., 2]], axis=-1)
        if videos.mirrored_joints is None:
            return moved
        return tf.where(flipped, tf.gather(mirrored, videos.mirrored_joints, axis=2), moved)


@dataclasses.dataclass(frozen=True)
class NoAugmentation:
    """A `ClipTransform` that returns clips unchanged: frames stay uint8, in their original size."""

    def check(self, videos: VideoSet) -> None:
        """Accept any frames."""

    def apply(self, clip: Clip, seed: tf.Tensor, videos: VideoSet) -> Clip:
        """Return the clip unchanged."""
        return clip


def resize(frames: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    """Resize frames `[T, H, W, C]` with pixels from 0 to 255.

    Returns:
        float32 `[T, *size, C]` between 0 and 1, up to rounding errors.
    """
    return tf.image.resize(to_unit(tf.cast(frames, tf.float32)), size, antialias=True)


def normalize(frames: tf.Tensor) -> tf.Tensor:
    """Clip float32 frames to 0..1, and scale them to -1..1, the input range of networks."""
    return unit_to_signed(tf.clip_by_value(frames, 0.0, 1.0))


def mirror_label(label: tf.Tensor, mirrored_labels: Sequence[int]) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the label of the mirror image, and whether there is one.

    Args:
        label: int `[]`, or float32 `[classes]`, 1 for the classes of a video with any number.
        mirrored_labels: As in `VideoSet`.
    """
    mirrored = tf.constant(mirrored_labels, tf.int32)
    if not label.dtype.is_floating:
        image = tf.cast(tf.gather(mirrored, label), label.dtype)
        return image, image != NO_MIRROR
    exists = ~tf.reduce_any((label > 0) & (mirrored == NO_MIRROR))
    # Negative numbers of segments are ignored.
    counts = tf.math.unsorted_segment_sum(label, mirrored, len(mirrored_labels))
    return tf.minimum(counts, 1.0), exists


def mirror(frames: FrameArray, horizontal: Sequence[int] = ()) -> FrameArray:
    """Mirror frames left to right.

    Args:
        frames: `[T, H, W, C]`: float between -1 and 1, or any dtype without `horizontal`.
        horizontal: Channels that contain displacements to the right, which change their sign.
    """
    image = frames[:, :, ::-1]
    if not horizontal:
        return image
    signs = np.ones(frames.shape[-1], np.float32)
    signs[list(horizontal)] = -1
    return image * signs

"""Transform the frames of a clip before a network takes them: every frame in the same way.

Crops and sizes are decided before frames are read; see `mpvn.data.video.framing`. Mirror images and
colors follow. All randomness comes from seeds per clip, so a clip can be reproduced.
"""

import dataclasses
import warnings
from collections.abc import Sequence
from typing import Literal, Protocol, TypeVar

import numpy as np
import tensorflow as tf

from mpvn.data.clips.rand_augment import RandAugment
from mpvn.data.video.framing import Cropped, Framing, Stretched, Unchanged
from mpvn.data.video_set import NO_MIRROR, VideoSet
from mpvn.pixels import to_unit, unit_to_signed

Clip = dict[str, tf.Tensor]
FrameArray = TypeVar("FrameArray", np.ndarray, tf.Tensor)


class ClipTransform(Protocol):
    """A transform of the frames of a clip, with its labels and joints."""

    def check(self, videos: VideoSet) -> None:
        """Raise ValueError if the transform does not apply to frames of this set."""

    def framing(self, rng: np.random.Generator) -> Framing:
        """Return which part of the frames of a clip to read, and at what size.

        Args:
            rng: Source of randomness, which changes for each clip.
        """

    def apply(self, clip: Clip, seed: tf.Tensor, videos: VideoSet) -> Clip:
        """Return the transformed clip.

        Args:
            clip: `"frames"` uint8 `[T, H, W, C]`, read by `framing`; `"label"` int `[]` or
                `"labels"` float32 `[classes]`, and `"joints"` float32 `[T, people, J, 3]`, in
                pixels of the clip, if the set has them. Other entries are returned unchanged.
            seed: Seed, int `[2]`.
            videos: The set that contains the clip.
        """

    def finish(self, frames: tf.Tensor) -> tf.Tensor:
        """Return the frames of a batch of transformed clips in the form that networks take."""


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """Crop, mirror image and color changes.

    Attributes:
        size: Height and width of the clip, in pixels.
        crop: The part of the frame that is resized to `size`. `"center"`: the largest central part
            with the aspect ratio of `size`. `"random"`: a part `scale` times as large, at a random
            position. `"whole"`: the whole frame, stretched if its aspect ratio is different.
        shorter_side: Resize frames to this shorter side, in pixels, and crop `size` out of them, in
            the center or at a random position. None: crop the largest part.
        scale: Minimum and maximum size of a random crop, relative to the sides of the crop without
            it; at most 1.
        flip: Whether to mirror half of the clips left to right. Left and right joints swap,
            horizontal displacements change their sign, and labels become those of the mirror image.
            Clips with a class that has no mirror image are not mirrored; nor are those of a set
            whose joints do not say left and right by their names, which a warning says.
        brightness: Maximum change of brightness, as a fraction of the range of pixels.
        contrast: Maximum relative change of contrast.
        saturation: Maximum relative change of saturation.
        hue: Maximum shift of the hue, as a fraction of the color circle, at most 0.5.
        rand_augment: Number of operations of RandAugment, before these changes of color; see
            `mpvn.data.clips.rand_augment`. With them, clips have no joints.
        magnitude: Strength of these operations, from 0 to 1.

    Raises:
        ValueError: `crop`, `scale`, `size` or `shorter_side` is invalid.
    """

    size: tuple[int, int] = (224, 224)
    crop: Literal["center", "random", "whole"] = "center"
    scale: tuple[float, float] = (1.0, 1.0)
    flip: bool = False
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    shorter_side: int | None = None
    rand_augment: int = 0
    magnitude: float = 0.3
    _operations: RandAugment | None = dataclasses.field(
        default=None, init=False, repr=False, compare=False
    )

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
        if self.shorter_side is not None:
            self._check_shorter_side(self.shorter_side)
        # Here, because the layers of Keras cannot be created in a graph.
        if self.rand_augment:
            operations = RandAugment(self.rand_augment, self.magnitude)
            object.__setattr__(self, "_operations", operations)

    def _check_shorter_side(self, length: int) -> None:
        if self.crop == "whole":
            raise ValueError(
                'shorter_side: expected crop "center" or "random". Received: crop "whole", which '
                "keeps the whole frame."
            )
        if length < min(self.size):
            raise ValueError(
                f"shorter_side: expected at least {min(self.size)}, to crop {self.size} out of the "
                f"frame. Received: {length}."
            )

    def check(self, videos: VideoSet) -> None:
        """Check that the transform applies to frames of this set.

        Raises:
            ValueError: Colors change, but frames are not RGB.

        Warns:
            UserWarning: `flip` has no effect, because the sides of the joints, or the mirror images
                of the classes, are unknown.
        """
        if self.flip and videos.mirrored_joints is None:
            warnings.warn(
                f"{videos.name}: flip: clips are not mirrored, because the names of the joints do "
                f"not say which are left and right: {', '.join(videos.joints)}.",
                stacklevel=2,
            )
        if self.flip and set(videos.mirrored_labels or ()) == {NO_MIRROR}:
            warnings.warn(
                f"{videos.name}: flip: clips are not mirrored, because the mirror image of no "
                'class is known. For class folders and CSV files, mirror="same" says that each '
                "class is its own.",
                stacklevel=2,
            )
        options = {
            "brightness": self.brightness,
            "contrast": self.contrast,
            "saturation": self.saturation,
            "hue": self.hue,
            "rand_augment": self.rand_augment,
        }
        changed = [name for name, maximum in options.items() if maximum]
        if changed and videos.channels != 3:
            raise ValueError(
                f"{videos.name}: expected RGB frames to change colors. Received: frames of "
                f"{videos.channels} channels. Set to 0: {', '.join(changed)}."
            )

    def framing(self, rng: np.random.Generator) -> Framing:
        """Return the crop of a clip."""
        if self.crop == "whole":
            return Stretched(self.size)
        if self.crop == "center":
            return Cropped(self.size, shorter_side=self.shorter_side)
        scale, down, right = rng.uniform(self.scale[0], self.scale[1]), *rng.random(2)
        return Cropped(self.size, scale, (down, right), self.shorter_side)

    def apply(self, clip: Clip, seed: tf.Tensor, videos: VideoSet) -> Clip:
        """Return the augmented clip; `"frames"` stay uint8 if their colors do not change."""
        *seeds, random = tf.unstack(tf.random.split(seed, 6))
        frames = tf.ensure_shape(clip["frames"], [None, *self.size, videos.channels])
        result = {**clip, "frames": frames}
        if self.flip and videos.mirrored_joints is not None:
            result = self._mirror_half(result, seeds[0], videos)
        if self._operations is not None:
            result["frames"] = self._operations(result["frames"], random)
            result.pop("joints", None)
        return {**result, "frames": self._change_colors(result["frames"], seeds[1:])}

    def finish(self, frames: tf.Tensor) -> tf.Tensor:
        """Return frames float32 between -1 and 1. Whole batches are converted in one pass."""
        if frames.dtype != tf.uint8:
            return frames
        pixels = tf.bitcast(frames, tf.quint8)
        return tf.quantization.dequantize(pixels, -1.0, 1.0, mode="MIN_COMBINED")

    def _mirror_half(self, clip: Clip, seed: tf.Tensor, videos: VideoSet) -> Clip:
        """Mirror half of the clips that have a mirror image."""
        flipped, result = tf.random.stateless_uniform([], seed) < 0.5, dict(clip)
        name = "labels" if videos.multi_label else "label"
        if name in clip and videos.mirrored_labels is not None:
            mirrored, exists = mirror_label(clip[name], videos.mirrored_labels)
            flipped &= exists
            result[name] = tf.where(flipped, mirrored, clip[name])
        frames = clip["frames"]
        result["frames"] = tf.cond(
            flipped, lambda: mirror(frames, videos.horizontal), lambda: frames
        )
        if videos.joints:
            result["joints"] = self._mirror_joints(clip["joints"], flipped, videos)
        return result

    def _change_colors(self, frames: tf.Tensor, seeds: list[tf.Tensor]) -> tf.Tensor:
        """Return uint8 frames, or frames between -1 and 1 with changed colors."""

        def draw(seed: tf.Tensor, maximum: float) -> tf.Tensor:
            return tf.random.stateless_uniform([], seed, -maximum, maximum)

        if not any((self.brightness, self.contrast, self.saturation, self.hue)):
            return frames
        frames = to_unit(tf.cast(frames, tf.float32))
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
        return unit_to_signed(tf.clip_by_value(frames, 0.0, 1.0))

    def _mirror_joints(self, joints: tf.Tensor, flipped: tf.Tensor, videos: VideoSet) -> tf.Tensor:
        x, y, visible = tf.unstack(joints, axis=-1)  # [T, people, J, 3] -> three [T, people, J]
        mirrored = tf.stack([self.size[1] - 1.0 - x, y, visible], axis=-1)
        return tf.where(flipped, tf.gather(mirrored, videos.mirrored_joints, axis=2), joints)


@dataclasses.dataclass(frozen=True)
class NoAugmentation:
    """A `ClipTransform` that returns clips as they are read: frames stay uint8.

    Attributes:
        frame: The part of each frame to read, and its size. Default: the whole frame, unchanged.
    """

    frame: Framing = Unchanged()

    def check(self, videos: VideoSet) -> None:
        """Accept any frames."""

    def framing(self, rng: np.random.Generator) -> Framing:
        """Return `frame`."""
        return self.frame

    def apply(self, clip: Clip, seed: tf.Tensor, videos: VideoSet) -> Clip:
        """Return the clip unchanged."""
        return clip

    def finish(self, frames: tf.Tensor) -> tf.Tensor:
        """Return the frames unchanged."""
        return frames


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
        frames: uint8 `[T, H, W, C]`.
        horizontal: Channels that contain displacements to the right, which change their sign.
    """
    image = frames[:, :, ::-1]
    if not horizontal:
        return image
    changed = np.zeros(frames.shape[-1], np.uint8)
    changed[list(horizontal)] = 255
    return image ^ changed  # x ^ 255 is 255 - x

"""Metrics of keypoints: distances, the share of correct ones (PCK), and similarity (OKS).

The peaks of the heatmaps are assigned to people as in `mpvn.tasks.people`.

A keypoint is correct if its error is within a fraction of the size of its person: the larger side
of the box around the person's visible joints in that frame. Unlike the size of the torso, this size
needs no particular joints, but it shrinks if most of the person is hidden. People with fewer than
two visible joints have no size and do not count.
"""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from mpvn.tasks.heatmaps import Size, visible_joints
from mpvn.tasks.people import assigned_peaks
from mpvn.tasks.step_metrics import StepMetric

_COCO_SIGMAS = {
    "nose": 0.026,
    "eye": 0.025,
    "ear": 0.035,
    "shoulder": 0.079,
    "elbow": 0.072,
    "wrist": 0.062,
    "hip": 0.107,
    "knee": 0.087,
    "ankle": 0.089,
}


def coco_sigmas(names: Sequence[str]) -> tuple[float, ...]:
    """Return COCO's standard deviations of joints; nothing if a name is not a joint of COCO."""
    parts = [name.removeprefix("left_").removeprefix("right_") for name in names]
    known = set(parts) <= _COCO_SIGMAS.keys()
    return tuple(_COCO_SIGMAS[part] for part in parts) if known else ()


@keras.saving.register_keras_serializable(package="mpvn")
class JointDistance(StepMetric):
    """Mean distance between visible joints and their peaks, in pixels of the frame.

    Targets are joints `[B, T, people, J, 3]`, outputs are logits of heatmaps `[B, T, h, w, J]`.

    Args:
        frame_size: height and width of the frames.
        name: as in Keras.
        **kwargs: arguments of `StepMetric`.
    """

    def __init__(self, frame_size: Size, name: str = "distance", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        self.frame_size = checked_size(frame_size)

    def measure(
        self, y_true: tf.Tensor, y_pred: tf.Tensor, weights: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        distances, visible = self._distances(y_true, y_pred)
        return _sums(tf.where(visible, distances, 0.0), visible, weights)

    def _distances(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the distances, float32 `[B, T, people, J]`, and the visibility, bool."""
        places, visible = visible_joints(tf.cast(y_true, tf.float32))
        found = assigned_peaks(y_pred, y_true, self.frame_size)[..., :2]
        return tf.norm(found - places, axis=-1), visible

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "frame_size": self.frame_size}


@keras.saving.register_keras_serializable(package="mpvn")
class CorrectKeypoints(JointDistance):
    """Percentage of correct keypoints (PCK), as a share of 1; defined in the module docstring.

    Args:
        frame_size: height and width of the frames.
        fraction: largest error of a correct joint, as a fraction of the person's size.
        name: as in Keras; by default `pck_20` for a fraction of 0.2.
        **kwargs: arguments of `StepMetric`.

    Raises:
        ValueError: if an argument is out of range.
    """

    def __init__(
        self, frame_size: Size, fraction: float = 0.2, name: str | None = None, **kwargs: Any
    ) -> None:
        check_fraction(fraction)
        super().__init__(frame_size, name=name or f"pck_{100 * fraction:g}", **kwargs)
        self.fraction = fraction

    def measure(
        self, y_true: tf.Tensor, y_pred: tf.Tensor, weights: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        distances, visible = self._distances(y_true, y_pred)
        side = tf.reduce_max(_box(y_true), axis=-1)[..., None]
        correct = tf.cast(distances <= self.fraction * side, tf.float32)
        return _sums(correct, visible & (side > 0), weights)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "fraction": self.fraction}


@keras.saving.register_keras_serializable(package="mpvn")
class KeypointSimilarity(JointDistance):
    """Mean object keypoint similarity (OKS) of people, between 0 and 1.

    As in COCO, the similarity of a person is the mean over visible joints of

        exp(-distance^2 / (2 * area * (2 * sigma)^2))

    COCO takes the area of the person's segment; here, it is that of the box around the visible
    joints, and people whose box has no area do not count. This is not COCO's average precision,
    which needs joints that are grouped into people with scores: heatmaps do not have these.

    Args:
        frame_size: height and width of the frames.
        sigmas: standard deviation of each joint, relative to the square root of the area.
        name: as in Keras.
        **kwargs: arguments of `StepMetric`.
    """

    def __init__(
        self, frame_size: Size, sigmas: Sequence[float], name: str = "oks", **kwargs: Any
    ) -> None:
        super().__init__(frame_size, name=name, **kwargs)
        self.sigmas = tuple(sigmas)

    def measure(
        self, y_true: tf.Tensor, y_pred: tf.Tensor, weights: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        distances, visible = self._distances(y_true, y_pred)
        area = tf.reduce_prod(_box(y_true), axis=-1)  # [B, T, people]
        variance = area[..., None] * tf.square(2.0 * tf.constant(self.sigmas, tf.float32))
        alike = tf.exp(-tf.math.divide_no_nan(tf.square(distances), 2.0 * variance))
        shown = tf.cast(visible, tf.float32)
        similarity = tf.math.divide_no_nan(
            tf.reduce_sum(alike * shown, axis=-1), tf.reduce_sum(shown, axis=-1)
        )
        return _sums(similarity[..., None], (area > 0)[..., None], weights)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "sigmas": self.sigmas}


def checked_size(size: Sequence[int]) -> Size:
    """Return a size of frames; raise ValueError if it is none."""
    if len(size) != 2 or min(size) < 1:
        raise ValueError(f"frame_size must be height and width in pixels. Received: {size!r}")
    return (int(size[0]), int(size[1]))


def check_fraction(fraction: float) -> None:
    """Raise ValueError if a fraction is not positive."""
    if not fraction > 0:
        raise ValueError(f"fractions must be positive. Received: {fraction!r}")


def _sums(
    values: tf.Tensor, counted: tf.Tensor, weights: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Return sums and counts `[B, T]` of the counted `values` `[B, T, people, J]`, and weights."""
    counts = tf.cast(counted, tf.float32)
    return (
        tf.reduce_sum(values * counts, axis=[-2, -1]),
        tf.reduce_sum(counts, axis=[-2, -1]),
        weights,
    )


def _box(joints: tf.Tensor) -> tf.Tensor:
    """Return width and height `[..., 2]` of the box around visible joints `[..., J, 3]`.

    Zeros if all are hidden.
    """
    places, visible = visible_joints(tf.cast(joints, tf.float32))
    far = tf.float32.max
    most = tf.reduce_max(tf.where(visible[..., None], places, -far), axis=-2)
    least = tf.reduce_min(tf.where(visible[..., None], places, far), axis=-2)
    return tf.where(tf.reduce_any(visible, axis=-1)[..., None], most - least, 0.0)

"""Keypoints: a heatmap for each joint of a figure, at every step.

*Massively Parallel Video Networks*, appendix C: 17 Gaussian heatmaps at 56x56, and a sigmoid
cross-entropy in which keypoint pixels count ten times. The paper does not say where a keypoint
ends. Here a pixel has weight `1 + 9 g`, where g is the height of the Gaussian: 10 at the joint.

Targets are the joints. The loss renders the heatmaps at the resolution of the network's output.

A keypoint is correct if its error is within a fraction of the figure's size: the larger side of the
box around its visible joints in that frame. Unlike the size of the torso, this size needs no
particular joints, but it shrinks if most of the figure is hidden. Frames with fewer than two
visible joints have no size and do not count.
"""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mpvn.tasks import overlay
from mpvn.tasks.heatmaps import Size, peaks, render_heatmaps, rescale, visible_joints
from mpvn.tasks.step_metrics import StepLoss, StepMetric
from mpvn.tasks.task import Batch, Task, check_count, entry, frames_of


class Keypoints(Task):
    """Predict heatmaps of joints at each step, as logits `[B, T, h, w, joints]`.

    Targets are the joints, float32 `[B, T, joints, 3]`: x and y in pixels of the frame, visibility.
    Metrics: `pck_10` etc., the share of visible joints within 10 % of the figure's size;
    `distance`, the mean distance of visible joints in pixels of the frame; `cross_entropy`.

    Args:
        joints: number of joints (17: COCO).
        frame_size: height and width of the frames.
        sigma: standard deviation of the Gaussians in pixels of the heatmaps.
        keypoint_weight: weight of the pixel at a joint, relative to the background.
        fractions: fractions of the figure's size, one PCK metric for each.
        **kwargs: arguments of `Task`.

    Raises:
        ValueError: if an argument is out of range.
    """

    legend = "Red: heatmaps. Dots: predicted joints. Rings: true joints."

    def __init__(
        self,
        joints: int = 17,
        frame_size: Size = (224, 224),
        sigma: float = 1.0,
        keypoint_weight: float = 10.0,
        fractions: Sequence[float] = (0.1, 0.2),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_count("joints", joints, 1)
        self.joints = joints
        self.frame_size = _checked_size(frame_size)
        self.fractions = tuple(fractions)
        self._loss = HeatmapCrossEntropy(joints, self.frame_size, sigma, keypoint_weight)
        for fraction in fractions:
            _check_fraction(fraction)

    @property
    def loss(self) -> keras.losses.Loss:
        return self._loss

    def metrics(self) -> list[keras.metrics.Metric]:
        correct = [CorrectKeypoints(self.frame_size, part, **self.steps) for part in self.fractions]
        return [
            *correct,
            JointDistance(self.frame_size, **self.steps),
            StepLoss(self.loss, name="cross_entropy", **self.steps),
        ]

    def targets(self, batch: Batch) -> tuple[tf.Tensor, list[tf.Operation]]:
        frames = frames_of(batch)
        joints = entry(batch, "joints", 4)
        if joints.shape[2:] != (self.joints, 3):
            raise ValueError(
                f"Expected joints of shape [B, T, {self.joints}, 3]. "
                f"Received: {tuple(joints.shape)}"
            )
        if frames.shape[1] != joints.shape[1] and None not in (frames.shape[1], joints.shape[1]):
            raise ValueError(
                f"Expected joints of all {frames.shape[1]} frames. Received: joints of "
                f"{joints.shape[1]} frames"
            )
        if not frames.shape[2:4].is_compatible_with(self.frame_size):
            raise ValueError(
                f"Expected frames of {_format_size(self.frame_size)} pixels, the frame_size of the "
                f"task. Received: {_format_size(frames.shape[2:4])}"
            )
        return tf.cast(joints, tf.float32), []

    def draw(self, frame: np.ndarray, output: np.ndarray, target: np.ndarray | None) -> np.ndarray:
        heat = tf.sigmoid(output.max(axis=-1)).numpy()
        sizes = self.frame_size, frame.shape[:2]
        predicted = rescale(self.predicted_joints(output), *sizes).numpy()
        true = None if target is None else rescale(target, *sizes).numpy()
        return overlay.draw_joints(overlay.lay_over(frame, heat), predicted, true)

    def predicted_joints(self, outputs: Any) -> tf.Tensor:
        """Return the joints `[..., joints, 3]` of logits `[..., h, w, joints]`: x and y in pixels
        of the frame, and the height of the peak, between 0 and 1."""
        return _predicted(tf.convert_to_tensor(outputs), self.frame_size)


@keras.saving.register_keras_serializable(package="mpvn")
class HeatmapCrossEntropy(keras.losses.Loss):
    """Weighted sigmoid cross-entropy of heatmaps: the mean over pixels and joints.

    For joints `[..., joints, 3]` and logits `[..., h, w, joints]`, `call` returns float32 `[...]`.

    Args:
        joints: number of joints.
        frame_size: height and width of the frames; the joints are in their pixels.
        sigma: standard deviation of the Gaussians in pixels of the heatmaps.
        keypoint_weight: weight of the pixel at a joint, relative to the background.
        reduction, name: as in Keras.

    Raises:
        ValueError: if an argument is out of range; when called, if the numbers of heatmaps and
            joints differ.
    """

    def __init__(
        self,
        joints: int = 17,
        frame_size: Size = (224, 224),
        sigma: float = 1.0,
        keypoint_weight: float = 10.0,
        reduction: str = "sum_over_batch_size",
        name: str = "heatmap_cross_entropy",
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype="float32")
        if not sigma > 0:
            raise ValueError(f"sigma must be positive, in pixels of the maps. Received: {sigma!r}")
        if not keypoint_weight >= 1:
            raise ValueError(f"keypoint_weight must be at least 1. Received: {keypoint_weight!r}")
        self.joints = joints
        self.frame_size = _checked_size(frame_size)
        self.sigma = sigma
        self.keypoint_weight = keypoint_weight

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        if y_pred.shape[-1] != self.joints or y_true.shape[-2] != self.joints:
            raise ValueError(
                f"Expected outputs and targets of {self.joints} joints. Received: outputs of shape "
                f"{tuple(y_pred.shape)}, targets of shape {tuple(y_true.shape)}. Build the network "
                f"with joints={self.joints}"
            )
        size = (y_pred.shape[-3], y_pred.shape[-2])
        maps = render_heatmaps(y_true, self.frame_size, size, self.sigma)
        losses = tf.nn.sigmoid_cross_entropy_with_logits(maps, tf.cast(y_pred, tf.float32))
        weights = 1.0 + (self.keypoint_weight - 1.0) * maps
        return tf.reduce_mean(weights * losses, axis=[-3, -2, -1])

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "joints": self.joints,
            "frame_size": self.frame_size,
            "sigma": self.sigma,
            "keypoint_weight": self.keypoint_weight,
        }


@keras.saving.register_keras_serializable(package="mpvn")
class JointDistance(StepMetric):
    """Mean distance between visible joints and the peaks of their heatmaps, in pixels of the frame.

    Args:
        frame_size: height and width of the frames.
        name: as in Keras.
        **kwargs: arguments of `StepMetric`.
    """

    def __init__(self, frame_size: Size, name: str = "distance", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        self.frame_size = _checked_size(frame_size)

    def measure(
        self, y_true: tf.Tensor, y_pred: tf.Tensor, weights: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        distances, visible = self._distances(y_true, y_pred)
        return _sums(tf.where(visible, distances, 0.0), visible, weights)

    def _distances(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the distances, float32 `[B, T, J]`, and the visibility, bool `[B, T, J]`."""
        places, visible = visible_joints(tf.cast(y_true, tf.float32))
        predicted = _predicted(y_pred, self.frame_size)[..., :2]
        return tf.norm(predicted - places, axis=-1), visible

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "frame_size": self.frame_size}


@keras.saving.register_keras_serializable(package="mpvn")
class CorrectKeypoints(JointDistance):
    """Percentage of correct keypoints (PCK), as a share of 1; defined in the module docstring.

    Args:
        frame_size: height and width of the frames.
        fraction: largest error of a correct joint, as a fraction of the figure's size.
        name: as in Keras; by default `pck_20` for a fraction of 0.2.
        **kwargs: arguments of `StepMetric`.

    Raises:
        ValueError: if an argument is out of range.
    """

    def __init__(
        self, frame_size: Size, fraction: float = 0.2, name: str | None = None, **kwargs: Any
    ) -> None:
        _check_fraction(fraction)
        super().__init__(frame_size, name=name or f"pck_{100 * fraction:g}", **kwargs)
        self.fraction = fraction

    def measure(
        self, y_true: tf.Tensor, y_pred: tf.Tensor, weights: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        distances, visible = self._distances(y_true, y_pred)
        side = _larger_side(tf.cast(y_true, tf.float32))[..., None]
        correct = tf.cast(distances <= self.fraction * side, tf.float32)
        return _sums(correct, visible & (side > 0), weights)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "fraction": self.fraction}


def _sums(
    values: tf.Tensor, counted: tf.Tensor, weights: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Return the sums and counts `[B, T]` of the counted `values` `[B, T, J]`, and the weights."""
    counts = tf.cast(counted, tf.float32)
    return tf.reduce_sum(values * counts, axis=-1), tf.reduce_sum(counts, axis=-1), weights


def _predicted(logits: tf.Tensor, frame_size: Size) -> tf.Tensor:
    size = (logits.shape[-3], logits.shape[-2])
    return rescale(peaks(logits, logits=True), size, frame_size)


def _larger_side(joints: tf.Tensor) -> tf.Tensor:
    """Return the larger side `[...]` of the box around the visible joints; 0 if all are hidden."""
    places, visible = visible_joints(joints)
    far = tf.float32.max
    most = tf.reduce_max(tf.where(visible[..., None], places, -far), axis=-2)
    least = tf.reduce_min(tf.where(visible[..., None], places, far), axis=-2)
    sides = tf.reduce_max(most - least, axis=-1)
    return tf.where(tf.reduce_any(visible, axis=-1), sides, 0.0)


def _checked_size(size: Sequence[int]) -> Size:
    if len(size) != 2 or min(size) < 1:
        raise ValueError(f"frame_size must be height and width in pixels. Received: {size!r}")
    return (int(size[0]), int(size[1]))


def _check_fraction(fraction: float) -> None:
    if not fraction > 0:
        raise ValueError(f"fractions must be positive. Received: {fraction!r}")


def _format_size(size: Sequence[int | None]) -> str:
    return f"{size[0]}x{size[1]}"

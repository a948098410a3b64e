"""Keypoints: a heatmap for each joint of people, at every step.

*Massively Parallel Video Networks*, appendix C: 17 Gaussian heatmaps at 56x56, and a sigmoid
cross-entropy in which keypoint pixels count ten times. The paper does not say where a keypoint
ends. Here a pixel has weight `1 + 9 g`, where g is the height of the Gaussian: 10 at the joint.

Targets are the joints of all people. The loss renders the heatmaps at the resolution of the
network's output. `mpvn.tasks.keypoint_metrics` defines the metrics.
"""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mpvn.data.skeletons import COCO_JOINTS
from mpvn.data.video.frames import View
from mpvn.tasks import overlay
from mpvn.tasks.heatmaps import Size, peaks, render_heatmaps, rescale
from mpvn.tasks.keypoint_metrics import (
    CorrectKeypoints,
    JointDistance,
    KeypointSimilarity,
    check_fraction,
    checked_size,
    coco_sigmas,
)
from mpvn.tasks.people import assigned_peaks
from mpvn.tasks.step_metrics import StepLoss
from mpvn.tasks.task import Batch, Task, check_count, entry, frames_of


class Keypoints(Task):
    """Predict heatmaps of joints at each step, as logits `[B, T, h, w, joints]`.

    Targets are the joints, float32 `[B, T, people, joints, 3]`: x and y in pixels of the frame, and
    visibility. All people share the heatmaps. Metrics: `pck_10` etc., the share of visible joints
    within 10 % of their person's size; `oks`, the mean object keypoint similarity of people;
    `distance`, the mean distance of visible joints in pixels of the frame; `cross_entropy`.

    Args:
        joints: number of joints (17: COCO).
        frame_size: height and width of the frames.
        sigma: standard deviation of the Gaussians in pixels of the heatmaps.
        keypoint_weight: weight of the pixel at a joint, relative to the background.
        fractions: fractions of the person's size, one PCK metric for each.
        names: names of the joints; by default, 17 joints are those of COCO.
        sigmas: standard deviation of each joint for `oks`; by default, those of COCO. Without any,
            there is no `oks`.
        **kwargs: arguments of `Task`.

    Raises:
        ValueError: if an argument is out of range.
    """

    legend = (
        "Red: heatmaps. Rings: true joints. Dots: predicted joints; of several people, the nearest "
        "ones are connected as the true joints are."
    )

    def __init__(
        self,
        joints: int = 17,
        frame_size: Size = (224, 224),
        sigma: float = 1.0,
        keypoint_weight: float = 10.0,
        fractions: Sequence[float] = (0.1, 0.2),
        names: Sequence[str] = (),
        sigmas: Sequence[float] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_count("joints", joints, 1)
        self.joints = joints
        self.frame_size = checked_size(frame_size)
        self.fractions = tuple(fractions)
        self.names = tuple(names) or (COCO_JOINTS if joints == len(COCO_JOINTS) else ())
        self.sigmas = tuple(sigmas) or coco_sigmas(self.names)
        self._loss = HeatmapCrossEntropy(joints, self.frame_size, sigma, keypoint_weight)
        for fraction in fractions:
            check_fraction(fraction)
        for name, values in (("names", self.names), ("sigmas", self.sigmas)):
            if values and len(values) != joints:
                raise ValueError(f"Expected {joints} {name}, one per joint. Received: {values}")
        if self.sigmas and not min(self.sigmas) > 0:
            raise ValueError(f"sigmas must be positive. Received: {self.sigmas}")

    @property
    def loss(self) -> keras.losses.Loss:
        return self._loss

    def output_shape(self, frame: tuple[int, ...]) -> tuple[int | None, ...]:
        return (None, None, self.joints)

    def metrics(self) -> list[keras.metrics.Metric]:
        of_people: list[keras.metrics.Metric] = [
            CorrectKeypoints(self.frame_size, part, **self.steps) for part in self.fractions
        ]
        if self.sigmas:
            of_people.append(KeypointSimilarity(self.frame_size, self.sigmas, **self.steps))
        return [
            *of_people,
            JointDistance(self.frame_size, **self.steps),
            StepLoss(self.loss, name="cross_entropy", **self.steps),
        ]

    def targets(self, batch: Batch) -> tuple[tf.Tensor, list[tf.Operation]]:
        frames = frames_of(batch)
        joints = entry(batch, "joints", 5)
        if joints.shape[3:] != (self.joints, 3) or not joints.shape[2]:
            raise ValueError(
                f"Expected joints of shape [B, T, people, {self.joints}, 3]. "
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
        if target is None:
            true, predicted = None, self.predicted_joints(output)
        else:
            true = rescale(target, *sizes).numpy()
            predicted = assigned_peaks(tf.constant(output), target, self.frame_size)
        predicted = rescale(predicted, *sizes).numpy()
        limbs = overlay.limbs(self.names)
        return overlay.draw_joints(overlay.lay_over(frame, heat), predicted, true, limbs)

    def over(self, view: View, output: Any) -> np.ndarray:
        finite = np.nan_to_num(np.asarray(output, np.float32))
        heat = tf.sigmoid(finite.max(axis=-1)).numpy()
        joints = view.part.back(self.predicted_joints(finite).numpy())
        picture = overlay.lay_over_part(view.whole(), heat, view.part)
        return overlay.draw_joints(picture, joints, None, overlay.limbs(self.names))

    def predicted_joints(self, outputs: Any, people: int = 1) -> tf.Tensor:
        """Return the highest peaks of logits `[..., h, w, joints]`.

        Args:
            outputs: the logits.
            people: number of peaks of each heatmap, highest first. Which peaks of different
                heatmaps belong to the same person is unknown.

        Returns:
            float32 `[..., people, joints, 3]`: x and y in pixels of the frame, and the height of
            the peak, between 0 and 1.
        """
        logits = tf.convert_to_tensor(outputs)
        found = peaks(logits, people, logits=True)
        return rescale(found, (logits.shape[-3], logits.shape[-2]), self.frame_size)


@keras.saving.register_keras_serializable(package="mpvn")
class HeatmapCrossEntropy(keras.losses.Loss):
    """Weighted sigmoid cross-entropy of heatmaps: the mean over pixels and joints.

    For joints `[..., people, joints, 3]` and logits `[..., h, w, joints]`, `call` returns float32
    `[...]`.

    *Massively Parallel Video Networks* (section 4.2) weights the pixels of keypoints by 10, and
    does not say how a pixel beside a joint counts. Here a pixel with the target g, between 0 and 1,
    has the weight 1 + 9g, for both terms of its cross-entropy. The `pos_weight` of TensorFlow's
    `weighted_cross_entropy_with_logits` would weight the term of g alone. So compare losses with
    each other, not with the axis of the paper's figure 6.

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
        self.frame_size = checked_size(frame_size)
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


def _format_size(size: Sequence[int | None]) -> str:
    return f"{size[0]}x{size[1]}"

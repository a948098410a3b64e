"""Auto-encoding: the target of a step is the frame itself (*Sideways*, section 4.3, table 3)."""

import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mpvn.tasks.overlay import enlarged, stacked
from mpvn.tasks.step_metrics import StepLoss, StepMetric
from mpvn.tasks.task import Batch, Task, frames_of

RANGE = 2.0
"""Largest difference of two pixel values: they lie between -1 and 1."""


class Autoencoding(Task):
    """Reconstruct each frame, from outputs of the shape of the frames.

    Targets are the frames `[B, T, H, W, C]`. Metrics: `mse` and `psnr`.

    Args:
        **kwargs: arguments of `Task`.
    """

    legend = "From top to bottom: the frame, the output, the target."

    @property
    def loss(self) -> keras.losses.Loss:
        return SquaredError()

    def output_shape(self, frame: tuple[int, ...]) -> tuple[int | None, ...]:
        return frame

    def metrics(self) -> list[keras.metrics.Metric]:
        return [
            StepLoss(self.loss, name="mse", **self.steps),
            PeakSignalToNoise(name="psnr", **self.steps),
        ]

    def targets(self, batch: Batch) -> tuple[tf.Tensor, list[tf.Operation]]:
        return frames_of(batch), []

    def draw(self, frame: np.ndarray, output: np.ndarray, target: np.ndarray | None) -> np.ndarray:
        others = [output] if target is None else [output, target]
        return stacked([frame, *map(enlarged, others)])


@keras.saving.register_keras_serializable(package="mpvn")
class SquaredError(keras.losses.Loss):
    """Mean squared error of pictures `[..., H, W, C]`; `call` returns float32 `[...]`.

    Keras's `MeanSquaredError` averages over channels only, so it cannot be weighted by step.

    Raises:
        ValueError: when called, if targets and outputs differ in shape.
    """

    def __init__(self, reduction: str = "sum_over_batch_size", name: str = "squared_error") -> None:
        super().__init__(name=name, reduction=reduction, dtype="float32")

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        return _squared_error(y_true, y_pred)


@keras.saving.register_keras_serializable(package="mpvn")
class PeakSignalToNoise(StepMetric):
    """Peak signal-to-noise ratio in decibels, for pixels between -1 and 1.

    Computed from the mean squared error over all frames. (The mean of the ratios of single frames
    would be infinite if one frame is reconstructed exactly.)
    """

    def measure(
        self, y_true: tf.Tensor, y_pred: tf.Tensor, weights: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        errors = _squared_error(y_true, y_pred)
        return errors, tf.ones_like(errors), weights

    def result(self) -> tf.Tensor:
        """Return the ratio so far, or 0 without any steps."""
        decibels = 10.0 / math.log(10.0) * tf.math.log(RANGE**2 / super().result())
        return tf.where(tf.convert_to_tensor(self._count) > 0, decibels, 0.0)


def _squared_error(y_true: Any, y_pred: Any) -> tf.Tensor:
    if not y_true.shape[-3:].is_compatible_with(y_pred.shape[-3:]):
        expected = f"Expected outputs of the shape of the frames, {_format_shape(y_true)}."
        raise ValueError(f"{expected} Received: {_format_shape(y_pred)}")
    difference = tf.cast(y_pred, tf.float32) - tf.cast(y_true, tf.float32)
    return tf.reduce_mean(tf.square(difference), axis=[-3, -2, -1])


def _format_shape(picture: tf.Tensor) -> str:
    return "x".join(map(str, picture.shape[-3:]))

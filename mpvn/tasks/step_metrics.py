"""Means over the steps that count.

Keras hands no weights to what is compiled as `metrics`, only to `weighted_metrics`. So a metric
here knows which steps of a clip count, and takes weights beyond that if there are any. Compiled
either way it says the same of clips of one length. (Weights have mean 1 in each clip, so of clips
of several lengths `weighted_metrics` count all steps' worth of a clip, `metrics` those that count.)
"""

from typing import Any

import keras
import tensorflow as tf

from mpvn.tasks.task import check_count, size, step_weights


class StepMetric(keras.metrics.Metric):
    """A mean over the steps that count, of all clips.

    Subclasses say in `measure` what is averaged.

    Args:
        skip_first: how many steps at the beginning of a clip do not count.
        skip_last: how many at its end.
        name: as in Keras.
        dtype: of the sums.

    Call arguments:
        y_true: targets `[B, T, ...]`.
        y_pred: outputs `[B, T, ...]`.
        sample_weight: None, or weights `[B, T]` or `[B]`.
    """

    def __init__(
        self,
        skip_first: int = 0,
        skip_last: int = 0,
        name: str | None = None,
        dtype: str = "float32",
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        check_count("skip_first", skip_first, 0)
        check_count("skip_last", skip_last, 0)
        self.skip_first = skip_first
        self.skip_last = skip_last
        self._total = self.add_variable((), "zeros", name="total")
        self._count = self.add_variable((), "zeros", name="count")

    def weights(self, outputs: tf.Tensor) -> tf.Tensor:
        """1 for each step of outputs `[B, T, ...]` that counts, else 0: float32 `[B, T]`."""
        weights = step_weights(size(outputs, 1), self.skip_first, self.skip_last)
        return tf.tile(weights[None], [size(outputs, 0), 1])

    def measure(
        self, y_true: tf.Tensor, y_pred: tf.Tensor, weights: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """What is averaged: sums, how many values each is the sum of, and how much these count.

        Args:
            y_true: targets `[B, T, ...]`.
            y_pred: outputs `[B, T, ...]`, float32.
            weights: of the steps, float32 `[B, T]`.

        Returns:
            Three float32 tensors of one shape, such as `[B, T]`.
        """
        raise NotImplementedError

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Adds a batch."""
        y_pred = tf.cast(tf.convert_to_tensor(y_pred), tf.float32)
        weights = self.weights(y_pred)
        if sample_weight is not None:
            given = tf.cast(sample_weight, tf.float32)
            weights *= given[:, None] if given.shape.rank == 1 else given
        sums, counts, weights = self.measure(tf.convert_to_tensor(y_true), y_pred, weights)
        # Where a weight is 0, not even a sum that is not a number counts.
        self._total.assign_add(tf.reduce_sum(tf.math.multiply_no_nan(sums, weights)))
        self._count.assign_add(tf.reduce_sum(counts * weights))

    def result(self) -> tf.Tensor:
        """The mean so far; 0 of nothing."""
        return tf.math.divide_no_nan(
            tf.convert_to_tensor(self._total), tf.convert_to_tensor(self._count)
        )

    def get_config(self) -> dict[str, Any]:
        steps = {"skip_first": self.skip_first, "skip_last": self.skip_last}
        return {**super().get_config(), **steps}


@keras.saving.register_keras_serializable(package="mpvn")
class StepLoss(StepMetric):
    """The loss of a task, without what layers add to it.

    Args:
        loss: a loss whose `call` gives `[B, T]`, or its configuration.
        **kwargs: as `StepMetric`.
    """

    def __init__(self, loss: keras.losses.Loss | dict[str, Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.loss = keras.saving.deserialize_keras_object(loss) if isinstance(loss, dict) else loss

    def measure(
        self, y_true: tf.Tensor, y_pred: tf.Tensor, weights: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        losses = self.loss.call(y_true, y_pred)
        return losses, tf.ones_like(losses), weights

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "loss": keras.saving.serialize_keras_object(self.loss)}

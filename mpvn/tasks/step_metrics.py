"""Metrics of the steps that count.

Keras passes weights to `weighted_metrics`, but not to `metrics`. A metric of a task therefore knows
which steps of a clip count, and uses weights only if it gets them. For clips of one length both
give the same result. (Weights have mean 1 in each clip. For clips of several lengths,
`weighted_metrics` weight a clip by all its steps, `metrics` by those that count.)
"""

from typing import Any

import keras
import tensorflow as tf

from mpvn.tasks.task import check_count, size, step_weights


class CountedSteps(keras.metrics.Metric):
    """A metric that knows which steps of a clip count.

    Subclasses implement `add` and `result`.

    Args:
        skip_first: number of steps at the start of a clip that do not count.
        skip_last: number of steps at the end of a clip that do not count.
        only_last: whether the last of the other steps counts alone.
        name: as in Keras.
        dtype: dtype of the sums.

    Call arguments:
        y_true: targets `[B, T, ...]`.
        y_pred: outputs `[B, T, ...]`.
        sample_weight: None, or weights `[B, T]` or `[B]`.

    Attributes:
        of_clips: whether it compares a clip with its label. Joined clips have none.
    """

    of_clips: bool = False

    def __init__(
        self,
        skip_first: int = 0,
        skip_last: int = 0,
        only_last: bool = False,
        name: str | None = None,
        dtype: str = "float32",
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        check_count("skip_first", skip_first, 0)
        check_count("skip_last", skip_last, 0)
        self.skip_first = skip_first
        self.skip_last = skip_last
        self.only_last = only_last

    def weights(self, outputs: tf.Tensor) -> tf.Tensor:
        """Return float32 `[B, T]`: 1 for each step of outputs `[B, T, ...]` that counts, else 0."""
        weights = step_weights(size(outputs, 1), self.skip_first, self.skip_last, self.only_last)
        return tf.tile(weights[None], [size(outputs, 0), 1])

    def add(self, y_true: tf.Tensor, y_pred: tf.Tensor, weights: tf.Tensor) -> None:
        """Add a batch.

        Args:
            y_true: targets `[B, T, ...]`.
            y_pred: outputs `[B, T, ...]`, float32.
            weights: weights of the steps, float32 `[B, T]`.
        """
        raise NotImplementedError

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Add a batch."""
        y_pred = tf.cast(tf.convert_to_tensor(y_pred), tf.float32)
        weights = self.weights(y_pred)
        if sample_weight is not None:
            given = tf.cast(sample_weight, tf.float32)
            weights *= given[:, None] if given.shape.rank == 1 else given
        self.add(tf.convert_to_tensor(y_true), y_pred, weights)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "skip_first": self.skip_first,
            "skip_last": self.skip_last,
            "only_last": self.only_last,
        }


class StepMetric(CountedSteps):
    """Mean over the steps that count, of all clips.

    Subclasses implement `measure`.

    Args:
        **kwargs: arguments of `CountedSteps`.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._total = self.add_variable((), "zeros", name="total")
        self._count = self.add_variable((), "zeros", name="count")

    def measure(
        self, y_true: tf.Tensor, y_pred: tf.Tensor, weights: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Compute the terms of the mean.

        Args:
            y_true, y_pred, weights: as in `add`.

        Returns:
            Sums of values, the number of values in each sum, and the weight of each sum: three
            float32 tensors of one shape, such as `[B, T]`.
        """
        raise NotImplementedError

    def add(self, y_true: tf.Tensor, y_pred: tf.Tensor, weights: tf.Tensor) -> None:
        sums, counts, weights = self.measure(y_true, y_pred, weights)
        # multiply_no_nan: where a weight is 0, the sum may be NaN.
        self._total.assign_add(tf.reduce_sum(tf.math.multiply_no_nan(sums, weights)))
        self._count.assign_add(tf.reduce_sum(counts * weights))

    def result(self) -> tf.Tensor:
        """Return the mean so far, or 0 without any steps."""
        return tf.math.divide_no_nan(
            tf.convert_to_tensor(self._total), tf.convert_to_tensor(self._count)
        )


@keras.saving.register_keras_serializable(package="mpvn")
class StepLoss(StepMetric):
    """The loss of a task, without the losses that layers add.

    Args:
        loss: a loss whose `call` returns `[B, T]`, or its configuration.
        **kwargs: arguments of `StepMetric`.
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

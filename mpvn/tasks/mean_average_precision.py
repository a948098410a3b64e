"""Metrics of recognition with any number of labels: the mean average precision of clips."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mpvn.tasks.average_precision import mean_average_precision
from mpvn.tasks.classes import Average, check_average, check_outputs, mean_over_steps
from mpvn.tasks.step_metrics import CountedSteps


@keras.saving.register_keras_serializable(package="mpvn")
class MeanAveragePrecision(CountedSteps):
    """Mean average precision of clips, each scored by its mean over the steps.

    See `mpvn.tasks.average_precision`. Classes that no clip has are left out of the mean. A clip
    counts once if any of its steps does; weights are relative within a clip.

    The number is exact, so all scores are kept until the metric is reset: 5 to 10 bytes per clip
    and class, in the memory of the host. It is computed at the end of an epoch or an evaluation;
    between the batches of `fit` and `evaluate`, and in any other graph, the result is NaN.

    Limits: XLA (`jit_compile=True`) cannot compile the growing table of scores.

    Args:
        classes: number of classes.
        average: what to average over the steps: `"logits"` or `"probabilities"`. Probabilities
            close to 1 are equal where logits are not.
        **kwargs: arguments of `CountedSteps`.
    """

    of_clips = True

    def __init__(self, classes: int, average: Average = "logits", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_average(average)
        self.classes = classes
        self.average = average
        self._scores = _Table(classes, tf.float32)
        self._labels = _Table(classes, tf.uint8)

    def add(self, y_true: tf.Tensor, y_pred: tf.Tensor, weights: tf.Tensor) -> None:
        check_outputs(y_pred, self.classes)
        values = tf.nn.sigmoid(y_pred) if self.average == "probabilities" else y_pred
        counted = tf.reduce_any(weights > 0, axis=1)  # [B]
        scores = mean_over_steps(values, weights)
        self._scores.append(tf.boolean_mask(scores, counted))
        self._labels.append(tf.boolean_mask(labels_of_clips(y_true, weights), counted))

    def result(self) -> tf.Tensor:
        """Return the mean so far, or 0 without any clip that has a class."""
        if tf.inside_function():
            return tf.constant(np.nan)
        scores, labels = self._scores.rows(), self._labels.rows()
        return tf.constant(mean_average_precision(scores, labels), tf.float32)

    def reset_state(self) -> None:
        self._scores.clear()
        self._labels.clear()

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "classes": self.classes, "average": self.average}


@keras.saving.register_keras_serializable(package="mpvn")
class ClassesWithClips(CountedSteps):
    """Number of classes that at least one clip has: those in the mean of `MeanAveragePrecision`.

    Args:
        classes: number of classes.
        **kwargs: arguments of `CountedSteps`.
    """

    of_clips = True

    def __init__(self, classes: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.classes = classes
        self._present = self.add_variable((classes,), "zeros", name="present")

    def add(self, y_true: tf.Tensor, y_pred: tf.Tensor, weights: tf.Tensor) -> None:
        present = tf.reduce_max(labels_of_clips(y_true, weights), axis=0)
        now = tf.convert_to_tensor(self._present)
        self._present.assign(tf.maximum(now, tf.cast(present, now.dtype)))

    def result(self) -> tf.Tensor:
        """Return the number so far."""
        return tf.reduce_sum(tf.convert_to_tensor(self._present))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "classes": self.classes}


def labels_of_clips(y_true: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """Return the labels of clips at the steps that count.

    Args:
        y_true: 1 for the labels of a step, else 0, `[B, T, classes]`.
        weights: `[B, T]`.

    Returns:
        uint8 `[B, classes]`: 1 or 0.
    """
    at_steps = (y_true > 0) & (weights > 0)[..., None]
    return tf.cast(tf.reduce_any(at_steps, axis=1), tf.uint8)


class _Table:
    """Rows that grow batch by batch, in graphs too, in the memory of the host.

    A full table doubles its capacity, so that rows are copied only a few times.
    """

    def __init__(self, width: int, dtype: tf.DType) -> None:
        with tf.init_scope(), tf.device("CPU"):
            self._rows = tf.Variable(tf.zeros((0, width), dtype), False, shape=(None, width))
            self._capacity, self._count = tf.Variable(0, False), tf.Variable(0, False)

    @tf.autograph.experimental.do_not_convert
    def append(self, rows: tf.Tensor) -> None:
        with tf.device("CPU"):
            end = self._count + tf.shape(rows)[0]
            tf.cond(end > self._capacity, lambda: self._grow(end), lambda: tf.constant(0))
            self._rows[self._count : end].assign(rows)
            self._count.assign(end)

    def _grow(self, needed: tf.Tensor) -> tf.Tensor:
        added = tf.maximum(needed, self._capacity)
        empty = tf.zeros([added, self._rows.shape[1]], self._rows.dtype)
        self._rows.assign(tf.concat([self._rows.read_value(), empty], axis=0))
        return self._capacity.assign_add(added).read_value() * 0

    def rows(self) -> np.ndarray:
        """Return all rows; not in graphs."""
        return self._rows.numpy()[: self._count.numpy()]

    def clear(self) -> None:
        self._rows.assign(tf.zeros([0, self._rows.shape[1]], self._rows.dtype))
        self._capacity.assign(0)
        self._count.assign(0)

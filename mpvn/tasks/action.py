"""Action recognition: the label of the clip, at every step.

*Massively Parallel Video Networks* (section 4.1) and *Sideways* (section 4) train with the softmax
cross-entropy of the clip's label at each step. The score of a clip is the mean over its steps.
"""

from collections.abc import Sequence
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf

from mpvn.tasks.overlay import Share, bars, stacked
from mpvn.tasks.step_metrics import StepLoss, StepMetric
from mpvn.tasks.task import Batch, Task, check_count, entry, frames_of, require, size

Average = Literal["logits", "probabilities"]


class ActionRecognition(Task):
    """Predict the label of a clip at each of its steps, from logits `[B, T, classes]`.

    Targets are the labels, int32 `[B, T]`. Metrics: `accuracy` of single steps, `clip_top1`,
    `clip_top5` (with more than 5 classes), and `cross_entropy`.

    Args:
        classes: number of classes, at least 2.
        average: what to average over the steps of a clip: `"logits"` or `"probabilities"`.
        names: names of the classes, for pictures; by default, their numbers.
        **kwargs: arguments of `Task`.

    Raises:
        ValueError: if an argument is out of range.
    """

    legend = "The most likely classes. Green: the label. Orange: predicted instead of the label."

    def __init__(
        self,
        classes: int,
        average: Average = "logits",
        names: Sequence[str] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_count("classes", classes, 2)
        check_average(average)
        if names and len(names) != classes:
            raise ValueError(
                f"Expected {classes} names, one per class. Received: {len(names)} names"
            )
        self.classes = classes
        self.average = average
        self.names = tuple(names) or tuple(f"class {number}" for number in range(classes))

    @property
    def loss(self) -> keras.losses.Loss:
        return LabelCrossEntropy(self.classes)

    def metrics(self) -> list[keras.metrics.Metric]:
        tops = [1, 5] if self.classes > 5 else [1]
        clips = [
            ClipAccuracy(top, self.average, name=f"clip_top{top}", **self.steps) for top in tops
        ]
        return [
            StepAccuracy(name="accuracy", **self.steps),
            *clips,
            StepLoss(self.loss, name="cross_entropy", **self.steps),
        ]

    def targets(self, batch: Batch) -> tuple[tf.Tensor, list[tf.Operation]]:
        labels = entry(batch, "label", 1)
        if not labels.dtype.is_integer:
            raise ValueError(f"Expected labels as integers. Received: {labels.dtype.name}")
        labels = tf.cast(labels, tf.int32)
        wrong = (labels < 0) | (labels >= self.classes)
        checks = require(
            ~tf.reduce_any(wrong),
            f"Expected labels from 0 to {self.classes - 1} ({self.classes} classes). Received:",
            tf.boolean_mask(labels, wrong),
        )
        # [B] -> [B, T]
        return tf.tile(labels[:, None], [1, size(frames_of(batch), 1)]), checks

    def draw(self, frame: np.ndarray, output: np.ndarray, target: np.ndarray | None) -> np.ndarray:
        """Draw the three most likely classes below the frame, the label among them."""
        probabilities = tf.nn.softmax(output).numpy()
        shown = np.argsort(-probabilities, kind="stable")[:3].tolist()
        if target is not None and target not in shown:
            shown[-1] = int(target)
        correct: dict[int, bool] = {} if target is None else {shown[0]: False, int(target): True}
        shares = [Share(self.names[n], float(probabilities[n]), correct.get(n)) for n in shown]
        return stacked([frame, bars(frame.shape[1], shares)])

    def clip_scores(self, outputs: Any) -> tf.Tensor:
        """Return the scores `[B, classes]` of clips: means of the logits `[B, T, classes]`, or of
        their probabilities, over the steps that count."""
        logits = tf.cast(outputs, tf.float32)
        metric = ClipAccuracy(average=self.average, **self.steps)
        return metric.scores(logits, metric.weights(logits))


@keras.saving.register_keras_serializable(package="mpvn")
class LabelCrossEntropy(keras.losses.Loss):
    """Softmax cross-entropy of labels `[...]` and logits `[..., classes]`; `call` returns `[...]`.

    Args:
        classes: number of classes.
        reduction, name: as in Keras.

    Raises:
        ValueError: when called, if the outputs have another number of classes.
    """

    def __init__(
        self,
        classes: int,
        reduction: str = "sum_over_batch_size",
        name: str = "label_cross_entropy",
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype="float32")
        self.classes = classes

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        if y_pred.shape[-1] != self.classes:
            raise ValueError(
                f"Expected outputs of {self.classes} classes. Received: shape "
                f"{tuple(y_pred.shape)}. Build the network with classes={self.classes}"
            )
        return tf.nn.sparse_softmax_cross_entropy_with_logits(
            tf.cast(y_true, tf.int32), tf.cast(y_pred, tf.float32)
        )

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "classes": self.classes}


@keras.saving.register_keras_serializable(package="mpvn")
class StepAccuracy(StepMetric):
    """Share of steps at which the label has the highest logit.

    As in `ClipAccuracy`, a step with a tie is wrong.
    """

    def measure(
        self, y_true: tf.Tensor, y_pred: tf.Tensor, weights: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        correct = among_top(y_pred, y_true, 1)
        return correct, tf.ones_like(correct), weights


@keras.saving.register_keras_serializable(package="mpvn")
class ClipAccuracy(StepMetric):
    """Share of clips whose label is among the `top` classes by the mean over the steps.

    A clip counts once if any of its steps does; weights are relative within a clip. Ties count as
    wrong: a network with equal scores for all classes is never right.

    Args:
        top: number of predicted classes.
        average: what to average over the steps: `"logits"` or `"probabilities"`.
        **kwargs: arguments of `StepMetric`.
    """

    def __init__(self, top: int = 1, average: Average = "logits", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_count("top", top, 1)
        check_average(average)
        self.top = top
        self.average = average

    def scores(self, logits: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        """Return the weighted mean `[B, classes]` of `logits` `[B, T, classes]` over the steps."""
        scores = tf.nn.softmax(logits) if self.average == "probabilities" else logits
        sums = tf.reduce_sum(tf.math.multiply_no_nan(scores, weights[..., None]), axis=1)
        return tf.math.divide_no_nan(sums, tf.reduce_sum(weights, axis=1)[:, None])

    def measure(
        self, y_true: tf.Tensor, y_pred: tf.Tensor, weights: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        correct = among_top(self.scores(y_pred, weights), y_true[:, 0], self.top)
        counts = tf.cast(tf.reduce_any(weights > 0, axis=1), tf.float32)
        return correct, tf.ones_like(correct), counts

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "top": self.top, "average": self.average}


def among_top(scores: tf.Tensor, labels: tf.Tensor, top: int) -> tf.Tensor:
    """Return 1 where fewer than `top` other classes score at least as high as the label, else 0.

    Args:
        scores: `[..., classes]`.
        labels: `[...]`.
        top: number of predicted classes.

    Returns:
        float32 `[...]`.
    """
    labels = tf.cast(labels, tf.int32)[..., None]
    label_scores = tf.gather(scores, labels, axis=-1, batch_dims=labels.shape.rank - 1)
    beaten = tf.reduce_sum(tf.cast(scores < label_scores, tf.int32), axis=-1)
    return tf.cast(beaten >= scores.shape[-1] - top, tf.float32)


def check_average(average: str) -> None:
    """Raise ValueError unless `average` is an `Average`."""
    if average not in ("logits", "probabilities"):
        raise ValueError(f'average must be "logits" or "probabilities". Received: {average!r}')

"""Action recognition: the label of the clip, at every step.

*Massively Parallel Video Networks* (section 4.1) and *Sideways* (section 4) train with the softmax
cross-entropy of the clip's label at each step. The score of a clip is the mean over its steps.
"""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mpvn.tasks.classes import (
    SMALLEST,
    Average,
    ClassLoss,
    ClassTask,
    check_average,
    mean_over_steps,
)
from mpvn.tasks.overlay import Share, bars, stacked
from mpvn.tasks.recognition import Recognition, among_top
from mpvn.tasks.step_metrics import StepLoss, StepMetric
from mpvn.tasks.task import Batch, check_count, entry, require


class ActionRecognition(ClassTask):
    """Predict the label of a clip at each of its steps, from logits `[B, T, classes]`.

    Targets are the labels, int32 `[B, T]`. Metrics: `accuracy` of single steps, `clip_top1`,
    `clip_top5` (with more than 5 classes), and `cross_entropy`.

    Args:
        **kwargs: arguments of `ClassTask`.
    """

    legend = "The most likely classes. Green: the label. Orange: predicted instead of the label."
    recognition = Recognition

    @property
    def loss_type(self) -> type[ClassLoss]:
        return LabelCrossEntropy

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

    def labels(self, batch: Batch) -> tuple[tf.Tensor, list[tf.Operation]]:
        return one_label(batch, self.classes)

    def shares_of(self, targets: tf.Tensor) -> tf.Tensor:
        return tf.one_hot(targets, self.classes)

    def probabilities(self, logits: Any) -> tf.Tensor:
        return tf.nn.softmax(logits)

    def logits_of(self, probabilities: tf.Tensor) -> tf.Tensor:
        return tf.math.log(tf.maximum(probabilities, SMALLEST))

    def draw(self, frame: np.ndarray, output: np.ndarray, target: np.ndarray | None) -> np.ndarray:
        """Draw the three most likely classes below the frame, the label among them."""
        probabilities = tf.nn.softmax(output).numpy()
        shown = np.argsort(-probabilities, kind="stable")[:3].tolist()
        if target is not None and target not in shown:
            shown[-1] = int(target)
        correct: dict[int, bool] = {} if target is None else {shown[0]: False, int(target): True}
        shares = [Share(self.names[n], float(probabilities[n]), correct.get(n)) for n in shown]
        return stacked([frame, bars(frame.shape[1], shares)])


@keras.saving.register_keras_serializable(package="mpvn")
class LabelCrossEntropy(ClassLoss):
    """Softmax cross-entropy of labels and logits `[..., classes]`.

    Labels are integers `[...]`, or the shares of the classes `[..., classes]`, as of mixed clips.

    Smoothing e and class weights w make of the shares s

        loss = - sum over classes c of w[c] * ((1 - e) * s[c] + e / classes) * log(probability of c)

    as in PyTorch, before its mean, which divides by the weights.
    """

    usual_name = "label_cross_entropy"

    def losses(self, labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        is_mixed = labels.shape.rank == logits.shape.rank
        if not is_mixed:
            labels = tf.cast(labels, tf.int32)
        if not is_mixed and not self.label_smoothing and self.class_weights is None:
            return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        shares = tf.cast(labels, tf.float32) if is_mixed else tf.one_hot(labels, self.classes)
        shares = (1 - self.label_smoothing) * shares + self.label_smoothing / self.classes
        if self.class_weights is not None:
            shares *= self.class_weights
        # Not softmax_cross_entropy_with_logits: its gradient is wrong where the sum is not 1.
        return -tf.reduce_sum(shares * tf.nn.log_softmax(logits), axis=-1)


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

    of_clips = True

    def __init__(self, top: int = 1, average: Average = "logits", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_count("top", top, 1)
        check_average(average)
        self.top = top
        self.average = average

    def scores(self, logits: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        """Return the weighted mean `[B, classes]` of `logits` `[B, T, classes]` over the steps."""
        scores = tf.nn.softmax(logits) if self.average == "probabilities" else logits
        return mean_over_steps(scores, weights)

    def measure(
        self, y_true: tf.Tensor, y_pred: tf.Tensor, weights: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        correct = among_top(self.scores(y_pred, weights), y_true[:, 0], self.top)
        counts = tf.cast(tf.reduce_any(weights > 0, axis=1), tf.float32)
        return correct, tf.ones_like(correct), counts

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "top": self.top, "average": self.average}


def one_label(batch: Batch, classes: int) -> tuple[tf.Tensor, list[tf.Operation]]:
    """Return the one label of each clip, int32 `[B]`, and checks that must run before its use.

    Raises:
        ValueError: if there are no labels, or they are not integers in `range(classes)`.
    """
    labels = entry(batch, "label", 1)
    if not labels.dtype.is_integer:
        raise ValueError(f"Expected labels as integers. Received: {labels.dtype.name}")
    labels = tf.cast(labels, tf.int32)
    wrong = (labels < 0) | (labels >= classes)
    checks = require(
        ~tf.reduce_any(wrong),
        f"Expected labels from 0 to {classes - 1} ({classes} classes). Received:",
        tf.boolean_mask(labels, wrong),
    )
    return labels, checks

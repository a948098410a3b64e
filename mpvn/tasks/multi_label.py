"""Recognition of any number of actions in a clip: all its labels, at every step.

Each class is a question of its own, answered by a sigmoid, as usual on *Charades* (*Hollywood in
Homes*, Sigurdsson et al. 2016), which is evaluated by the mean average precision over its videos.
"""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mpvn.tasks.action import one_label
from mpvn.tasks.classes import SMALLEST, ClassLoss, ClassTask
from mpvn.tasks.mean_average_precision import ClassesWithClips, MeanAveragePrecision
from mpvn.tasks.overlay import Share, bars, stacked
from mpvn.tasks.recognition import MultiLabelRecognition
from mpvn.tasks.step_metrics import StepLoss
from mpvn.tasks.task import Batch, entry, require

SHOWN = 5
"""Number of classes in a picture."""


class MultiLabelActions(ClassTask):
    """Predict all labels of a clip at each of its steps, from logits `[B, T, classes]`.

    Targets are float32 `[B, T, classes]`: 1 for the labels, else 0. Metrics: `clip_map`, the mean
    average precision; `map_classes`, the number of classes in that mean, which have clips; and
    `cross_entropy`.

    Args:
        **kwargs: arguments of `ClassTask`.
    """

    legend = (
        "The most likely classes and the labels. Green: labels. Orange: predicted (50 % or more) "
        "but not labels."
    )
    recognition = MultiLabelRecognition

    @property
    def loss_type(self) -> type[ClassLoss]:
        return MultiLabelCrossEntropy

    def metrics(self) -> list[keras.metrics.Metric]:
        return [
            MeanAveragePrecision(self.classes, self.average, name="clip_map", **self.steps),
            ClassesWithClips(self.classes, name="map_classes", **self.steps),
            StepLoss(self.loss, name="cross_entropy", **self.steps),
        ]

    def labels(self, batch: Batch) -> tuple[tf.Tensor, list[tf.Operation]]:
        """Return the labels, float32 `[B, classes]`, and checks.

        A clip with one `"label"` instead of `"labels"` has that label alone.
        """
        if "labels" not in batch:
            label, checks = one_label(batch, self.classes)
            return tf.one_hot(label, self.classes), checks
        labels = tf.cast(entry(batch, "labels", 2), tf.float32)
        if labels.shape[1] not in (None, self.classes):
            raise ValueError(
                f"Expected 'labels' of {self.classes} classes. Received: {labels.shape[1]}"
            )
        wrong = (labels != 0) & (labels != 1)
        checks = require(
            ~tf.reduce_any(wrong),
            "Expected labels of 1 for the classes of a clip and 0 for the others. Received:",
            tf.boolean_mask(labels, wrong),
        )
        return labels, checks

    def shares_of(self, targets: tf.Tensor) -> tf.Tensor:
        return targets

    def probabilities(self, logits: Any) -> tf.Tensor:
        return tf.nn.sigmoid(logits)

    def logits_of(self, probabilities: tf.Tensor) -> tf.Tensor:
        inside = tf.clip_by_value(probabilities, SMALLEST, 1 - SMALLEST)
        return tf.math.log(inside) - tf.math.log1p(-inside)

    def draw(self, frame: np.ndarray, output: np.ndarray, target: np.ndarray | None) -> np.ndarray:
        """Draw the most likely classes below the frame, the labels among them."""
        probabilities = tf.nn.sigmoid(output).numpy()
        order = np.argsort(-probabilities, kind="stable").tolist()
        true = set() if target is None else {n for n in order if target[n] > 0}
        # The most likely class, then labels, then other likely classes, as many as fit.
        wanted = [order[0], *(n for n in order if n in true), *order]
        shown = list(dict.fromkeys(wanted))[:SHOWN]
        shares = []
        for number in sorted(shown, key=order.index):
            share = float(probabilities[number])
            predicted = target is not None and share >= 0.5
            correct = True if number in true else False if predicted else None
            shares.append(Share(self.names[number], share, correct))
        return stacked([frame, bars(frame.shape[1], shares)])


@keras.saving.register_keras_serializable(package="mpvn")
class MultiLabelCrossEntropy(ClassLoss):
    """Sigmoid cross-entropy of labels (0 to 1) and logits, both `[..., classes]`: their mean.

    Smoothing e makes of a label s the label (1 - e) * s + e / 2, as in Keras.
    """

    usual_name = "multi_label_cross_entropy"

    def losses(self, labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        labels = tf.cast(labels, tf.float32)
        if self.label_smoothing:
            labels = (1 - self.label_smoothing) * labels + self.label_smoothing / 2
        losses = tf.nn.sigmoid_cross_entropy_with_logits(labels, logits)
        if self.class_weights is not None:
            losses *= self.class_weights
        return tf.reduce_mean(losses, axis=-1)

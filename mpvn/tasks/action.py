"""Action recognition: the label of the clip, at every step.

*Massively Parallel Video Networks* and *Sideways* (section 5) train so: softmax cross-entropy of
the clip's label at each step. A clip as a whole is scored by the mean of what its steps say.
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
    """The label of a clip at each of its steps, from logits `[B, T, classes]`.

    Targets are the labels int32 `[B, T]`. Metrics: `accuracy` of single steps; `clip_top1`, and
    `clip_top5` where there are more than 5 classes; `cross_entropy`.

    Args:
        classes: number of classes, at least 2.
        average: what is averaged over the steps of a clip to score it.
        names: of the classes, for pictures; none numbers them.
        **kwargs: as `Task`.

    Raises:
        ValueError: arguments out of range.
    """

    legend = "The likeliest classes; green: the right one, orange: named in its place."

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
            raise ValueError(f"{classes} classes need as many names. Received: {len(names)}")
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

    @property
    def head_arguments(self) -> dict[str, int]:
        return {"classes": self.classes}

    def targets(self, batch: Batch) -> tuple[tf.Tensor, list[tf.Operation]]:
        labels = entry(batch, "label", 1)
        if not labels.dtype.is_integer:
            raise ValueError(f"labels must be integers. Received: {labels.dtype.name}")
        labels = tf.cast(labels, tf.int32)
        wrong = (labels < 0) | (labels >= self.classes)
        checks = require(
            ~tf.reduce_any(wrong),
            f"labels must be 0 to {self.classes - 1}, for there are {self.classes} classes. "
            "Received:",
            tf.boolean_mask(labels, wrong),
        )
        # [B] -> [B, T]
        return tf.tile(labels[:, None], [1, size(frames_of(batch), 1)]), checks

    def draw(self, frame: np.ndarray, output: np.ndarray, target: np.ndarray | None) -> np.ndarray:
        """The three likeliest classes below the frame; the right one takes the last place if it is
        none of them."""
        probabilities = tf.nn.softmax(output).numpy()
        shown = np.argsort(-probabilities, kind="stable")[:3].tolist()
        if target is not None and target not in shown:
            shown[-1] = int(target)
        right: dict[int, bool] = {} if target is None else {shown[0]: False, int(target): True}
        shares = [Share(self.names[n], float(probabilities[n]), right.get(n)) for n in shown]
        return stacked([frame, bars(frame.shape[1], shares)])

    def clip_scores(self, outputs: Any) -> tf.Tensor:
        """Scores of clips `[B, classes]`: the mean of logits `[B, T, classes]`, or of their
        probabilities, over the steps that count."""
        logits = tf.cast(outputs, tf.float32)
        metric = ClipAccuracy(average=self.average, **self.steps)
        return metric.scores(logits, metric.weights(logits))


@keras.saving.register_keras_serializable(package="mpvn")
class LabelCrossEntropy(keras.losses.Loss):
    """Softmax cross-entropy of labels `[...]` from logits `[..., classes]`; `call` gives `[...]`.

    Args:
        classes: number of classes.
        reduction, name: as in Keras.

    Raises:
        ValueError: when called: the outputs have another number of classes.
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
                f"the task has {self.classes} classes, but the network's outputs have shape "
                f"{tuple(y_pred.shape)}. Build it with classes={self.classes}"
            )
        return tf.nn.sparse_softmax_cross_entropy_with_logits(
            tf.cast(y_true, tf.int32), tf.cast(y_pred, tf.float32)
        )

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "classes": self.classes}


@keras.saving.register_keras_serializable(package="mpvn")
class StepAccuracy(StepMetric):
    """Share of steps at which the label has the highest of the logits.

    As in `ClipAccuracy`, another class with the same logit makes a step wrong.
    """

    def measure(
        self, y_true: tf.Tensor, y_pred: tf.Tensor, weights: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        right = among_top(y_pred, y_true, 1)
        return right, tf.ones_like(right), weights


@keras.saving.register_keras_serializable(package="mpvn")
class ClipAccuracy(StepMetric):
    """Share of clips whose label is among the `top` classes by the mean of their steps.

    A clip counts once if any of its steps does; weights say how much a step counts within its clip.
    Ties count against the network, so that one which says the same of all classes is never right.

    Args:
        top: how many classes may be named.
        average: what is averaged over the steps.
        **kwargs: as `StepMetric`.
    """

    def __init__(self, top: int = 1, average: Average = "logits", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_count("top", top, 1)
        check_average(average)
        self.top = top
        self.average = average

    def scores(self, logits: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        """The mean `[B, classes]` of what steps `[B, T, classes]` of weights `[B, T]` say."""
        said = tf.nn.softmax(logits) if self.average == "probabilities" else logits
        sums = tf.reduce_sum(tf.math.multiply_no_nan(said, weights[..., None]), axis=1)
        return tf.math.divide_no_nan(sums, tf.reduce_sum(weights, axis=1)[:, None])

    def measure(
        self, y_true: tf.Tensor, y_pred: tf.Tensor, weights: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        right = among_top(self.scores(y_pred, weights), y_true[:, 0], self.top)
        counts = tf.cast(tf.reduce_any(weights > 0, axis=1), tf.float32)
        return right, tf.ones_like(right), counts

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "top": self.top, "average": self.average}


def among_top(scores: tf.Tensor, labels: tf.Tensor, top: int) -> tf.Tensor:
    """1 where fewer than `top` others score at least as high as the label, else 0; float32.

    Args:
        scores: `[..., classes]`.
        labels: `[...]`.
        top: how many classes may be named.
    """
    labels = tf.cast(labels, tf.int32)[..., None]
    own = tf.gather(scores, labels, axis=-1, batch_dims=labels.shape.rank - 1)
    beaten = tf.reduce_sum(tf.cast(scores < own, tf.int32), axis=-1)
    return tf.cast(beaten >= scores.shape[-1] - top, tf.float32)


def check_average(average: str) -> None:
    """Raises ValueError unless `average` is an `Average`."""
    if average not in ("logits", "probabilities"):
        raise ValueError(f'average must be "logits" or "probabilities". Received: {average!r}')

"""The base of tasks that score classes: scores of a clip, from logits at each step, and losses."""

import abc
from collections.abc import Sequence
from typing import Any, Literal

import keras
import tensorflow as tf

from mpvn.tasks.recognition import Scores
from mpvn.tasks.task import Batch, Task, check_count, frames_of, size, step_weights

Average = Literal["logits", "probabilities"]
Answer = Literal["mean", "last"]

SMALLEST = 1e-6
"""Smallest probability whose logit is computed."""


class ClassTask(Task):
    """Score classes at each step, from logits `[B, T, classes]`.

    Args:
        classes: number of classes, at least 2.
        average: what to average over the steps of a clip: `"logits"` or `"probabilities"`.
        names: names of the classes, for pictures; by default, their numbers.
        answer: the answer for a clip: `"mean"` over its steps; or `"last"`, that of its last step,
            for networks that relate the frames of a clip themselves, such as TRN. Then no other
            step counts, in the loss neither.
        **kwargs: arguments of `Task`.

    Attributes:
        recognition: the class of the scores of videos.
        classes, average, names, answer: the arguments.

    Raises:
        ValueError: if an argument is out of range.
    """

    recognition: type[Scores]

    def __init__(
        self,
        classes: int,
        average: Average = "logits",
        names: Sequence[str] = (),
        answer: Answer = "mean",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_count("classes", classes, 2)
        check_average(average)
        check_answer(answer)
        if names and len(names) != classes:
            raise ValueError(
                f"Expected {classes} names, one per class. Received: {len(names)} names"
            )
        self.classes = classes
        self.average = average
        self.answer = answer
        self.only_last = answer == "last"
        self.names = tuple(names) or tuple(f"class {number}" for number in range(classes))

    @property
    @abc.abstractmethod
    def loss_type(self) -> "type[ClassLoss]":
        """The class of the loss."""

    @property
    def loss(self) -> keras.losses.Loss:
        return self.training_loss()

    def training_loss(
        self, label_smoothing: float = 0.0, class_weights: Sequence[float] | None = None
    ) -> keras.losses.Loss:
        """Return the loss for `compile`.

        Args:
            label_smoothing, class_weights: as in `ClassLoss`. Metrics, the loss among them, do not
                have them, nor does `loss`.
        """
        return self.loss_type(self.classes, label_smoothing, class_weights)

    @abc.abstractmethod
    def shares_of(self, targets: tf.Tensor) -> tf.Tensor:
        """Return targets `[B, T, ...]` as float32 `[B, T, classes]`, which can be mixed."""

    @abc.abstractmethod
    def probabilities(self, logits: Any) -> tf.Tensor:
        """Return the probabilities of the classes, from logits `[..., classes]`."""

    @abc.abstractmethod
    def labels(self, batch: Batch) -> tuple[tf.Tensor, list[tf.Operation]]:
        """Return the labels `[B, ...]` of clips, and checks that must run before their use.

        Raises:
            ValueError: if the batch does not fit the task.
        """

    def targets(self, batch: Batch) -> tuple[tf.Tensor, list[tf.Operation]]:
        labels, checks = self.labels(batch)
        # [B, ...] -> [B, T, ...]
        repetitions = [1, size(frames_of(batch), 1), *[1] * (labels.shape.rank - 1)]
        return tf.tile(labels[:, None], repetitions), checks

    def output_shape(self, frame: tuple[int, ...]) -> tuple[int | None, ...]:
        return (self.classes,)

    def clip_scores(self, outputs: Any) -> tf.Tensor:
        """Return the scores `[B, classes]` of clips: means of the logits `[B, T, classes]`, or of
        their probabilities, over the steps that count; with the answer `"last"`, one step."""
        scores = self.step_scores(outputs)
        weights = step_weights(size(scores, 1), self.first_step, self.skip_last, self.only_last)
        return mean_over_steps(scores, weights[None])

    def step_scores(self, outputs: Any) -> tf.Tensor:
        """Return what is averaged over steps: logits `[..., classes]`, or their probabilities."""
        logits = tf.cast(outputs, tf.float32)
        return self.probabilities(logits) if self.average == "probabilities" else logits

    @abc.abstractmethod
    def logits_of(self, probabilities: tf.Tensor) -> tf.Tensor:
        """Return logits of which `probabilities` are those, float32 `[..., classes]`."""

    def logits(self, scores: Any) -> tf.Tensor:
        """Return logits `[..., classes]`, from `step_scores` or a mean of them."""
        scores = tf.cast(scores, tf.float32)
        return self.logits_of(scores) if self.average == "probabilities" else scores

    def shares(self, scores: Any) -> tf.Tensor:
        """Return the probabilities `[..., classes]`, from `step_scores` or a mean of them."""
        scores = tf.cast(scores, tf.float32)
        return scores if self.average == "probabilities" else self.probabilities(scores)


class ClassLoss(keras.losses.Loss, abc.ABC):
    """A loss of scores of classes: `call` takes logits `[..., classes]` and returns `[...]`.

    Args:
        classes: number of classes.
        label_smoothing: share of a label that is given away, from 0 to below 1: to all classes
            alike, or, where classes are questions of their own, to the other answer.
        class_weights: weight of the term of each class; None for 1.
        reduction, name: as in Keras.

    Attributes:
        usual_name: the name, unless another one is given.

    Raises:
        ValueError: an argument is out of range; when called, if the outputs have another number of
            classes.
    """

    usual_name: str

    def __init__(
        self,
        classes: int,
        label_smoothing: float = 0.0,
        class_weights: Sequence[float] | None = None,
        reduction: str = "sum_over_batch_size",
        name: str | None = None,
    ) -> None:
        super().__init__(name=name or self.usual_name, reduction=reduction, dtype="float32")
        if not 0 <= label_smoothing < 1:
            raise ValueError(
                f"label_smoothing must be at least 0 and below 1. Received: {label_smoothing}"
            )
        weights = None if class_weights is None else tuple(map(float, class_weights))
        if weights is not None and (len(weights) != classes or min(weights) < 0):
            raise ValueError(
                f"Expected {classes} class_weights of at least 0, one per class. Received: "
                f"{weights}"
            )
        self.classes = classes
        self.label_smoothing = label_smoothing
        self.class_weights = weights

    @abc.abstractmethod
    def losses(self, labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        """Return the losses `[...]`, from labels as in targets and float32 logits."""

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        check_outputs(y_pred, self.classes)
        return self.losses(y_true, tf.cast(y_pred, tf.float32))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "classes": self.classes,
            "label_smoothing": self.label_smoothing,
            "class_weights": self.class_weights,
        }


def mean_over_steps(scores: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """Return the weighted mean `[B, classes]` of scores `[B, T, classes]`.

    Args:
        scores: the scores; where their weight is 0, they may be NaN.
        weights: `[B, T]`, or `[1, T]` for all clips.
    """
    sums = tf.reduce_sum(tf.math.multiply_no_nan(scores, weights[..., None]), axis=1)
    return tf.math.divide_no_nan(sums, tf.reduce_sum(weights, axis=1)[:, None])


def check_average(average: str) -> None:
    """Raise ValueError unless `average` is an `Average`."""
    if average not in ("logits", "probabilities"):
        raise ValueError(f'average must be "logits" or "probabilities". Received: {average!r}')


def check_answer(answer: str) -> None:
    """Raise ValueError unless `answer` is an `Answer`."""
    if answer not in ("mean", "last"):
        raise ValueError(f'answer must be "mean" or "last". Received: {answer!r}')


def check_outputs(outputs: tf.Tensor, classes: int) -> None:
    """Raise ValueError unless outputs `[..., classes]` have this number of classes."""
    if outputs.shape[-1] != classes:
        raise ValueError(
            f"Expected outputs of {classes} classes. Received: shape {tuple(outputs.shape)}. Build "
            f"the network with classes={classes}"
        )

"""The scores of the videos of a set, and how well they fit the labels."""

import abc
import dataclasses
import warnings
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from mpvn.tasks.average_precision import average_precisions, mean_average_precision


@dataclasses.dataclass(frozen=True)
class Scores(abc.ABC):
    """The scores of the videos of a set.

    Attributes:
        numbers: numbers of the videos in the set, int64 `[N]`; skipped videos are left out.
        labels: labels `[N, ...]` as in a batch of clips; None if the set has none.
        scores: scores, float32 `[N, classes]`.
        skipped: reasons why videos were skipped, by name of the video.
    """

    numbers: np.ndarray
    labels: np.ndarray | None
    scores: np.ndarray
    skipped: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        """Warn of scores that are not finite: their order says nothing."""
        bad = int((~np.isfinite(self.scores)).any(axis=1).sum())
        if bad:
            warnings.warn(
                f"Expected finite scores. Received: {bad} of {len(self.scores)} videos with others,"
                " whose answers mean nothing. Check that the weights fit the network, or compute "
                "in float32.",
                stacklevel=2,
            )

    @abc.abstractmethod
    def metrics(self) -> dict[str, float]:
        """Return metrics by name.

        Raises:
            ValueError: if there are no labels.
        """

    @property
    def known_labels(self) -> np.ndarray:
        """The labels.

        Raises:
            ValueError: if there are none.
        """
        if self.labels is None:
            raise ValueError(
                "Expected videos with labels to compute metrics. Received: videos without labels, "
                "such as those of a test split. Write the predictions instead"
            )
        return self.labels


class Recognition(Scores):
    """The scores of videos with one label each, int32 `[N]`.

    As in `ClipAccuracy`, ties count as wrong.
    """

    def top(self, count: int) -> float:
        """Return the share of videos whose label is among the `count` highest scores."""
        return float(among_top(self.scores, self.known_labels, count).numpy().mean())

    @property
    def confusion(self) -> np.ndarray:
        """Confusion matrix, int64 `[classes, classes]`: videos by label and by predicted class."""
        # A tie is wrong: the label counts as predicted only if no other class scores as high.
        labels, others = self.known_labels, self.scores.copy()
        others[np.arange(len(labels)), labels] = -np.inf
        correct = among_top(self.scores, labels, 1).numpy() == 1
        predicted = np.where(correct, labels, others.argmax(axis=1))
        counts = np.zeros((self.scores.shape[1],) * 2, np.int64)
        np.add.at(counts, (labels, predicted), 1)
        return counts

    @property
    def class_accuracy(self) -> np.ndarray:
        """Accuracy of each class, float64 `[classes]`; NaN for a class without videos."""
        counts = self.confusion
        videos = counts.sum(axis=1)
        shares = np.full(len(videos), np.nan)
        return np.divide(counts.diagonal(), videos, out=shares, where=videos > 0)

    def metrics(self) -> dict[str, float]:
        """Return `top1`, `top5` (with more than 5 classes), and `class_accuracy`, the mean over
        the classes that have videos."""
        tops = [1, 5] if self.scores.shape[1] > 5 else [1]
        accuracies = {f"top{top}": self.top(top) for top in tops}
        return {**accuracies, "class_accuracy": float(np.nanmean(self.class_accuracy))}


class MultiLabelRecognition(Scores):
    """The scores of videos with any number of labels, 1 or 0 for each class, `[N, classes]`."""

    def metrics(self) -> dict[str, float]:
        """Return `map`, the mean average precision; `weighted_map`, where each class counts as
        often as it has videos; and `map_classes`, the number of classes that have videos."""
        counts = (self.known_labels > 0).sum(axis=0)
        present = counts > 0
        precisions = average_precisions(self.scores, self.known_labels)[present]
        weighted = float(precisions @ counts[present]) / max(1, int(counts.sum()))
        mean = mean_average_precision(self.scores, self.known_labels)
        return {"map": mean, "weighted_map": weighted, "map_classes": int(present.sum())}


def among_top(scores: tf.Tensor, labels: tf.Tensor, top: int) -> tf.Tensor:
    """Return 1 where fewer than `top` other classes score at least as high as the label, else 0.

    Args:
        scores: `[..., classes]`.
        labels: integers `[...]`, or shares of the classes `[..., classes]`, of which the largest
            counts.
        top: number of predicted classes.

    Returns:
        float32 `[...]`.
    """
    if len(labels.shape) == len(scores.shape):
        labels = tf.argmax(labels, axis=-1)
    labels = tf.cast(labels, tf.int32)[..., None]
    label_scores = tf.gather(scores, labels, axis=-1, batch_dims=labels.shape.rank - 1)
    beaten = tf.reduce_sum(tf.cast(scores < label_scores, tf.int32), axis=-1)
    return tf.cast(beaten >= scores.shape[-1] - top, tf.float32)

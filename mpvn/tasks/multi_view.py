"""Action recognition from several views of each video, the protocol of most papers.

*Temporal Shift Module* averages the logits of 1 to 30 views of a video; see
`mpvn.data.clips.views`. All views of a video may not fit in memory, so the network gets a few at a
time, and frames stay uint8 until then.

Limits: frames are decoded ahead, but views are cropped between batches.
"""

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

import numpy as np
import tensorflow as tf
import tqdm

from mpvn.data.clips.augmentation import NoAugmentation
from mpvn.data.clips.pipeline import ClipPipeline
from mpvn.data.clips.views import Views
from mpvn.data.video_set import NO_MIRROR, VideoSet
from mpvn.tasks.action import ActionRecognition, among_top
from mpvn.tasks.task import check_count


@dataclasses.dataclass(frozen=True)
class Recognition:
    """The scores of the videos of a set.

    As in `ClipAccuracy`, ties count as wrong.

    Attributes:
        numbers: numbers of the videos in the set, int64 `[N]`; skipped videos are left out.
        labels: labels, int32 `[N]`.
        scores: scores, float32 `[N, classes]`.
        skipped: reasons why videos were skipped, by name of the video.
    """

    numbers: np.ndarray
    labels: np.ndarray
    scores: np.ndarray
    skipped: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def top(self, count: int) -> float:
        """Return the share of videos whose label is among the `count` highest scores."""
        return float(among_top(self.scores, self.labels, count).numpy().mean())

    @property
    def confusion(self) -> np.ndarray:
        """Confusion matrix, int64 `[classes, classes]`: videos by label and by predicted class."""
        # A tie is wrong: the label counts as predicted only if no other class scores as high.
        others = self.scores.copy()
        others[np.arange(len(self.labels)), self.labels] = -np.inf
        correct = among_top(self.scores, self.labels, 1).numpy() == 1
        predicted = np.where(correct, self.labels, others.argmax(axis=1))
        counts = np.zeros((self.scores.shape[1],) * 2, np.int64)
        np.add.at(counts, (self.labels, predicted), 1)
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


def score_views(
    network: Callable[[tf.Tensor], Any],
    videos: VideoSet,
    views: Views,
    task: ActionRecognition,
    *,
    batch_size: int = 8,
    on_error: Literal["skip", "raise"] = "skip",
    threads: int | None = None,
) -> Recognition:
    """Score videos by the mean over the views of each video, and over the steps of each view.

    The scores of a mirrored view are those of the mirrored classes.

    Args:
        network: function from clips, float32 `[V, T, H, W, C]` between -1 and 1, to logits
            `[V, T, classes]`. `tf.function(network)` is faster than a Keras model itself.
        videos: videos with classes.
        views: the views of each video.
        task: decides which steps count, and whether to average logits or probabilities.
        batch_size: largest number of views in a batch.
        on_error, threads: as in `ClipPipeline`.

    Raises:
        ValueError: if arguments are out of range or do not match, or outputs have the wrong shape.
        VideoError: if a video is damaged and `on_error="raise"`, or if all videos are damaged.
    """
    check_count("batch_size", batch_size, 1)
    classes = _classes_by_view(videos, views, task)
    pipeline = ClipPipeline(
        videos, views.multi_clip, NoAugmentation(views.framing), on_error=on_error, threads=threads
    )
    numbers, labels, scores = [], [], []
    with tqdm.tqdm(total=len(videos.videos), unit="video", dynamic_ncols=True) as bar:
        for example in pipeline.arrays():
            # [1, clips * T, H, W, C] -> V views [T, h, w, C] -> scores [V, classes]
            batches = _batches(views.of(example["frames"][0], videos.horizontal), batch_size)
            view_scores = np.concatenate([_scores(network, task, batch) for batch in batches])
            scores.append(np.take_along_axis(view_scores, classes, axis=1).mean(axis=0))
            numbers.append(example["number"][0])
            labels.append(example["label"][0])
            bar.update(int(numbers[-1]) + 1 - bar.n)  # past skipped videos, too
        bar.update(len(videos.videos) - bar.n)
    return Recognition(np.array(numbers), np.array(labels), np.array(scores), pipeline.skipped)


def _classes_by_view(videos: VideoSet, views: Views, task: ActionRecognition) -> np.ndarray:
    """Return the output that scores each class in each view, int `[V, classes]`."""
    if len(videos.classes) != task.classes:
        raise ValueError(
            f"Expected a task with the {len(videos.classes)} classes of {videos.name}. "
            f"Received: a task with {task.classes} classes"
        )
    upright = np.arange(task.classes)
    mirrored = upright if videos.mirrored_labels is None else np.array(videos.mirrored_labels)
    if any(views.mirrored) and NO_MIRROR in mirrored:
        name = videos.classes[mirrored.tolist().index(NO_MIRROR)]
        raise ValueError(
            f"Mirrored views cannot be averaged: the mirror image of {name!r} is not a class of "
            f"{videos.name}. Expected at most 5 crops. Received: crops={views.crops}"
        )
    return np.where(np.array(views.mirrored)[:, None], mirrored, upright)


def _batches(views: Iterator[tf.Tensor], size: int) -> Iterator[tf.Tensor]:
    """Yield batches `[B, T, h, w, C]` of at most `size` views `[T, h, w, C]`."""
    while batch := list(itertools.islice(views, size)):
        yield tf.stack(batch)


def _scores(
    network: Callable[[tf.Tensor], Any], task: ActionRecognition, clips: tf.Tensor
) -> np.ndarray:
    """Return the scores `[V, classes]` of clips `[V, T, h, w, C]`."""
    outputs = tf.convert_to_tensor(network(clips))
    expected = (*clips.shape[:2], task.classes)
    if tuple(outputs.shape) != expected:
        raise ValueError(
            f"Expected logits of shape {expected} (views, steps, classes) from the network. "
            f"Received: {tuple(outputs.shape)}"
        )
    if expected[1] <= task.first_step:
        raise ValueError(
            f"No step of the clips counts. Expected clips of more than {task.first_step} frames "
            f"(the first step that counts). Received: clips of {expected[1]} frames"
        )
    return task.clip_scores(outputs).numpy()

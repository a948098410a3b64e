"""Action recognition by several views of each video, as papers report it.

*Temporal Shift Module* (section 5) averages the logits of 1 to 30 views of a video; see
`mpvn.data.clips.views`. All views of a video at once may need too much memory, so they go
through the network a few at a time, and frames stay uint8 until then.

What it does not do well: frames are decoded ahead, but views are cut out of them between batches.
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
    """What was said of each video of a set.

    As in `ClipAccuracy`, another class with the same score makes a video wrong.

    Attributes:
        numbers: of the videos in the set, int64 `[N]`; those that were skipped are left out.
        labels: int32 `[N]`.
        scores: float32 `[N, classes]`.
        skipped: why videos were skipped, by name.
    """

    numbers: np.ndarray
    labels: np.ndarray
    scores: np.ndarray
    skipped: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def top(self, count: int) -> float:
        """Share of videos whose label is among the `count` classes of the highest scores."""
        return float(among_top(self.scores, self.labels, count).numpy().mean())

    @property
    def confusion(self) -> np.ndarray:
        """Videos by label and by the class they were taken for, int64 `[classes, classes]`."""
        # A label counts as named only if no other class scores as high.
        others = self.scores.copy()
        others[np.arange(len(self.labels)), self.labels] = -np.inf
        right = among_top(self.scores, self.labels, 1).numpy() == 1
        named = np.where(right, self.labels, others.argmax(axis=1))
        counts = np.zeros((self.scores.shape[1],) * 2, np.int64)
        np.add.at(counts, (self.labels, named), 1)
        return counts

    @property
    def class_accuracy(self) -> np.ndarray:
        """Share of the videos of each class that are right, float64 `[classes]`; NaN of none."""
        counts = self.confusion
        videos = counts.sum(axis=1)
        shares = np.full(len(videos), np.nan)
        return np.divide(counts.diagonal(), videos, out=shares, where=videos > 0)

    def metrics(self) -> dict[str, float]:
        """`top1`; `top5` where there are more than 5 classes; `class_accuracy`, the mean over the
        classes that there are videos of."""
        tops = [1, 5] if self.scores.shape[1] > 5 else [1]
        found = {f"top{top}": self.top(top) for top in tops}
        return {**found, "class_accuracy": float(np.nanmean(self.class_accuracy))}


def evaluate_views(
    network: Callable[[tf.Tensor], Any],
    videos: VideoSet,
    views: Views,
    task: ActionRecognition,
    *,
    batch_size: int = 8,
    on_error: Literal["skip", "raise"] = "skip",
    threads: int | None = None,
) -> Recognition:
    """What a network says of videos: the mean over the views of each, and over their steps.

    A mirror image votes for the mirror image of what it shows.

    Args:
        network: from clips, float32 `[V, T, H, W, C]` between -1 and 1, to logits
            `[V, T, classes]`. `tf.function(network)` is faster than a Keras model itself.
        videos: the videos, with classes.
        views: what of each video is looked at.
        task: says which steps count, and whether logits or probabilities are averaged.
        batch_size: most views that go through the network at a time.
        on_error, threads: as `ClipPipeline`.

    Raises:
        ValueError: arguments out of range or that do not fit each other; outputs of another shape.
        VideoError: damage with `on_error="raise"`, or nothing but damage.
    """
    check_count("batch_size", batch_size, 1)
    classes = _classes_by_view(videos, views, task)
    pipeline = ClipPipeline(
        videos, views.multi_clip, NoAugmentation(), on_error=on_error, threads=threads
    )
    numbers, labels, scores = [], [], []
    with tqdm.tqdm(total=len(videos.videos), unit="video", dynamic_ncols=True) as bar:
        for example in pipeline.arrays():
            # [1, clips * T, H, W, C] -> views [T, h, w, C], and of each the scores -> [V, classes]
            shown = views.of(example["frames"][0], videos.horizontal)
            batches = _batches(shown, batch_size)
            said = np.concatenate([_scores(network, task, batch) for batch in batches])
            scores.append(np.take_along_axis(said, classes, axis=1).mean(axis=0))
            numbers.append(example["number"][0])
            labels.append(example["label"][0])
            bar.update(int(numbers[-1]) + 1 - bar.n)  # past skipped ones, too
        bar.update(len(videos.videos) - bar.n)
    return Recognition(np.array(numbers), np.array(labels), np.array(scores), pipeline.skipped)


def _classes_by_view(videos: VideoSet, views: Views, task: ActionRecognition) -> np.ndarray:
    """Which output of the network is a view's score of each class, int `[V, classes]`."""
    if len(videos.classes) != task.classes:
        raise ValueError(
            f"the task has {task.classes} classes, and {videos.name} {len(videos.classes)}: they "
            "must be the same"
        )
    own = np.arange(task.classes)
    mirrored = own if videos.mirrored_labels is None else np.array(videos.mirrored_labels)
    if any(views.mirrored) and NO_MIRROR in mirrored:
        name = videos.classes[mirrored.tolist().index(NO_MIRROR)]
        raise ValueError(
            f"the mirror image of {name!r} is no class of {videos.name}, so that mirror images "
            f"cannot be averaged. Take 5 crops or fewer. Received: crops={views.crops}"
        )
    return np.where(np.array(views.mirrored)[:, None], mirrored, own)


def _batches(views: Iterator[tf.Tensor], size: int) -> Iterator[tf.Tensor]:
    """Views `[T, h, w, C]` as batches `[B, T, h, w, C]`, at most so large."""
    while batch := list(itertools.islice(views, size)):
        yield tf.stack(batch)


def _scores(
    network: Callable[[tf.Tensor], Any], task: ActionRecognition, clips: tf.Tensor
) -> np.ndarray:
    """Scores `[V, classes]` of clips `[V, T, h, w, C]`."""
    outputs = tf.convert_to_tensor(network(clips))
    expected = (*clips.shape[:2], task.classes)
    if tuple(outputs.shape) != expected:
        raise ValueError(
            f"the network must give logits {expected}: views, steps, classes. "
            f"Received: {tuple(outputs.shape)}"
        )
    if expected[1] <= task.first_step:
        raise ValueError(
            f"no step would count: the first that does is {task.first_step}. "
            f"Received: clips of {expected[1]} frames"
        )
    return task.clip_scores(outputs).numpy()

"""Action recognition from several views of each video, the protocol of most papers.

*Temporal Shift Module* averages the logits of 1 to 30 views of a video; see
`mpvn.data.clips.views`. All views of a video may not fit in memory, so the network gets a few at a
time, and frames stay uint8 until then.

Limits: frames are decoded ahead, but views are cropped between batches.
"""

import itertools
from collections.abc import Callable, Iterator
from typing import Any, Literal

import numpy as np
import tensorflow as tf
import tqdm

from mpvn.data.clips.augmentation import NoAugmentation
from mpvn.data.clips.pipeline import ClipPipeline
from mpvn.data.clips.views import Views
from mpvn.data.video_set import NO_MIRROR, VideoSet
from mpvn.tasks.classes import ClassTask
from mpvn.tasks.recognition import Scores
from mpvn.tasks.task import check_count


def score_views(
    network: Callable[[tf.Tensor], Any],
    videos: VideoSet,
    views: Views,
    task: ClassTask,
    *,
    batch_size: int = 8,
    on_error: Literal["skip", "raise"] = "skip",
    threads: int | None = None,
) -> Scores:
    """Score videos by the mean over the views of each video, and over the steps of each view.

    The scores of a mirrored view are those of the mirrored classes.

    Args:
        network: function from clips, float32 `[V, T, H, W, C]` between -1 and 1, to logits
            `[V, T, classes]`. `tf.function(network)` is faster than a Keras model itself.
        videos: videos with classes; whether their labels are known or not.
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
            view_scores = np.concatenate([score_clips(network, task, each) for each in batches])
            scores.append(np.take_along_axis(view_scores, classes, axis=1).mean(axis=0))
            numbers.append(example["number"][0])
            if videos.labeled:
                labels.append(task.labels(example)[0][0].numpy())
            bar.update(int(numbers[-1]) + 1 - bar.n)  # past skipped videos, too
        bar.update(len(videos.videos) - bar.n)
    known = np.array(labels) if labels else None
    return task.recognition(np.array(numbers), known, np.array(scores), pipeline.skipped)


def _classes_by_view(videos: VideoSet, views: Views, task: ClassTask) -> np.ndarray:
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


def score_clips(
    network: Callable[[tf.Tensor], Any], task: ClassTask, clips: tf.Tensor
) -> np.ndarray:
    """Return the scores `[V, classes]` of clips `[V, T, h, w, C]`.

    Raises:
        ValueError: if the network returns another shape, or no step of the clips counts.
    """
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

"""What training makes of labels: mixed clips, smoothed labels, weights of classes.

Only the loss of training knows of it. Metrics, also those of training, and the loss of evaluation
are of labels as they are; where clips are mixed, metrics of training take the label with the larger
share.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import keras
from ml_collections import ConfigDict

from mpvn.data.clips.mixing import Mixing
from mpvn.data.video_set import VideoSet
from mpvn.tasks import Task
from mpvn.tasks.classes import ClassTask
from mpvn.tasks.keypoints import Keypoints
from mpvn.training.options import unknown
from mpvn.training.ranges import is_weighted

BALANCED = "balanced"
"""Value of `training.class_weights`: classes count alike, however many videos they have."""


def build_mixing(config: ConfigDict, task: Task) -> Mixing | None:
    """Return what mixes the clips of training batches, or None.

    Raises:
        ValueError: the task has no labels that can be mixed, or a batch has one clip.
    """
    augmentation = config.augmentation
    names = [name for name in ("mixup", "cutmix") if augmentation[name]]
    if not names:
        return None
    key = f"config.augmentation.{names[0]}"
    _check_classes(key, task)
    clips = config.training.batch_size * config.clip.montage
    if clips < 2:
        raise ValueError(
            f"{key}: clips are mixed with others of their batch. Expected config.training."
            "batch_size of at least 2. Received: 1"
        )
    return Mixing(augmentation.mixup, augmentation.cutmix, config.seed)


def check_rand_augment(config: ConfigDict, task: Task) -> None:
    """Raise ValueError if RandAugment, which does not move joints, is asked for a task on them."""
    if config.augmentation.rand_augment and isinstance(task, Keypoints):
        raise ValueError(
            "config.augmentation.rand_augment: it does not move joints with the pixels. Expected "
            f"another task than keypoints, or 0. Received: {config.augmentation.rand_augment}"
        )


def training_loss(config: ConfigDict, task: Task, videos: VideoSet) -> keras.losses.Loss:
    """Return the loss of training.

    Args:
        config: the config.
        task: the task.
        videos: those to train on.

    Raises:
        ValueError: the task has no classes, or the weights are not of its classes.
    """
    training = config.training
    if training.label_smoothing:
        _check_classes("config.training.label_smoothing", task)
    weights = class_weights(training.class_weights, task, videos)
    if isinstance(task, ClassTask):
        return task.training_loss(training.label_smoothing, weights)
    return task.loss


def class_weights(given: Any, task: Task, videos: VideoSet) -> tuple[float, ...] | None:
    """Return the weight of each class.

    Args:
        given: `"balanced"`; pairs of a class and its weight, or a dict (1 for the others); or None
            for none.
        task: the task.
        videos: those to train on.

    Raises:
        ValueError: `given` is something else, names no class of `videos`, or the task has none.
    """
    if given is None:
        return None
    _check_classes("config.training.class_weights", task)
    if given == BALANCED:
        return _balanced(videos)
    pairs = given.items() if isinstance(given, Mapping | ConfigDict) else given
    if isinstance(pairs, str) or not all(map(is_weighted, pairs)):
        raise ValueError(
            f"config.training.class_weights: expected {BALANCED!r}, or numbers of at least 0 by "
            f"name of the class, such as {{{videos.classes[0]!r}: 2.0}}. Received: {given!r}"
        )
    weights = dict(pairs)
    for name in weights:
        if name not in videos.classes:
            context = f"config.training.class_weights: {videos.name} has no class {name!r}"
            raise unknown(context, name, videos.classes)
    return tuple(float(weights.get(name, 1.0)) for name in videos.classes)


def _balanced(videos: VideoSet) -> tuple[float, ...]:
    """Return weights in inverse proportion to the videos of a class, with mean 1 over the labels.

    A class without videos has weight 1.
    """
    counts = Counter[int]()
    for video in videos.videos:
        label = video.label
        counts.update(label if isinstance(label, tuple) else () if label is None else (label,))
    counted = {label: n for label, n in counts.items() if 0 <= label < len(videos.classes)}
    mean = sum(counted.values()) / max(1, len(counted))
    return tuple(
        mean / counted[label] if label in counted else 1.0 for label in range(len(videos.classes))
    )


def _check_classes(key: str, task: Task) -> None:
    """Raise ValueError, which names `key`, if the task does not recognize classes."""
    if not isinstance(task, ClassTask):
        raise ValueError(
            f"{key}: expected a task with labels of classes, action or multi_label_action. "
            f"Received: {type(task).__name__}. Leave it out"
        )

"""Evaluation of action recognition beyond the mean metrics: views, ensembles, early answers.

*Temporal Shift Module* (section 5) reports the accuracy of averaged clips and crops of a video, of
ensembles, and of an online network by the share of the video it has seen.

Limitations: Views of another size than the training frames trace the network once for each size,
and whole frames come in many sizes.
"""

import os
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf
import tqdm

from mpvn.models.surgery.rebuild import with_frame_size
from mpvn.network import VideoNetwork
from mpvn.tasks import ActionRecognition, Scores, fuse, online_accuracy, score_views
from mpvn.tasks.classes import ClassTask
from mpvn.tasks.fusion import fusion_weights
from mpvn.tasks.multi_view import score_clips
from mpvn.training.build import Experiment
from mpvn.training.build.task import check_labels
from mpvn.training.evaluation import load_weights


def evaluate_views(
    experiment: Experiment, checkpoint: str | os.PathLike | None = None, batch_size: int = 8
) -> Scores:
    """Score each evaluation video by the mean over the views in `experiment.views`.

    Args:
        experiment: as `build` returns it.
        checkpoint: file with weights; None keeps those of the network.
        batch_size: largest number of views that go through the network at once.

    Returns:
        Scores by video, with metrics. Videos that could not be read are also listed in
        `experiment.evaluation.skipped`.

    Raises:
        ValueError: the task has no classes, the network cannot take views of this size,
            or the checkpoint belongs to another network.
        VideoError: a video cannot be read and the config says to raise, or none can be read.
    """
    task = class_task(experiment)
    if checkpoint is not None:
        load_weights(experiment, checkpoint)
    pipeline = experiment.evaluation
    recognition = score_views(
        _AnySize(experiment.network),
        pipeline.videos,
        experiment.views,
        task,
        batch_size=batch_size,
        on_error=pipeline.on_error,
    )
    pipeline.skipped.update(recognition.skipped)
    return recognition


def evaluate_clips(experiment: Experiment, checkpoint: str | os.PathLike | None = None) -> Scores:
    """Score each video of `experiment.evaluation`, also videos without labels.

    Args:
        experiment, checkpoint: as in `evaluate_views`.

    Returns:
        Scores by video: means over the steps of its clip that count.

    Raises:
        ValueError: the task has no classes, or the checkpoint belongs to another network.
        VideoError: a video cannot be read and the config says to raise, or none can be read.
    """
    task, pipeline = class_task(experiment), experiment.evaluation
    if checkpoint is not None:
        load_weights(experiment, checkpoint)
    run = tf.function(experiment.network, reduce_retracing=True)
    numbers, labels, scores = [], [], []
    for batch in tqdm.tqdm(pipeline.arrays(), unit="batch", dynamic_ncols=True):
        scores.append(score_clips(run, task, tf.constant(batch["frames"])))
        numbers.append(batch["number"])
        if pipeline.videos.labeled:
            labels.append(task.labels(batch)[0].numpy())
    known = np.concatenate(labels) if labels else None
    return task.recognition(
        np.concatenate(numbers), known, np.concatenate(scores), pipeline.skipped
    )


def evaluate_ensemble(
    experiments: Sequence[Experiment],
    checkpoints: Sequence[str | os.PathLike | None],
    weights: Sequence[float] | None = None,
    batch_size: int = 8,
) -> tuple[list[Scores], Scores]:
    """Evaluate several networks on the same videos by views, and the mean of their scores.

    Args:
        experiments: one for each network; each uses its own views.
        checkpoints: for each network, as in `evaluate_views`.
        weights: weight of each network's scores, as in `fuse`; checked before anything runs.
        batch_size: as in `evaluate_views`.

    Returns:
        The scores of each network, and the fused scores.

    Raises:
        ValueError: as `evaluate_views` and `fuse`; or the experiments differ in their videos,
            classes, or kind of scores.
    """
    weights = fusion_weights(len(experiments), weights)
    for experiment in experiments[1:]:
        check_same_videos(experiments[0], experiment)
        _check_averages(experiments[0], experiment)
    each = [
        evaluate_views(experiment, checkpoint, batch_size)
        for experiment, checkpoint in zip(experiments, checkpoints, strict=True)
    ]
    return each, fuse(each, weights)


def check_same_videos(first: Experiment, second: Experiment) -> None:
    """Check that two networks are evaluated on the same videos, with the same classes.

    Raises:
        ValueError: they differ.
    """
    videos, others = first.evaluation.videos, second.evaluation.videos
    if videos.classes != others.classes:
        raise ValueError(
            "Networks can be compared only if they have the same classes. Received: "
            f"{videos.name} with {len(videos.classes)} classes and {others.name} with "
            f"{len(others.classes)}"
        )
    names = [[video.name for video in each.videos] for each in (videos, others)]
    if names[0] != names[1]:
        raise ValueError(
            "Networks can be compared only if they are evaluated on the same videos. Received: "
            f"different videos, {len(names[0])} of {videos.name} and {len(names[1])} of "
            f"{others.name}. Use the same config.data.path and config.data.evaluation"
        )


def _check_averages(first: Experiment, second: Experiment) -> None:
    """Raise ValueError if two networks have scores of different kinds."""
    averages = class_task(first).average, class_task(second).average
    if averages[0] != averages[1]:
        raise ValueError(
            "Networks can be fused only if all give logits or all give probabilities. Received: "
            f"{' and '.join(averages)}. Use the same config.task.options.average"
        )


def evaluate_early(
    experiment: Experiment, checkpoint: str | os.PathLike | None = None
) -> dict[int, float]:
    """Compute the accuracy after 10, 20, ..., 100 percent of the steps of each video.

    The prediction at a step is the mean of the outputs so far, without the steps before the first
    that counts; with `config.task.options.answer` `"last"`, it is the output of that step.
    Videos are those of `evaluate`: whole videos or clips.

    Args:
        experiment, checkpoint: as in `evaluate_views`.

    Returns:
        The share of correct videos, by percent.

    Raises:
        ValueError: the task is not action recognition, the network looks into the future, or the
            checkpoint belongs to another network.
        VideoError: a video cannot be read and the config says to raise, or none can be read.
    """
    task, network = action_task(experiment), experiment.network
    network.check_streams()
    if checkpoint is not None:
        load_weights(experiment, checkpoint)
    run = tf.function(network, reduce_retracing=True)
    logits, labels = [], []
    for batch in tqdm.tqdm(experiment.evaluation.arrays(), unit="batch", dynamic_ncols=True):
        logits += list(run(tf.constant(batch["frames"]))[:, task.first_step :].numpy())
        labels += batch["label"].tolist()
    return online_accuracy(logits, labels, average=task.average, answer=task.answer)


def action_task(experiment: Experiment) -> ActionRecognition:
    """Return the task of an experiment on action recognition, with one label per video.

    Raises:
        ValueError: the experiment has another task, or its evaluation videos have no labels.
    """
    if not isinstance(experiment.task, ActionRecognition):
        raise ValueError(
            "Early answers and activation maps need one action per video. Expected "
            f"config.task.name=action. Received: {type(experiment.task).__name__}"
        )
    check_labels(experiment.task, experiment.evaluation.videos)
    return experiment.task


def class_task(experiment: Experiment) -> ClassTask:
    """Return the task of an experiment on the recognition of actions.

    Raises:
        ValueError: the experiment has another task.
    """
    if not isinstance(experiment.task, ClassTask):
        raise ValueError(
            "Views and predictions need scores of classes. Expected config.task.name=action or "
            f"multi_label_action. Received: {type(experiment.task).__name__}"
        )
    return experiment.task


class _AnySize:
    """A network for clips of any frame size: one set of weights, one traced function per size."""

    def __init__(self, network: VideoNetwork) -> None:
        self._network = network
        self._by_size: dict[tuple[int, int], Callable] = {}

    def __call__(self, clips: tf.Tensor) -> tf.Tensor:
        size = tuple(clips.shape[2:4])
        if size not in self._by_size:
            self._by_size[size] = tf.function(self._for_size(size), reduce_retracing=True)
        return self._by_size[size](clips)

    def _for_size(self, size: tuple[int, int]) -> VideoNetwork:
        network = self._network
        if network.frame_model.input_shape[1:3] == size:
            return network
        frame_model = with_frame_size(network.frame_model, size)
        plan = network.plan.over(frame_model)
        return VideoNetwork(frame_model, plan, network.executor, start=network.start)

"""What else is asked of networks that recognize actions: several views, and early answers.

*Temporal Shift Module* (section 5) reports accuracy by clips and crops of a video, and accuracy by
the share of it that an online network has seen.

What it does not do well: views of another size than training's need the network traced anew, once
for each size; whole frames are of many sizes.
"""

import os
from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tqdm

from mpvn.models.surgery.rebuild import with_frame_size
from mpvn.network import VideoNetwork
from mpvn.tasks import ActionRecognition, Recognition, evaluate_views, fuse, online_accuracy
from mpvn.tasks.fusion import fusion_weights
from mpvn.training.build import Experiment
from mpvn.training.checkpoint import load_checkpoint


def recognize_views(
    experiment: Experiment, checkpoint: str | os.PathLike | None = None, batch_size: int = 8
) -> Recognition:
    """What the network says of the videos for evaluation, by `experiment.views` of each.

    Args:
        experiment: as `build` makes it.
        checkpoint: file of weights; None evaluates those that the network has.
        batch_size: most views that go through the network at a time.

    Returns:
        Scores by video, and metrics; `experiment.evaluation` knows of damage afterwards, too.

    Raises:
        ValueError: another task than actions, a network that takes no views of their size, or a
            checkpoint of another network.
        VideoError: damage, if the config says so, or nothing but damage.
    """
    task = action_task(experiment)
    if checkpoint is not None:
        load_checkpoint(checkpoint, experiment.network)
    pipeline = experiment.evaluation
    found = evaluate_views(
        _AnySize(experiment.network),
        pipeline.videos,
        experiment.views,
        task,
        batch_size=batch_size,
        on_error=pipeline.on_error,
    )
    pipeline.skipped.update(found.skipped)
    return found


def evaluate_ensemble(
    experiments: Sequence[Experiment],
    checkpoints: Sequence[str | os.PathLike | None],
    weights: Sequence[float] | None = None,
    batch_size: int = 8,
) -> tuple[list[Recognition], Recognition]:
    """What several networks say of the same videos, each by its own views, and all together.

    Args:
        experiments: one of each network.
        checkpoints: by network, as `recognize_views`.
        weights: by network, as `fuse`; they are checked before anything is evaluated.
        batch_size: as `recognize_views`.

    Raises:
        ValueError: as `recognize_views` and `fuse`; or experiments on other videos, of other
            classes, or that average other scores.
    """
    weights = fusion_weights(len(experiments), weights)
    for experiment in experiments[1:]:
        _check_comparable(experiments[0], experiment)
    found = [
        recognize_views(experiment, checkpoint, batch_size)
        for experiment, checkpoint in zip(experiments, checkpoints, strict=True)
    ]
    return found, fuse(found, weights)


def _check_comparable(one: Experiment, other: Experiment) -> None:
    """Raises ValueError if the scores of two networks cannot be fused."""
    videos, others = one.evaluation.videos, other.evaluation.videos
    if videos.classes != others.classes:
        raise ValueError(
            f"only networks of the same classes can be fused. Received: {videos.name} of "
            f"{len(videos.classes)} classes, and {others.name} of {len(others.classes)}"
        )
    names = [[video.name for video in each.videos] for each in (videos, others)]
    if names[0] != names[1]:
        raise ValueError(
            f"only networks that are asked about the same videos can be fused. Received: "
            f"{videos.name} of {len(names[0])} videos, and {others.name} of {len(names[1])}, which "
            "differ. Give all the same config.data.path and config.data.evaluation"
        )
    average = action_task(one).average, action_task(other).average
    if average[0] != average[1]:
        raise ValueError(
            f"logits cannot be fused with probabilities. Received: {' and '.join(average)}. Give "
            "all the same config.task.options.average"
        )


def evaluate_early(
    experiment: Experiment, checkpoint: str | os.PathLike | None = None
) -> dict[int, float]:
    """Accuracy by the percentage of its steps after which the network is asked, in tenths.

    Its prediction is the mean of what it said until then, at steps that count. Videos are as for
    `evaluate`: whole, or as clips; `experiment.evaluation` knows of damage afterwards.

    Args:
        experiment, checkpoint: as `recognize_views`.

    Returns:
        Share of videos that are right, by percent.

    Raises:
        ValueError: another task than actions, a network that looks into the future, or a checkpoint
            of another network.
        VideoError: damage, if the config says so, or nothing but damage.
    """
    task, network = action_task(experiment), experiment.network
    network.check_streams()
    if checkpoint is not None:
        load_checkpoint(checkpoint, network)
    run = tf.function(network, reduce_retracing=True)
    logits, labels = [], []
    for batch in tqdm.tqdm(experiment.evaluation.arrays(), unit="batch", dynamic_ncols=True):
        logits += list(run(tf.constant(batch["frames"]))[:, task.first_step :].numpy())
        labels += batch["label"].tolist()
    return online_accuracy(logits, labels, average=task.average)


def action_task(experiment: Experiment) -> ActionRecognition:
    """The task of an experiment that recognizes actions.

    Raises:
        ValueError: it has another.
    """
    if not isinstance(experiment.task, ActionRecognition):
        raise ValueError(
            "views, early answers and activation maps are of networks that recognize actions: "
            f"expected config.task.name=action. Received: {type(experiment.task).__name__}"
        )
    return experiment.task


class _AnySize:
    """A network for clips of any frame size: the same layers and weights for each."""

    def __init__(self, network: VideoNetwork) -> None:
        self._network = network
        self._by_size: dict[tuple[int, int], Any] = {}

    def __call__(self, clips: tf.Tensor) -> tf.Tensor:
        size = tuple(clips.shape[2:4])
        if size not in self._by_size:
            self._by_size[size] = tf.function(self._at(size), reduce_retracing=True)
        return self._by_size[size](clips)

    def _at(self, size: tuple[int, int]) -> VideoNetwork:
        own = self._network
        if own.frame_model.input_shape[1:3] == size:
            return own
        frame_model = with_frame_size(own.frame_model, size)
        return VideoNetwork(frame_model, own.plan.over(frame_model), executor=own.executor)

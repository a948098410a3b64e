"""`build`: from a config to an experiment; and `build_evaluation`, of a network without a run."""

import contextlib

import keras
from ml_collections import ConfigDict

from mpvn.data.video_set import VideoSet
from mpvn.metadata import Names
from mpvn.network import VideoNetwork
from mpvn.sideways.real_time import RealTime
from mpvn.sideways.trainer import Trainer
from mpvn.tasks import Task
from mpvn.tasks.step_metrics import CountedSteps
from mpvn.training.build.clips import Prepare, build_pipeline, build_views, prepare_batches
from mpvn.training.build.experiment import Experiment, RealTimeEvaluation
from mpvn.training.build.frame_model import build_frame_model
from mpvn.training.build.labels import build_mixing, check_rand_augment, training_loss
from mpvn.training.build.length import Length, training_length
from mpvn.training.build.network import build_network, warn_of_short_clips
from mpvn.training.build.optimizer import build_optimizer, build_policy
from mpvn.training.build.pretrained import (
    build_distillation,
    check_names_of_weights,
    load_initial_weights,
)
from mpvn.training.build.task import build_task, check_labels, head_arguments, output_names
from mpvn.training.build.trainer import build_trainer
from mpvn.training.build.videos import build_data
from mpvn.training.evaluator import Evaluator
from mpvn.training.options import check_options
from mpvn.training.ranges import check_ranges


def build(
    config: ConfigDict,
    to_train: bool = True,
    resumed: bool = False,
    scope: contextlib.AbstractContextManager | None = None,
) -> Experiment:
    """Build everything that `config` names.

    Args:
        config: as `base_config` returns it.
        to_train: whether to also load what only training needs: the teacher, the pretrained and
            initial weights, and the trainer.
        resumed: whether a checkpoint of the run replaces all weights. Pretrained and initial
            weights are not loaded then.
        scope: in which what is trained is created, for the copies of a strategy; what evaluates
            has none.

    Returns:
        The experiment.

    Raises:
        ValueError: a name or an option does not exist, or parts do not fit each other.

    Warns:
        RuntimeWarning: as `warn_of_short_clips`.
    """
    check_options(config)
    check_ranges(config)
    train, held_out = build_data(config)
    length = training_length(config, len(train.videos))
    names = output_names(config, train)
    loading = "fitting" if to_train and not resumed else "none"
    with scope or contextlib.nullcontext():
        loaded = build_frame_model(config, head_arguments(names), train.channels, loading)
        network = build_network(config, loaded, to_train)
        task = build_task(config, names, network)
        for videos in (train, held_out) if to_train else ():
            check_labels(task, videos)
        if to_train and not resumed:
            check_names_of_weights(config, names)
            load_initial_weights(config.model.initial, network, names)
        model, updates = _trained(config, network, task, names) if to_train else (network, 1)
        model.compile(
            build_optimizer(config, length, updates, build_policy(config, network)),
            training_loss(config, task, train) if to_train else task.loss,
            weighted_metrics=_metrics(config, task),
            jit_compile=False,
        )
        model.optimizer.build(network.trainable_variables)
    evaluator = Evaluator(network)
    _compile(evaluator, config, task)
    realtime = _real_time(config, network, task)
    return Experiment(
        network,
        model,
        evaluator,
        model.optimizers if isinstance(model, Trainer) else [model.optimizer],
        task,
        names,
        length,
        build_pipeline(config, train, training=True),
        build_pipeline(config, held_out, training=False, least=_fewest_frames(task, realtime)),
        _prepare_training(config, task, not isinstance(model, Trainer), to_train),
        _prepare_evaluation(config, task),
        build_views(config),
        realtime,
        loaded.remarks,
        any(config.augmentation[name] for name in ("mixup", "cutmix")),
    )


def _trained(
    config: ConfigDict, network: VideoNetwork, task: Task, names: Names
) -> tuple[keras.Model, int]:
    """Return the model whose `fit` trains the network, and its updates in a batch of clips."""
    frames = config.clip.frames * config.clip.montage
    check_rand_augment(config, task)
    trainer = build_trainer(config, network, task.latency)
    warn_of_short_clips(network, frames)
    if config.teacher:
        return build_distillation(config, network, task, names), 1
    return (trainer, trainer.updates(frames)) if trainer else (network, 1)


def build_evaluation(config: ConfigDict, network: VideoNetwork, videos: VideoSet) -> Experiment:
    """Build what evaluates a network that was trained elsewhere.

    Args:
        config: as `base_config` returns it.
        network: the network.
        videos: the videos to evaluate on.

    Raises:
        ValueError: parts do not fit each other.
    """
    check_options(config)
    check_ranges(config)
    names = output_names(config, videos)
    task = build_task(config, names, network)
    model = Evaluator(network)
    _compile(model, config, task)
    realtime = _real_time(config, network, task)
    clips = build_pipeline(config, videos, training=False, least=_fewest_frames(task, realtime))
    prepare = _prepare_evaluation(config, task)
    return Experiment(
        network,
        model,
        model,
        [],
        task,
        names,
        Length(0, 1.0),
        clips,
        clips,
        prepare,
        prepare,
        build_views(config),
        realtime,
    )


def _fewest_frames(task: Task, realtime: RealTimeEvaluation | None) -> int:
    """Return the frames that whole videos must have for a step to count."""
    return max(each.fewest_frames for each in (task, realtime.task if realtime else task))


def _compile(model: keras.Model, config: ConfigDict, task: Task) -> None:
    """Compile a model for `evaluate` alone."""
    model.compile(loss=task.loss, weighted_metrics=_metrics(config, task), jit_compile=False)


def _real_time(config: ConfigDict, network: VideoNetwork, task: Task) -> RealTimeEvaluation | None:
    """Return what evaluation in real time needs, if the config asks for it."""
    if not config.training.evaluate_realtime:
        return None
    model = RealTime(network, blocked=config.training.realtime)
    late_task = task.in_real_time(model.first_step)
    _compile(model, config, late_task)
    return RealTimeEvaluation(late_task, model, _prepare_evaluation(config, late_task))


def _prepare_training(config: ConfigDict, task: Task, delayed: bool, mixes: bool) -> Prepare:
    mixing = build_mixing(config, task) if mixes else None
    return prepare_batches(task, config.clip.montage, config.clip.interleaved, delayed, mixing)


def _prepare_evaluation(config: ConfigDict, task: Task) -> Prepare:
    return prepare_batches(task, _evaluated_together(config), config.clip.interleaved)


def _metrics(config: ConfigDict, task: Task) -> list[keras.metrics.Metric]:
    """Return the metrics of evaluation, without those of clips if these are joined."""
    metrics = task.metrics()
    if _evaluated_together(config) == 1:
        return metrics
    return [x for x in metrics if not (isinstance(x, CountedSteps) and x.of_clips)]


def _evaluated_together(config: ConfigDict) -> int:
    """Return the number of clips that are joined in evaluation."""
    return 1 if config.clip.evaluated else config.clip.montage

"""From a config to what it names: data, network, task, optimizer."""

import dataclasses
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf
from ml_collections import ConfigDict

from mpvn.data.clips.augmentation import Augmentation
from mpvn.data.clips.montage import montage
from mpvn.data.clips.pipeline import ClipPipeline
from mpvn.data.clips.sampling import Consecutive, Dense, MultiClipSampling, Segments, Whole
from mpvn.data.clips.views import Views
from mpvn.data.sets.cached import in_memory
from mpvn.data.sets.flow import optical_flow
from mpvn.data.sets.registry import SETS, needs_path
from mpvn.data.video_set import VideoSet
from mpvn.models import insert_shortcuts, load_frame_model, transfer_weights
from mpvn.network import VideoNetwork
from mpvn.plan import Plan
from mpvn.plan.units import UNIT_SEPARATOR
from mpvn.sideways.back_propagation import BackPropagationTrainer, GPipeTrainer
from mpvn.sideways.sideways_trainer import SidewaysTrainer
from mpvn.sideways.trainer import Trainer
from mpvn.tasks import ActionRecognition, Autoencoding, FutureFrame, Keypoints, Task
from mpvn.tasks.task import Batch
from mpvn.training.distillation import Distillation
from mpvn.training.run_folder import RunFolder

Prepare = Callable[[Batch], tuple[tf.Tensor, tf.Tensor, tf.Tensor]]
"""From a batch to frames, targets and weights."""

TRAINERS = {"bp": BackPropagationTrainer, "gpipe": GPipeTrainer, "sideways": SidewaysTrainer}


@dataclasses.dataclass(frozen=True)
class Experiment:
    """What a config names, ready to run.

    Attributes:
        network: what is trained, and saved.
        model: compiled, for `fit` and `evaluate`: the network, its `Distillation`, or a `Trainer`.
        optimizers: those that training changes.
        task: what it is to predict.
        training: clips to train on.
        evaluation: clips to evaluate on.
        prepare: what `fit` takes of a batch to train on.
        prepare_evaluation: what `evaluate` takes of a batch.
        views: what evaluation by views looks at.
    """

    network: VideoNetwork
    model: keras.Model
    optimizers: Sequence[keras.optimizers.Optimizer]
    task: Task
    training: ClipPipeline
    evaluation: ClipPipeline
    prepare: Prepare
    prepare_evaluation: Prepare
    views: Views


def build(config: ConfigDict, to_train: bool = True) -> Experiment:
    """Builds what `config` names.

    Args:
        config: as `base_config`.
        to_train: whether it is to be trained: only then are the runs that it names, the teacher
            and the one whose weights it begins with, of use.

    Raises:
        ValueError: a name that is not known, or parts that do not fit each other.
    """
    train, held_out = (build_videos(config, split) for split in ("train", "evaluation"))
    if config.data.in_memory:
        train, held_out = in_memory(train), in_memory(held_out)
    if train.classes != held_out.classes or train.joints != held_out.joints:
        raise ValueError(
            f"{train.name} and {held_out.name} have different classes or joints: evaluation needs "
            "what the network is trained on"
        )
    network = build_network(config, build_task(config, train).head_arguments, train.channels)
    task = build_task(config, train, network.plan)
    if to_train and config.model.initial:
        load_initial_weights(RunFolder(config.model.initial), network)
    model: keras.Model = network
    if to_train and config.teacher:
        model = build_distillation(config, network, task)
    if to_train and config.training.trainer:
        model = build_trainer(config, network)
    model.compile(
        build_optimizer(config, model),
        task.loss,
        weighted_metrics=task.metrics(),
        jit_compile=False,
    )
    model.optimizer.build(network.trainable_variables)
    return Experiment(
        network,
        model,
        model.optimizers if isinstance(model, Trainer) else [model.optimizer],
        task,
        build_pipeline(config, train, training=True),
        build_pipeline(config, held_out, training=False),
        _prepare(config, task, at_source=isinstance(model, Trainer)),
        _prepare(config, task, at_source=False) if _clips_evaluated(config) else task.prepare,
        build_views(config),
    )


def _prepare(config: ConfigDict, task: Task, at_source: bool) -> Prepare:
    """How batches become what `fit` takes; a `Trainer` holds targets back itself."""

    def prepare(batch: Batch) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        joined = montage(task.at_source(batch), config.clip.montage, config.clip.interleaved)
        return joined if at_source else task.late(*joined)

    return prepare


def _clips_evaluated(config: ConfigDict) -> bool:
    """Whether clips like those of training are evaluated, and not whole videos."""
    return not config.clip.evaluated


def build_trainer(config: ConfigDict, network: VideoNetwork) -> Trainer:
    """What trains `network` in a way of its own.

    Raises:
        ValueError: no such trainer, one that cannot train the network or follow a teacher, or an
            option that is another's.
    """
    asked = config.training
    if asked.trainer not in TRAINERS:
        known = ", ".join(TRAINERS)
        raise ValueError(
            f"config.training.trainer: known are {known}, and none for exact gradients along time. "
            f"Received: {asked.trainer!r}"
        )
    if config.teacher:
        raise ValueError(
            f"config.training.trainer={asked.trainer} cannot follow a teacher: leave out the one "
            "or config.teacher"
        )
    options: dict[str, Any] = {"update_every": asked.update_every or None}
    if asked.trainer == "sideways":
        options["latency"] = config.task.latency
    if asked.realtime:
        if asked.trainer != "bp":
            raise ValueError(
                "config.training.realtime is of trainer bp alone, which lets frames go by. "
                f"Received: trainer {asked.trainer}"
            )
        options["realtime"] = True
    return TRAINERS[asked.trainer](network, **options)


def build_videos(config: ConfigDict, split: str) -> VideoSet:
    """The videos to train on, `"train"`, or to evaluate on, `"evaluation"`."""
    videos, flow = _read_videos(config, split), config.data.flow
    return optical_flow(videos, **flow) if flow.stack else videos


def _read_videos(config: ConfigDict, split: str) -> VideoSet:
    data = config.data
    options = dict(data.train if split == "train" else data.evaluation)
    if data.name not in SETS:
        raise ValueError(f"config.data.name: known are {', '.join(SETS)}. Received: {data.name!r}")
    if needs_path(data.name) and not data.path:
        raise ValueError(f"config.data.path must say where {data.name} is on disk")
    _check_options(data.name, split, options)
    if not needs_path(data.name):
        size = (config.model.size, config.model.size)
        place = "train" if split == "train" else "validation"
        return SETS[data.name](**{"seed": config.seed, "size": size, "split": place, **options})
    options.setdefault("split", "train" if split == "train" else "test")
    return SETS[data.name](data.path, **options)


def _check_options(name: str, key: str, options: Mapping[str, Any]) -> None:
    """Raises ValueError for what is no argument of the set, or its first: where the data is."""
    known = list(inspect.signature(SETS[name]).parameters)[needs_path(name) :]
    for option in options:
        if option not in known:
            raise ValueError(
                f"config.data.{key}: {name} takes {', '.join(known)}. Received: {option!r}"
            )


def build_task(config: ConfigDict, videos: VideoSet, plan: Plan | None = None) -> Task:
    """The task; without a plan, all steps count."""
    asked = config.task
    common = {"latency": asked.latency, **asked.options}
    if plan is not None:
        common |= {"mask_uninformed": asked.mask_uninformed, "plan": plan}
    if asked.name == "action":
        _require(config, videos, "classes")
        return ActionRecognition(len(videos.classes), names=videos.classes, **common)
    if asked.name == "keypoints":
        _require(config, videos, "joints")
        size = (config.model.size, config.model.size)
        return Keypoints(len(videos.joints), size, **common)
    tasks = {"autoencoding": Autoencoding, "future_frame": FutureFrame}
    if asked.name not in tasks:
        raise ValueError(
            "config.task.name: known are action, keypoints, autoencoding, future_frame. "
            f"Received: {asked.name!r}"
        )
    return tasks[asked.name](**common)


def _require(config: ConfigDict, videos: VideoSet, what: str) -> None:
    """Raises ValueError unless the set has what the task predicts."""
    given, task = len(getattr(videos, what)), config.task.name
    if what == "classes" and given == 1:
        raise ValueError(
            f"the task {task!r} needs at least 2 classes, and {videos.name} in "
            f"{config.data.path!r} has one: {videos.classes[0]}. Add videos of another"
        )
    if not given:
        having = {"classes": "folder, table or ucf101", "joints": "jhmdb or posetrack"}[what]
        raise ValueError(
            f"the task {task!r} needs {what}, and {videos.name} has none. Give another "
            f"config.task.name, or a set that has them as config.data.name, such as {having}"
        )


def build_network(config: ConfigDict, head: dict[str, int], channels: int = 3) -> VideoNetwork:
    """The network for frames of so many channels, with the task's head, not compiled."""
    loaded = load_frame_model(
        config.model.name,
        config.model.size,
        config.model.weights or None,
        config.model.pixels,
        options={**head, **config.model.options},
        channels=channels,
    )
    frame_model = loaded.over_clips()
    if config.model.shortcuts:
        frame_model = insert_shortcuts(frame_model, config.model.shortcuts, config.model.merge)
    for layer in frame_model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = config.training.batch_norm_momentum or layer.momentum
    _freeze(frame_model, config.model.frozen)
    plan = Plan(frame_model, **plan_arguments(config, loaded.partition))
    return VideoNetwork(
        frame_model,
        plan,
        executor=config.training.executor,
        rematerialize=config.training.rematerialize,
    )


def _freeze(model: keras.Model, names: Sequence[str]) -> None:
    """Keeps units, or single layers, of `model` as they are."""
    of_name: dict[str, list[keras.layers.Layer]] = {}
    for layer in model.layers:
        for name in {layer.name, layer.name.partition(UNIT_SEPARATOR)[0]}:
            of_name.setdefault(name, []).append(layer)
    for name in names:
        if name not in of_name:
            raise ValueError(
                f"config.model.frozen: {model.name} has no unit or layer {name!r}. It has: "
                f"{', '.join(dict.fromkeys(n.partition(UNIT_SEPARATOR)[0] for n in of_name))}"
            )
        for layer in of_name[name]:
            layer.trainable = False


def load_initial_weights(run: RunFolder, network: VideoNetwork) -> None:
    """Gives `network` the weights of a run's, by names of layers, inflated where it has temporal
    filters and the run's has not, averaged where it reads flow and the run's RGB; a head of another
    task keeps its own.

    Raises:
        ValueError: there is no such run, it is not finished, nothing of it fits, or it takes other
            pixels.
    """
    theirs = _trained(run).frame_model
    pixels = [_pixels(model) for model in (theirs, network.frame_model)]
    if theirs.input_shape[-1] == network.frame_model.input_shape[-1] and pixels[0] != pixels[1]:
        raise ValueError(
            f"the weights of {run.path} are for other pixels: before its first layer, frames are "
            f"brought to {pixels[0] or 'nothing else'}, and here to {pixels[1] or 'nothing else'}. "
            "Give config.model.weights and config.model.pixels as that run has them"
        )
    transfer_weights(theirs, network.frame_model)


def _pixels(model: keras.Model) -> list[tuple[Any, Any]]:
    """Scales and offsets by which `model` brings its frames to the range that it takes."""
    found = [layer for layer in model.layers if isinstance(layer, keras.layers.Rescaling)]
    return [(layer.scale, layer.offset) for layer in found]


def _trained(run: RunFolder) -> VideoNetwork:
    if not run.finished:
        run.config()  # says so, if there is no run
        raise ValueError(f"{run.path} has no {run.network.name} yet: train it to its end first")
    return keras.saving.load_model(run.network, compile=False)


def build_distillation(config: ConfigDict, network: VideoNetwork, task: Task) -> Distillation:
    """`network` as the student of `config.teacher`.

    Raises:
        ValueError: there is no such run, it is not finished, or it is of another architecture.
    """
    asked, run = config.distillation, RunFolder(config.teacher)
    return Distillation(
        network,
        _trained(run),
        asked.layers,
        asked.weight,
        asked.whiten,
        lag=config.task.latency - run.config().task.latency,
        first_step=task.first_step,
    )


def plan_arguments(config: ConfigDict, partition: str) -> dict[str, Any]:
    """Arguments of the plan; `partition` is that of the network."""
    asked = config.plan
    return {
        "subnetworks": asked.subnetworks,
        "partition": asked.partition or partition,
        "clocks": asked.clocks or None,
        "phases": asked.phases or None,
        "head": asked.head or None,
    }


def build_optimizer(config: ConfigDict, model: keras.Model) -> keras.optimizers.Optimizer:
    """The optimizer with its schedule, for `model` to train with."""
    asked = config.optimizer
    accumulate = config.training.accumulate
    by_batch = model.updates(_steps(config)) if isinstance(model, Trainer) else 1
    common = {
        "learning_rate": _schedule(config, config.training.steps * by_batch // accumulate),
        "weight_decay": asked.weight_decay or None,
        "global_clipnorm": asked.clip_norm or None,
        "gradient_accumulation_steps": accumulate if accumulate > 1 else None,
    }
    if asked.name == "sgd":
        return keras.optimizers.SGD(momentum=asked.momentum, **common)
    if asked.name == "adam":
        return keras.optimizers.Adam(**common)
    raise ValueError(f"config.optimizer.name: known are sgd, adam. Received: {asked.name!r}")


def _steps(config: ConfigDict) -> int:
    """Steps of a clip to train on."""
    return config.clip.frames * config.clip.montage


def _schedule(config: ConfigDict, updates: int) -> Any:
    """Learning rate by update, of so many."""
    asked = config.optimizer
    if asked.schedule == "cosine":
        return keras.optimizers.schedules.CosineDecay(
            0.0 if asked.warm_up else asked.learning_rate,
            max(1, updates - asked.warm_up),
            warmup_target=asked.learning_rate if asked.warm_up else None,
            warmup_steps=asked.warm_up,
        )
    if asked.warm_up:
        raise ValueError("config.optimizer.warm_up needs config.optimizer.schedule=cosine")
    if asked.schedule == "steps":
        rates = [asked.learning_rate * asked.factor**n for n in range(len(asked.boundaries) + 1)]
        return keras.optimizers.schedules.PiecewiseConstantDecay(list(asked.boundaries), rates)
    if asked.schedule == "constant":
        return asked.learning_rate
    raise ValueError(
        "config.optimizer.schedule: known are constant, steps, cosine. "
        f"Received: {asked.schedule!r}"
    )


def build_pipeline(config: ConfigDict, videos: VideoSet, training: bool) -> ClipPipeline:
    """Clips of `videos`: random ones to train on; whole videos, cut in the center, to evaluate."""
    size = (config.model.size, config.model.size)
    sampling: MultiClipSampling
    if training:
        sampling = _clips(config, "random")
        batch_size = config.training.batch_size * config.clip.montage
        augmentation = Augmentation(size, **config.augmentation)
    else:
        if _clips_evaluated(config):
            sampling = _clips(config, "center")
            batch_size = config.training.batch_size * config.clip.montage
        else:
            sampling, batch_size = Whole(config.clip.evaluated, config.clip.fps or None), 1
        augmentation = Augmentation(size)
    return ClipPipeline(
        videos,
        sampling,
        augmentation,
        batch_size,
        seed=config.seed,
        training=training,
        on_error=config.data.on_error,
    )


def build_views(config: ConfigDict) -> Views:
    """What evaluation by views looks at: clips like those of training, and crops of them."""
    asked = config.views
    size = (asked.size, asked.size) if asked.size else None
    return Views(_clips(config, "center"), asked.clips, asked.crops, size, asked.scale)


def _clips(config: ConfigDict, place: Any) -> MultiClipSampling:
    clip = config.clip
    if clip.sampling == "consecutive":
        return Consecutive(clip.frames, clip.stride, clip.fps or None, place, clip.short)
    if clip.stride != 1 or clip.fps:
        raise ValueError(
            "config.clip.stride and config.clip.fps are of sampling consecutive: leave them at 1 "
            f"and 0. Received: sampling {clip.sampling}, stride {clip.stride}, fps {clip.fps}"
        )
    if clip.sampling == "segments":
        return Segments(clip.frames, place, clip.short)
    if clip.sampling == "dense":
        return Dense(clip.frames, clip.window, place, clip.short)
    raise ValueError(
        f"config.clip.sampling: known are consecutive, segments, dense. Received: {clip.sampling!r}"
    )

"""The networks of the demo: a teacher, the teacher rewired, and two students."""

import dataclasses
import pathlib
import shutil
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from mpvn.pixels import to_signed
from mpvn.streaming import Stream
from mpvn.training import Experiment, RunFolder, base_config, build, evaluate, train
from mpvn.training.evaluation import load_weights

LATENCIES = (0, 2)
"""Prediction latencies of the students, in steps."""

EVALUATION_VIDEOS = 40
"""Number of rendered videos for evaluation."""


@dataclasses.dataclass
class DemoNetwork:
    """A trained network with its stream.

    Attributes:
        name: Name in the table and the figures.
        history: Rows of its training run; empty if it was rewired without training.
        experiment: The built network. Networks of the same plan share it, so that it is traced
            only once.
        weights: The trained weights.
        metrics: Loss and metrics on the evaluation videos.
        stream: Its stream of the video.
        outputs: Its outputs at each step of the video.
    """

    name: str
    history: list[dict[str, Any]]
    experiment: Experiment
    weights: list[np.ndarray]
    metrics: dict[str, float]
    stream: Stream
    outputs: list[np.ndarray] = dataclasses.field(default_factory=list)


def teacher_config(steps: int) -> ConfigDict:
    """Return the config of the sequential network: a narrow Par-DenseNet without clocks."""
    config = base_config()
    config.data.train = {"count": 2000}
    config.data.evaluation = {"count": EVALUATION_VIDEOS}
    config.clip.frames = 32  # the slowest blocks of the students tick every 16 frames
    config.clip.evaluated = None
    config.model.options = {"width": 0.125, "clocks": False}
    config.optimizer.schedule = "cosine"
    config.training.batch_size = 2
    config.training.steps = steps
    config.training.evaluate_every = steps
    config.training.checkpoint_every = max(1, steps // 8)
    config.training.batch_norm_momentum = 0.9
    return config


def student_config(teacher: RunFolder, subnetworks: int, latency: int) -> ConfigDict:
    """Return the config of a parallel network with clocks that learns from the teacher.

    Args:
        teacher: Run of the teacher, whose weights the student starts from.
        subnetworks: Number of parallel subnetworks.
        latency: Prediction latency in steps.
    """
    config = teacher.config()
    config.teacher = str(teacher.path)
    config.model.initial = str(teacher.path)
    config.distillation.weight = 0.1
    config.model.options.clocks = True
    config.plan.subnetworks = subnetworks
    config.plan.phases = "chain"  # aligned, as in the paper, frames need more steps than clips have
    config.task.latency = latency
    config.training.steps //= 2
    config.training.evaluate_every = config.training.steps
    return config


def train_networks(folder: pathlib.Path, subnetworks: int, steps: int) -> list[DemoNetwork]:
    """Return the teacher, the teacher rewired without training, and the students.

    Args:
        folder: Folder of the runs.
        subnetworks: Number of parallel subnetworks of all but the teacher.
        steps: Number of batches for the teacher.
    """
    teacher = _train_or_reuse(folder / "sequential", teacher_config(steps))
    configs = [student_config(teacher, subnetworks, latency) for latency in LATENCIES]
    students = [
        _train_or_reuse(folder / f"latency_{latency}", config)
        for latency, config in zip(LATENCIES, configs, strict=True)
    ]
    sequential = build(teacher.config())
    parallel = build(configs[0], to_train=False)
    metrics = evaluate(parallel, teacher.best)
    name = f"{subnetworks} subnetworks"
    return [
        _trained("sequential", teacher, sequential),
        _network(f"{name}, rewired only", [], parallel, teacher, metrics),
        *(
            _trained(f"{name}, latency {latency}", student, parallel)
            for latency, student in zip(LATENCIES, students, strict=True)
        ),
    ]


def _train_or_reuse(path: pathlib.Path, config: ConfigDict) -> RunFolder:
    """Return the finished run in `path`. Resume it, or delete a run of another config."""
    folder = RunFolder(path)
    if folder.differing(config):
        shutil.rmtree(path)
    if not folder.finished:
        print(f"training {path}")
        train(config, path)
    return folder


def _trained(name: str, run: RunFolder, experiment: Experiment) -> DemoNetwork:
    history = list(run.rows())
    return _network(name, history, experiment, run, history[-1])


def _network(
    name: str,
    history: list[dict[str, Any]],
    experiment: Experiment,
    run: RunFolder,
    metrics: dict[str, float],
) -> DemoNetwork:
    """Return the network of `experiment` with the best weights of `run`."""
    load_weights(experiment, run.best)
    stream = Stream(experiment.network, to_signed, runtime="auto")
    weights = experiment.network.get_weights()
    return DemoNetwork(name, history, experiment, weights, metrics, stream)

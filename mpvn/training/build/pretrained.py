"""What a run takes from other runs: initial weights, or a teacher."""

import os
from typing import Any

import keras
from ml_collections import ConfigDict

from mpvn.models import transfer_weights
from mpvn.network import VideoNetwork
from mpvn.tasks import Task
from mpvn.training.build.task import task_latency
from mpvn.training.distillation import Distillation
from mpvn.training.run_folder import RunFolder


def load_initial_weights(run: str | os.PathLike, network: VideoNetwork) -> None:
    """Load the weights of a finished run into `network`, by layer names.

    Kernels are inflated where `network` has temporal filters and the run has none, and averaged
    over RGB where it reads optical flow. A head of another task keeps its own weights.

    Raises:
        ValueError: there is no such run, it is not finished, none of its weights fit, or it takes
            another range of pixels.
    """
    source = _trained(RunFolder(run)).frame_model
    target = network.frame_model
    pixels = [_rescaling(model) for model in (source, target)]
    if source.input_shape[-1] == target.input_shape[-1] and pixels[0] != pixels[1]:
        raise ValueError(
            f"config.model.initial: the weights of {run} are for other pixels. Expected frames "
            f"rescaled by {pixels[1] or 'nothing'}. Received: {pixels[0] or 'nothing'}. Use the "
            "config.model.weights and config.model.pixels of that run"
        )
    transfer_weights(source, target)


def build_distillation(config: ConfigDict, network: VideoNetwork, task: Task) -> Distillation:
    """Return `network` as the student of the run `config.teacher`.

    Raises:
        ValueError: there is no such run, it is not finished, or its architecture differs.
    """
    run = RunFolder(config.teacher)
    teacher = _trained(run)
    return Distillation(
        network,
        teacher,
        config.distillation.layers,
        config.distillation.weight,
        config.distillation.whiten,
        lag=task.latency - task_latency(run.config(), teacher.plan),
        first_step=task.first_step,
    )


def _trained(run: RunFolder) -> VideoNetwork:
    if not run.finished:
        run.config()  # raises if there is no run
        raise ValueError(f"{run.path} has no {run.network.name} yet. Train that run to its end")
    return keras.saving.load_model(run.network, compile=False)


def _rescaling(model: keras.Model) -> list[tuple[Any, Any]]:
    """Return scales and offsets of the layers that bring frames to the range of `model`."""
    layers = [layer for layer in model.layers if isinstance(layer, keras.layers.Rescaling)]
    return [(layer.scale, layer.offset) for layer in layers]

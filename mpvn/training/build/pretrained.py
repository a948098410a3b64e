"""Trained networks of other runs: as initial weights, or as a teacher."""

import os
from typing import Any

import keras
from ml_collections import ConfigDict

from mpvn.metadata import Names
from mpvn.models import PUBLISHED, transfer_weights
from mpvn.models.loading import is_published
from mpvn.models.norms import norms_of
from mpvn.models.pretrained import classes_of_weights
from mpvn.network import VideoNetwork
from mpvn.tasks import Task
from mpvn.tasks.registry import prediction_latency
from mpvn.training.distillation import Distillation
from mpvn.training.run_data import check_names, describe, moved_names
from mpvn.training.run_folder import RunFolder


def check_names_of_weights(config: ConfigDict, names: Names) -> None:
    """Raise ValueError if pretrained weights are of the same classes in another order.

    Args:
        config: the config.
        names: names of the classes or joints of the data.
    """
    model = config.model
    if not model.weights or not is_published(model.name):
        return
    if PUBLISHED[model.name.lower()].torchvision is None:
        return
    moved = moved_names({"classes": classes_of_weights(model.weights)}, names)
    if moved:
        raise ValueError(
            f"config.model.weights: {model.weights} has the classes of the data, but in another "
            f"order. Expected its order of names. Received: {moved}. Restore the order of the names"
        )


def load_initial_weights(
    run: str | os.PathLike | None, network: VideoNetwork, names: Names
) -> None:
    """Load the weights of a finished run into `network`, by layer names.

    Kernels are inflated where `network` has temporal filters and the run has none, and averaged
    over RGB where it reads optical flow. A head of another task keeps its own weights.

    Args:
        run: folder of the run; None for none.
        network: the network that gets the weights.
        names: names of the classes or joints of `network`.

    Raises:
        ValueError: the run does not exist or is not finished, none of its weights fit, it takes
            another range of pixels, or it has the same classes or joints in another order.
    """
    if run is None:
        return
    folder = RunFolder(run)
    source = load_trained(folder).frame_model
    moved = moved_names(_names(folder), names)
    if moved:
        raise ValueError(
            f"config.model.initial: {run} has the same number of outputs, but in another order. "
            f"Expected its order of names. Received: {moved}. Restore the order of the names"
        )
    target = network.frame_model
    pixels = [_rescaling(model) for model in (source, target)]
    if source.input_shape[-1] == target.input_shape[-1] and pixels[0] != pixels[1]:
        raise ValueError(
            f"config.model.initial: the weights of {run} are for other pixels. Expected frames "
            f"rescaled by {pixels[1] or 'nothing'}. Received: {pixels[0] or 'nothing'}. Use the "
            "config.model.weights and config.model.pixels of that run"
        )
    norms = [" and ".join(sorted(norms_of(model))) for model in (source, target)]
    if all(norms) and norms[0] != norms[1]:
        raise ValueError(
            f"config.model.initial: the weights of {run} are for another normalization. Expected "
            f"{norms[1]} norm. Received: {norms[0]} norm. Set config.model.options.norm to that of "
            "the run"
        )
    transfer_weights(source, target)


def build_distillation(
    config: ConfigDict, network: VideoNetwork, task: Task, names: Names
) -> Distillation:
    """Return `network` as the student of the run `config.teacher`.

    Raises:
        ValueError: the run does not exist or is not finished, its architecture differs, or it was
            trained on other classes or joints.
    """
    run = RunFolder(config.teacher)
    teacher = load_trained(run)
    check_names(_names(run), names, f"config.teacher: {run.path}")
    return Distillation(
        network,
        teacher,
        config.distillation.layers,
        config.distillation.weight,
        config.distillation.distance,
        lag=task.latency - prediction_latency(describe(run.config(), {}), teacher.plan),
        first_step=task.first_step,
    )


def load_trained(run: RunFolder) -> VideoNetwork:
    """Load the network of a finished run.

    Raises:
        ValueError: the run does not exist, is not finished, or its network is damaged.
    """
    if not run.finished:
        run.config()  # raises if there is no run
        raise ValueError(f"{run.path} has no {run.network.name} yet. Train that run to its end")
    try:
        return keras.saving.load_model(run.network, compile=False)
    except Exception as fault:  # A damaged archive raises errors of zipfile, HDF5, Keras and more.
        raise ValueError(
            f"{run.network} cannot be loaded. Expected the network of a finished run. Received: "
            f"{fault}. Delete it and run `mpvn train` again, which writes a new one"
        ) from fault


def _names(run: RunFolder) -> Names:
    """Return the names of the classes or joints of a run; empty without `data.json`."""
    if run.data is None:
        run.warn_without_data()
        return {}
    return run.data.metadata.names


def _rescaling(model: keras.Model) -> list[tuple[Any, Any]]:
    """Return scales and offsets of the layers that bring frames to the range of `model`."""
    layers = [layer for layer in model.layers if isinstance(layer, keras.layers.Rescaling)]
    return [(layer.scale, layer.offset) for layer in layers]

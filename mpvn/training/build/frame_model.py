"""The frame model of a run: a published network, an application, or an image model of one's own.

Published networks are built for the task. All others are made to fit it: the size and the pixels of
their frames, and their classifier. What was done is said before training.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from ml_collections import ConfigDict

from mpvn.models.loading import LoadedModel, is_published, is_saved_model, load_frame_model
from mpvn.models.surgery.classifier import Fitted, with_classifier, with_logits
from mpvn.models.surgery.frames import name_apart, scales_pixels, with_frames
from mpvn.models.surgery.operations import operate
from mpvn.training.run_folder import network_file

_OF_CLASSIFIER = ("include_top", "classes", "classifier_activation")
"""Options of `keras.applications` that say which classifier a network has."""

_TRIED = 4
"""Number of random frames on which outputs are looked at."""


def build_frame_model(
    config: ConfigDict, head: Mapping[str, int], channels: int = 3, loading: str = "fitting"
) -> LoadedModel:
    """Return the frame model over clips, with its head and after surgery.

    Args:
        config: the config.
        head: number of the classes or joints; see `head_arguments`.
        channels: channels of the frames; 3 is RGB.
        loading: how `config.model.weights` are loaded; see `mpvn.models.pretrained`.

    Raises:
        ValueError: there is no such network, option or unit; or the model does not fit.
    """
    name = config.model.name
    if is_published(name):
        loaded = _published(config, head, channels, loading)
    elif is_saved_model(name):
        loaded = _fitted(_saved(config, channels), config, head)
    else:
        loaded = _fitted(_application(config, head, channels, loading), config, head)
    model = operate(loaded.over_clips(), config.model.surgery.to_dict())
    line = (f"{name}: {'; '.join(loaded.remarks)}",) if loaded.remarks else ()
    return dataclasses.replace(loaded, model=model, remarks=line)


def _published(
    config: ConfigDict, head: Mapping[str, int], channels: int, loading: str
) -> LoadedModel:
    loaded = _load(config, {**head, **config.model.options}, channels, loading)
    after, dropout = config.model.head.after, config.model.head.dropout
    if after is not None and "classes" in head:
        return _with_classifier(loaded, config, head["classes"])
    if dropout is not None:
        raise ValueError(
            f"config.model.head.dropout: {config.model.name} has a head of its own. Expected None. "
            f"Received: {dropout}. See config.model.options"
        )
    return loaded


def _application(
    config: ConfigDict, head: Mapping[str, int], channels: int, loading: str
) -> LoadedModel:
    """Build a network of `keras.applications`, by default without its classifier."""
    options = config.model.options.to_dict()
    if "classes" in head and not any(option in options for option in _OF_CLASSIFIER):
        options["include_top"] = False
    elif "classes" in head and config.model.weights is None and options.get("include_top", True):
        options = {"classes": head["classes"], **options}
    return _load(config, options, channels, loading)


def _load(
    config: ConfigDict, options: Mapping[str, Any], channels: int, loading: str
) -> LoadedModel:
    model = config.model
    return load_frame_model(
        model.name,
        model.size,
        model.weights,
        model.pixels,
        options=options,
        channels=channels,
        loading=loading,
    )


def _saved(config: ConfigDict, channels: int) -> LoadedModel:
    """Load a saved model, and make it read the frames of the data."""
    model = config.model
    if model.weights or model.options:
        given = "weights" if model.weights else "options"
        raise ValueError(
            f"config.model.{given}: {model.name} is a saved model, which has its own. Expected "
            f"none. Received: {model[given]}. Leave them out (--config.model.options={{}})"
        )
    loaded = load_frame_model(network_file(model.name), pixels=model.pixels)
    name_apart(loaded.model)
    try:
        reading = with_frames(loaded.model, (model.size, model.size), channels)
    except ValueError as fault:
        raise ValueError(f"config.model.name: {model.name}: {fault}") from fault
    remarks = [
        *reading.remarks,
        *_pixels(loaded, reading.model, config),
        *_as_saved(reading.model, config.training.dtype_policy),
    ]
    return dataclasses.replace(loaded, model=reading.model, remarks=tuple(remarks))


def _pixels(loaded: LoadedModel, model: keras.Model, config: ConfigDict) -> list[str]:
    """Say which pixels a saved model takes, or raise ValueError if nothing tells.

    Args:
        loaded: the model as saved.
        model: the model over the frames of the data.
        config: the config.
    """
    if not loaded.guessed:
        return []
    inputs = getattr(loaded.model, "inputs", model.inputs)  # a subclassed model has none
    if keras.backend.is_float_dtype(inputs[0].dtype) and not scales_pixels(model):
        raise ValueError(
            f"config.model.pixels: no layer of {config.model.name} tells which pixels it was "
            "trained on. Expected 0..255, 0..1, -1..1, or the caffe or torch of "
            "keras.applications' preprocess_input. Received: None. Add "
            "--config.model.pixels=0..1, for example"
        )
    return ["takes pixels of 0..255 (config.model.pixels)"]


def _as_saved(model: keras.Model, dtype_policy: str) -> list[str]:
    """Say what a saved model decides and the config does not: what is trained, and the dtypes."""
    weighty = [layer for layer in model._flatten_layers() if layer._trainable_variables]
    frozen = [layer for layer in weighty if not layer.trainable]
    policies = sorted({layer.dtype_policy.name for layer in weighty} - {dtype_policy})
    remarks = []
    if frozen:
        remarks.append(f"{len(frozen)} of {len(weighty)} layers with weights are frozen, as saved")
    if policies:
        remarks.append(f"computes in {', '.join(policies)}, as saved, not in {dtype_policy}")
    return remarks


def _fitted(loaded: LoadedModel, config: ConfigDict, head: Mapping[str, int]) -> LoadedModel:
    """Give a model that was not built for the task the outputs of the task."""
    if "classes" in head:
        return _with_classifier(loaded, config, head["classes"])
    return _with(loaded, with_logits(loaded.model)) if "joints" in head else loaded


def _with_classifier(loaded: LoadedModel, config: ConfigDict, classes: int) -> LoadedModel:
    head = config.model.head
    frames = None if is_published(config.model.name) else _random_frames(loaded)
    try:
        fitted = with_classifier(loaded.model, classes, head.after, head.dropout, frames)
    except ValueError as fault:
        raise ValueError(f"config.model.head: {fault}") from fault
    return _with(loaded, fitted)


def _with(loaded: LoadedModel, fitted: Fitted) -> LoadedModel:
    remarks = (*loaded.remarks, *fitted.remarks)
    return dataclasses.replace(loaded, model=fitted.model, remarks=remarks)


def _random_frames(loaded: LoadedModel) -> np.ndarray:
    """Return random frames `[B, H, W, C]` in the range that a model takes."""
    batch, *shape = loaded.model.inputs[0].shape
    pixels = np.random.default_rng(0).integers(0, 256, (batch or _TRIED, *shape), dtype=np.uint8)
    return loaded.prepare(pixels)

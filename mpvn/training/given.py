"""Evaluation of a network without a run: a checkpoint, or a saved network, and a data set."""

import dataclasses
from typing import Any

from ml_collections import ConfigDict

from mpvn.data.class_order import in_order
from mpvn.data.video_set import VideoSet
from mpvn.metadata import Metadata, Names
from mpvn.models.loading import LoadedModel, is_saved_model, load_frame_model
from mpvn.models.surgery.classifier import with_logits
from mpvn.models.weights import published_weights
from mpvn.network import VideoNetwork
from mpvn.plan import Plan
from mpvn.tasks.registry import prediction_latency
from mpvn.training.build.assemble import build_evaluation
from mpvn.training.build.experiment import Experiment
from mpvn.training.build.frame_model import build_frame_model
from mpvn.training.build.network import build_network, plan_of
from mpvn.training.build.videos import build_videos
from mpvn.training.config import base_config
from mpvn.training.run_data import check_names, moved_names

_TSM = Metadata(
    frames=8,
    sampling="segments",
    size=(224, 224),
    shorter_side=256,
    resampled=False,
    evaluated=None,
    short="hold",
)
"""The clips of the test of TSM's authors."""


def given_config(model: str, weights: str | None = None, data: str | None = None) -> ConfigDict:
    """Return the config that evaluates a network on the videos of a data set.

    Clips are those that the network was trained on, as far as its file or `WEIGHTS` tell; else
    those of TSM: eight frames of 224x224, one of each of eight equal parts of a video, out of the
    center of frames whose shorter side is 256. Crops of views are squares of the shorter side.

    Args:
        model: a `.keras` file, or the name of a network.
        weights: as `config.model.weights`.
        data: as `config.data.name`; default: class folders.

    Raises:
        ValueError: a file cannot be loaded.
    """
    config, known = base_config(), _known(model, weights)
    config.data.name = data or "folder"
    if config.data.name == "folder":
        config.data.evaluation = {"split": None}  # all videos
    config.model.name, config.model.weights, config.model.options = model, weights, {}
    config.model.size = known.size[0] if known.size else config.model.size
    config.task.name, config.task.options = known.task or "action", dict(known.options)
    config.task.latency, config.task.mask_uninformed = known.latency, known.mask_uninformed
    config.clip.update(_clip(known))
    config.views.scale = known.shorter_side or min(known.size or (config.views.scale,))
    config.views.size = config.views.scale
    return config


def _known(model: str, weights: str | None) -> Metadata:
    """Return what is known about the clips of a network, and TSM's for what is not."""
    published = published_weights(weights)
    if is_saved_model(model):
        loaded = load_frame_model(model)
        if loaded.metadata is not None:
            return loaded.metadata
        return dataclasses.replace(_TSM, size=loaded.size, shorter_side=None)
    if published and published.frames:
        return dataclasses.replace(_TSM, frames=published.frames, sampling=published.sampling)
    return _TSM


def _clip(known: Metadata) -> dict[str, Any]:
    """Return the keys of `config.clip` for clips like those of training; see `describe`."""
    clip: dict[str, Any] = {
        "sampling": known.sampling,
        "shorter_side": known.shorter_side,
        "evaluated": known.evaluated,
        "short": known.short,
    }
    if known.frames:
        clip["frames"] = known.frames
    if known.sampling == "dense" and known.frames and known.stride > 1:
        clip["window"] = known.stride * known.frames
    if known.sampling == "consecutive":
        clip["stride"] = known.stride
        clip["fps"] = known.fps * known.stride if known.fps and known.resampled else None
    return clip


def build_given(config: ConfigDict) -> Experiment:
    """Build the evaluation of the network that a config names, trained elsewhere.

    Weights must fit exactly. A saved network keeps its plan unless the config has another one.

    Args:
        config: as `given_config` returns it, or the config of a training.

    Raises:
        ValueError: there is no such network, its weights do not fit or are random, or it answers
            about other classes or joints than those of the data.
    """
    videos = build_videos(config, "evaluation")
    network = _network(config, videos.channels)
    videos = in_order_of(network, videos, config.model.weights)
    known = network.metadata
    if known and known.task and config.task.latency is None:
        config = config.copy_and_resolve_references()
        config.task.latency = prediction_latency(known, network.plan)
    return build_evaluation(config, network, videos)


def _network(config: ConfigDict, channels: int) -> VideoNetwork:
    name = config.model.name
    if is_saved_model(name):
        loaded = load_frame_model(name, pixels=config.model.pixels)
        if loaded.plan is not None:
            return loaded.network(_plan(loaded, config))
    loaded = build_frame_model(config, {}, channels, loading="all")
    if loaded.random:
        raise ValueError(
            f"{name} has random weights, or a random classifier. Expected a trained network. "
            f"Received: weights {config.model.weights}. Add --weights FILE, or the name of "
            "published weights (mpvn models --weights)"
        )
    logits = with_logits(loaded.model).model  # losses take them, and softmax keeps the order
    network = build_network(config, dataclasses.replace(loaded, model=logits))
    network.metadata = loaded.metadata
    return network


def _plan(loaded: LoadedModel, config: ConfigDict) -> Plan:
    if loaded.plan is not None and config.plan == base_config().plan:
        return loaded.plan
    return plan_of(config, loaded)


def in_order_of(network: VideoNetwork, videos: VideoSet, weights: str | None = None) -> VideoSet:
    """Return videos with their classes in the order of a network, as far as it is known.

    Args:
        network: the network.
        videos: the videos.
        weights: its weights, by name or as a file.

    Raises:
        ValueError: the network takes other frames, or knows other classes or joints.
    """
    channels = network.frame_model.input_shape[-1]
    if channels != videos.channels:
        raise ValueError(
            f"{network.name} takes frames of {channels} channels. Expected such videos. Received: "
            f"{videos.name}, of {videos.channels}. See config.data.flow"
        )
    known: Names = network.metadata.names if network.metadata else {}
    published = published_weights(weights)
    if published and published.by_name and not known:
        known = {"classes": sorted(videos.classes)}
    current = {"classes": videos.classes, "joints": videos.joints}
    names = known.get("classes", ())
    if sorted(names) == sorted(videos.classes) and moved_names(known, current):
        return in_order(videos, names)
    check_names(known, current, network.name)
    return videos

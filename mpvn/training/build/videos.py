"""The videos to train and to evaluate on."""

import functools
import inspect
from collections.abc import Callable

from ml_collections import ConfigDict

from mpvn.data.sets.cached import clips_in_memory, in_memory
from mpvn.data.sets.flow import optical_flow
from mpvn.data.sets.registry import SETS, held_out_split, needs_path
from mpvn.data.video_set import VideoSet
from mpvn.training.options import unknown


def build_data(config: ConfigDict) -> tuple[VideoSet, VideoSet]:
    """Return the videos to train on, and those to evaluate on.

    Raises:
        ValueError: there is no such data set, or the two differ in their classes or joints.
    """
    train, held_out = (build_videos(config, split) for split in ("train", "evaluation"))
    if train.classes != held_out.classes or train.joints != held_out.joints:
        raise ValueError(
            f"{train.name} and {held_out.name} have different classes or joints. Expected the same "
            "for training and evaluation. Change config.data.train or config.data.evaluation"
        )
    if config.data.in_memory:
        return in_memory(train), clips_in_memory(held_out)
    return train, held_out


def build_videos(config: ConfigDict, split: str) -> VideoSet:
    """Return the videos of a split: `"train"` or `"evaluation"`.

    Raises:
        ValueError: there is no such data set, or its path or an option that it needs is missing.
    """
    videos, flow = _read_videos(config, split), config.data.flow
    return optical_flow(videos, **flow) if flow.stack else videos


def _read_videos(config: ConfigDict, split: str) -> VideoSet:
    data, training = config.data, split == "train"
    if data.name not in SETS:
        raise unknown("config.data.name", data.name, SETS)
    given = data.train if training else data.evaluation
    options = {"split": "train" if training else held_out_split(data.name), **given}
    read = _reader(config)
    try:
        inspect.signature(read).bind(**options)
    except TypeError as fault:
        raise ValueError(
            f"config.data.{split}: expected the options that {data.name} needs. Received: {fault}. "
            f"Add --config.data.{split}.NAME=VALUE"
        ) from fault
    return read(**options)


def _reader(config: ConfigDict) -> Callable[..., VideoSet]:
    """Return the function that reads a split, given its options."""
    data = config.data
    if not needs_path(data.name):
        size = (config.model.size, config.model.size)
        return functools.partial(SETS[data.name], seed=config.seed, size=size)
    if not data.path:
        raise ValueError(
            f"config.data.path: expected where {data.name} is on disk. Received: None. Add "
            "--config.data.path=FOLDER"
        )
    return functools.partial(SETS[data.name], data.path)

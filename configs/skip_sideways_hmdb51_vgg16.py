"""VGG-16 for actions by Skip-Sideways, in 8 units of two layers (*Skip-Sideways*), on HMDB51.

Units 3 and on read two frames at once, by shortcuts of offset 3; the input's 2x2 blocks of pixels
are moved into the channels. Of other sets: `--config.data.name=ucf101`, or `kinetics600`. How
robust it is: `--config.clip.stride=2`, `4`, `8` for 15, 7 and 4 frames per second;
`--config.clip.frames=16 --config.clip.montage=2` for two clips one after the other, and
`--config.clip.interleaved=True` for frames that take turns. The papers give the network, Adam and
the cosine; clips, batches and rates are ours.
"""

from typing import Any

from ml_collections import ConfigDict

from mpvn.training import base_config


def get_config() -> ConfigDict:
    config = base_config()
    config.data.name = "hmdb51"
    config.data.train = {"split": "train", "fold": 1}
    config.data.evaluation = {"split": "test", "fold": 1}
    config.clip.frames = 64
    config.clip.short = "loop"
    config.augmentation.scale = (0.8, 1.0)
    config.task.name = "action"
    config.task.latency = 7
    config.model.name = "vgg16"
    config.model.size = 224
    config.model.options = {"block": 2, "dropout": 0.0}
    config.model.shortcuts = (3,)
    config.plan.subnetworks = 8
    config.optimizer.name = "adam"
    config.optimizer.learning_rate = 0.0001
    config.optimizer.schedule = "cosine"
    config.training.trainer = "sideways"
    config.training.steps = 30_000
    config.training.checkpoint_every = 500
    config.training.evaluate_every = 3_000
    return config


def get_grid() -> dict[str, tuple[Any, ...]]:
    return {
        "model.shortcuts": ((3,), ()),
        "clip.stride": (1, 2, 4, 8),
        "optimizer.learning_rate": (1e-4, 1e-5),
    }

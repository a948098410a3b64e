"""Frames of rendered figures, coded and decoded while they come, by Sideways: minutes on two cores.

The task of *Sideways* (section 5.3): the auto-encoder's five convolutions and its decoder are six
modules, updated at every frame, what is under way carried on. Its comparison is blocked while a
frame is there and back: `--trainer bp --config.training.realtime=True`.
"""

from typing import Any

from ml_collections import ConfigDict

from mpvn.training import base_config


def get_config() -> ConfigDict:
    config = base_config()
    config.data.train = {"count": 2000}
    config.data.evaluation = {"count": 40, "seed": 0}  # the same videos for every config.seed
    config.clip.frames = 32
    config.task.name = "autoencoding"
    config.task.latency = 5
    config.model.name = "autoencoder"
    config.model.options = {"width": 0.25, "batch_norm": False}
    config.plan.subnetworks = 6
    config.optimizer.name = "adam"
    config.optimizer.learning_rate = 0.0003
    config.training.trainer = "sideways"
    config.training.update_every = 1
    return config


def get_grid() -> dict[str, tuple[Any, ...]]:
    return {"training.trainer": ("sideways", "bp"), "seed": (0, 1, 2)}

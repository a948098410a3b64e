"""Frames encoded and decoded while they come, by Sideways (*Sideways*, section 5.3), on HMDB51.

Six modules, updated at every frame, what is under way carried on. The paper's baseline is blocked
while a frame is there and back: `--trainer bp --config.training.realtime=True`. The paper gives the
network and the updates; clips, batches and the optimizer are ours.
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
    config.task.name = "autoencoding"
    config.task.latency = 5
    config.model.name = "autoencoder"
    config.model.size = 224
    config.model.options = {"batch_norm": False}
    config.plan.subnetworks = 6
    config.optimizer.name = "adam"
    config.optimizer.learning_rate = 0.0001
    config.training.trainer = "sideways"
    config.training.update_every = 1
    config.training.steps = 30_000
    config.training.checkpoint_every = 500
    config.training.evaluate_every = 3_000
    return config


def get_grid() -> dict[str, tuple[Any, ...]]:
    return {"training.trainer": ("sideways", "bp"), "optimizer.learning_rate": (1e-4, 1e-5)}

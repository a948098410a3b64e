"""The frame 8 frames ahead, by Skip-Sideways (supplement), on HMDB51.

Full-Res in 8 units, shortcuts of offset 3; without them, `--config.model.shortcuts='()'`, it is
Sideways. Of Kinetics-600: `--config.data.name=kinetics600`. The paper gives the network, Adam and
the cosine; clips, batches and the rate are ours.
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
    config.task.name = "future_frame"
    config.task.latency = 7
    config.model.name = "full_res"
    config.model.size = 224
    config.model.options = {"block": 2}
    config.plan.subnetworks = 8
    config.optimizer.name = "adam"
    config.optimizer.learning_rate = 0.0001
    config.training.trainer = "sideways"
    config.optimizer.schedule = "cosine"
    config.task.options = {"ahead": 8}
    config.model.shortcuts = (3,)
    config.training.steps = 30_000
    config.training.checkpoint_every = 500
    config.training.evaluate_every = 3_000
    return config


def get_grid() -> dict[str, tuple[Any, ...]]:
    return {"model.shortcuts": ((3,), ())}

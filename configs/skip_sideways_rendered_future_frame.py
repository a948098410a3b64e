"""The frame 8 frames ahead of rendered figures, by Skip-Sideways: minutes on two cores.

The task of *Skip-Sideways* (supplement): Full-Res in 8 units, units 3 and on reading two frames at
once by shortcuts of offset 3. Without them, `--config.model.shortcuts='()'`, it is Sideways, which
sees one frame at a time.
"""

from typing import Any

from ml_collections import ConfigDict

from mpvn.training import base_config


def get_config() -> ConfigDict:
    config = base_config()
    config.data.train = {"count": 2000}
    config.data.evaluation = {"count": 40, "seed": 0}  # the same videos for every config.seed
    config.clip.frames = 32
    config.task.name = "future_frame"
    config.task.latency = 7
    config.task.options = {"ahead": 8}
    config.model.name = "full_res"
    config.model.options = {"width": 0.25, "block": 2}
    config.model.shortcuts = (3,)
    config.plan.subnetworks = 8
    config.optimizer.name = "adam"
    config.optimizer.learning_rate = 0.003
    config.optimizer.schedule = "cosine"
    config.training.trainer = "sideways"
    config.training.batch_norm_momentum = 0.9
    return config


def get_grid() -> dict[str, tuple[Any, ...]]:
    return {"model.shortcuts": ((3,), ()), "seed": (0, 1, 2)}

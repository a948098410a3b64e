"""Actions of rendered figures, each frame by itself, by a narrow VGG-8 that trains by Sideways.

The small twin of sideways_hmdb51_vgg8.py: minutes on two cores. An action and its reversal are one
class here, for a chain of modules sees single frames. `--trainer bp` is the comparison; clocked by
frames seen, an update is one clip for both.
"""

from typing import Any

from ml_collections import ConfigDict

from mpvn.training import base_config


def get_config() -> ConfigDict:
    config = base_config()
    figures = {"directions": False, "frames": 32, "fps": 12.5}
    config.data.train = {"count": 2000, **figures}
    config.data.evaluation = {"count": 100, "seed": 0, **figures}
    config.clip.frames = 32
    config.task.name = "action"
    config.task.latency = 7
    config.model.name = "vgg8"
    config.model.options = {"width": 0.125, "batch_norm": True, "dropout": 0.0}
    config.plan.subnetworks = 8
    config.optimizer.name = "adam"
    config.optimizer.learning_rate = 0.001
    config.optimizer.schedule = "cosine"
    config.training.trainer = "sideways"
    config.training.batch_norm_momentum = 0.9
    return config


def get_grid() -> dict[str, tuple[Any, ...]]:
    return {"training.trainer": ("sideways", "bp"), "seed": (0, 1, 2)}

"""Actions of rendered figures, one frame at a time, with a narrow VGG-8 trained by Sideways.

The small version of sideways_hmdb51_vgg8.py. An action and its reversal are one class here, because
a chain of modules sees single frames. `--trainer bp` trains by back-propagation for comparison; an
update is one clip in both.

Takes: minutes on two cores. Expect: accuracy 0.624; back-propagation 0.644 (three seeds,
benchmarks/sideways_learning).
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
    config.model.name = "vgg8"
    config.model.options = {"width": 0.125, "norm": "batch", "dropout": 0.0}
    config.plan.subnetworks = 8
    config.optimizer.name = "adam"
    config.optimizer.learning_rate = 0.001
    config.optimizer.schedule = "cosine"
    config.training.trainer = "sideways"
    config.training.batch_norm_momentum = 0.9
    return config


def get_grid() -> dict[str, tuple[Any, ...]]:
    return {"training.trainer": ("sideways", "bp"), "seed": (0, 1, 2)}

"""Auto-encoding of rendered figures with a narrow auto-encoder, by back-propagation.

The task of *Sideways* (section 4.3), with exact gradients along time, in 1 module or the paper's 6.

Takes: minutes on two cores. Expect: not measured with this config.
"""

from typing import Any

from ml_collections import ConfigDict

from mpvn.models import PUBLISHED
from mpvn.training import base_config


def get_config() -> ConfigDict:
    config = base_config()
    config.data.train = {"count": 2000}
    config.data.evaluation = {"count": 40, "seed": 0}  # the same videos for every config.seed
    config.task.name = "autoencoding"
    config.model.name = "autoencoder"
    config.model.options = {"width": 0.25, "norm": None}
    config.optimizer.name = "adam"
    config.optimizer.learning_rate = 0.003
    config.optimizer.schedule = "cosine"
    config.training.batch_norm_momentum = 0.9
    return config


def get_grid() -> dict[str, tuple[Any, ...]]:
    return {"plan.subnetworks": PUBLISHED["autoencoder"].subnetworks}

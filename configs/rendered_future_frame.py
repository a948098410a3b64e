"""The frame 8 frames ahead of rendered figures, by a narrow Full-Res: minutes on two cores.

The task of *Skip-Sideways* (supplement), trained by back-propagation with Adam and a cosine
schedule, in 1 or the paper's 8 units. Without shortcuts Full-Res sees one frame at a time.
"""

from typing import Any

from ml_collections import ConfigDict

from mpvn.models import PUBLISHED
from mpvn.training import base_config


def get_config() -> ConfigDict:
    config = base_config()
    config.data.train = {"count": 2000}
    config.data.evaluation = {"count": 40, "seed": 0}  # the same videos for every config.seed
    config.task.name = "future_frame"
    config.task.options = {"ahead": 8}
    config.model.name = "full_res"
    config.model.options = {"width": 0.25, "block": 2}
    config.optimizer.name = "adam"
    config.optimizer.learning_rate = 0.003
    config.optimizer.schedule = "cosine"
    config.training.batch_norm_momentum = 0.9
    return config


def get_grid() -> dict[str, tuple[Any, ...]]:
    return {"plan.subnetworks": PUBLISHED["full_res"].subnetworks}

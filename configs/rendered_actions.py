"""Actions of rendered figures with a narrow Par-Inception.

The small version of par_inception_action.py. The actions come in pairs that are reversals of each
other: only the order of the frames tells them apart.

Takes: minutes on two cores. Expect: not measured with this config; see benchmarks/learning.
"""

from typing import Any

from ml_collections import ConfigDict

from mpvn.models import PUBLISHED
from mpvn.training import base_config


def get_config() -> ConfigDict:
    config = base_config()
    config.data.train = {"count": 2000}
    config.data.evaluation = {"count": 100, "seed": 0}  # the same videos for every config.seed
    config.task.name = "action"
    config.model.name = "par_inception"
    config.model.options = {"width": 0.125, "clocks": True, "temporal_filters": True}
    config.training.batch_norm_momentum = 0.9
    return config


def get_grid() -> dict[str, tuple[Any, ...]]:
    return {
        "plan.subnetworks": PUBLISHED["par_inception"].subnetworks,
        "model.options.clocks": (True, False),
    }

"""Keypoints of rendered figures by a narrow Par-DenseNet: 5 minutes on two cores.

The small twin of par_densenet_pose.py. Its grid asks what depth-parallelism costs a network that
answers at once, and one that may answer two steps late.
"""

from typing import Any

from ml_collections import ConfigDict

from mpvn.training import base_config


def get_config() -> ConfigDict:
    config = base_config()
    config.data.train = {"count": 2000}
    config.data.evaluation = {"count": 40, "seed": 0}  # the same videos for every config.seed
    config.model.options = {"width": 0.125, "clocks": True, "temporal_kernel": 1, "feedback": False}
    config.training.batch_norm_momentum = 0.9
    return config


def get_grid() -> dict[str, tuple[Any, ...]]:
    return {"plan.subnetworks": (1, 2, 4, 8), "task.latency": (0, 2)}

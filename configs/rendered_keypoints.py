"""Keypoints of rendered figures with a narrow Par-DenseNet.

The small version of par_densenet_pose.py. Its grid measures what depth-parallelism costs a network
that answers at once, and one that may answer two steps late: figures 6 left and 8 right of the
paper. `mpvn sweep --grid figure_6_right` varies clocks, temporal filters and feedback.

Takes: 5 minutes on two cores. Expect: not measured with this config; see benchmarks/learning.
"""

from typing import Any

from ml_collections import ConfigDict

from mpvn.training import base_config, sibling


def get_config() -> ConfigDict:
    config = base_config()
    config.data.train = {"count": 2000}
    config.data.evaluation = {"count": 40, "seed": 0}  # the same videos for every config.seed
    config.model.options = {"width": 0.125, "clocks": True, "temporal_kernel": 1, "feedback": None}
    config.plan.phases = "chain"  # aligned, as in the paper, frames need more steps than clips have
    config.clip.frames = 32  # the slowest blocks tick every 16 frames
    config.training.batch_size = 4
    config.training.batch_norm_momentum = 0.9
    return config


def get_grid() -> dict[str, tuple[Any, ...]]:
    return {"plan.subnetworks": (1, 2, 4, 8), "task.latency": (0, 2)}


def get_grid_figure_6_right() -> dict[str, tuple[Any, ...]]:
    figure = sibling(__file__, "par_densenet_pose").get_grid_figure_6_right()
    return {**figure, "plan.subnetworks": (1, 8)}

"""Par-DenseNet for keypoints, as *Massively Parallel Video Networks* trained it (appendix C).

The paper's data set is not public. Here it is PoseTrack 2018, at `--config.data.path`; another set
with joints is named by `--config.data.name`, such as jhmdb (with `data.evaluation.split=test`).
The heatmaps are a quarter of the frame's size, 56x56, and have a Gaussian of one of their pixels.
"""

from typing import Any

from ml_collections import ConfigDict

from mpvn.models import PUBLISHED
from mpvn.training import base_config


def get_config() -> ConfigDict:
    config = base_config()
    config.data.name = "posetrack"
    config.data.train = {"split": "train"}
    config.data.evaluation = {"split": "val"}
    config.clip.frames = 32
    config.clip.short = "hold"  # PoseTrack annotates some 30 frames of most videos
    config.task.options = {"sigma": 1.0, "keypoint_weight": 10.0}
    config.distillation.weight, config.distillation.whiten = 1.0, False
    config.model.name = "par_densenet"
    config.model.size = 224
    config.model.options = {"clocks": True, "temporal_kernel": 1, "feedback": False}
    config.optimizer.learning_rate = 1.0
    config.optimizer.schedule = "steps"
    config.optimizer.boundaries = (100_000,)
    config.training.steps = 150_000
    config.training.batch_size = 1
    config.training.checkpoint_every = 1_000
    config.training.evaluate_every = 10_000
    return config


def get_grid() -> dict[str, tuple[Any, ...]]:
    return {
        "plan.subnetworks": PUBLISHED["par_densenet"].subnetworks,
        "model.options.clocks": (True, False),
    }

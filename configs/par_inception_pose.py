"""Par-Inception for keypoints (*Massively Parallel Video Networks*, appendix C).

The paper's data set is not public. Here it is PoseTrack 2018, at `--config.data.path`; other data
sets with joints are chosen by `--config.data.name`: jhmdb (with
`--config.data.evaluation.split=test`), or keypoint_videos, your own videos with joints in JSON
files (with `--config.data.train.fraction=0.8 --config.data.evaluation.fraction=0.8`; see
docs/data.md). The heatmaps are a quarter of the frame's size, 56x56, with a Gaussian of one heatmap
pixel.

The grid is figure 6 left: the loss by the number of subnetworks.

Takes: 70,000 updates on batches of 4 clips, 32 frames of 224x224 each; the time has not been
measured here. Expect: figure 6 of the paper, on its own data; its values are not stated here.
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
    config.clip.shorter_side = 256  # The paper crops 224 out of larger frames.
    config.clip.short = "hold"  # PoseTrack annotates about 30 frames of most videos
    config.task.options = {"sigma": 1.0, "keypoint_weight": 10.0}
    config.distillation.distance, config.distillation.weight = "sum", 1.0
    config.model.name = "par_inception"
    config.model.size = 224
    config.model.options = {"clocks": True, "temporal_filters": True, "feedback": None}
    config.optimizer.learning_rate = 0.1
    config.optimizer.schedule = "steps"
    config.optimizer.boundaries = (35_000, 55_000)
    config.training.steps = 70_000
    config.training.batch_size = 4
    config.training.checkpoint_every = 1_000
    config.training.evaluate_every = 5_000
    return config


def get_grid() -> dict[str, tuple[Any, ...]]:
    return {"plan.subnetworks": PUBLISHED["par_inception"].subnetworks}

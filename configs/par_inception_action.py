"""Par-Inception for actions, as *Massively Parallel Video Networks* trained it (appendix C).

On Mini-Kinetics, at `--config.data.path`. Its authors publish which classes and videos it has: a
text file of a class on each line must be both `--config.data.train.class_list` and
`--config.data.evaluation.class_list`, and one of YouTube identifiers may be both `video_list`.
"""

from typing import Any

from ml_collections import ConfigDict

from mpvn.models import PUBLISHED
from mpvn.training import base_config


def get_config() -> ConfigDict:
    config = base_config()
    lists = {"class_list": "", "video_list": "", "skip_missing": True}  # not all is online any more
    config.data.name = "mini_kinetics"
    config.data.train = {"split": "train", **lists}
    config.data.evaluation = {"split": "val", **lists}
    config.clip.frames = 64
    config.task.name = "action"
    config.distillation.weight, config.distillation.whiten = 100.0, False
    config.model.name = "par_inception"
    config.model.size = 224
    config.model.options = {"clocks": True, "temporal_filters": True, "dropout": 0.0}
    config.optimizer.learning_rate = 0.1
    config.optimizer.schedule = "steps"
    config.optimizer.boundaries = (50_000, 60_000)
    config.training.steps = 70_000
    config.training.batch_size = 4
    config.training.checkpoint_every = 1_000
    config.training.evaluate_every = 5_000
    return config


def get_grid() -> dict[str, tuple[Any, ...]]:
    return {
        "plan.subnetworks": PUBLISHED["par_inception"].subnetworks,
        "model.options.clocks": (True, False),
    }

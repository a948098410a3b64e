"""Par-Inception for actions on Mini-Kinetics (*Massively Parallel Video Networks*, appendix C).

The data set is at `--config.data.path`. Its authors publish lists of its classes and videos: give a
text file with one class per line as `--config.data.train.class_list` and
`--config.data.evaluation.class_list`, and optionally YouTube identifiers as `video_list`.

Takes: 70,000 updates on batches of 4 clips, 64 frames of 224x224 each; the time has not been
measured here. Expect: table 1 of the paper; its accuracies are not stated here.
"""

from typing import Any

from ml_collections import ConfigDict

from mpvn.models import PUBLISHED
from mpvn.training import base_config


def get_config() -> ConfigDict:
    config = base_config()
    config.data.name = "mini_kinetics"
    config.data.train = {"split": "train", "skip_missing": True}  # some videos are offline by now
    config.data.evaluation = {"split": "val", "skip_missing": True}
    config.clip.frames = 64
    config.clip.shorter_side = 256  # The paper crops 224 out of larger frames.
    config.task.name = "action"
    config.distillation.distance, config.distillation.weight = "sum", 100.0
    config.model.name = "par_inception"
    config.model.size = 224
    config.model.options = {"clocks": True, "temporal_filters": True}
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

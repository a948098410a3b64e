"""Par-Inception for actions on Mini-Kinetics (*Massively Parallel Video Networks*, appendix C).

The data set is at `--config.data.path`. Its authors publish lists of its classes and videos: give a
text file with one class per line as `--config.data.train.class_list` and
`--config.data.evaluation.class_list`, and optionally YouTube identifiers as `video_list`.

Its grid is table 1 of the paper: networks with clocks and temporal filters, from the one that sees
the future to the parallel ones. `mpvn sweep --config FILE` trains and compares them;
`mpvn compare` draws them with the keypoints (figure 10).

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


def get_grid() -> dict[str, Any]:
    return {"network": table_1(*PUBLISHED["par_inception"].subnetworks[-2:])}


def table_1(semi_parallel: int, parallel: int) -> dict[str, dict[str, Any]]:
    """Return the rows of table 1, given the published numbers of subnetworks."""
    rows: dict[str, dict[str, Any]] = {
        "non-causal": {"model.options.temporal_padding": "symmetric", "plan.subnetworks": 1},
        "sequential": {"plan.subnetworks": 1},
    }
    for name, number in (("semi-parallel", semi_parallel), ("parallel", parallel)):
        rows[f"{name} ({number})"] = {"plan.subnetworks": number}
    return rows

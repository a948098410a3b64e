"""Par-DenseNet for keypoints (*Massively Parallel Video Networks*, appendix C).

Data as in par_inception_pose.py. `--config.teacher=RUN` distills a sequential network (section
3.3). The grid is figure 6 left. `mpvn sweep --grid figure_6_right` varies clocks, temporal filters
and feedback at each number of subnetworks, `--grid figure_8_right` the prediction latency; add
`--grid plan.subnetworks=1,14` for fewer runs.

Takes: 150,000 updates on single clips, 32 frames of 224x224 each; the time has not been measured
here. Expect: figures 6 and 7 of the paper, on its own data: distillation improves 54.5 to 61.2.
"""

from typing import Any

from ml_collections import ConfigDict

from mpvn.models import PUBLISHED
from mpvn.training import sibling

INCEPTION = sibling(__file__, "par_inception_pose")


def get_config() -> ConfigDict:
    config = INCEPTION.get_config()
    config.model.name = "par_densenet"
    config.model.options = {"clocks": True, "temporal_kernel": 1, "feedback": None}
    config.optimizer.learning_rate = 1.0
    config.optimizer.boundaries = (100_000,)
    config.training.steps = 150_000
    config.training.batch_size = 1
    config.training.evaluate_every = 10_000
    return config


def get_grid() -> dict[str, tuple[Any, ...]]:
    return {"plan.subnetworks": PUBLISHED["par_densenet"].subnetworks}


def get_grid_figure_6_right() -> dict[str, tuple[Any, ...]]:
    return {
        **get_grid(),
        "model.options.clocks": (True, False),
        "model.options.temporal_kernel": (1, 2),
        "model.options.feedback": (None, "heatmaps"),
    }


def get_grid_figure_8_right() -> dict[str, tuple[Any, ...]]:
    return {**get_grid(), "task.latency": (0, 2)}

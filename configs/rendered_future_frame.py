"""The frame 8 frames ahead of rendered figures with a narrow Full-Res, by back-propagation.

The task of *Skip-Sideways* (supplement), with exact gradients along time, in 1 unit or the paper's
8. Without shortcuts, Full-Res sees one frame at a time.

Takes: minutes on two cores. Expect: not measured with this config; see benchmarks/sideways_learning
for Skip-Sideways.
"""

from typing import Any

from ml_collections import ConfigDict

from mpvn.models import PUBLISHED
from mpvn.training import sibling


def get_config() -> ConfigDict:
    config = sibling(__file__, "rendered_autoencoding").get_config()
    config.task.name = "future_frame"
    config.task.options = {"ahead": 8}
    config.model.name = "full_res"
    config.model.options = {"width": 0.25, "block": 2}
    return config


def get_grid() -> dict[str, tuple[Any, ...]]:
    return {"plan.subnetworks": PUBLISHED["full_res"].subnetworks}

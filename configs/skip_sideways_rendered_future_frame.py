"""The frame 8 frames ahead of rendered figures, by Skip-Sideways (supplement).

Full-Res in 8 units; from the third on, units read two frames at once, by shortcuts of offset 3.
Without shortcuts, `--config.model.surgery.shortcuts=False`, this is Sideways, which sees one frame
at a time.

Takes: minutes on two cores. Expect: MSE 0.0887 after 100 updates; Sideways 0.0981 (three seeds,
benchmarks/sideways_learning).
"""

from typing import Any

from ml_collections import ConfigDict

from mpvn.training import sibling


def get_config() -> ConfigDict:
    config = sibling(__file__, "rendered_future_frame").get_config()
    config.clip.frames = 32
    config.model.surgery = {"shortcuts": {"offsets": (3,)}}
    config.plan.subnetworks = 8
    config.training.trainer = "sideways"
    return config


def get_grid() -> dict[str, tuple[Any, ...]]:
    methods = {"Skip-Sideways": {}, "Sideways": {"model.surgery.shortcuts": False}}
    return {"method": methods, "seed": (0, 1, 2)}

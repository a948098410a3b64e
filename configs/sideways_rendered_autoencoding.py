"""Auto-encoding of rendered figures while they arrive, by Sideways (*Sideways*, section 4.3).

The auto-encoder's five convolutions and its decoder are six modules, updated at every frame without
draining the pipeline. The baseline is blocked while a frame passes there and back:
`--trainer bp --config.training.realtime=True`.

Takes: minutes on two cores. Expect: MSE 0.0572 after 60 updates; the baseline 0.0942 (three seeds,
benchmarks/sideways_learning).
"""

from typing import Any

from ml_collections import ConfigDict

from mpvn.training import sibling


def get_config() -> ConfigDict:
    config = sibling(__file__, "rendered_autoencoding").get_config()
    config.clip.frames = 32
    config.plan.subnetworks = 6
    config.optimizer.learning_rate = 0.0003
    config.optimizer.schedule = "constant"
    config.training.trainer = "sideways"
    config.training.update_every = 1
    return config


def get_grid() -> dict[str, tuple[Any, ...]]:
    return {"training.trainer": ("sideways", "bp"), "seed": (0, 1, 2)}

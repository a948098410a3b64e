"""Auto-encoding of frames while they arrive, by Sideways (*Sideways*, section 4.3), on CATER.

Six modules, updated at every frame without draining the pipeline. The paper's baseline is blocked
while a frame passes there and back: `--trainer bp --config.training.realtime=True`. `mse_realtime`
is the paper's measure, the error at the frame rate of the input; `mse` compares an output with its
own frame. Both methods: `mpvn sweep --grid table_3`. The paper gives the network and the updates;
clips, batches and the optimizer are our choice.

Takes: 30,000 batches of 8 clips, 64 frames of 224x224 each; the time has not been measured here.
Expect: MSE 0.002, the baseline 0.014 (paper, table 3).
"""

from typing import Any

from ml_collections import ConfigDict

from mpvn.training import base_config


def get_config() -> ConfigDict:
    config = base_config()
    config.data.name = "cater"
    config.clip.frames = 64
    config.augmentation.flip = False  # The mirror images of its classes are not known.
    config.task.name = "autoencoding"
    config.model.name = "autoencoder"
    config.model.size = 224
    config.model.options = {"norm": None}
    config.plan.subnetworks = 6
    config.optimizer.name = "adam"
    config.optimizer.learning_rate = 0.0001
    config.training.trainer = "sideways"
    config.training.update_every = 1
    config.training.evaluate_realtime = True
    config.training.steps = 30_000
    config.training.checkpoint_every = 500
    config.training.evaluate_every = 3_000
    return config


def get_grid() -> dict[str, tuple[Any, ...]]:
    return {"training.trainer": ("sideways", "bp"), "optimizer.learning_rate": (1e-4, 1e-5)}


def get_grid_table_3() -> dict[str, Any]:
    blocked = {"training.trainer": "bp", "training.realtime": True}
    return {"method": {"Sideways": {}, "back-propagation": blocked}}

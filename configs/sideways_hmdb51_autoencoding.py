"""Auto-encoding of frames while they arrive, by Sideways (*Sideways*, section 4.3), on HMDB51.

Six modules, updated at every frame without draining the pipeline. The paper's baseline is blocked
while a frame passes there and back: `--trainer bp --config.training.realtime=True`. The paper uses
CATER: `--config.data.name=cater --config.data.evaluation.split=val`. It gives the network and the
updates; clips, batches and the optimizer are our choice. What this does not do: the paper evaluates
in real time, too; here evaluation runs both networks at every frame.

Takes: 30,000 batches of 8 clips, 64 frames of 224x224 each; the time has not been measured here.
Expect: on CATER, MSE 0.002, the baseline 0.014 (paper, table 3).
"""

from typing import Any

from ml_collections import ConfigDict

from mpvn.training import base_config


def get_config() -> ConfigDict:
    config = base_config()
    config.data.name = "hmdb51"
    config.clip.frames = 64
    config.clip.short = "loop"
    config.task.name = "autoencoding"
    config.model.name = "autoencoder"
    config.model.size = 224
    config.model.options = {"norm": None}
    config.plan.subnetworks = 6
    config.optimizer.name = "adam"
    config.optimizer.learning_rate = 0.0001
    config.training.trainer = "sideways"
    config.training.update_every = 1
    config.training.steps = 30_000
    config.training.checkpoint_every = 500
    config.training.evaluate_every = 3_000
    return config


def get_grid() -> dict[str, tuple[Any, ...]]:
    return {"training.trainer": ("sideways", "bp"), "optimizer.learning_rate": (1e-4, 1e-5)}

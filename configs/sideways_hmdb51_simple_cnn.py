"""Simple-CNN for actions on HMDB51, by Sideways in 6 modules (*Sideways*, section 4).

UCF101: `--config.data.name=ucf101`. Back-propagation: `--trainer bp`. The paper gives the network,
the label at every step and one update per clip; clips, batches and the optimizer are our choice.

Grids of `mpvn sweep --grid`: `table_1`, all rows of the two networks; `figure_4`, whose report
draws the curves of training; `figure_5`, one frame of 2 to 6 in training and evaluation, where
videos that are too short start again. The learning rates and weight decays of figure 4 are our
choice.

Takes: 30,000 updates on batches of 8 clips, 64 frames of 224x224 each; the time has not been
measured here. Expect: accuracy 16.5, back-propagation 17.2; on UCF101 42.2 and 40.7 (paper, table
1).
"""

from typing import Any

from ml_collections import ConfigDict

from mpvn.training import base_config

METHODS = ("sideways", "bp")


def get_config() -> ConfigDict:
    config = base_config()
    config.data.name = "hmdb51"
    config.clip.frames = 64
    config.clip.short = "loop"
    config.augmentation.scale = (0.8, 1.0)
    config.task.name = "action"
    config.model.name = "simple_cnn"
    config.model.size = 224
    config.model.options = {"norm": None}
    config.plan.subnetworks = 6
    config.optimizer.name = "adam"
    config.optimizer.learning_rate = 0.0001
    config.optimizer.schedule = "cosine"
    config.training.trainer = "sideways"
    config.training.steps = 30_000
    config.training.checkpoint_every = 500
    config.training.evaluate_every = 3_000
    return config


def get_grid() -> dict[str, tuple[Any, ...]]:
    return {"training.trainer": METHODS, "model.options.norm": (None, "batch")}


def get_grid_table_1() -> dict[str, Any]:
    vgg8 = {"model.name": "vgg8", "model.options.norm": "batch", "plan.subnetworks": 8}
    networks = {
        "Simple-CNN": {},
        "VGG-8": vgg8,
        "VGG-8 with dropout": {**vgg8, "model.options.dropout": 0.9},
    }
    return {"network": networks, "training.trainer": METHODS}


def get_grid_figure_4() -> dict[str, Any]:
    return {
        "training.trainer": METHODS,
        "optimizer.learning_rate": (1e-3, 1e-4, 1e-5),
        "optimizer.weight_decay": (None, 1e-3),
    }


def get_grid_figure_5() -> dict[str, Any]:
    return {"training.trainer": METHODS, "clip.stride": (2, 3, 4, 5, 6)}

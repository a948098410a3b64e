"""VGG-8 for actions by Sideways, in 8 modules (*Sideways*, section 5.1), on HMDB51.

Of UCF101: `--config.data.name=ucf101`. The row with dropout: `--config.model.options.dropout=0.9`.
By back-propagation: `--trainer bp`, and `--trainer gpipe`. The paper gives the network, the label
at every step and one update a clip; clips, batches and the optimizer are ours.
"""

from typing import Any

from ml_collections import ConfigDict

from mpvn.training import base_config


def get_config() -> ConfigDict:
    config = base_config()
    config.data.name = "hmdb51"
    config.data.train = {"split": "train", "fold": 1}
    config.data.evaluation = {"split": "test", "fold": 1}
    config.clip.frames = 64
    config.clip.short = "loop"
    config.augmentation.scale = (0.8, 1.0)
    config.task.name = "action"
    config.task.latency = 7
    config.model.name = "vgg8"
    config.model.size = 224
    config.model.options = {"dropout": 0.0}
    config.plan.subnetworks = 8
    config.optimizer.name = "adam"
    config.optimizer.learning_rate = 0.0001
    config.optimizer.schedule = "cosine"
    config.training.trainer = "sideways"
    config.training.steps = 30_000
    config.training.checkpoint_every = 500
    config.training.evaluate_every = 3_000
    return config


def get_grid() -> dict[str, tuple[Any, ...]]:
    return {"training.trainer": ("sideways", "bp"), "model.options.dropout": (0.0, 0.9)}

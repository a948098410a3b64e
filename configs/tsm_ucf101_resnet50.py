"""TSM on ResNet-50, on UCF101 (*Temporal Shift Module*, section 5).

The data set is at `--config.data.path`, other folds at `--config.data.train.fold=2
--config.data.evaluation.fold=2`. It is small: start from a network trained on Kinetics,
`--config.model.initial=runs/tsm_kinetics400_resnet50` (with the same `--config.model.weights`), or
from the authors' checkpoint, `--config.model.weights=tsm_resnet50_kinetics400` (or its file).
Clips, views, TSN and online networks are as in tsm_something_v1_resnet50.py. Rate, epochs and
dropout are those of the authors' script for UCF101. As there, batch norm is frozen but the first.

Takes: 25 epochs in batches of 64 clips, 8 frames of 224x224 each; the time has not been measured
here. Expect: the paper's accuracies are not stated here.
"""

from typing import Any

from ml_collections import ConfigDict

from mpvn.training import sibling

SOMETHING = sibling(__file__, "tsm_something_v1_resnet50")
get_grid_table_7 = SOMETHING.get_grid_table_7


def get_config() -> ConfigDict:
    config = SOMETHING.get_config()
    config.data.name = "ucf101"
    config.data.evaluation = {"split": "test"}
    config.augmentation.flip = True
    config.model.options.dropout = 0.8
    config.optimizer.learning_rate = 0.001
    config.optimizer.boundaries = (10, 20)
    config.training.epochs = 25
    config.training.batch_norm = "frozen_but_first"
    config.training.checkpoint_every = 50
    return config


def get_grid() -> dict[str, tuple[Any, ...]]:
    return {"model.options.shift": (True, False)}

"""TSM on ResNet-50, of UCF101 (*Temporal Shift Module*, section 5), at `--config.data.path`.

The set is small: begin with a network that Kinetics has taught,
`--config.model.initial=runs/tsm_kinetics400_resnet50` (with the same `--config.model.weights`), or
the authors' checkpoint, `--config.model.weights=FILE.pth`. Other folds are
`--config.data.train.fold=2 --config.data.evaluation.fold=2`. Clips are a frame of each of eight
parts of the video; `mpvn eval RUN --views` averages 2 clips of 3 crops. Without shifts,
`--config.model.options.shift=False`, it is TSN. Rate, epochs and dropout are those of the authors'
script for UCF101; the paper freezes batch norm, which learns here, and the sizes of random crops
are ours.
"""

from typing import Any

from ml_collections import ConfigDict

from mpvn.training import base_config


def get_config() -> ConfigDict:
    config = base_config()
    config.data.name = "ucf101"
    config.data.train = {"split": "train", "fold": 1}
    config.data.evaluation = {"split": "test", "fold": 1}
    config.clip.frames = 8
    config.clip.sampling = "segments"
    config.clip.short = "hold"
    config.clip.evaluated = 0
    config.views.clips = 2
    config.views.crops = 3
    config.views.size = 256
    config.augmentation.scale = (0.66, 1.0)
    config.task.name = "action"
    config.model.name = "tsm_resnet50"
    config.model.size = 224
    config.model.options = {"shift": True, "temporal_padding": "symmetric", "dropout": 0.8}
    config.optimizer.learning_rate = 0.001
    config.optimizer.weight_decay = 0.001  # 1e-4 of PyTorch, where a momentum of 0.9 adds it up
    config.optimizer.schedule = "steps"
    config.optimizer.boundaries = (1_490, 2_980)
    config.training.steps = 3_725  # 25 epochs of 9,537 videos
    config.training.batch_size = 64
    config.training.checkpoint_every = 149
    config.training.evaluate_every = 745
    return config


def get_grid() -> dict[str, tuple[Any, ...]]:
    return {"model.options.shift": (True, False)}

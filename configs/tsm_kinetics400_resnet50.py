"""TSM on ResNet-50, of Kinetics-400 (*Temporal Shift Module*, section 5), at `--config.data.path`.

Clips are eight frames of 64. `mpvn eval RUN --views` is the accurate test, 10 clips of 3 crops; the
efficient one is `--config.views.clips=1 --config.views.crops=1 --config.views.size=224` of it.
Without shifts, `--config.model.options.shift=False`, it is TSN. The paper begins with torchvision's
weights of ImageNet, `--config.model.weights=resnet50.pth`; without a file they are random. The
sizes of random crops are ours.
"""

from typing import Any

from ml_collections import ConfigDict

from mpvn.training import base_config


def get_config() -> ConfigDict:
    config = base_config()
    missing = {"skip_missing": True, "class_list": ""}  # not all is online any more
    config.data.name = "kinetics400"
    config.data.train = {"split": "train", **missing}
    config.data.evaluation = {"split": "val", **missing}
    config.clip.frames = 8
    config.clip.sampling = "dense"
    config.clip.window = 64
    config.clip.short = "loop"
    config.clip.evaluated = 0
    config.views.clips = 10
    config.views.crops = 3
    config.views.size = 256
    config.augmentation.scale = (0.66, 1.0)
    config.task.name = "action"
    config.model.name = "tsm_resnet50"
    config.model.size = 224
    config.model.options = {"shift": True, "temporal_padding": "symmetric", "dropout": 0.5}
    config.optimizer.learning_rate = 0.01
    config.optimizer.weight_decay = 0.001  # 1e-4 of PyTorch, where a momentum of 0.9 adds it up
    config.optimizer.schedule = "steps"
    config.optimizer.boundaries = (150_000, 300_000)
    config.training.steps = 375_000  # 100 epochs of 240,000 videos
    config.training.batch_size = 64
    config.training.checkpoint_every = 1_000
    config.training.evaluate_every = 15_000
    return config


def get_grid() -> dict[str, tuple[Any, ...]]:
    return {"model.options.shift": (True, False), "clip.frames": (8, 16)}

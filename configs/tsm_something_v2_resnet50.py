"""TSM on ResNet-50, of Something-Something V2 (*Temporal Shift Module*, section 5).

At `--config.data.path`. Clips are a frame of each of eight parts of the video. `mpvn eval RUN
--views` is the accurate test, 2 clips of 3 crops; the efficient one is `--config.views.clips=1
--config.views.crops=1 --config.views.size=224` of it. Without shifts,
`--config.model.options.shift=False`, it is TSN, which cannot tell the order of frames. The paper
begins with torchvision's weights of ImageNet, `--config.model.weights=resnet50.pth`; without a file
they are random. The sizes of random crops are ours.
"""

from typing import Any

from ml_collections import ConfigDict

from mpvn.training import base_config


def get_config() -> ConfigDict:
    config = base_config()
    config.data.name = "something_something_v2"
    config.data.train = {"split": "train"}
    config.data.evaluation = {"split": "val"}
    config.clip.frames = 8
    config.clip.sampling = "segments"
    config.clip.short = "hold"
    config.clip.evaluated = 0
    config.views.clips = 2
    config.views.crops = 3
    config.views.size = 256
    config.augmentation.scale = (0.66, 1.0)
    config.augmentation.flip = False  # left and right are told apart
    config.task.name = "action"
    config.model.name = "tsm_resnet50"
    config.model.size = 224
    config.model.options = {"shift": True, "temporal_padding": "symmetric", "dropout": 0.5}
    config.optimizer.learning_rate = 0.01
    config.optimizer.weight_decay = 0.001  # 1e-4 of PyTorch, where a momentum of 0.9 adds it up
    config.optimizer.schedule = "steps"
    config.optimizer.boundaries = (52_800, 105_600)
    config.training.steps = 132_000  # 50 epochs of 168,913 videos
    config.training.batch_size = 64
    config.training.checkpoint_every = 500
    config.training.evaluate_every = 13_200
    return config


def get_grid() -> dict[str, tuple[Any, ...]]:
    return {"model.options.shift": (True, False), "clip.frames": (8, 16)}

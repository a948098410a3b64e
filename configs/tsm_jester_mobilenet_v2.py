"""Online TSM on MobileNetV2, of Jester's gestures (*Temporal Shift Module*, section 5).

At `--config.data.path`. Its shifts are uni-directional, so that it streams: `mpvn stream camera:0
--model RUN/network.keras`, and `mpvn eval RUN --early FILE.svg` draws how soon it knows. Offline it
is `--config.model.options.temporal_padding=symmetric`, and without shifts,
`--config.model.options.shift=False`, TSN. The schedule is the paper's for other sets than Kinetics;
the sizes of random crops are ours. It begins with torchvision's weights of ImageNet if it is given
them, `--config.model.weights=mobilenet_v2.pth`.
"""

from typing import Any

from ml_collections import ConfigDict

from mpvn.training import base_config


def get_config() -> ConfigDict:
    config = base_config()
    config.data.name = "jester"
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
    config.model.name = "tsm_mobilenet_v2"
    config.model.size = 224
    config.model.options = {"shift": True, "temporal_padding": "causal", "dropout": 0.5}
    config.optimizer.learning_rate = 0.01
    config.optimizer.weight_decay = 0.001  # 1e-4 of PyTorch, where a momentum of 0.9 adds it up
    config.optimizer.schedule = "steps"
    config.optimizer.boundaries = (37_000, 74_000)
    config.training.steps = 92_500  # 50 epochs of 118,562 videos
    config.training.batch_size = 64
    config.training.checkpoint_every = 500
    config.training.evaluate_every = 9_250
    return config


def get_grid() -> dict[str, tuple[Any, ...]]:
    return {
        "model.options.shift": (True, False),
        "model.options.temporal_padding": ("causal", "symmetric"),
    }

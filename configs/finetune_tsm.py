"""Actions in your own videos, with an online TSM on MobileNetV2.

    mpvn train --config configs/finetune_tsm.py --config.data.path=FOLDER

FOLDER has a folder of videos for each class, FOLDER/CLASS/VIDEO: four fifths of them are for
training. Or it has folders of splits, FOLDER/train/CLASS/VIDEO and FOLDER/val or FOLDER/test. The
run says what it found. `--config.data.evaluation.split=train` evaluates on the training videos. CSV
files and several labels per video: docs/data.md.

Without more, weights are random. Start from trained ones where you can: from a run,
`--config.model.initial=RUN`; or from a file of the authors, of mmaction2 or of torchvision,
`--config.model.weights=FILE`, with the network of the file, such as
`--config.model.name=tsm_resnet50`. The shifts are uni-directional, so the network streams:
`mpvn stream camera:0 --model runs/finetune_tsm`. For files that were trained with both directions,
`--config.model.options.temporal_padding=symmetric` keeps them, and does not stream.

At 4 frames per second a clip lasts two seconds. Videos are not mirrored, because classes may differ
in left and right; `--config.augmentation.flip=True` mirrors those whose names are clear. With fewer
videos of some classes, `--config.training.class_weights=balanced`.

Takes: minutes on two cores for tens of videos. Expect: depends on your videos; not measured here.
"""

from ml_collections import ConfigDict

from mpvn.training import base_config


def get_config() -> ConfigDict:
    config = base_config()
    config.task.name = "action"
    config.data.name = "folder"
    config.data.train = {"split": "train"}
    config.data.evaluation = {"split": "val"}
    config.clip.frames = 8
    config.clip.fps = 4.0
    config.clip.short = "hold"
    config.augmentation.scale = (0.8, 1.0)
    config.augmentation.flip = False
    config.augmentation.brightness = 0.2
    config.augmentation.contrast = 0.2
    config.model.name = "tsm_mobilenet_v2"
    config.model.size = 96
    config.model.options = {"temporal_padding": "causal", "dropout": 0.5}
    config.optimizer.name = "adam"
    config.optimizer.learning_rate = 0.001
    config.optimizer.policy = "tsm"
    config.optimizer.schedule = "cosine"
    config.optimizer.warm_up = 20
    config.training.batch_norm_momentum = 0.9
    return config

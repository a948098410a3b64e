"""Actions in your own videos, one folder per class, with a narrow Par-Inception.

    mpvn train --config configs/class_folders.py --config.data.path=FOLDER

Of FOLDER/CLASS/VIDEO, four fifths are for training and the rest for evaluation;
`--config.data.evaluation.split=train` evaluates on the training videos. Folders
FOLDER/train/CLASS and FOLDER/val/CLASS need `--config.data.train.fraction=None` and
`--config.data.evaluation.fraction=None`. CSV files and several labels per video: docs/data.md. At 8
frames per second a clip lasts two seconds. The network has no slow clocks: with them the classifier
would answer only twice per clip.

Takes: minutes on two cores for small sets. Expect: depends on your videos.
"""

from ml_collections import ConfigDict

from mpvn.training import base_config


def get_config() -> ConfigDict:
    config = base_config()
    config.task.name = "action"
    config.data.name = "folder"
    config.data.train = {"split": "train", "fraction": 0.8}
    config.data.evaluation = {"split": "val", "fraction": 0.8}
    config.clip.fps = 8.0
    config.clip.short = "hold"
    config.augmentation.scale = (0.8, 1.0)
    config.augmentation.flip = False
    config.model.name = "par_inception"
    config.model.options = {"width": 0.125, "clocks": False}
    config.optimizer.name = "adam"
    config.optimizer.learning_rate = 0.01
    config.optimizer.schedule = "cosine"
    config.training.batch_norm_momentum = 0.9
    return config

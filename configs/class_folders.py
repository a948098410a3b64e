"""Actions of your own videos, in a folder for each class, by a narrow Par-Inception.

    mpvn train --config configs/class_folders.py --config.data.path=FOLDER

Of FOLDER/CLASS/VIDEO four fifths are trained on and the others evaluated on;
`--config.data.evaluation.split=train` evaluates on those that were trained on. Folders
FOLDER/train/CLASS and FOLDER/val/CLASS need `--config.data.train.fraction=0` and
`--config.data.evaluation.fraction=0`. At 8 frames a second a clip
is two seconds long; without clocks, for with them the classifier would answer but twice in it.
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
    config.model.options = {
        "width": 0.125,
        "clocks": False,
        "temporal_filters": True,
        "dropout": 0.0,
    }
    config.optimizer.name = "adam"
    config.optimizer.learning_rate = 0.01
    config.optimizer.schedule = "cosine"
    config.training.batch_norm_momentum = 0.9
    return config

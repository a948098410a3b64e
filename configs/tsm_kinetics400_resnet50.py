"""TSM on ResNet-50, on Kinetics-400 (*Temporal Shift Module*, section 5).

The data set is at `--config.data.path`; `class_list` in `config.data.train` and
`config.data.evaluation` selects classes. A clip is eight frames of 64. `mpvn eval RUN --views` is
the accurate test, 10 clips of 3 crops. The efficient test, TSN, online networks and ImageNet
weights are as in tsm_something_v1_resnet50.py.

Takes: 100 epochs in batches of 64 clips, 8 frames of 224x224 each; the time has not been measured
here. Expect: 74.1 top-1, TSN 70.6, online 74.3 (paper).
"""

from ml_collections import ConfigDict

from mpvn.training import sibling

SOMETHING = sibling(__file__, "tsm_something_v1_resnet50")
get_grid = SOMETHING.get_grid


def get_config() -> ConfigDict:
    config = SOMETHING.get_config()
    config.data.name = "kinetics400"
    config.data.train = {"split": "train", "skip_missing": True}  # some videos are offline by now
    config.data.evaluation = {"split": "val", "skip_missing": True}
    config.clip.sampling = "dense"
    config.clip.window = 64
    config.clip.short = "loop"
    config.views.clips = 10
    config.augmentation.flip = True
    config.optimizer.boundaries = (40, 80)
    config.training.epochs = 100
    config.training.checkpoint_every = 1_000
    config.training.evaluate_every = 4
    return config

"""TSM on ResNet-50, on Kinetics-400 (*Temporal Shift Module*, section 5).

The data set is at `--config.data.path`; `class_list` in `config.data.train` and
`config.data.evaluation` selects classes. A clip is eight frames of 64. `mpvn eval RUN --views` is
the accurate test, 10 clips of 3 crops. The efficient test, TSN, online networks and ImageNet
weights are as in tsm_something_v1_resnet50.py.

`mpvn sweep --grid figure_2b` varies place and share of the shifted channels. Each direction moves
1 / divisor of them: divisors of 16, 8, 4 and 2 are shares of 1/8, 1/4, 1/2 and 1. In place and with
a divisor of 2 this is the naive shift of section 3.2, which loses 2.6 points against TSN, a share
of 0 (paper).

Takes: 100 epochs in batches of 64 clips, 8 frames of 224x224 each; the time has not been measured
here. Expect: 74.1 top-1, TSN 70.6, online 74.3 (paper).
"""

from typing import Any

from ml_collections import ConfigDict

from mpvn.training import sibling

SOMETHING = sibling(__file__, "tsm_something_v1_resnet50")
get_grid = SOMETHING.get_grid
get_grid_table_7 = SOMETHING.get_grid_table_7


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


def get_grid_figure_2b() -> dict[str, tuple[Any, ...]]:
    return {
        "model.options.placement": ("residual", "in_place"),
        "model.options.divisor": (16, 8, 4, 2),
    }

"""Online TSM on MobileNetV2, on Jester's gestures (*Temporal Shift Module*, section 5).

The data set is at `--config.data.path`. The shifts are uni-directional, so the network streams:
`mpvn predict camera:0 --model RUN/network.keras`; `mpvn eval RUN --early FILE.svg` draws how early
it is right. Offline: `--config.model.options.temporal_padding=symmetric`. Without shifts,
`--config.model.options.shift=False`, this is TSN. `mpvn sweep --grid figure_8` is as in
tsm_something_v1_resnet50.py. The schedule is the paper's for data sets other than Kinetics; the
size of random crops is our choice. Start from torchvision's ImageNet weights with
`--config.model.weights=imagenet`, which downloads them, or the path of their file.

Takes: 50 epochs in batches of 64 clips, 8 frames of 224x224 each; the time has not been measured
here. Expect: the paper's accuracies are of ResNet-50, and not stated here.
"""

from typing import Any

from ml_collections import ConfigDict

from mpvn.training import sibling

SOMETHING = sibling(__file__, "tsm_something_v1_resnet50")
get_grid_figure_8 = SOMETHING.get_grid_figure_8


def get_config() -> ConfigDict:
    config = SOMETHING.get_config()
    config.data.name = "jester"
    config.model.name = "tsm_mobilenet_v2"
    config.model.options.temporal_padding = "causal"
    return config


def get_grid() -> dict[str, tuple[Any, ...]]:
    return {
        "model.options.shift": (True, False),
        "model.options.temporal_padding": ("causal", "symmetric"),
    }

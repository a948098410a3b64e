"""VGG-16 for actions on HMDB51, by Skip-Sideways in 8 units of two layers (supplement).

From the third on, units read two frames at once, by shortcuts of offset 3; the input's 2x2 blocks
of pixels are moved into the channels. Other data sets: `--config.data.name=ucf101`, or
`--config.data.name=kinetics600 --config.data.evaluation.split=val`. Robustness:
`--config.clip.stride=2`, `4`, `8` trains at 15, 7 and 4 frames per second (whole videos are still
evaluated at their own rate); `--config.clip.frames=16 --config.clip.montage=2` joins two clips, and
`--config.clip.interleaved=True` alternates their frames. The papers give the network, Adam and the
cosine schedule; clips, batches and rates are our choice.

Takes: 30,000 updates on batches of 8 clips, 64 frames of 224x224 each; the time has not been
measured here. Expect: the paper's values are not stated here.
"""

from typing import Any

from ml_collections import ConfigDict

from mpvn.training import sibling


def get_config() -> ConfigDict:
    config = sibling(__file__, "sideways_hmdb51_vgg8").get_config()
    config.model.name = "vgg16"
    config.model.options = {"block": 2, "dropout": 0.0}
    config.model.shortcuts = (3,)
    return config


def get_grid() -> dict[str, tuple[Any, ...]]:
    return {
        "model.shortcuts": ((3,), ()),
        "clip.stride": (1, 2, 4, 8),
        "optimizer.learning_rate": (1e-4, 1e-5),
    }

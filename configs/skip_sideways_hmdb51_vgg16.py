"""VGG-16 for actions on HMDB51, by Skip-Sideways in 8 units of two layers (supplement).

From the third on, units read two frames at once, by shortcuts of offset 3; the input's 2x2 blocks
of pixels are moved into the channels. Without shortcuts, `--config.model.surgery.shortcuts=False`,
this is Sideways. UCF101: `--config.data.name=ucf101`. The papers give the network, Adam and the
cosine schedule; clips, batches and rates are our choice.

Grids of `mpvn sweep --grid`, Skip-Sideways against Sideways: `figure_3`, the supplement's learning
rates; `figure_4`, its frame rates, 30, 15, 7 and 4 per second, in training and evaluation;
`robustness`, their product; `figure_5`, clips of 16 frames, of which two or three are joined, one
after another or frame by frame.

Takes: 30,000 updates on batches of 8 clips, 64 frames of 224x224 each; the time has not been
measured here. Expect: the paper's values are not stated here.
"""

from typing import Any

from ml_collections import ConfigDict

from mpvn.training import sibling

METHODS = {"Skip-Sideways": {}, "Sideways": {"model.surgery.shortcuts": False}}
LEARNING_RATES = (1.0, 0.1, 0.01)
STRIDES = (1, 2, 4, 8)


def get_config() -> ConfigDict:
    config = sibling(__file__, "sideways_hmdb51_vgg8").get_config()
    config.model.name = "vgg16"
    config.model.options = {"block": 2, "dropout": 0.0}
    config.model.surgery = {"shortcuts": {"offsets": (3,)}}
    return config


def get_grid() -> dict[str, Any]:
    return {"method": METHODS, "optimizer.learning_rate": (1e-4, 1e-5)}


def get_grid_figure_3() -> dict[str, Any]:
    return {"method": METHODS, "optimizer.learning_rate": LEARNING_RATES}


def get_grid_figure_4() -> dict[str, Any]:
    return {"method": METHODS, "clip.stride": STRIDES}


def get_grid_robustness() -> dict[str, Any]:
    return {**get_grid_figure_4(), "optimizer.learning_rate": LEARNING_RATES}


def get_grid_figure_5() -> dict[str, Any]:
    """Return montages, which are evaluated as montages, too."""

    def joined(count: int, interleaved: bool = False) -> dict[str, Any]:
        return {
            "clip.frames": 16,
            "clip.montage": count,
            "clip.interleaved": interleaved,
            "clip.evaluated": None,
        }

    montages = {
        "1 clip": joined(1),
        "2 clips": joined(2),
        "3 clips": joined(3),
        "2 clips interleaved": joined(2, interleaved=True),
        "3 clips interleaved": joined(3, interleaved=True),
    }
    return {"method": METHODS, "montage": montages}

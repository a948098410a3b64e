"""VGG-8 for actions on HMDB51, by Sideways in 8 modules (*Sideways*, section 4).

UCF101: `--config.data.name=ucf101`. With dropout: `--config.model.options.dropout=0.9`.
Back-propagation: `--trainer bp` or `--trainer gpipe`. The paper gives the network, the label at
every step and one update per clip; clips, batches and the optimizer are our choice.

Takes: as sideways_hmdb51_simple_cnn.py. Expect: accuracy 25.8, back-propagation 24.6; on UCF101
53.8 and 49.1, with dropout 58.2 and 56.0 (paper, table 1).
"""

from typing import Any

from ml_collections import ConfigDict

from mpvn.training import sibling


def get_config() -> ConfigDict:
    config = sibling(__file__, "sideways_hmdb51_simple_cnn").get_config()
    config.model.name = "vgg8"
    config.model.options = {"dropout": 0.0}
    config.plan.subnetworks = 8
    return config


def get_grid() -> dict[str, tuple[Any, ...]]:
    return {"training.trainer": ("sideways", "bp"), "model.options.dropout": (0.0, 0.9)}

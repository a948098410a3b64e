"""TSM on ResNet-50, on HMDB51 (*Temporal Shift Module*, section 5).

All but the data set is as in tsm_ucf101_resnet50.py: start from a network trained on Kinetics.

Takes: less than half as long as UCF101, with fewer videos. Expect: the paper's accuracies are not
stated here.
"""

from ml_collections import ConfigDict

from mpvn.training import sibling

UCF101 = sibling(__file__, "tsm_ucf101_resnet50")
get_grid = UCF101.get_grid
get_grid_table_7 = UCF101.get_grid_table_7


def get_config() -> ConfigDict:
    config = UCF101.get_config()
    config.data.name = "hmdb51"
    return config

"""VGG-16 for actions on Kinetics-600, by Skip-Sideways in 8 units of two layers (supplement).

As skip_sideways_hmdb51_vgg16.py, with its grids. Videos that are missing are left out.

Takes: as skip_sideways_hmdb51_vgg16.py. Expect: the paper's values are not stated here.
"""

from ml_collections import ConfigDict

from mpvn.training import sibling

BASE = sibling(__file__, "skip_sideways_hmdb51_vgg16")
get_grid = BASE.get_grid
get_grid_figure_3 = BASE.get_grid_figure_3
get_grid_figure_4 = BASE.get_grid_figure_4
get_grid_robustness = BASE.get_grid_robustness
get_grid_figure_5 = BASE.get_grid_figure_5


def get_config() -> ConfigDict:
    config = BASE.get_config()
    config.data.name = "kinetics600"
    config.data.train = {"split": "train", "skip_missing": True}  # some videos are offline by now
    config.data.evaluation = {"split": "val", "skip_missing": True}
    return config

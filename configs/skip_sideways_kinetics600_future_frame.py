"""The frame 8 frames ahead, by Skip-Sideways (supplement), on Kinetics-600.

As skip_sideways_hmdb51_future_frame.py. Videos that are missing are left out.

Takes: as skip_sideways_hmdb51_future_frame.py. Expect: Skip-Sideways better than Sideways (paper);
its values are not stated here.
"""

from ml_collections import ConfigDict

from mpvn.training import sibling

BASE = sibling(__file__, "skip_sideways_hmdb51_future_frame")
get_grid = BASE.get_grid


def get_config() -> ConfigDict:
    config = BASE.get_config()
    config.data.name = "kinetics600"
    config.data.train = {"split": "train", "skip_missing": True}  # some videos are offline by now
    config.data.evaluation = {"split": "val", "skip_missing": True}
    return config

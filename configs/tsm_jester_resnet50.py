"""TSM on ResNet-50, on Jester's gestures (*Temporal Shift Module*, section 5).

All but the data set is as in tsm_something_v1_resnet50.py. The online network of the paper's demo
is tsm_jester_mobilenet_v2.py.

Takes: 50 epochs in batches of 64 clips, 8 frames of 224x224 each; the time has not been measured
here. Expect: tables 1 and 7 of the paper; its accuracies are not stated here.
"""

from ml_collections import ConfigDict

from mpvn.training import sibling

SOMETHING = sibling(__file__, "tsm_something_v1_resnet50")
get_grid = SOMETHING.get_grid


def get_config() -> ConfigDict:
    config = SOMETHING.get_config()
    config.data.name = "jester"
    return config

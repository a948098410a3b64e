"""The optical-flow stream of TSM on Something-Something V2 (*Temporal Shift Module*, section 5).

All but the data set is as in tsm_something_v1_resnet50_flow.py. Both streams together:
`mpvn eval runs/tsm_something_v2_resnet50 runs/tsm_something_v2_resnet50_flow --views`.

Takes: about twice as long as V1, with twice as many videos. Expect: table 4 of the paper; its
accuracies are not stated here.
"""

from ml_collections import ConfigDict

from mpvn.training import sibling

V1 = sibling(__file__, "tsm_something_v1_resnet50_flow")


def get_config() -> ConfigDict:
    config = V1.get_config()
    config.data.name = "something_something_v2"
    return config

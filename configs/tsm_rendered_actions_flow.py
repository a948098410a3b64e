"""The flow stream of a narrow TSM on MobileNetV2, of rendered figures: minutes on two cores.

The small twin of tsm_something_v1_resnet50_flow.py, and the other stream of
tsm_rendered_actions.py. Figures move by two pixels from frame to frame at most. Flow tells an
action from its reversal at each single frame, so that it may do without shifts,
`--config.model.options.shift=False`.
"""

import pathlib

from ml_collections import ConfigDict

from mpvn.training import load_config


def get_config() -> ConfigDict:
    config = load_config(pathlib.Path(__file__).with_name("tsm_rendered_actions.py"))
    config.data.flow.stack = 5
    config.data.flow.bound = 2.0
    return config

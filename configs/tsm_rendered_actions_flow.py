"""The optical-flow stream of a narrow TSM on MobileNetV2, on rendered figures.

The small version of tsm_something_v1_resnet50_flow.py, and the other stream of
tsm_rendered_actions.py. Figures move by two pixels per frame at most. Flow tells an action from its
reversal in every single frame, so the network may do without shifts,
`--config.model.options.shift=False`.

Takes: minutes on two cores. Expect: not measured with this config.
"""

from ml_collections import ConfigDict

from mpvn.training import sibling


def get_config() -> ConfigDict:
    config = sibling(__file__, "tsm_rendered_actions").get_config()
    config.data.flow.stack = 5
    config.data.flow.bound = 2.0
    return config

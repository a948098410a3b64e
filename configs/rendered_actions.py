"""Actions of rendered figures, told apart by their order alone, by a causal VGG: minutes."""

from ml_collections import ConfigDict

from mpvn.training import base_config


def get_config() -> ConfigDict:
    config = base_config()
    config.task.name = "action"
    config.data.train = {"count": 2000}
    config.data.evaluation = {"count": 100}
    config.model.name = "par_inception"
    config.model.options = {"width": 0.125, "clocks": True, "temporal_filters": True}
    return config

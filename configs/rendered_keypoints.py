"""Keypoints of rendered figures by a narrow Par-DenseNet: minutes on two cores."""

from ml_collections import ConfigDict

from mpvn.training import base_config


def get_config() -> ConfigDict:
    config = base_config()
    config.data.train = {"count": 2000, "size": (64, 64)}
    config.data.evaluation = {"count": 40, "size": (64, 64)}
    config.model.options = {"width": 0.125, "clocks": True, "feedback": False, "temporal_kernel": 1}
    return config

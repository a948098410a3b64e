"""Keypoints of fast figures: at six frames per second, a late answer is wrong."""

from ml_collections import ConfigDict

from mpvn.training import base_config


def get_config() -> ConfigDict:
    config = base_config()
    videos = {"fps": 6.25, "frames": 32}
    config.data.train = {"count": 2000, "seed": 0, **videos}
    config.data.evaluation = {"count": 100, "seed": 0, **videos}
    config.clip.evaluated = None
    config.model.options = {
        "width": 0.125,
        "clocks": False,
        "temporal_kernel": 1,
        "feedback": None,
    }
    config.optimizer.schedule = "cosine"
    config.training.batch_size = 4
    config.training.evaluate_every = 300
    config.training.checkpoint_every = 100
    return config

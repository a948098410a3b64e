"""Actions that only the order of frames tells apart, by a Par-DenseNet that has learned joints.

It begins with the weights of the keypoint task's sequential network of the same seed, and has
temporal filters of two frames, inflated from those of one.
"""

from ml_collections import ConfigDict

from mpvn.training import base_config


def get_config() -> ConfigDict:
    config = base_config()
    videos = {"fps": 12.5, "frames": 32, "seed": 0}
    config.data.train = {"count": 3000, **videos}
    config.data.evaluation = {"count": 200, **videos}
    config.data.in_memory = True
    config.clip.evaluated = 0
    config.task.name = "action"
    config.model.name = "par_densenet"
    config.model.options = {"width": 0.125, "clocks": False, "temporal_kernel": 2}
    config.optimizer.name = "adam"
    config.optimizer.learning_rate = 0.003
    config.optimizer.schedule = "cosine"
    config.training.steps = 400
    config.training.evaluate_every = 400
    config.training.checkpoint_every = 100
    config.training.batch_norm_momentum = 0.9
    return config

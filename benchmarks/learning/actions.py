"""Actions that differ only in the order of frames, with a Par-DenseNet trained on joints before.

Training starts with the weights of the sequential keypoint network of the same seed. The network
has temporal filters of two frames, inflated from filters of one frame.
"""

from ml_collections import ConfigDict

from mpvn.training import base_config


def get_config() -> ConfigDict:
    config = base_config()
    videos = {"fps": 12.5, "frames": 32, "seed": 0}
    config.data.train = {"count": 3000, **videos}
    config.data.evaluation = {"count": 200, **videos}
    config.data.in_memory = True
    config.clip.evaluated = None
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

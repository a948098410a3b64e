"""Actions of rendered figures with temporal shifts in Simple-CNN, by plain SGD.

What `large_batch.py` trains with larger and larger batches. A batch has 8 clips, as one GPU of
*Temporal Shift Module*, section 7.3: batch norm sees these alone, and an update accumulates
the gradients of as many batches as there would be GPUs. The rate is for an update of 8 clips.
"""

from ml_collections import ConfigDict

from mpvn.training import base_config


def get_config() -> ConfigDict:
    config = base_config()
    config.data.train = {"count": 400, "size": (32, 32)}
    config.data.evaluation = {"count": 200, "seed": 0, "size": (32, 32)}  # for every config.seed
    config.data.in_memory = True
    config.clip.frames = 8
    config.clip.sampling = "segments"
    config.clip.evaluated = None
    config.task.name = "action"
    config.model.name = "simple_cnn"
    config.model.size = 32
    config.model.options = {"norm": "batch", "width": 0.5}
    where = tuple(f"conv{number}.conv" for number in (2, 3, 4, 5))
    config.model.surgery = {"shift": {"placement": "in_place", "where": where}}
    config.optimizer.learning_rate = 0.02
    config.optimizer.base_batch = 8
    config.optimizer.schedule = "cosine"
    config.training.steps = 640
    config.training.batch_norm_momentum = 0.9
    config.training.checkpoint_every = 640
    config.training.evaluate_every = 128
    return config

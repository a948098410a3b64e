"""Actions of rendered figures with a narrow Par-Inception.

The small version of par_inception_action.py, with its grid (table 1 of the paper). The actions come
in pairs that are reversals of each other: only the order of the frames tells them apart.

Takes: minutes on two cores. Expect: not measured with this config; see benchmarks/learning.
"""

from ml_collections import ConfigDict

from mpvn.training import base_config, sibling

get_grid = sibling(__file__, "par_inception_action").get_grid


def get_config() -> ConfigDict:
    config = base_config()
    config.data.train = {"count": 2000}
    config.data.evaluation = {"count": 100, "seed": 0}  # the same videos for every config.seed
    config.task.name = "action"
    config.model.name = "par_inception"
    config.model.options = {"width": 0.125, "clocks": True, "temporal_filters": True}
    config.plan.phases = "chain"  # aligned, as in the paper, frames need more steps than clips have
    config.clip.frames = 32  # the slowest blocks tick every 16 frames
    config.training.batch_size = 4
    config.training.batch_norm_momentum = 0.9
    return config

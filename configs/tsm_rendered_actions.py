"""Actions of rendered figures with a narrow TSM on MobileNetV2.

The small version of tsm_something_v1_resnet50.py and tsm_jester_mobilenet_v2.py. The actions come
in pairs that are reversals of each other: only the order of the frames tells them apart. Online:
`--config.model.options.temporal_padding=causal`. Without shifts,
`--config.model.options.shift=False`, this is TSN, whatever the padding.

`mpvn sweep --grid figure_8` trains TSN, TRN and online TSM, whose early answers `mpvn eval RUN RUN
RUN --early FILE.svg` compares; see tsm_something_v1_resnet50.py. `--grid figure_2b` varies place
and share of the shifted channels; see tsm_kinetics400_resnet50.py.

Takes: minutes on two cores. Expect: clip accuracy 0.80, online 0.78, TSN 0.45 (three seeds,
benchmarks/order_of_frames); TRN and the shares of the shift were not measured here.
"""

from typing import Any

from ml_collections import ConfigDict

from mpvn.training import base_config, sibling


def get_config() -> ConfigDict:
    config = base_config()
    config.data.train = {"count": 2000}
    config.data.evaluation = {"count": 100, "seed": 0}  # the same videos for every config.seed
    config.clip.frames = 8
    config.clip.sampling = "segments"
    config.clip.evaluated = None
    config.views.clips = 2
    config.views.scale = 64
    config.task.name = "action"
    config.model.name = "tsm_mobilenet_v2"
    config.model.options = {"width": 0.25, "shift": True, "temporal_padding": "symmetric"}
    config.optimizer.name = "adam"
    config.optimizer.learning_rate = 0.003
    config.optimizer.schedule = "cosine"
    config.training.steps = 1200
    config.training.batch_norm_momentum = 0.9
    return config


def get_grid_figure_8() -> dict[str, Any]:
    grid = sibling(__file__, "tsm_something_v1_resnet50").get_grid_figure_8()
    return {**grid, "seed": (0, 1, 2)}


def get_grid_figure_2b() -> dict[str, tuple[Any, ...]]:
    return {
        "model.options.placement": ("residual", "in_place"),
        "model.options.divisor": (8, 4, 2),  # the narrowest maps have 8 channels
        "seed": (0, 1, 2),
    }


def get_grid() -> dict[str, tuple[Any, ...]]:
    return {
        "model.options.shift": (True, False),
        "model.options.temporal_padding": ("symmetric", "causal"),
        "seed": (0, 1, 2),
    }

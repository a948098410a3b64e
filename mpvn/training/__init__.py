"""Training and evaluation of video networks, from a config to a run folder."""

from mpvn.training.back_propagation import BackPropagationTrainer, GPipeTrainer
from mpvn.training.building import Experiment, build
from mpvn.training.config import base_config, load_config, override
from mpvn.training.distillation import Distillation
from mpvn.training.recognition import recognise_early, recognise_together, recognise_views
from mpvn.training.run_folder import RunFolder, as_json
from mpvn.training.sideways import SidewaysTrainer
from mpvn.training.training import Interrupted, evaluate, train

__all__ = [
    "BackPropagationTrainer",
    "Distillation",
    "Experiment",
    "GPipeTrainer",
    "Interrupted",
    "RunFolder",
    "SidewaysTrainer",
    "as_json",
    "base_config",
    "build",
    "evaluate",
    "load_config",
    "override",
    "recognise_early",
    "recognise_together",
    "recognise_views",
    "train",
]

"""Training and evaluation of video networks: from a config to a run folder."""

from mpvn.sideways.back_propagation import BackPropagationTrainer, GPipeTrainer
from mpvn.sideways.sideways_trainer import SidewaysTrainer
from mpvn.training.build import Experiment, build
from mpvn.training.config import base_config
from mpvn.training.distillation import Distillation
from mpvn.training.evaluation import evaluate
from mpvn.training.given import build_given, given_config
from mpvn.training.overrides import load_config, override, sibling
from mpvn.training.recognition import (
    evaluate_clips,
    evaluate_early,
    evaluate_ensemble,
    evaluate_views,
)
from mpvn.training.run import Interrupted, NonFiniteError, train
from mpvn.training.run_data import RunData
from mpvn.training.run_folder import RunFolder, as_json

__all__ = [
    "BackPropagationTrainer",
    "Distillation",
    "Experiment",
    "GPipeTrainer",
    "Interrupted",
    "NonFiniteError",
    "RunData",
    "RunFolder",
    "SidewaysTrainer",
    "as_json",
    "base_config",
    "build",
    "build_given",
    "evaluate",
    "evaluate_clips",
    "evaluate_early",
    "evaluate_ensemble",
    "evaluate_views",
    "given_config",
    "load_config",
    "override",
    "sibling",
    "train",
]

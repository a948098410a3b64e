"""From a config to everything it names: data, network, task, optimizer."""

from mpvn.training.build.assemble import build
from mpvn.training.build.experiment import Experiment

__all__ = ["Experiment", "build"]

"""A stand-in for `build` that builds and traces a network once for many runs of a config."""

import dataclasses
import pathlib
from typing import Any

from ml_collections import ConfigDict

from mpvn.training import Experiment, build
from mpvn.training.build.clips import build_pipeline
from mpvn.training.build.videos import build_data
from mpvn.training.checkpoint import read_checkpoint, save_checkpoint


class OneBuild:
    """Each call returns what a new process would build: the initial weights, and new pipelines.

    Args:
        folder: where to keep the initial state.
    """

    def __init__(self, folder: pathlib.Path) -> None:
        self._initial = folder / "initial.npz"
        self.experiment: Experiment | None = None

    def __call__(self, config: ConfigDict, **options: Any) -> Experiment:
        if self.experiment is None:
            self.experiment = first = build(config)
            save_checkpoint(self._initial, first.network, first.optimizers, {})
            return first
        first = self.experiment
        read_checkpoint(self._initial).restore(first.network, first.optimizers)
        train, held_out = build_data(config)
        return dataclasses.replace(
            first,
            training=build_pipeline(config, train, training=True),
            evaluation=build_pipeline(config, held_out, training=False),
        )

"""The folder of a run: what was asked, on what it ran, what came out.

config.json      every key
versions.json    packages and machine
metrics.jsonl    a line per evaluation and per report of the loss
skipped.json     videos that could not be read, if any
checkpoints/     last.npz, best.npz
network.keras    the trained network, for `mpvn stream` and `mpvn export`
report.html      curves, figures, examples
tensorboard/     the same for TensorBoard
"""

import json
import os
import pathlib
import platform
from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from ml_collections import ConfigDict

import mpvn
from mpvn.files import write_atomically
from mpvn.training.config import base_config


class RunFolder:
    """Paths and records of one run.

    Args:
        path: of the folder.
    """

    def __init__(self, path: str | os.PathLike) -> None:
        self.path = pathlib.Path(path)
        self.last = self.path / "checkpoints" / "last.npz"
        self.best = self.path / "checkpoints" / "best.npz"
        self.network = self.path / "network.keras"
        self._config = self.path / "config.json"
        self._skipped = self.path / "skipped.json"
        self._metrics = self.path / "metrics.jsonl"

    def begin(self, config: ConfigDict) -> None:
        """Makes the folder, or finds it as a run of the same config that can go on.

        Raises:
            ValueError: a run of another config is there.
        """
        self.last.parent.mkdir(parents=True, exist_ok=True)
        differing = self.differing(config)
        if differing:
            raise ValueError(
                f"{self.path} holds a run of another config: {', '.join(differing[:5])} "
                "differ. Give another --run, or delete the folder"
            )
        write_atomically(self._config, json.dumps(as_json(config), indent=1) + "\n")
        write_atomically(self.path / "versions.json", json.dumps(_versions(), indent=1) + "\n")

    def differing(self, config: ConfigDict) -> list[str]:
        """Keys in which the run that is there, if any, was asked to be another."""
        if not self._config.exists():
            return []
        before, asked = flat(as_json(self.config())), flat(as_json(config))
        return [key for key in {**asked, **before} if asked.get(key) != before.get(key)]

    @property
    def finished(self) -> bool:
        """Whether the run has come to its end."""
        return self.network.exists()

    def has_finished(self, config: ConfigDict) -> bool:
        """Whether just this has come to its end here."""
        return self.finished and not self.differing(config)

    def config(self) -> ConfigDict:
        """The config of the run; keys that are younger than it have their defaults.

        Raises:
            ValueError: there is no run.
        """
        if not self._config.exists():
            raise ValueError(f"{self.path} is no folder of a run: it has no config.json")
        return from_json(json.loads(self._config.read_text()))

    def write(self, **row: Any) -> None:
        """Adds a line to the metrics."""
        with self._metrics.open("a") as lines:
            lines.write(json.dumps(row) + "\n")

    def rows(self) -> Iterator[dict[str, Any]]:
        """The metrics; a line that a kill has cut is left out."""
        if not self._metrics.exists():
            return
        for line in self._metrics.read_text().splitlines():
            try:
                yield json.loads(line)
            except json.JSONDecodeError:
                continue

    @property
    def skipped(self) -> dict[str, str]:
        """Videos that could not be read in training or evaluation, and why."""
        return json.loads(self._skipped.read_text()) if self._skipped.exists() else {}

    def add_skipped(self, found: Mapping[str, str]) -> None:
        """Keeps in mind videos that could not be read."""
        if found:
            write_atomically(self._skipped, json.dumps({**self.skipped, **found}, indent=1) + "\n")

    def forget_after(self, step: int) -> None:
        """Drops metrics of later steps than a run goes on from."""
        kept = [json.dumps(row) for row in self.rows() if row["step"] <= step]
        write_atomically(self._metrics, "".join(line + "\n" for line in kept))


def as_json(config: ConfigDict) -> dict[str, Any]:
    """`config` as JSON holds it: tuples are lists."""
    return json.loads(config.to_json_best_effort())


def from_json(stored: dict[str, Any]) -> ConfigDict:
    """The config that `as_json` held; keys that are younger than it have their defaults."""
    config = base_config()
    config.update(_with_tuples(stored))
    return config


def _with_tuples(value: Any) -> Any:
    """`value` with the tuples that JSON has made lists."""
    if isinstance(value, dict):
        return {key: _with_tuples(inner) for key, inner in value.items()}
    return tuple(map(_with_tuples, value)) if isinstance(value, list) else value


def flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Leaves of `tree` by dotted names."""
    leaves: dict[str, Any] = {}
    for key, value in tree.items():
        name = f"{prefix}{key}"
        leaves |= flat(value, f"{name}.") if isinstance(value, Mapping) else {name: value}
    return leaves


def _versions() -> dict[str, str]:
    return {module.__name__: module.__version__ for module in (mpvn, tf, keras, np)} | {
        "python": platform.python_version(),
        "machine": platform.platform(),
        "cores": str(os.cpu_count()),
    }

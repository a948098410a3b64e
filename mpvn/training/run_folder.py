"""The folder of a run: its config, its environment, and its results.

config.json      every key
versions.json    packages and machine
metrics.jsonl    one line for each report of the training loss and each evaluation
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
        path: path of the folder.

    Attributes:
        path: as given.
        last: checkpoint of the last batch.
        best: checkpoint with the lowest evaluation loss.
        network: the trained network.
    """

    def __init__(self, path: str | os.PathLike) -> None:
        self.path = pathlib.Path(path)
        self.last = self.path / "checkpoints" / "last.npz"
        self.best = self.path / "checkpoints" / "best.npz"
        self.network = self.path / "network.keras"
        self._config = self.path / "config.json"
        self._skipped = self.path / "skipped.json"
        self._metrics = self.path / "metrics.jsonl"

    def start(self, config: ConfigDict) -> None:
        """Create the folder, or check that its run has the same config and can be resumed.

        Raises:
            ValueError: the folder holds a run with another config.
        """
        self.last.parent.mkdir(parents=True, exist_ok=True)
        differing = self.differing(config)
        if differing:
            raise ValueError(
                f"{self.path} holds a run with another config. Expected the same keys. Received: "
                f"other values of {', '.join(differing[:5])}. Choose another --run, or delete the "
                "folder"
            )
        write_atomically(self._config, json.dumps(as_json(config), indent=1) + "\n")
        write_atomically(self.path / "versions.json", json.dumps(_versions(), indent=1) + "\n")

    def differing(self, config: ConfigDict) -> list[str]:
        """Return the keys that differ from the run in this folder; empty if there is no run."""
        if not self._config.exists():
            return []
        stored, current = flat(as_json(self.config())), flat(as_json(config))
        return [key for key in {**current, **stored} if current.get(key) != stored.get(key)]

    @property
    def finished(self) -> bool:
        """Whether the run was trained to its end."""
        return self.network.exists()

    def has_finished(self, config: ConfigDict) -> bool:
        """Return whether a run with this config was trained to its end."""
        return self.finished and not self.differing(config)

    def config(self) -> ConfigDict:
        """Return the config of the run; keys that it does not store have their defaults.

        Raises:
            ValueError: there is no run.
        """
        if not self._config.exists():
            raise ValueError(f"{self.path} is not the folder of a run: it has no config.json")
        return from_json(json.loads(self._config.read_text()))

    def write(self, **row: Any) -> None:
        """Append a line to the metrics."""
        with self._metrics.open("a") as lines:
            lines.write(json.dumps(row) + "\n")

    def rows(self) -> Iterator[dict[str, Any]]:
        """Iterate over the metrics; a line that a kill has truncated is skipped."""
        if not self._metrics.exists():
            return
        for line in self._metrics.read_text().splitlines():
            try:
                yield json.loads(line)
            except json.JSONDecodeError:
                continue

    @property
    def skipped(self) -> dict[str, str]:
        """Why each video that could not be read was skipped, by name."""
        return json.loads(self._skipped.read_text()) if self._skipped.exists() else {}

    def add_skipped(self, skipped: Mapping[str, str]) -> None:
        """Record videos that could not be read."""
        if skipped:
            reasons = {**self.skipped, **skipped}
            write_atomically(self._skipped, json.dumps(reasons, indent=1) + "\n")

    def drop_rows_after(self, step: int) -> None:
        """Delete the metrics of later steps, before a run resumes from `step`."""
        rows = [json.dumps(row) for row in self.rows() if row["step"] <= step]
        write_atomically(self._metrics, "".join(row + "\n" for row in rows))


def as_json(config: ConfigDict) -> dict[str, Any]:
    """Return `config` as JSON stores it, with lists for tuples."""
    return json.loads(config.to_json_best_effort())


def from_json(stored: dict[str, Any]) -> ConfigDict:
    """Return the config that `as_json` stored; missing keys have their defaults."""
    config = base_config()
    config.update(_with_tuples(stored))
    return config


def _with_tuples(value: Any) -> Any:
    """Convert the lists of a JSON value to tuples."""
    if isinstance(value, dict):
        return {key: _with_tuples(inner) for key, inner in value.items()}
    return tuple(map(_with_tuples, value)) if isinstance(value, list) else value


def flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the leaves of `tree` by dotted name."""
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

"""The folder of a run: what was asked, on what it ran, what came out.

config.json      every key
versions.json    packages and machine
metrics.jsonl    a line per evaluation and per report of the loss
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
from mpvn.files import write_whole


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
        self._metrics = self.path / "metrics.jsonl"

    def begin(self, config: ConfigDict) -> None:
        """Makes the folder, or finds it as a run of the same config that can go on.

        Raises:
            ValueError: a run of another config is there.
        """
        self.last.parent.mkdir(parents=True, exist_ok=True)
        asked = json.loads(config.to_json_best_effort())
        stored = self.path / "config.json"
        if stored.exists():
            before = json.loads(stored.read_text())
            differing = [key for key in _flat(asked) if _flat(asked)[key] != _flat(before).get(key)]
            if differing:
                raise ValueError(
                    f"{self.path} holds a run of another config: {', '.join(differing[:5])} "
                    "differ. Give another --run, or delete the folder"
                )
        write_whole(stored, json.dumps(asked, indent=1) + "\n")
        write_whole(self.path / "versions.json", json.dumps(_versions(), indent=1) + "\n")

    def config(self) -> ConfigDict:
        """The config of the run.

        Raises:
            ValueError: there is no run.
        """
        stored = self.path / "config.json"
        if not stored.exists():
            raise ValueError(f"{self.path} is no folder of a run: it has no config.json")
        return ConfigDict(_with_tuples(json.loads(stored.read_text())))

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

    def forget_after(self, step: int) -> None:
        """Drops metrics of later steps than a run goes on from."""
        kept = [json.dumps(row) for row in self.rows() if row["step"] <= step]
        write_whole(self._metrics, "".join(line + "\n" for line in kept))


def _with_tuples(value: Any) -> Any:
    """`value` with the tuples that JSON has made lists."""
    if isinstance(value, dict):
        return {key: _with_tuples(inner) for key, inner in value.items()}
    return tuple(map(_with_tuples, value)) if isinstance(value, list) else value


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Leaves of `tree` by dotted names."""
    leaves: dict[str, Any] = {}
    for key, value in tree.items():
        name = f"{prefix}{key}"
        leaves |= _flat(value, f"{name}.") if isinstance(value, Mapping) else {name: value}
    return leaves


def _versions() -> dict[str, str]:
    return {module.__name__: module.__version__ for module in (mpvn, tf, keras, np)} | {
        "python": platform.python_version(),
        "machine": platform.platform(),
        "cores": str(os.cpu_count()),
    }

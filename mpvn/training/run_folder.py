"""The folder of a run: its config, its environment, and its results.

config.json      every key
data.json        names of classes or joints, frame rate, size, and which videos; see `RunData`
versions.json    packages and machine
metrics.jsonl    one line for each report of the training loss and each evaluation
skipped.json     videos that could not be read, or in part, if any
checkpoints/     last.npz, the one before it in previous.npz, and best.npz
lock             who trains there now; see `FolderLock`
model.keras      the file that `config.model.name` names, if it is one: it may be gone later
network.keras    the trained network, for `mpvn predict`, `stream` and `export`
evaluation/      of actions: confusions, accuracy by class, scores of each video, as CSV
report.html      curves, figures, examples
tensorboard/     the same for TensorBoard
"""

import copy
import json
import os
import pathlib
import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
from ml_collections import ConfigDict

from mpvn.data.clips.pipeline import ClipPipeline
from mpvn.files import AtomicPath, write_atomically, writing
from mpvn.machine import environment
from mpvn.network import VideoNetwork
from mpvn.training.checkpoint import CheckpointError, read_checkpoint
from mpvn.training.config import base_config
from mpvn.training.json_files import damaged, read_json
from mpvn.training.run_data import RunData


class RunFolder:
    """Paths and records of one run.

    Args:
        path: path of the folder.

    Attributes:
        path: as given.
        last: checkpoint of the last batch.
        previous: the checkpoint before it.
        best: checkpoint with the lowest evaluation loss.
        network: the trained network.
        evaluation: folder of the tables of the last report.
    """

    def __init__(self, path: str | os.PathLike) -> None:
        self.path = pathlib.Path(path)
        self.last = self.path / "checkpoints" / "last.npz"
        self.previous = self.path / "checkpoints" / "previous.npz"
        self.best = self.path / "checkpoints" / "best.npz"
        self.network = self.path / "network.keras"
        self._model = self.path / "model.keras"
        self.evaluation = self.path / "evaluation"
        self._config = self.path / "config.json"
        self._data = self.path / "data.json"
        self._versions = self.path / "versions.json"
        self._unread = self.path / "skipped.json"
        self._metrics = self.path / "metrics.jsonl"

    @staticmethod
    def of_model(path: str | os.PathLike) -> "RunFolder | None":
        """Return the run whose folder or trained network is at `path`, also through a link.

        Returns:
            None if it is another model.
        """
        real = pathlib.Path(os.path.realpath(path))
        folder = RunFolder(real if real.is_dir() else real.parent)
        if not folder._config.exists() or real not in (folder.path, folder.network):
            return None
        return folder

    def check(self, config: ConfigDict) -> None:
        """Check that the run in this folder, if any, has the same config.

        Raises:
            ValueError: it has another one.
        """
        differing = self.differing(config)
        if differing:
            raise ValueError(
                f"{self.path} holds a run with another config. Expected the same keys. Received: "
                f"other values of {', '.join(differing[:5])}. Choose another --run, or delete the "
                "folder"
            )

    def start(self, config: ConfigDict) -> None:
        """Create the folder, or check that its run has the same config and can be resumed.

        Raises:
            ValueError: the folder holds a run with another config.
        """
        self.check(config)
        self.last.parent.mkdir(parents=True, exist_ok=True)
        if not self._config.exists():
            self._keep_model(config.model.name)
        write_atomically(self._config, json.dumps(as_json(config), indent=1) + "\n")
        write_atomically(self._versions, json.dumps(environment(), indent=1) + "\n")

    def _keep_model(self, name: str) -> None:
        """Copy the model that a run starts from, if it is a file or the folder of a run."""
        source = pathlib.Path(network_file(name))
        self._model.unlink(missing_ok=True)  # of a run that could not start
        if source.exists():
            with writing(self._model), AtomicPath(self._model) as temporary:
                shutil.copyfile(source, temporary)

    def with_model(self, config: ConfigDict) -> ConfigDict:
        """Return `config` with the copy of its model in this folder, if there is one."""
        if not (self._config.exists() and self._model.exists()):
            return config
        copied = copy.deepcopy(config)
        copied.model.name = str(self._model)
        return copied

    def keep(self, data: RunData) -> None:
        """Write `data.json`, or check that the run in this folder began with the same data.

        Raises:
            ValueError: the run in this folder began with other classes, joints or videos.

        Warns:
            RuntimeWarning: the run in this folder has no `data.json`.
        """
        before = self.data
        if before is not None:
            before.check_videos(data, str(self.path))
            return
        if self._config.exists():
            self.warn_without_data()
        self.path.mkdir(parents=True, exist_ok=True)
        write_atomically(self._data, json.dumps(data.to_json(), indent=1) + "\n")

    @property
    def data(self) -> RunData | None:
        """The content of `data.json`; None if there is no such file.

        Raises:
            ValueError: the file is damaged, or of a later version.
        """
        if not self._data.exists():
            return None
        stored = read_json(self._data)
        try:
            return RunData.from_json(stored)
        except ValueError as fault:
            raise damaged(self._data, str(fault)) from fault

    def warn_without_data(self) -> None:
        """Warn that this run has no `data.json`."""
        warnings.warn(
            f"{self.path} has no {self._data.name}, so its classes, joints and videos cannot be "
            "compared with those of the config. They are taken from the config.",
            RuntimeWarning,
            stacklevel=3,
        )

    def restore(
        self, model: keras.Model, optimizers: Sequence[keras.optimizers.Optimizer]
    ) -> dict[str, Any]:
        """Restore the last checkpoint, or the one before it if that is missing or damaged.

        Returns:
            The other values in the checkpoint; empty if there is no checkpoint.

        Raises:
            ValueError: no checkpoint is whole, or it belongs to another network.

        Warns:
            RuntimeWarning: the last checkpoint is damaged. The one before takes its place.
        """
        fault: CheckpointError | None = None
        for path in (self.last, self.previous):
            if not path.exists():
                continue
            try:
                checkpoint = read_checkpoint(path)
            except CheckpointError as error:
                fault = fault or error
                continue
            checkpoint.restore(model, optimizers)
            if path != self.last:
                os.replace(path, self.last)
            if fault:
                warnings.warn(
                    f"The run continues from the checkpoint before the last. {fault}.",
                    RuntimeWarning,
                    stacklevel=2,
                )
            return checkpoint.about
        if fault:
            raise fault
        return {}

    def save_network(self, network: VideoNetwork) -> None:
        """Write the trained network, without devices: it runs on any machine."""
        anywhere = network.over(network.plan.with_devices(None))
        with writing(self.network), AtomicPath(self.network) as temporary:
            anywhere.save(temporary)

    def differing(self, config: ConfigDict) -> list[str]:
        """Return the keys that differ from the run in this folder; empty if there is no run."""
        if not self._config.exists():
            return []
        stored, current = flat(as_json(self._stored())), flat(as_json(config))
        return [key for key in {**current, **stored} if current.get(key) != stored.get(key)]

    @property
    def finished(self) -> bool:
        """Whether the run was trained to its end."""
        return self.network.exists()

    @property
    def trained_network(self) -> pathlib.Path:
        """The path of the trained network.

        Raises:
            ValueError: there is no run, or it was not trained to its end.
        """
        self.config()
        if not self.finished:
            raise ValueError(
                f"{self.path}: expected a run that was trained to its end. Received: one without "
                f"{self.network.name}. Go on with its training (mpvn train)"
            )
        return self.network

    @property
    def has_checkpoint(self) -> bool:
        """Whether there is a checkpoint to resume from, whole or damaged."""
        return self.last.exists() or self.previous.exists()

    def has_finished(self, config: ConfigDict) -> bool:
        """Return whether a run with this config was trained to its end."""
        return self.finished and not self.differing(config)

    def config(self) -> ConfigDict:
        """Return the config of the run; keys that it does not store have their defaults.

        A model that was a file is the copy in this folder.

        Raises:
            ValueError: there is no run.
        """
        return self.with_model(self._stored())

    def _stored(self) -> ConfigDict:
        """Return the config of the run as it was given."""
        if not self._config.exists():
            raise ValueError(f"{self.path} is not the folder of a run: {self._instead()}")
        try:
            return from_json(read_json(self._config))
        except (KeyError, AttributeError, TypeError) as fault:
            raise damaged(self._config, f"a config of another version ({fault})") from fault

    def _instead(self) -> str:
        """Return what is at the path instead of a run."""
        if self.path.is_dir():
            return "it has no config.json"
        if not self.path.exists():
            return "there is nothing at that path"
        run, remedy = RunFolder(self.path.parent), ""
        if run._config.exists():
            remedy = f". Give its folder, {run.path}"
        elif self.path.suffix == ".keras":
            remedy = f". To evaluate a network without a run: mpvn eval --model {self.path}"
        return f"it is a file{remedy}"

    @property
    def versions(self) -> dict[str, str]:
        """Packages and machine; empty if there is no `versions.json`."""
        return read_json(self._versions) if self._versions.exists() else {}

    def write(self, **row: Any) -> None:
        """Append a line to the metrics.

        Raises:
            WriteError: the file cannot be written.
        """
        with writing(self._metrics), self._metrics.open("a") as lines:
            lines.write(json.dumps(row) + "\n")

    def rows(self) -> Iterator[dict[str, Any]]:
        """Iterate over the metrics. Skip lines that were cut when the process was killed."""
        if not self._metrics.exists():
            return
        for line in self._metrics.read_text(errors="replace").splitlines():
            try:
                row = json.loads(line)
            except json.JSONDecodeError:
                continue
            if isinstance(row, dict) and {"step", "split"} <= row.keys():
                yield row

    @property
    def last_evaluation(self) -> dict[str, Any]:
        """The row of the last evaluation.

        Raises:
            ValueError: there is none.
        """
        *_, last = (None, *(row for row in self.rows() if row["split"] == "evaluation"))
        if last is None:
            raise ValueError(
                f"{self._metrics}: expected the row of an evaluation. Received: none. Evaluate the "
                f"run by `mpvn eval {self.path}`"
            )
        return last

    @property
    def skipped(self) -> dict[str, str]:
        """Videos without a readable clip: the reason, by name of the video."""
        return self._reasons()["skipped"]

    @property
    def damaged(self) -> dict[str, str]:
        """Videos with some unreadable clips: the reason, by name of the video."""
        return self._reasons()["damaged"]

    def add_unread(self, *pipelines: ClipPipeline) -> None:
        """Record the videos that could not be read, or only in part."""
        before = self._reasons()
        reasons = {kind: dict(each) for kind, each in before.items()}
        for pipeline in pipelines:
            for kind, found in (("skipped", pipeline.skipped), ("damaged", pipeline.damaged)):
                for name, reason in found.items():
                    # A resumed run finds several reasons in another order: keep the same one.
                    reasons[kind][name] = min(reason, reasons[kind].get(name, reason))
        if reasons != before:
            write_atomically(self._unread, json.dumps(reasons, indent=1, sort_keys=True) + "\n")

    def _reasons(self) -> dict[str, dict[str, str]]:
        stored = read_json(self._unread) if self._unread.exists() else {}
        return {kind: stored.get(kind, {}) for kind in ("skipped", "damaged")}

    def drop_rows_after(self, step: int) -> None:
        """Delete the metrics of later steps, before a run resumes from `step`."""
        rows = [json.dumps(row) for row in self.rows() if row["step"] <= step]
        write_atomically(self._metrics, "".join(row + "\n" for row in rows))


def network_file(model: str | os.PathLike) -> str:
    """Return the path of the trained network if `model` is the folder of a run; else `model`.

    Raises:
        ValueError: it is another folder, or the run was not trained to its end.
    """
    return str(RunFolder(model).trained_network if os.path.isdir(model) else model)


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
    """Return the leaves of `tree` by dotted name. An empty dict is a leaf."""
    leaves: dict[str, Any] = {}
    for key, value in tree.items():
        name = f"{prefix}{key}"
        inner = isinstance(value, Mapping) and value
        leaves |= flat(value, f"{name}.") if inner else {name: value}
    return leaves

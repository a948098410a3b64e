"""Hyper-parameter sweeps: a grid of runs, trained or evaluated, each in its own process.

TensorFlow keeps every graph it has traced, and dtype policy and determinism are global: hence the
processes. Stopped runs resume, and finished ones are not started again.
"""

import concurrent.futures
import dataclasses
import functools
import json
import os
import pathlib
import subprocess
import sys
import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import IO, Any

import keras
import tqdm
from ml_collections import ConfigDict

from mpvn.files import write_atomically
from mpvn.machine import usable_cores
from mpvn.network import VideoNetwork
from mpvn.plan.cost import cost_of_clip
from mpvn.streaming import stream_speeds
from mpvn.training.build import build
from mpvn.training.build.network import decides_subnetworks
from mpvn.training.build.pretrained import load_trained
from mpvn.training.grids import Grid, changed_keys, choices
from mpvn.training.json_files import read_json
from mpvn.training.overrides import load_config, override
from mpvn.training.run_folder import RunFolder, as_json, flat, from_json

RESULTS = "results.json"

SUBNETWORKS, SPEED = "plan.subnetworks", "frames/s"
"""Columns that every row has: speeds are relative to those of one subnetwork."""

SEED = "seed"
"""Column of the runs that are averaged."""

WEIGHTS = "weights"
"""Label of rewired networks: how their weights were trained."""


@dataclasses.dataclass(frozen=True)
class Cell:
    """One run of a sweep.

    Attributes:
        folder: folder of the run or of the evaluation.
        source: a config file to train; or the folder of a run, whose network is evaluated with
            another plan.
        overrides: `"--config.key=value"`.
        labels: what names the run in a report, by axis.
        cluster: the file of the cluster that trains it, if any.
    """

    folder: pathlib.Path
    source: pathlib.Path
    overrides: tuple[str, ...]
    labels: Mapping[str, Any] = dataclasses.field(default_factory=dict, compare=False)
    cluster: str | None = dataclasses.field(default=None, compare=False)

    @property
    def rewired(self) -> bool:
        """Whether a trained network is evaluated with another plan."""
        return self.source.is_dir()

    @property
    def done(self) -> bool:
        """Whether the folder holds the results of this config."""
        if self.rewired:
            results = self.folder / RESULTS
            if not results.exists():
                return False
            try:
                stored = from_json(read_json(results)["config"])
            except (ValueError, KeyError, AttributeError, TypeError):
                return False  # damaged, or of another version: evaluated again
            return as_json(stored) == as_json(self.config)
        return RunFolder(self.folder).has_finished(self.config)

    @functools.cached_property
    def config(self) -> ConfigDict:
        """The config of this run."""
        if self.rewired:
            return override(RunFolder(self.source).config(), self.overrides)
        return load_config(self.source, self.overrides)

    @property
    def result(self) -> dict[str, float]:
        """Loss and metrics of the last evaluation."""
        if self.rewired:
            return json.loads((self.folder / RESULTS).read_text())["metrics"]
        last = RunFolder(self.folder).last_evaluation
        return {key: value for key, value in last.items() if key not in ("step", "split")}

    @property
    def command(self) -> list[str]:
        """The command that runs this cell."""
        start = [sys.executable, "-m", "mpvn.cli"]
        if self.rewired:
            results = ["--json", str(self.folder / RESULTS)]
            return [*start, "eval", str(self.source), *results, *self.overrides]
        place = ["--config", str(self.source), "--run", str(self.folder)]
        cluster = ["--cluster", self.cluster] if self.cluster else []
        return [*start, "train", *place, *cluster, *self.overrides]


def grid_cells(
    folder: str | os.PathLike,
    source: str | os.PathLike,
    grid: Grid,
    overrides: Sequence[str] = (),
    labels: Mapping[str, Any] | None = None,
    cluster: str | None = None,
) -> list[Cell]:
    """Return one cell for each point of the grid, in a folder named after it.

    Args:
        folder: where the folders of the cells are.
        source: as of `Cell`.
        grid: what to vary.
        overrides: changes of all cells.
        labels: further labels of all cells.
        cluster: the file of the cluster that trains them, if any.

    Raises:
        ValueError: there is no such key, a value has the wrong type, the grid changes a key of
            `overrides`, or as in `choices`.
    """
    cells = []
    _check_overrides(grid, overrides)
    for choice in choices(grid):
        name = ",".join(f"{axis}={label}" for axis, label in choice.labels.items())
        changes = (f"--config.{key}={value}" for key, value in choice.changes.items())
        every = {**(labels or {}), **choice.labels}
        options = (*overrides, *changes)
        cell = Cell(pathlib.Path(folder, name), pathlib.Path(source), options, every, cluster)
        _ = cell.config  # checks keys and values before anything runs
        cells.append(cell)
    return cells


def _check_overrides(grid: Grid, overrides: Sequence[str]) -> None:
    given = {each.lstrip("-").removeprefix("config.").partition("=")[0] for each in overrides}
    twice = [key for key in changed_keys(grid) if key in given]
    if twice:
        raise ValueError(
            "A grid changes keys that are given for all of its runs. Expected one of both. "
            f"Received: {', '.join(f'--config.{key}' for key in twice)}"
        )


def rewired_cells(
    folder: str | os.PathLike,
    runs: Sequence[str | os.PathLike],
    grid: Grid,
    overrides: Sequence[str] = (),
) -> list[Cell]:
    """Return the cells that evaluate the networks of runs under other plans, without training.

    Their label `WEIGHTS` is that of figure 8 of *Massively Parallel Video Networks*: "Seq.
    weights" of a network that was trained with one subnetwork, else "Par. weights", with the number
    of subnetworks where it differs between the runs.

    Args:
        folder: where the folders of the cells are; with several runs, in folders of their names.
        runs: folders of runs.
        grid: what to vary, such as `{"plan.subnetworks": (1, 4)}`.
        overrides: changes of all cells.

    Raises:
        ValueError: two runs have the same name, there is no run, or it is not finished and only its
            network tells the number of subnetworks; or as in `grid_cells`.
    """
    names = [pathlib.Path(run).resolve().name for run in runs]
    if len(set(names)) < len(names):
        raise ValueError(
            f"Cannot rewire runs of the same name. Expected different ones. Received: {names}"
        )
    trained = [_trained_subnetworks(RunFolder(run)) for run in runs]
    several = len(set(trained) - {1}) > 1
    cells = []
    for run, name, number in zip(runs, names, trained, strict=True):
        parallel = f"Par. weights, {number} subnetworks" if several else "Par. weights"
        labels = {WEIGHTS: "Seq. weights" if number == 1 else parallel}
        place = pathlib.Path(folder, name) if len(runs) > 1 else folder
        cells += grid_cells(place, run, grid, overrides, labels)
    return cells


def _trained_subnetworks(run: RunFolder) -> int:
    plan = run.config().plan
    return load_trained(run).plan.subnetworks if decides_subnetworks(plan) else plan.subnetworks


def run_cells(cells: Iterable[Cell], jobs: int = 1) -> None:
    """Run the cells that are not done, `jobs` at a time, with a progress bar.

    Raises:
        ValueError: some runs failed; the others are done.
        KeyboardInterrupt: runs in progress have left checkpoints.
    """
    cells = list(cells)
    waiting = [cell for cell in cells if not cell.done]
    failed = []
    stop = threading.Event()
    with (
        concurrent.futures.ThreadPoolExecutor(jobs) as pool,
        tqdm.tqdm(total=len(cells), initial=len(cells) - len(waiting), unit="run") as bar,
    ):
        futures = {pool.submit(_run, cell, jobs, stop): cell for cell in waiting}
        try:
            for future in concurrent.futures.as_completed(futures):
                bar.update()
                if future.result():
                    failed.append(f"{futures[future].folder}: {future.result()}")
        except KeyboardInterrupt:
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    if failed:
        raise ValueError(f"{len(failed)} of {len(cells)} runs failed:\n  " + "\n  ".join(failed))


def _run(cell: Cell, jobs: int, stop: threading.Event) -> str:
    """Run a cell in its own process; return the last line of its log if it fails, else "".

    When `stop` is set, ask the process to leave a checkpoint and end.
    """
    cell.folder.mkdir(parents=True, exist_ok=True)
    threads = max(1, usable_cores() // jobs)
    names = ("TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS")
    limits = {name: str(threads) for name in names} if jobs > 1 else {}
    log = cell.folder / "log.txt"
    with log.open("a") as output:
        code = _call(cell.command, output, {**os.environ, **limits}, stop)
    lines = log.read_text(errors="replace").strip().splitlines() or [""]
    return lines[-1] or f"exit code {code}" if code else ""


def _call(
    command: Sequence[str], output: IO[str], environment: Mapping[str, str], stop: threading.Event
) -> int:
    """Run a command to its end, or terminate it when `stop` is set; return its exit code."""
    process = subprocess.Popen(command, stdout=output, stderr=output, env=environment)
    while process.poll() is None:
        if stop.wait(0.1):
            process.terminate()
            process.wait()
    return process.returncode


# --- results ------------------------------------------------------------------------------------


def collect(cells: Iterable[Cell], keys: Iterable[str]) -> list[dict[str, Any]]:
    """Return a row for each cell that is done: its values of `keys`, and its metrics.

    Options that its network does not have are None.

    Args:
        cells: the cells.
        keys: labels of the cells, or keys of their configs.

    Raises:
        ValueError: a label has the name of a metric.
    """
    keys, rows = list(keys), []
    for cell in cells:
        if not cell.done:
            continue
        values = {**cell.labels, **flat(cell.config.to_dict())}
        same = [key for key in keys if key in cell.result]
        if same:
            raise ValueError(
                f"A grid has an axis {same[0]!r}, which is also the name of a metric. Expected "
                "another name. Received that. Rename the axis, and in the names of the folders of "
                f"{cell.folder.parent}"
            )
        settings = {key: values.get(key) for key in keys}
        # A group of options stands for itself in figures and tables: as text.
        settings |= {k: str(v) for k, v in settings.items() if isinstance(v, Mapping)}
        rows.append({**settings, **cell.result})
    return rows


def histories(cells: Iterable[Cell]) -> list[list[dict[str, Any]]]:
    """Return the metrics of the training of each cell that is done; [] if none was trained."""
    return [list(RunFolder(cell.folder).rows()) for cell in cells if cell.done and not cell.rewired]


def add_speeds(rows: Sequence[dict[str, Any]], cells: Sequence[Cell], rounds: int = 5) -> None:
    """Add the speed of each network on this machine, and figures of its plan, to the rows.

    The new columns are `frames/s` (streaming, batch size 1, median over rounds in which the
    networks take turns; None for networks that look into the future, which cannot stream),
    `clock_speedup` and `parallel_bound` (from multiply-adds), `information_latency` (slowest path,
    in steps), `multiply_adds` (of a training clip), and `parameters`. `plan.subnetworks` becomes
    the number that the plan has, also where branches or an assignment decide it. Networks that are
    equal by their configs are measured once.
    """
    keys = [_network_key(cell.config) for cell in cells]
    networks: dict[str, VideoNetwork] = {}
    for key, cell in zip(keys, cells, strict=True):
        if key not in networks:
            networks[key] = _network(cell.config)
    streaming = {key: network for key, network in networks.items() if network.plan.causal}
    speeds = stream_speeds(list(streaming.values()), rounds)
    speed_of = dict(zip(streaming, speeds, strict=True))
    for row, key, cell in zip(rows, keys, cells, strict=True):
        plan = networks[key].plan
        row[SUBNETWORKS] = plan.subnetworks
        row[SPEED] = speed_of.get(key)
        row["clock_speedup"] = plan.clock_speedup
        row["parallel_bound"] = 1 / plan.balance_bound
        row["information_latency"] = plan.information_latency[1]
        row["multiply_adds"] = cost_of_clip(plan.step_costs, cell.config.clip.frames)
        row["parameters"] = plan.graph.model.count_params()


def _network_key(config: ConfigDict) -> str:
    """Return what decides a network; the data and the task decide its inputs and outputs."""
    stored = as_json(config)
    parts = [stored[name] for name in ("model", "plan", "data")]
    return json.dumps([*parts, stored["task"]["name"], stored["training"]["dtype_policy"]])


def _network(config: ConfigDict) -> VideoNetwork:
    """Return the network of a config, with the dtype policy that it is trained with."""
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(config.training.dtype_policy)
    try:
        return build(config, to_train=False).network
    finally:
        keras.config.set_dtype_policy(policy)


def write_results(
    folder: str | os.PathLike, axes: Sequence[str], rows: Sequence[Mapping[str, Any]]
) -> None:
    """Write the rows of a sweep as JSON, one per line, and the names of its axes."""
    lines = ",\n".join(json.dumps(row) for row in rows)
    text = f'{{"axes": {json.dumps(list(axes))}, "rows": [\n{lines}\n]}}\n'
    write_atomically(pathlib.Path(folder, RESULTS), text)


def read_results(folder: str | os.PathLike) -> list[dict[str, Any]]:
    """Return the rows of a finished sweep.

    Raises:
        ValueError: the folder has no results of a sweep, or they are damaged.
    """
    path = pathlib.Path(folder, RESULTS)
    if not path.is_file():
        received = "a file" if os.path.isfile(folder) else "nothing at that path"
        received = f"a folder without {RESULTS}" if os.path.isdir(folder) else received
        raise ValueError(
            f"{os.fspath(folder)}: expected the folder of a finished sweep. Received: {received}. "
            "Run mpvn sweep to its end"
        )
    try:
        rows = read_json(path)["rows"]
        is_whole = all({SUBNETWORKS, SPEED, "loss"} <= row.keys() for row in rows)
    except (ValueError, KeyError, TypeError, AttributeError):
        is_whole = False
    if not is_whole:
        raise ValueError(
            f"{path}: expected the results of a sweep. Received: a damaged file, another one, or "
            "one of another version. Run mpvn sweep again, which does not train finished runs again"
        )
    return rows

"""Measure what small networks learn by Sideways and by back-propagation, on rendered figures.

    python benchmarks/sideways_learning/run.py                  # everything; some hours on 2 cores
    python benchmarks/sideways_learning/run.py classification   # one section
    python benchmarks/sideways_learning/run.py --small          # minutes: shows that it runs

Each run is a process, two at a time, three seeds per setting; stopped runs resume. Results go to
results/SECTION.json, tables to README.md, figures beside it.
"""

import argparse
import functools
import itertools
import pathlib
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
from seeds import SEEDS, Measured, mean_and_range, measure, parse_arguments  # noqa: E402

from mpvn.files import write_atomically  # noqa: E402
from mpvn.report.plots import Point, lines_figure  # noqa: E402
from mpvn.training.hyperparameter_sweep import Cell  # noqa: E402

CONFIGS = HERE.parent.parent / "configs"
SMALL = {
    "training.steps": 2,
    "training.batch_size": 2,
    "data.train.count": 8,
    "data.evaluation.count": 2,
}
BP = {"training.trainer": "bp"}


class Setting(NamedTuple):
    """A setting that is compared with others.

    Attributes:
        name: Name of its row and its runs.
        changes: Changes to the config.
        seeds: Seeds of its runs.
    """

    name: str
    changes: Mapping[str, Any]
    seeds: Sequence[int] = SEEDS


def classification() -> Iterator[Setting]:
    """Yield Sideways and back-propagation with equal updates, and variations of both."""
    common = {"training.steps": 300, "training.evaluate_every": 300}
    for name, changes in {
        "Sideways, 8 modules": {},
        "back-propagation": BP,
        "back-propagation, clips of 18 frames": {**BP, "clip.frames": 18},
        "Sideways, 3 times the rate": {"optimizer.learning_rate": 0.003},
        "back-propagation, 3 times the rate": {**BP, "optimizer.learning_rate": 0.003},
        "Sideways, clips of 64 frames, batches of 4": {
            "clip.frames": 64,
            "training.batch_size": 4,
            "data.train.frames": 64,
        },
        "Sideways, 4 modules": {"plan.subnetworks": 4, "task.latency": 3},
        "Sideways, without batch norm": {"model.options.norm": None},
        "back-propagation, without batch norm": {**BP, "model.options.norm": None},
        "Sideways, dropout 0.5": {"model.options.dropout": 0.5},
        "back-propagation, dropout 0.5": {**BP, "model.options.dropout": 0.5},
    }.items():
        yield Setting(name, {**common, **changes})


def autoencoding() -> Iterator[Setting]:
    """Yield Sideways and back-propagation in real time, with controls that freeze the encoder."""
    frozen = {"model.frozen": tuple(f"conv{number}" for number in range(1, 6))}
    realtime = {**BP, "training.realtime": True}
    for rate in (0.001, 0.0003):
        common = {
            "training.steps": 60,
            "training.evaluate_every": 60,
            "training.evaluate_realtime": True,
            "optimizer.learning_rate": rate,
        }
        for name, changes in {
            "Sideways": {},
            "Sideways, random frozen encoder": frozen,
            "back-propagation in real time": realtime,
            "back-propagation in real time, random frozen encoder": {**realtime, **frozen},
            "back-propagation at every frame": BP,
        }.items():
            yield Setting(f"{name}, rate {rate}", {**common, **changes})


def future_frame() -> Iterator[Setting]:
    """Yield networks with and without shortcuts, which give access to motion."""
    common = {"training.steps": 100, "training.evaluate_every": 100}
    alone = {"model.surgery.shortcuts": False}
    for name, changes in {
        "Skip-Sideways": {},
        "Sideways": alone,
        "along time, with shortcuts": {"training.trainer": None, "task.latency": 7},
        "back-propagation, single frames": {**alone, **BP},
    }.items():
        yield Setting(name, {**common, **changes})


NETWORKS = {"Skip-Sideways": {"model.surgery.shortcuts.offsets": (3,)}, "Sideways": {}}
"""With shortcuts from the third unit on, and without."""

FRAME_RATES = (12.5, 6.25, 3.125)
LEARNING_RATES = (0.003, 0.001)


def robustness() -> Iterator[Setting]:
    """Yield frame rates by learning rates, and clips that are montages; with and without shortcuts.

    A run is trained and evaluated at the same frame rate. All updates are on 8 clips of 32 frames,
    or on 8 montages of 2 or 3 clips of 16 frames.
    """
    common = {"training.steps": 300, "training.evaluate_every": 300}
    for fps, rate in itertools.product(FRAME_RATES, LEARNING_RATES):
        changes = {
            **common,
            "data.train.fps": fps,
            "data.evaluation.fps": fps,
            "optimizer.learning_rate": rate,
        }
        for name, network in NETWORKS.items():
            yield Setting(f"{name}, {fps} fps, rate {rate}", {**changes, **network})
    for clips in (2, 3):
        changes = {
            **common,
            "clip.frames": 16,
            "clip.montage": clips,
            "training.batch_size": 8 * clips,  # clips before they are joined
        }
        for name, network in NETWORKS.items():
            yield Setting(f"{name}, montage of {clips}", {**changes, **network})


class Section(NamedTuple):
    """A section of the README.

    Attributes:
        config: File in configs/, without extension.
        settings: Yields the settings to compare.
        metric: Metric of the last evaluation to report.
    """

    config: str
    settings: Any
    metric: str


SECTIONS = {
    "classification": Section("sideways_rendered_actions", classification, "accuracy"),
    "autoencoding": Section("sideways_rendered_autoencoding", autoencoding, "mse"),
    "future_frame": Section("skip_sideways_rendered_future_frame", future_frame, "mse"),
    "robustness": Section("sideways_rendered_actions", robustness, "accuracy"),
}


def cell(section: str, setting: Setting, seed: int, options: argparse.Namespace) -> Cell:
    """Return the run of a setting and seed. All runs are evaluated on the same videos."""
    changes = {**setting.changes, "seed": seed, **(SMALL if options.small else {})}
    runs = options.runs or pathlib.Path("runs/sideways_learning")
    return Cell(
        runs / section / f"{setting.name},seed={seed}".replace(" ", "_"),
        CONFIGS / f"{SECTIONS[section].config}.py",
        tuple(f"--config.{key}={value}" for key, value in changes.items()),
    )


def row(metric: str, setting: Setting, cells: Sequence[Cell]) -> dict[str, Any]:
    """Return the row of a setting: means and range over its finished seeds."""
    digits = 4 if metric == "mse" else 3
    losses = [cell.result["loss"] for cell in cells]
    mean, value_range = mean_and_range([cell.result[metric] for cell in cells], digits)
    columns = {"run": setting.name, metric: mean, "range": value_range}
    late = f"{metric}_realtime"
    if all(late in cell.result for cell in cells):
        values = [cell.result[late] for cell in cells]
        mean, value_range = mean_and_range(values, digits)
        columns |= {f"{metric}, real time": mean, "its range": value_range}
    loss = f"{statistics.fmean(losses):.4f}"
    return {**columns, "loss": loss, "seeds": len(cells)}


def robustness_figure(done: Measured) -> str:
    """Plot accuracy against the frame rate, one line per network and learning rate."""
    lines: dict[str, list[Point]] = {}
    for setting, cells in done:
        network, *rest = setting.name.split(", ")
        if len(rest) == 2:
            values = [cell.result["accuracy"] for cell in cells]
            fps = cells[0].config.data.train.fps
            lines.setdefault(f"{network}, {rest[1]}", []).append(Point.of(fps, values))
    return lines_figure(lines, "frames per second", "accuracy", log_x=True)


def main() -> None:
    options = parse_arguments(__doc__, SECTIONS)
    for name in [options.section] if options.section else SECTIONS:
        section = SECTIONS[name]
        measured = [
            (setting, [cell(name, setting, seed, options) for seed in setting.seeds])
            for setting in section.settings()
        ]
        done = measure(HERE, name, measured, functools.partial(row, section.metric), options)
        if name == "robustness" and not options.small:
            write_atomically(HERE / "robustness.svg", robustness_figure(done))


if __name__ == "__main__":
    main()

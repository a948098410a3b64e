"""What networks learn by Sideways and by back-propagation: three seeds each, on rendered figures.

    python benchmarks/sideways_learning/run.py                  # everything; some hours on 2 cores
    python benchmarks/sideways_learning/run.py classification   # one section
    python benchmarks/sideways_learning/run.py --small          # minutes: shows that it runs

Each run is a process of its own and goes on where it was stopped; two run at a time. Results go to
results/SECTION.json, tables to README.md between the markers, figures beside it.
"""

import argparse
import functools
import pathlib
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
from seeds import SEEDS, Measured, arguments, measure, spread  # noqa: E402

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
    """What is compared.

    Attributes:
        name: of its row and its runs.
        changes: keys of the config.
        seeds: which it is run with.
    """

    name: str
    changes: Mapping[str, Any]
    seeds: Sequence[int] = SEEDS


def classification() -> Iterator[Setting]:
    """Equal updates, equal steps learned from, and what may close a gap."""
    common = {"training.steps": 300, "training.evaluate_every": 300}
    for name, changes in {
        "Sideways, 8 modules": {},
        "back-propagation": BP,
        "back-propagation, as many steps as module 1 learns from": {**BP, "clip.frames": 18},
        "Sideways, 3 times the rate": {"optimizer.learning_rate": 0.003},
        "back-propagation, 3 times the rate": {**BP, "optimizer.learning_rate": 0.003},
        "Sideways, clips of 64 frames, 4 a batch": {
            "clip.frames": 64,
            "training.batch_size": 4,
            "data.train.frames": 64,
        },
        "Sideways, 4 modules": {"plan.subnetworks": 4, "task.latency": 3},
        "Sideways, without batch norm": {"model.options.batch_norm": False},
        "back-propagation, without batch norm": {**BP, "model.options.batch_norm": False},
        "Sideways, dropout 0.5": {"model.options.dropout": 0.5},
        "back-propagation, dropout 0.5": {**BP, "model.options.dropout": 0.5},
    }.items():
        yield Setting(name, {**common, **changes})


def autoencoding() -> Iterator[Setting]:
    """Against time, with the control: how much of it the decoder does alone."""
    frozen = {"model.frozen": tuple(f"conv{number}" for number in range(1, 6))}
    realtime = {**BP, "training.realtime": True}
    for rate in (0.001, 0.0003):
        common = {
            "training.steps": 60,
            "training.evaluate_every": 60,
            "optimizer.learning_rate": rate,
        }
        for name, changes in {
            "Sideways": {},
            "Sideways, the encoder random and frozen": frozen,
            "back-propagation in real time": realtime,
            "back-propagation in real time, the encoder random and frozen": {**realtime, **frozen},
            "back-propagation at every frame": BP,
        }.items():
            yield Setting(f"{name}, rate {rate}", {**common, **changes})


def future_frame() -> Iterator[Setting]:
    """Whether shortcuts bring motion."""
    common = {"training.steps": 100, "training.evaluate_every": 100}
    alone = {"model.shortcuts": ()}
    for name, changes in {
        "Skip-Sideways": {},
        "Sideways": alone,
        "along time, with shortcuts": {"training.trainer": ""},
        "back-propagation, single frames": {**alone, **BP},
    }.items():
        yield Setting(name, {**common, **changes})


RATES = (12.5, 6.25, 3.125)
LEARNING_RATES = (0.001, 0.0003)


def robustness() -> Iterator[Setting]:
    """Frame rates by learning rates; one seed, for the pattern is asked for."""
    common = {"training.steps": 300, "training.evaluate_every": 300}
    for trainer in ("sideways", "bp"):
        for fps in RATES:
            for rate in LEARNING_RATES:
                changes = {
                    "training.trainer": trainer,
                    "data.train.fps": fps,
                    "data.evaluation.fps": fps,
                    "optimizer.learning_rate": rate,
                }
                yield Setting(f"{trainer}, {fps} fps, rate {rate}", {**common, **changes}, (0,))


class Section(NamedTuple):
    """A question, and how it is answered.

    Attributes:
        config: file of configs/.
        settings: what is compared.
        metric: of the last evaluation.
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


def cell(section: str, setting: Setting, seed: int, asked: argparse.Namespace) -> Cell:
    """The run of a setting and seed; all are evaluated on the same videos."""
    changes = {**setting.changes, "seed": seed, **(SMALL if asked.small else {})}
    runs = asked.runs or pathlib.Path("runs/sideways_learning")
    return Cell(
        runs / section / f"{setting.name},seed={seed}".replace(" ", "_"),
        CONFIGS / f"{SECTIONS[section].config}.py",
        tuple(f"--config.{key}={value}" for key, value in changes.items()),
    )


def row(metric: str, setting: Setting, cells: Sequence[Cell]) -> dict[str, Any]:
    """Mean and spread of the metric over the seeds that are done."""
    digits = 4 if metric == "mse" else 3
    losses = [one.result["loss"] for one in cells]
    said = spread([one.result[metric] for one in cells], digits)
    return {
        "run": setting.name,
        metric: said["mean"],
        "least to greatest": said["least to greatest"],
        "loss": f"{statistics.fmean(losses):.4f}",
        "seeds": len(cells),
    }


def robustness_figure(done: Measured) -> str:
    """Accuracy by frame rate, a line for each trainer and learning rate."""
    lines: dict[str, list[Point]] = {}
    for _, (one,) in done:
        config, value = one.config, one.result["accuracy"]
        name = f"{config.training.trainer}, rate {config.optimizer.learning_rate}"
        lines.setdefault(name, []).append(Point(config.data.train.fps, value, value, value))
    return lines_figure(lines, "frames per second", "accuracy", log_x=True)


def main() -> None:
    asked = arguments(__doc__, SECTIONS)
    for name in [asked.section] if asked.section else SECTIONS:
        section = SECTIONS[name]
        measured = [
            (s, [cell(name, s, seed, asked) for seed in s.seeds]) for s in section.settings()
        ]
        done = measure(
            HERE,
            name,
            measured,
            functools.partial(row, section.metric),
            asked,
        )
        if name == "robustness" and not asked.small:
            write_atomically(HERE / "robustness.svg", robustness_figure(done))


if __name__ == "__main__":
    main()

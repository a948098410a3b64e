"""Measure whether temporal shifts learn the order of frames: TSN, offline TSM and online TSM.

    python benchmarks/order_of_frames/run.py            # half an hour on 2 cores
    python benchmarks/order_of_frames/run.py --small    # a minute: shows that it runs

Each run is a process, two at a time, three seeds per network; stopped runs resume. Results go to
results/actions.json, the table to README.md, the figures beside it.
"""

import argparse
import pathlib
import sys
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
from seeds import SEEDS, Measured, mean_and_range, measure, parse_arguments  # noqa: E402

from mpvn.files import write_atomically  # noqa: E402
from mpvn.report.plots import Point, lines_figure  # noqa: E402
from mpvn.tasks import Recognition  # noqa: E402
from mpvn.training import RunFolder, build, evaluate_early, evaluate_views  # noqa: E402
from mpvn.training.hyperparameter_sweep import Cell  # noqa: E402

CONFIG = HERE.parent.parent / "configs" / "tsm_rendered_actions.py"
SECTION = "actions"
METRIC = "clip_top1"
EVALUATE_EVERY = 200
SMALL = {
    "training.steps": 2,
    "training.batch_size": 2,
    "data.train.count": 8,
    "data.evaluation.count": 4,
}

NETWORKS: dict[str, dict[str, Any]] = {
    "TSN (no shift)": {"model.options.shift": False, "model.options.temporal_padding": "causal"},
    "TSM, offline": {"model.options.temporal_padding": "symmetric"},
    "TSM, online": {"model.options.temporal_padding": "causal"},
}
"""Changes to the config, by name of the network."""


def cell(name: str, seed: int, options: argparse.Namespace) -> Cell:
    """Return the run of a network and seed. All runs are evaluated on the same videos."""
    changes = {"training.evaluate_every": EVALUATE_EVERY, **NETWORKS[name], "seed": seed}
    runs = options.runs or pathlib.Path("runs/order_of_frames")
    return Cell(
        runs / f"{name},seed={seed}".replace(" ", "_"),
        CONFIG,
        tuple(
            f"--config.{key}={value}"
            for key, value in {**changes, **(SMALL if options.small else {})}.items()
        ),
    )


def row(name: str, cells: Sequence[Cell]) -> dict[str, Any]:
    """Return accuracies of one clip and of two clips per video, and of the order of frames."""
    recognitions = [
        evaluate_views(build(cell.config, to_train=False), RunFolder(cell.folder).last)
        for cell in cells
    ]
    one_clip, one_clip_range = mean_and_range([cell.result[METRIC] for cell in cells])
    two_clips, _ = mean_and_range([recognition.top(1) for recognition in recognitions])
    order, order_range = mean_and_range([order_accuracy(each) for each in recognitions])
    return {
        "network": name,
        METRIC: one_clip,
        "range": one_clip_range,
        "two clips": two_clips,
        "order": order,
        "range of order": order_range,
        "seeds": len(cells),
    }


def order_accuracy(recognition: Recognition) -> float:
    """Return the share of videos whose class scores higher than its reversal.

    Classes 2k and 2k + 1 are reversals of each other. Without knowledge of the order of frames, the
    expected value is 0.5.
    """
    scores, labels = recognition.scores, recognition.labels
    videos = np.arange(len(labels))
    return float(np.mean(scores[videos, labels] > scores[videos, labels ^ 1]))


def training_figure(done: Measured) -> str:
    """Plot accuracy against the number of batches: mean and range over the seeds."""
    lines = {}
    for name, cells in done:
        by_step = defaultdict(list)
        for cell in cells:
            for record in RunFolder(cell.folder).rows():
                if record["split"] == "evaluation":
                    by_step[record["step"]].append(record[METRIC])
        lines[name] = [Point.of(step, values) for step, values in sorted(by_step.items())]
    return lines_figure(lines, "batches", "accuracy")


def early_figure(done: Measured) -> str:
    """Plot accuracy against the share of the frames seen, for networks with causal padding."""
    lines = {}
    for name, cells in done:
        if NETWORKS[name]["model.options.temporal_padding"] == "causal":
            curves = [
                evaluate_early(build(cell.config, to_train=False), RunFolder(cell.folder).last)
                for cell in cells
            ]
            lines[name] = [
                Point.of(percent, [curve[percent] for curve in curves]) for percent in curves[0]
            ]
    return lines_figure(lines, "share of the frames seen, %", "accuracy")


def main() -> None:
    options = parse_arguments(__doc__, [SECTION])
    seeds = SEEDS[:1] if options.small else SEEDS
    cells = [(name, [cell(name, seed, options) for seed in seeds]) for name in NETWORKS]
    done = measure(HERE, SECTION, cells, row, options)
    if not options.small:
        write_atomically(HERE / "training.svg", training_figure(done))
        write_atomically(HERE / "early.svg", early_figure(done))


if __name__ == "__main__":
    main()

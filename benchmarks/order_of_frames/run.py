"""What temporal shifts learn of the order of frames: TSN, offline and online TSM, three seeds each.

    python benchmarks/order_of_frames/run.py            # half an hour on 2 cores
    python benchmarks/order_of_frames/run.py --small    # a minute: shows that it runs

Each run is a process of its own and goes on where it was stopped; two run at a time. Results go to
results/actions.json, the table to README.md between the markers, figures beside it.
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
from seeds import SEEDS, Measured, arguments, measure, spread  # noqa: E402

from mpvn.files import write_atomically  # noqa: E402
from mpvn.report.plots import Point, lines_figure  # noqa: E402
from mpvn.tasks import Recognition  # noqa: E402
from mpvn.training import RunFolder, build, evaluate_early, recognize_views  # noqa: E402
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
"""What is compared: changes of the config by name."""


def cell(name: str, seed: int, asked: argparse.Namespace) -> Cell:
    """The run of a network and seed; all are evaluated on the same videos."""
    changes = {"training.evaluate_every": EVALUATE_EVERY, **NETWORKS[name], "seed": seed}
    runs = asked.runs or pathlib.Path("runs/order_of_frames")
    return Cell(
        runs / f"{name},seed={seed}".replace(" ", "_"),
        CONFIG,
        tuple(
            f"--config.{key}={value}"
            for key, value in {**changes, **(SMALL if asked.small else {})}.items()
        ),
    )


def row(name: str, cells: Sequence[Cell]) -> dict[str, Any]:
    """Accuracy of single clips and of two clips a video, and whether the order was told."""
    found = [
        recognize_views(build(one.config, to_train=False), RunFolder(one.folder).last)
        for one in cells
    ]
    one_clip = spread([one.result[METRIC] for one in cells])
    told = spread([order_accuracy(recognition) for recognition in found])
    return {
        "network": name,
        METRIC: one_clip["mean"],
        "least to greatest": one_clip["least to greatest"],
        "two clips": spread([recognition.top(1) for recognition in found])["mean"],
        "order": told["mean"],
        "order, least to greatest": told["least to greatest"],
        "seeds": len(cells),
    }


def order_accuracy(recognition: Recognition) -> float:
    """Share of videos whose class scores higher than its reversal, which is the class beside it.

    Who does not know the order of frames is right every second time.
    """
    scores, labels = recognition.scores, recognition.labels
    videos = np.arange(len(labels))
    return float(np.mean(scores[videos, labels] > scores[videos, labels ^ 1]))


def training_figure(done: Measured) -> str:
    """Accuracy by number of batches: the mean over the seeds, between least and greatest."""
    lines = {}
    for name, cells in done:
        by_step = defaultdict(list)
        for one in cells:
            for line in RunFolder(one.folder).rows():
                if line["split"] == "evaluation":
                    by_step[line["step"]].append(line[METRIC])
        lines[name] = [Point.of(step, values) for step, values in sorted(by_step.items())]
    return lines_figure(lines, "batches", "accuracy")


def early_figure(done: Measured) -> str:
    """Accuracy by the share of the frames seen, of networks that can be asked early."""
    lines = {}
    for name, cells in done:
        if NETWORKS[name]["model.options.temporal_padding"] == "causal":
            curves = [
                evaluate_early(build(one.config, to_train=False), RunFolder(one.folder).last)
                for one in cells
            ]
            lines[name] = [
                Point.of(percent, [curve[percent] for curve in curves]) for percent in curves[0]
            ]
    return lines_figure(lines, "share of the frames seen, %", "accuracy")


def main() -> None:
    asked = arguments(__doc__, [SECTION])
    seeds = SEEDS[:1] if asked.small else SEEDS
    cells = [(name, [cell(name, seed, asked) for seed in seeds]) for name in NETWORKS]
    done = measure(HERE, SECTION, cells, row, asked)
    if not asked.small:
        write_atomically(HERE / "training.svg", training_figure(done))
        write_atomically(HERE / "early.svg", early_figure(done))


if __name__ == "__main__":
    main()

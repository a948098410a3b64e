"""Measure how accuracy depends on the clips of an update, with and without a warm-up.

    python benchmarks/distributed/large_batch.py            # a quarter of an hour of one core
    python benchmarks/distributed/large_batch.py --small    # shows that it runs

*Temporal Shift Module*, section 7.3, at small scale: all runs see the same number of clips, so 32
times as many clips an update mean 32 times fewer updates. The rate follows the linear scaling rule.
Large batches are accumulated from batches of 8 clips, each normalized alone, as each GPU does.
Each run is a process, three seeds per setting; stopped runs resume. Results go to
results/large_batch.json, the table to README.md, the figures beside it.
"""

import argparse
import pathlib
import statistics
import sys
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
from seeds import SEEDS, Measured, mean_and_range, measure, parse_arguments  # noqa: E402

from mpvn.files import write_atomically  # noqa: E402
from mpvn.report.plots import Point, lines_figure  # noqa: E402
from mpvn.training import RunFolder  # noqa: E402
from mpvn.training.build.optimizer import clips_of_update, scaled_rate  # noqa: E402
from mpvn.training.hyperparameter_sweep import Cell  # noqa: E402

CONFIG = HERE / "large_batch_actions.py"
SECTION = "large_batch"
METRIC = "clip_top1"
BATCH = 8
"""Clips of a batch, whose statistics batch norm uses."""

FACTORS = (1, 8, 32)
"""Batches of an update."""

WARM_UP = 128
"""Batches of the warm-up, a fifth of the training."""

SMALL = {"training.steps": 32, "data.train.count": 8, "data.evaluation.count": 4}


class Setting(NamedTuple):
    """Batches of an update, and how the rate is chosen: runs that are averaged over seeds."""

    factor: int
    rule: str


RULES: dict[str, dict[str, Any]] = {
    "linear scaling, warm-up": {"optimizer.warm_up": WARM_UP},
    "linear scaling": {},
    "rate not scaled": {"optimizer.base_batch": None},
}
"""Changes to the config."""

SETTINGS = [
    Setting(factor, rule)
    for rule in RULES
    for factor in FACTORS
    if factor > 1 or rule != "rate not scaled"  # of one batch it is the same as scaled
]


def cell(setting: Setting, seed: int, options: argparse.Namespace) -> Cell:
    """Return the run of a setting and seed. All runs are evaluated on the same videos."""
    changes = {"training.accumulate": setting.factor, **RULES[setting.rule], "seed": seed}
    if options.small:
        changes |= SMALL
        changes["optimizer.warm_up"] = min(16, changes.get("optimizer.warm_up", 0))
    runs = options.runs or pathlib.Path("runs/large_batch")
    name = f"{setting.rule},{BATCH * setting.factor}_clips,seed={seed}"
    overrides = tuple(f"--config.{key}={value}" for key, value in changes.items())
    return Cell(runs / name.replace(", ", ",").replace(" ", "_"), CONFIG, overrides)


def row(setting: Setting, cells: Sequence[Cell]) -> dict[str, Any]:
    """Return the row of a setting: means over its seeds, and the range of the accuracy."""
    config = cells[0].config
    accuracy, spread = mean_and_range([each.result[METRIC] for each in cells])
    return {
        "clips an update": clips_of_update(config),
        "updates": config.training.steps // config.training.accumulate,
        "rate": setting.rule,
        "highest rate": f"{scaled_rate(config):g}",
        "loss": f"{statistics.fmean(c.result['cross_entropy'] for c in cells):.3f}",
        METRIC: accuracy,
        "range": spread,
        "seeds": len(cells),
    }


def accuracy_figure(done: Measured) -> str:
    """Plot accuracy against the clips of an update: *Temporal Shift Module*, figure 11."""
    lines = defaultdict(list)
    for setting, cells in done:
        values = [each.result[METRIC] for each in cells]
        lines[setting.rule].append(Point.of(BATCH * setting.factor, values))
    return lines_figure(lines, "clips an update", "accuracy", log_x=True)


def curves(done: Measured, split: str, value: str) -> str:
    """Plot a value of the runs with a warm-up against the clips seen: mean and range."""
    lines = {}
    for setting, cells in done:
        if setting.rule == "linear scaling, warm-up":
            by_step = defaultdict(list)
            for each in cells:
                for record in RunFolder(each.folder).rows():
                    if record["split"] == split and value in record:
                        by_step[record["step"]].append(record[value])
            lines[f"{BATCH * setting.factor} clips an update"] = [
                Point.of(BATCH * step, values) for step, values in sorted(by_step.items())
            ]
    return lines_figure(lines, "clips seen", value.replace("_", " "))


def main() -> None:
    options = parse_arguments(__doc__, [SECTION])
    seeds = SEEDS[:1] if options.small else SEEDS
    cells = [(setting, [cell(setting, seed, options) for seed in seeds]) for setting in SETTINGS]
    done = measure(HERE, SECTION, cells, row, options)
    if not options.small:
        write_atomically(HERE / "large_batch.svg", accuracy_figure(done))
        write_atomically(HERE / "large_batch_accuracy.svg", curves(done, "evaluation", METRIC))
        write_atomically(HERE / "large_batch_rates.svg", curves(done, "train", "learning_rate"))


if __name__ == "__main__":
    main()

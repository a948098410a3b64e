"""Measure what depth-parallelism costs in accuracy, and what regains it, with small networks.

    python benchmarks/learning/run.py              # everything; some hours on 2 cores
    python benchmarks/learning/run.py keypoints    # one task: keypoints, actions
    python benchmarks/learning/run.py --small      # minutes: shows that it runs, writes no table

Each run is a process, two at a time, three seeds per setting; stopped runs resume. Results go to
results/TASK.json, tables to README.md, figures beside it.
"""

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
from mpvn.training.hyperparameter_sweep import Cell, run_cells  # noqa: E402

METRICS = {"keypoints": "pck_10", "actions": "clip_top1"}
SMALL = {"training.steps": 2, "data.train.count": 8, "data.evaluation.count": 4}

DISTILLATIONS: dict[str, dict[str, Any]] = {
    "raw_1": {"distance": "mean", "weight": 1.0},
    "raw_0.01": {"distance": "mean", "weight": 0.01},
    "white_1": {"weight": 1.0},
    "white_0.1": {"weight": 0.1},
    "init": {},
    "init_white_0.1": {"weight": 0.1},
}
"""Keys of `config.distillation`, by name. Names with "init" start with the teacher's weights."""


class Setting(NamedTuple):
    """A setting that is compared with others, over all seeds.

    Attributes:
        group: Group of rows that it belongs to.
        name: Name of its runs.
        changes: Changes to the config.
        rewired: Whether to evaluate the sequential network with these changes, instead of training.
        distilled: Whether the sequential network of the same seed is the teacher.
        initial: Whether training starts with the weights of the sequential keypoint network.
    """

    group: str
    name: str
    changes: Mapping[str, Any]
    rewired: bool = False
    distilled: bool = False
    initial: bool = False


def _levels(latencies: Sequence[tuple[int, Sequence[int]]]) -> Iterator[Setting]:
    """Yield numbers of subnetworks by prediction latency; at latency 0 also rewired networks."""
    for latency, numbers in latencies:
        for number in numbers:
            changes = {"plan.subnetworks": number, "task.latency": latency}
            name = f"subnetworks={number},latency={latency}"
            yield Setting("trained", name, changes)
            if number > 1 and not latency:
                yield Setting("rewired", f"rewired,{name}", changes, rewired=True)


def keypoint_settings() -> Iterator[Setting]:
    yield from _levels([(0, (1, 2, 4, 8)), (2, (1, 2, 4, 8))])
    for latency, kinds in ((2, DISTILLATIONS), (0, ("white_0.1", "init"))):
        for kind in kinds:
            changes = {f"distillation.{key}": value for key, value in DISTILLATIONS[kind].items()}
            changes |= {"plan.subnetworks": 8, "task.latency": latency}
            name = f"teacher={kind},subnetworks=8,latency={latency}"
            initial = kind.startswith("init")
            yield Setting("teacher", name, changes, distilled=kind != "init", initial=initial)
    longer = {"plan.subnetworks": 8, "task.latency": 2, "training.steps": 600}
    yield Setting("teacher", "long,subnetworks=8,latency=2", longer)
    for number in (1, 8):
        plan = {"plan.subnetworks": number}
        name = f"temporal,subnetworks={number}"
        yield Setting("temporal filters", name, {**plan, "model.options.temporal_kernel": 2})
        yield Setting(
            "clocks", f"clocks,subnetworks={number}", {**plan, "model.options.clocks": True}
        )
    # Networks with feedback must be unrolled. For comparison, the same network without feedback.
    unrolled = {"plan.subnetworks": 8, "training.executor": "unroll"}
    yield Setting("feedback", "unrolled,subnetworks=8", unrolled)
    feedback = {"plan.subnetworks": 8, "model.options.feedback": "heatmaps"}
    yield Setting("feedback", "feedback,subnetworks=8", feedback)


def action_settings() -> Iterator[Setting]:
    for setting in _levels([(0, (1, 2, 4, 8)), (2, (1, 8))]):
        yield setting._replace(initial=not setting.rewired)
    for number in (1, 8):
        changes = {"plan.subnetworks": number, "model.options.temporal_kernel": 1}
        name = f"single frames,subnetworks={number}"
        yield Setting("temporal filters", name, changes, initial=True)


SETTINGS = {"keypoints": keypoint_settings, "actions": action_settings}


def cell(task: str, setting: Setting, seed: int, runs: pathlib.Path, small: bool) -> Cell:
    """Return the run of a setting and seed."""
    teacher = runs / task / f"subnetworks=1,latency=0,seed={seed}"
    changes = {**setting.changes, **(SMALL if small and not setting.rewired else {})}
    if not setting.rewired:
        changes["seed"] = seed
    if setting.distilled:
        changes["teacher"] = teacher
    if setting.initial:
        changes["model.initial"] = runs / "keypoints" / teacher.name
    return Cell(
        runs / task / f"{setting.name},seed={seed}",
        teacher if setting.rewired else HERE / f"{task}.py",
        tuple(f"--config.{key}={value}" for key, value in changes.items()),
    )


# --- results ------------------------------------------------------------------------------------


def row(task: str, setting: Setting, cells: Sequence[Cell], sequential: float) -> dict[str, Any]:
    """Return the row of a setting: means and range over its finished seeds."""
    losses, metrics = ([c.result[name] for c in cells] for name in ("cross_entropy", METRICS[task]))
    mean, value_range = mean_and_range(metrics)
    return {
        "group": setting.group,
        "run": setting.name.replace(",", ", "),
        "loss": f"{statistics.fmean(losses):.4f}",
        METRICS[task]: mean,
        "range": value_range,
        "vs. sequential": f"{statistics.fmean(metrics) - sequential:+.3f}",
        "seeds": len(cells),
    }


def figure(task: str, done: Measured) -> str:
    """Plot accuracy against the number of subnetworks, trained and rewired, by latency."""
    lines: dict[str, list[Point]] = {}
    for setting, cells in done:
        if setting.group in ("trained", "rewired"):
            values = [cell.result[METRICS[task]] for cell in cells]
            name = f"{setting.group}, latency {setting.changes['task.latency']}"
            point = Point.of(setting.changes["plan.subnetworks"], values)
            lines.setdefault(name, []).append(point)
    return lines_figure(lines, "parallel subnetworks", METRICS[task].replace("_", " "), log_x=True)


def main() -> None:
    options = parse_arguments(__doc__, SETTINGS)
    runs = options.runs or pathlib.Path("runs/learning")
    for task in [options.section] if options.section else SETTINGS:
        seeds = SEEDS[:1] if options.small else SEEDS
        measured = [
            (setting, [cell(task, setting, seed, runs, options.small) for seed in seeds])
            for setting in SETTINGS[task]()
        ]
        sequential_runs = measured[0][1]
        if not options.only_results:
            run_cells(sequential_runs, options.jobs)  # other runs rewire them or learn from them
        sequential = statistics.fmean(
            run.result[METRICS[task]] for run in sequential_runs if run.done
        )
        done = measure(
            HERE,
            task,
            measured,
            lambda setting, cells, t=task, s=sequential: row(t, setting, cells, s),
            options,
        )
        if not options.small:
            write_atomically(HERE / f"{task}.svg", figure(task, done))


if __name__ == "__main__":
    main()

"""What parallelism costs in accuracy, and what wins it back: small networks, three seeds each.

    python benchmarks/learning/run.py              # everything; some hours on 2 cores
    python benchmarks/learning/run.py keypoints    # one task: keypoints, actions
    python benchmarks/learning/run.py --small      # minutes: shows that it runs, writes nothing

Each run is a process of its own and goes on where it was stopped; two run at a time. Results go to
results/TASK.json, tables to README.md between the markers, figures beside it.
"""

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
from mpvn.training.hyperparameter_sweep import Cell, run_cells  # noqa: E402

METRICS = {"keypoints": "pck_10", "actions": "clip_top1"}
SMALL = {"training.steps": 2, "data.train.count": 8, "data.evaluation.count": 4}

TAUGHT: dict[str, dict[str, Any]] = {
    "raw_1": {"whiten": False, "weight": 1.0},
    "raw_0.01": {"whiten": False, "weight": 0.01},
    "white_1": {"weight": 1.0},
    "white_0.1": {"weight": 0.1},
    "init": {},
    "init_white_0.1": {"weight": 0.1},
}
"""Ways to learn from a teacher: `config.distillation`, or to begin with its weights."""


class Setting(NamedTuple):
    """What is compared, over all seeds.

    Attributes:
        group: the question it belongs to.
        name: of its runs.
        changes: keys of the config.
        rewired: whether the teacher is evaluated so, instead of a network trained.
        taught: whether it follows the sequential network of its seed.
        initial: whether it begins with the weights of that network.
    """

    group: str
    name: str
    changes: Mapping[str, Any]
    rewired: bool = False
    taught: bool = False
    initial: bool = False


def _levels(latencies: Sequence[tuple[int, Sequence[int]]]) -> Iterator[Setting]:
    """Numbers of subnetworks by prediction latency; those that answer at once also rewired."""
    for latency, numbers in latencies:
        for number in numbers:
            changes = {"plan.subnetworks": number, "task.latency": latency}
            name = f"subnetworks={number},latency={latency}"
            yield Setting("trained", name, changes)
            if number > 1 and not latency:
                yield Setting("rewired", f"rewired,{name}", changes, rewired=True)


def keypoint_settings() -> Iterator[Setting]:
    yield from _levels([(0, (1, 2, 4, 8)), (2, (1, 2, 4, 8))])
    for latency, ways in ((2, TAUGHT), (0, ("white_0.1", "init"))):
        for way in ways:
            changes = {f"distillation.{key}": value for key, value in TAUGHT[way].items()}
            changes |= {"plan.subnetworks": 8, "task.latency": latency}
            name = f"taught={way},subnetworks=8,latency={latency}"
            begins = way.startswith("init")
            yield Setting("taught", name, changes, taught=way != "init", initial=begins)
    longer = {"plan.subnetworks": 8, "task.latency": 2, "training.steps": 600}
    yield Setting("taught", "long,subnetworks=8,latency=2", longer)
    for number in (1, 8):
        plan = {"plan.subnetworks": number}
        name = f"temporal,subnetworks={number}"
        yield Setting("temporal filters", name, {**plan, "model.options.temporal_kernel": 2})
        yield Setting(
            "clocks", f"clocks,subnetworks={number}", {**plan, "model.options.clocks": True}
        )
    unrolled = {"plan.subnetworks": 8, "training.executor": "unroll"}  # as with feedback it must be
    yield Setting("feedback", "unrolled,subnetworks=8", unrolled)
    fed_back = {"plan.subnetworks": 8, "model.options.feedback": True}
    yield Setting("feedback", "feedback,subnetworks=8", fed_back)


def action_settings() -> Iterator[Setting]:
    for setting in _levels([(0, (1, 2, 4, 8)), (2, (1, 8))]):
        yield setting._replace(initial=not setting.rewired)
    for number in (1, 8):
        changes = {"plan.subnetworks": number, "model.options.temporal_kernel": 1}
        name = f"one frame at a time,subnetworks={number}"
        yield Setting("temporal filters", name, changes, initial=True)


SETTINGS = {"keypoints": keypoint_settings, "actions": action_settings}


def cell(task: str, setting: Setting, seed: int, runs: pathlib.Path, small: bool) -> Cell:
    """The run of a setting and seed."""
    teacher = runs / task / f"subnetworks=1,latency=0,seed={seed}"
    changes = {**setting.changes, **(SMALL if small and not setting.rewired else {})}
    if not setting.rewired:
        changes["seed"] = seed
    if setting.taught:
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
    """Means over the seeds that are done, and the least and greatest."""
    losses, metrics = ([c.result[name] for c in cells] for name in ("cross_entropy", METRICS[task]))
    said = spread(metrics)
    return {
        "question": setting.group,
        "run": setting.name.replace(",", ", "),
        "loss": f"{statistics.fmean(losses):.4f}",
        METRICS[task]: said["mean"],
        "least to greatest": said["least to greatest"],
        "against sequential": f"{statistics.fmean(metrics) - sequential:+.3f}",
        "seeds": len(cells),
    }


def figure(task: str, done: Measured) -> str:
    """Accuracy against the number of subnetworks: trained and rewired, by prediction latency."""
    lines: dict[str, list[Point]] = {}
    for setting, cells in done:
        if setting.group in ("trained", "rewired"):
            values = [cell.result[METRICS[task]] for cell in cells]
            name = f"{setting.group}, latency {setting.changes['task.latency']}"
            point = Point.of(setting.changes["plan.subnetworks"], values)
            lines.setdefault(name, []).append(point)
    return lines_figure(lines, "parallel subnetworks", METRICS[task].replace("_", " "), log_x=True)


def main() -> None:
    asked = arguments(__doc__, SETTINGS)
    runs = asked.runs or pathlib.Path("runs/learning")
    for task in [asked.section] if asked.section else SETTINGS:
        seeds = SEEDS[:1] if asked.small else SEEDS
        measured = [
            (setting, [cell(task, setting, seed, runs, asked.small) for seed in seeds])
            for setting in SETTINGS[task]()
        ]
        teachers = measured[0][1]
        if not asked.only_results:
            run_cells(teachers, asked.jobs)  # others are rewired, or taught, by these
        sequential = statistics.fmean(one.result[METRICS[task]] for one in teachers if one.done)
        done = measure(
            HERE,
            task,
            measured,
            lambda setting, cells, t=task, s=sequential: row(t, setting, cells, s),
            asked,
        )
        if not asked.small:
            write_atomically(HERE / f"{task}.svg", figure(task, done))


if __name__ == "__main__":
    main()

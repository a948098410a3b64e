"""What parallelism costs in accuracy, and what wins it back: small networks, three seeds each.

    python benchmarks/learning/run.py              # everything; some hours on 2 cores
    python benchmarks/learning/run.py keypoints    # one task: keypoints, actions
    python benchmarks/learning/run.py --small      # minutes: shows that it runs, writes nothing

Each run is a process of its own and goes on where it was stopped; two run at a time. Results go to
results/TASK.json, tables to README.md between the markers, figures beside it.
"""

import argparse
import json
import pathlib
import statistics
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from mpvn.files import write_whole
from mpvn.report.plots import Point, lines_figure
from mpvn.training.sweep import Cell, run_cells

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
from reporting import environment, insert_table, markdown  # noqa: E402

SEEDS = (0, 1, 2)
JOBS = 2
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


Done = Sequence[tuple[Setting, Sequence[Cell]]]
"""Each setting with the runs of it that are done; the sequential network first."""


def row(task: str, setting: Setting, cells: Sequence[Cell], sequential: float) -> dict[str, Any]:
    """Means over the seeds that are done, and the least and greatest."""
    losses, metrics = ([c.result[name] for c in cells] for name in ("cross_entropy", METRICS[task]))
    return {
        "question": setting.group,
        "run": setting.name.replace(",", ", "),
        "loss": f"{statistics.fmean(losses):.4f}",
        METRICS[task]: f"{statistics.fmean(metrics):.3f}",
        "least to greatest": f"{min(metrics):.3f} to {max(metrics):.3f}",
        "against sequential": f"{statistics.fmean(metrics) - sequential:+.3f}",
        "seeds": len(cells),
    }


def table(task: str, done: Done) -> list[dict[str, Any]]:
    """A row for each setting that has a run."""
    metric = METRICS[task]
    sequential = statistics.fmean(one.result[metric] for one in done[0][1])
    return [row(task, setting, cells, sequential) for setting, cells in done]


def figure(task: str, done: Done) -> str:
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
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("task", nargs="?", choices=sorted(SETTINGS))
    parser.add_argument("--small", action="store_true", help="two batches a run; writes nothing")
    parser.add_argument("--runs", type=pathlib.Path, default=pathlib.Path("runs/learning"))
    parser.add_argument("--only-results", action="store_true", help="of the runs that are done")
    arguments = parser.parse_args()
    for task in [arguments.task] if arguments.task else sorted(SETTINGS):
        started = time.time()
        seeds = SEEDS[:1] if arguments.small else SEEDS
        cells = [
            (
                setting,
                [cell(task, setting, seed, arguments.runs, arguments.small) for seed in seeds],
            )
            for setting in SETTINGS[task]()
        ]
        if not arguments.only_results:
            (_, teachers), *others = cells
            run_cells(teachers, JOBS)
            run_cells([one for _, alike in others for one in alike], JOBS)
        done = [(setting, [one for one in alike if one.done]) for setting, alike in cells]
        done = [(setting, alike) for setting, alike in done if alike]
        result = {"rows": table(task, done), "environment": environment(started)}
        print(markdown(result["rows"]))
        if not arguments.small:
            (HERE / "results").mkdir(exist_ok=True)
            write_whole(HERE / "results" / f"{task}.json", json.dumps(result, indent=1) + "\n")
            write_whole(HERE / f"{task}.svg", figure(task, done))
            insert_table(HERE / "README.md", task, result)


if __name__ == "__main__":
    main()

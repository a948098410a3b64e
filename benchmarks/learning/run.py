"""Measure what depth-parallelism costs in accuracy, and what regains it, with small networks.

    python benchmarks/learning/run.py              # everything; some hours on 2 cores
    python benchmarks/learning/run.py keypoints    # one task: keypoints, actions
    python benchmarks/learning/run.py --small      # minutes: shows that it runs, writes no table

Each run is a process, two at a time, three seeds per setting; stopped runs resume. Results go to
results/TASK.json, tables to README.md, figures beside it.
"""

import itertools
import pathlib
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
from seeds import SEEDS, Measured, mean_and_range, measure, parse_arguments  # noqa: E402

from mpvn.files import write_atomically  # noqa: E402
from mpvn.report.plots import Point, lines_figure  # noqa: E402
from mpvn.training.hyperparameter_sweep import Cell, run_cells  # noqa: E402

METRICS = {"keypoints": "pck_10", "actions": "clip_top1"}
SMALL = {"training.steps": 2, "data.train.count": 8, "data.evaluation.count": 4}

TEACHERS: dict[str, dict[str, Any]] = {
    "sum_0.01": {"distance": "sum", "weight": 0.01},
    "sum_0.001": {"distance": "sum", "weight": 0.001},
    "whitened_0.1": {"distance": "whitened", "weight": 0.1},
}
"""Keys of `config.distillation`, by name. The paper's form is "sum"."""

SEQUENTIAL = "subnetworks=1,latency=0"
PARALLEL = "subnetworks=8,latency=0"
"""Runs whose weights are rewired."""

CLOSER = ((1, 0), (4, 0), (4, 2), (8, 0), (8, 2))
"""Subnetworks and latencies that are also trained longer, and with clocks."""

CLOCKS = {"model.options.clocks": True, "plan.phases": "chain"}
"""Aligned, a frame needs 64 steps to reach all of 8 subnetworks, and clips have 16 frames."""

TEMPORAL = {"model.options.temporal_kernel": 2}
FEEDBACK = {"model.options.feedback": "heatmaps"}
GROUP = {"model.options.norm": "group"}
PRIMED = {"model.start": "primed"}
FRESH = {"plan.head": "head"}
EMPTY: Mapping[str, Any] = MappingProxyType({})


class Setting(NamedTuple):
    """A setting that is compared with others, over all seeds.

    Attributes:
        group: Group of rows that it belongs to.
        name: Name of its runs.
        changes: Changes to the config.
        rewired: Run of the same seed that is evaluated with these changes, instead of training.
        distilled: Whether the sequential network of the same seed is the teacher.
        initial: Whether training starts with the weights of the sequential keypoint network.
    """

    group: str
    name: str
    changes: Mapping[str, Any]
    rewired: str | None = None
    distilled: bool = False
    initial: bool = False


def _trained(
    group: str,
    subnetworks: int,
    latency: int = 0,
    label: str = "",
    changes: Mapping[str, Any] = EMPTY,
) -> Setting:
    """Return the setting of a network that is trained with `changes`, which `label` names."""
    name = f"subnetworks={subnetworks},latency={latency}"
    changes = {**changes, "plan.subnetworks": subnetworks, "task.latency": latency}
    return Setting(group, f"{label},{name}" if label else name, changes)


def _rewired(weights: str, source: str, numbers: Sequence[int]) -> Iterator[Setting]:
    """Yield the networks of `numbers` subnetworks with the weights of the run `source`."""
    for number in numbers:
        setting = _trained("rewired", number, 0, f"{weights} weights")
        yield setting._replace(rewired=source)


def keypoint_settings() -> Iterator[Setting]:
    for latency, number in itertools.product((0, 2), (1, 2, 4, 8)):
        yield _trained("trained", number, latency)
    yield from _rewired("sequential", SEQUENTIAL, (2, 4, 8))
    yield from _rewired("parallel", PARALLEL, (1, 2, 4))
    for number, latency in CLOSER:
        yield _trained("600 updates", number, latency, "long", {"training.steps": 600})
    for number, latency in CLOSER:
        yield _trained("clocks", number, latency, "clocks", CLOCKS)
    yield _trained("clocks", 8, 0, "clocks,aligned", {**CLOCKS, "plan.phases": "aligned"})
    yield _trained("clocks", 8, 0, "clocks,fresh head", {**CLOCKS, **FRESH})
    yield _trained("fresh head", 8, 0, "fresh head", FRESH)
    for number in (1, 8):
        yield _trained("temporal filters", number, 0, "temporal", TEMPORAL)
    for kind, options in TEACHERS.items():
        changes = {f"distillation.{key}": value for key, value in options.items()}
        yield _trained("teacher", 8, 2, kind, changes)._replace(distilled=True)
    yield _trained("teacher", 8, 2, "weights")._replace(initial=True)
    yield from _feedback_settings()


def _feedback_settings() -> Iterator[Setting]:
    """Yield ways to train feedback, each beside the same network without, and figure 6 (right)."""
    for label, changes in {
        "step by step": {"training.executor": "unroll"},
        "feedback": FEEDBACK,
        "primed,step by step": {**PRIMED, "training.executor": "unroll"},
        "primed,feedback": {**PRIMED, **FEEDBACK},
    }.items():
        yield _trained("feedback", 8, 0, label, changes)
    frozen = {"training.batch_norm": "frozen"}
    for label, changes in {"": {}, ",feedback": FEEDBACK}.items():
        setting = _trained("feedback", 8, 0, f"frozen{label}", {**frozen, **changes})
        yield setting._replace(initial=True)
    for label, changes in {
        "": {},
        ",clocks": CLOCKS,
        ",temporal": TEMPORAL,
        ",feedback": FEEDBACK,
    }.items():
        yield _trained("group norm", 8, 0, f"group norm{label}", {**GROUP, **changes})


def action_settings() -> Iterator[Setting]:
    for latency, numbers in ((0, (1, 2, 4, 8)), (2, (1, 8))):
        for number in numbers:
            yield _trained("trained", number, latency)._replace(initial=True)
    yield from _rewired("sequential", SEQUENTIAL, (2, 4, 8))
    for number in (1, 8):
        changes = {"model.options.temporal_kernel": 1}
        setting = _trained("temporal filters", number, 0, "single frames", changes)
        yield setting._replace(initial=True)


SETTINGS = {"keypoints": keypoint_settings, "actions": action_settings}


def cell(task: str, setting: Setting, seed: int, runs: pathlib.Path, small: bool) -> Cell:
    """Return the run of a setting and seed."""
    changes: dict[str, Any] = {**setting.changes}
    if setting.rewired:
        source = runs / task / f"{setting.rewired},seed={seed}"
    else:
        source = HERE / f"{task}.py"
        changes |= {**(SMALL if small else {}), "seed": seed}
    if setting.distilled:
        changes["teacher"] = runs / task / f"{SEQUENTIAL},seed={seed}"
    if setting.initial:
        changes["model.initial"] = runs / "keypoints" / f"{SEQUENTIAL},seed={seed}"
    return Cell(
        runs / task / f"{setting.name},seed={seed}".replace(" ", "_"),
        source,
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
    """Plot accuracy against the number of subnetworks, trained by latency, and rewired."""
    lines: dict[str, list[Point]] = {}
    for setting, cells in done:
        if setting.group in ("trained", "rewired"):
            values = [cell.result[METRICS[task]] for cell in cells]
            latency = f"latency {setting.changes['task.latency']}"
            name = setting.name.split(",")[0] if setting.rewired else f"trained, {latency}"
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
        sources = {setting.name: cells for setting, cells in measured}
        if not options.only_results:  # other runs rewire these, or learn from them
            run_cells([*sources[SEQUENTIAL], *sources[PARALLEL]], options.jobs)
        sequential = statistics.fmean(
            run.result[METRICS[task]] for run in sources[SEQUENTIAL] if run.done
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

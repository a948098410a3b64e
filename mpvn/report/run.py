"""The report of a run: what came out, how it got there, and what the network says of a video."""

import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from mpvn.report.architecture import architecture_figure
from mpvn.report.page import Figure, Sample, write_report
from mpvn.report.plots import curves_figure
from mpvn.report.summary import summary
from mpvn.report.timeline import timeline_figure
from mpvn.report.wording import count
from mpvn.training import Experiment, RunFolder, as_json, base_config
from mpvn.training.checkpoint import load_checkpoint
from mpvn.training.run import example
from mpvn.training.run_folder import flat

MOST_ROWS = 12
"""Of the table: the last evaluations, and the best."""

_Row = Mapping[str, Any]


def write_run_report(folder: RunFolder, experiment: Experiment) -> pathlib.Path:
    """Writes `report.html` into the folder of a run, finished or not.

    Args:
        folder: of the run.
        experiment: built from the run's config. Its network is left with the weights of the best
            checkpoint, if there is one.

    Returns:
        The path written.

    Raises:
        ValueError: no run, or its checkpoint is of another network.
    """
    config, rows = folder.config(), list(folder.rows())
    evaluations = [row for row in rows if row["split"] == "evaluation"]
    best, frames, words = None, [], "Loss and metrics by batch."
    if folder.best.exists():
        best = load_checkpoint(folder.best, experiment.network)["step"]
        frames = _frames(experiment)
        words += f" Below, a video for evaluation by the best weights. {experiment.task.legend}"
        if experiment.evaluation.videos.channels != 3:
            words += " Frames are optical flow: the color is the direction, and rest is black."
    folder.add_skipped(experiment.evaluation.skipped)
    lead = _result(evaluations, best, experiment)
    done = max((row["step"] for row in rows), default=0)
    if done < config.training.steps:
        lead += f" The run is not finished: {done:,} of {config.training.steps:,} batches."
    task = config.task.name.replace("_", " ")
    return write_report(
        folder.path / "report.html",
        f"{config.model.name}: {task}, {config.data.name.replace('_', ' ')}",
        lead,
        _table(evaluations, best),
        [*([Figure(curves_figure(rows), words)] if rows else []), *_plan_figures(experiment)],
        frames,
        _notes(folder, experiment),
    )


def _result(evaluations: Sequence[_Row], best: int | None, experiment: Experiment) -> str:
    """What came out, in sentences."""
    found = next((row for row in evaluations if row["step"] == best), None)
    shape = (
        f"{count(experiment.network.plan.subnetworks, 'subnetwork')}, prediction latency "
        f"{count(experiment.task.latency, 'step')}."
    )
    if found is None:
        return f"Not evaluated yet. {shape}"
    values = ", ".join(f"{name} {value:.3g}" for name, value in _metrics(found).items())
    return (
        f"On {experiment.evaluation.videos.name}, after {best:,} batches: {values}. That is the "
        f"least loss of {count(len(evaluations), 'evaluation')}. {shape}"
    )


def _table(evaluations: Sequence[_Row], best: int | None) -> list[dict[str, Any]]:
    last = evaluations[-MOST_ROWS:]
    return [
        {"batches": row["step"], **_metrics(row), "weights": "best" if row["step"] == best else ""}
        for row in evaluations
        if row in last or row["step"] == best
    ]


def _metrics(row: _Row) -> dict[str, float]:
    """Metrics of a row, the loss last, by names for reading."""
    names = sorted(row.keys() - {"step", "split"}, key=lambda name: (name == "loss", name))
    return {name.replace("_", " "): row[name] for name in names}


def _plan_figures(experiment: Experiment) -> list[Figure]:
    plan = experiment.network.plan
    return [
        Figure(architecture_figure(plan), "The network, its subnetworks and clocks."),
        Figure(
            timeline_figure(plan, min(24, max(12, 2 * plan.period))),
            "Which subnetwork works when: each box is work, labeled by the frame it is about.",
        ),
    ]


def _frames(experiment: Experiment) -> list[Sample]:
    """What the network says at some steps of a video for evaluation."""
    shown = example(experiment)
    if shown is None:
        return []
    pictures = experiment.task.pictures(*shown)
    return [Sample(picture, f"step {step}") for step, picture in pictures.items()]


def _notes(folder: RunFolder, experiment: Experiment) -> dict[str, str]:
    config, default = (flat(as_json(tree)) for tree in (folder.config(), base_config()))
    changes = [f"{key} = {value}" for key, value in config.items() if value != default.get(key)]
    versions = json.loads((folder.path / "versions.json").read_text())
    notes = {
        "config, where it is not the default": "\n".join(changes),
        "skipped videos": "\n".join(folder.skipped.values()),
        **{f"plan: {name}": value for name, value in summary(experiment.network.plan).items()},
        "versions": "\n".join(f"{name} {value}" for name, value in versions.items()),
    }
    return {name: text for name, text in notes.items() if text}

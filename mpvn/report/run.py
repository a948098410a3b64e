"""The report of a run: its metrics, its network, and the outputs for a video."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from mpvn.report.architecture import architecture_figure
from mpvn.report.page import Figure, Sample, write_report
from mpvn.report.plots import curves_figure
from mpvn.report.recognition import recognition_figures, write_tables
from mpvn.report.summary import summary
from mpvn.report.timeline import timeline_figure
from mpvn.report.wording import count
from mpvn.tasks.classes import ClassTask
from mpvn.training import Experiment, RunFolder, as_json, base_config, evaluate_clips
from mpvn.training.evaluation import example, load_weights
from mpvn.training.run_folder import flat

MAX_ROWS = 12
"""The table shows this many last evaluations, and the best."""

_Row = Mapping[str, Any]


def write_run_report(folder: RunFolder, experiment: Experiment) -> pathlib.Path:
    """Write `report.html` into the folder of a run, finished or not, and return its path.

    Args:
        folder: Folder of the run.
        experiment: Built from the run's config. Its network gets the weights of the best
            checkpoint, if there is one.

    Raises:
        ValueError: If there is no run, or its checkpoint belongs to another network.
    """
    config, rows = folder.config(), list(folder.rows())
    evaluations = [row for row in rows if row["split"] == "evaluation"]
    best, frames, recognized = None, [], []
    caption = "Loss and metrics by batch."
    if folder.best.exists():
        best = load_weights(experiment, folder.best)["step"]
        frames = _frames(experiment)
        recognized = _recognized(folder, experiment)
        caption += f" Below: an evaluation video with the best weights. {experiment.task.legend}"
        if experiment.evaluation.videos.channels != 3:
            caption += " Frames are optical flow: color shows direction, black is no motion."
    folder.add_unread(experiment.evaluation)
    lead = _lead(evaluations, best, experiment)
    done = max((row["step"] for row in rows), default=0)
    if done < experiment.length.steps:
        lead += f" The run is not finished: {done:,} of {experiment.length.steps:,} batches."
    task = config.task.name.replace("_", " ")
    return write_report(
        folder.path / "report.html",
        f"{config.model.name}: {task}, {config.data.name.replace('_', ' ')}",
        lead,
        _table(evaluations, best),
        [
            *([Figure(curves_figure(rows), caption)] if rows else []),
            *recognized,
            *_plan_figures(experiment),
        ],
        frames,
        _notes(folder, experiment),
    )


def _lead(evaluations: Sequence[_Row], best: int | None, experiment: Experiment) -> str:
    """Return the main result in sentences."""
    best_row = next((row for row in evaluations if row["step"] == best), None)
    settings = (
        f"{count(experiment.network.plan.subnetworks, 'subnetwork')}, prediction latency "
        f"{count(experiment.task.latency, 'step')}."
    )
    if best_row is None:
        return f"Not evaluated yet. {settings}"
    values = ", ".join(f"{name} {value:.3g}" for name, value in _metrics(best_row).items())
    return (
        f"{experiment.evaluation.videos.name} after {best:,} batches: {values}. This is the "
        f"lowest loss in {count(len(evaluations), 'evaluation')}. {settings}"
    )


def _table(evaluations: Sequence[_Row], best: int | None) -> list[dict[str, Any]]:
    last = evaluations[-MAX_ROWS:]
    return [
        {"batches": row["step"], **_metrics(row), "weights": "best" if row["step"] == best else ""}
        for row in evaluations
        if row in last or row["step"] == best
    ]


def _metrics(row: _Row) -> dict[str, float]:
    """Return the metrics of a row by readable names, with the loss last."""
    names = sorted(row.keys() - {"step", "split"}, key=lambda name: (name == "loss", name))
    return {name.replace("_", " "): row[name] for name in names}


def _recognized(folder: RunFolder, experiment: Experiment) -> list[Figure]:
    """Return what the network recognizes, if that is its task, and write the tables of it."""
    clip, videos = folder.config().clip, experiment.evaluation.videos
    is_joined = clip.montage > 1 and not clip.evaluated  # Joined clips have several labels.
    if not isinstance(experiment.task, ClassTask) or not videos.labeled or is_joined:
        return []
    scores = evaluate_clips(experiment)
    write_tables(folder.evaluation, videos, scores)
    return recognition_figures(experiment, scores)


def _plan_figures(experiment: Experiment) -> list[Figure]:
    plan = experiment.network.plan
    return [
        Figure(architecture_figure(plan), "The network, its subnetworks and clocks."),
        Figure(
            timeline_figure(plan, min(24, max(12, 2 * plan.period))),
            "When each subnetwork works, and on which frame.",
        ),
    ]


def _frames(experiment: Experiment) -> list[Sample]:
    """Return pictures of the outputs at some steps of an evaluation video."""
    video_and_outputs = example(experiment)
    if video_and_outputs is None:
        return []
    pictures = experiment.task.pictures(*video_and_outputs)
    return [Sample(picture, f"step {step}") for step, picture in pictures.items()]


def _notes(folder: RunFolder, experiment: Experiment) -> dict[str, str]:
    config, default = (flat(as_json(tree)) for tree in (folder.config(), base_config()))
    changes = [f"{key} = {value}" for key, value in config.items() if value != default.get(key)]
    notes = {
        "config, except defaults": "\n".join(changes),
        "skipped videos": "\n".join(folder.skipped.values()),
        "videos damaged in part": "\n".join(folder.damaged.values()),
        **{f"plan: {name}": value for name, value in summary(experiment.network.plan).items()},
        "versions": "\n".join(f"{name} {value}" for name, value in folder.versions.items()),
    }
    return {name: text for name, text in notes.items() if text}

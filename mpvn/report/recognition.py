"""What a network recognizes in the videos of its evaluation: by class, by pair and by video.

confusion.csv    videos by label (rows) and by predicted class (columns)
classes.csv      videos and accuracy of each class, and what it is most often taken for
scores.csv       the scores of all classes for each video
report.html      the same in pictures, and the videos that it is most wrong about
"""

import csv
import io
import os
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from mpvn.data.video_set import VideoSet
from mpvn.files import write_atomically
from mpvn.report.confusion import MOST_CLASSES, accuracy_bars, bars_figure, confusion_figure
from mpvn.report.page import Figure, Sample, write_report
from mpvn.report.wording import count, percent
from mpvn.tasks import Recognition, Scores
from mpvn.tasks.average_precision import average_precisions
from mpvn.training import Experiment
from mpvn.training.recognition import class_task

WORST = 8
"""Number of videos in the pictures."""


def write_recognition_report(
    folder: str | os.PathLike, experiment: Experiment, scores: Scores, title: str
) -> pathlib.Path:
    """Write the report and the tables into a folder, and return the path of the report.

    Args:
        folder: The folder; created if missing. Files of these names are replaced.
        experiment: The network, with the weights that the scores are of.
        scores: Scores of videos with labels.
        title: Heading of the page.

    Raises:
        ValueError: The videos have no labels.
    """
    path, videos = pathlib.Path(folder), experiment.evaluation.videos
    metrics = ", ".join(f"{x.replace('_', ' ')} {y:.3g}" for x, y in scores.metrics().items())
    write_tables(path, videos, scores)
    return write_report(
        path / "report.html",
        title,
        f"{videos.name}, {count(len(scores.numbers), 'video')}: {metrics}.",
        [],
        recognition_figures(experiment, scores),
        notes={"skipped videos": "\n".join(scores.skipped.values())} if scores.skipped else {},
    )


def recognition_figures(experiment: Experiment, scores: Scores) -> list[Figure]:
    """Return the figures of scores with labels, with pictures of the worst videos."""
    names = experiment.evaluation.videos.classes
    worst = worst_videos(experiment, scores)
    below = " Below: the videos whose labels have the lowest probabilities."
    values, videos = _by_class(scores)
    bars = accuracy_bars(names, values, videos)
    some = f", {len(bars)} of {len(names)} classes" if len(bars) < len(names) else ""
    if not isinstance(scores, Recognition):
        caption = f"Average precision by class, the lowest first{some}.{below}"
        return [Figure(bars_figure(bars, "Average precision by class"), caption, worst)]
    pairs = (
        "Videos by label (rows) and by predicted class (columns); colors are shares of a row."
        if len(names) <= MOST_CLASSES
        else f"The most frequent confusions of {len(names)} classes: label → predicted class."
    )
    accuracy = f"Accuracy by class, the lowest first{some}.{below}"
    return [
        Figure(confusion_figure(names, scores.confusion), pairs),
        Figure(bars_figure(bars, "Accuracy by class"), accuracy, worst),
    ]


def write_tables(folder: pathlib.Path, videos: VideoSet, scores: Scores) -> None:
    """Write the CSV files into a folder, which is created if missing."""
    folder.mkdir(parents=True, exist_ok=True)
    tables = {"classes": _classes_table(videos.classes, scores)}
    if isinstance(scores, Recognition):
        rows = zip(videos.classes, scores.confusion.tolist(), strict=True)
        lines = [["label", *videos.classes], *([name, *row] for name, row in rows)]
        tables["confusion"] = _csv(lines)
    tables["scores"] = scores_table(videos, scores)
    for name, text in tables.items():
        write_atomically(folder / f"{name}.csv", text)


def scores_table(videos: VideoSet, scores: Scores) -> str:
    """Return the scores of all classes as CSV, with a line for each video that could be read."""
    rows = zip(scores.numbers.tolist(), scores.scores, strict=True)
    lines = ([videos.videos[n].name, *(f"{score:.9g}" for score in row)] for n, row in rows)
    return _csv([["video", *videos.classes], *lines])


def worst_videos(experiment: Experiment, scores: Scores, most: int = WORST) -> list[Sample]:
    """Return pictures of the videos whose labels have the lowest probabilities, lowest first.

    Args:
        experiment: The network.
        scores: Scores of videos with labels.
        most: Most pictures.
    """
    task, pipeline = class_task(experiment), experiment.evaluation
    shares, labels = task.shares(scores.scores).numpy(), scores.known_labels
    if isinstance(scores, Recognition):
        fits = np.take_along_axis(shares, labels[:, None], axis=1)[:, 0]
    else:
        fits = np.where(labels > 0, shares, 1 - shares).min(axis=1)
    samples = []
    for row in np.argsort(fits, kind="stable")[:most]:
        number = int(scores.numbers[row])
        for clip in pipeline.dataset(number, 1):  # The only batch; of one clip, or its first.
            frames = clip["frames"][0]
            logits = task.logits(scores.scores[row]).numpy()
            picture = task.picture(frames[len(frames) // 2], logits, labels[row])
            name = "/".join(pathlib.PurePath(pipeline.videos.videos[number].name).parts[-2:])
            samples.append(Sample(picture, _caption(name, experiment, shares[row], labels[row])))
    return samples


def _caption(name: str, experiment: Experiment, shares: np.ndarray, labels: Any) -> str:
    names, best = experiment.evaluation.videos.classes, int(shares.argmax())
    if np.ndim(labels):
        true = ", ".join(names[n] for n in np.flatnonzero(labels)) or "no class"
        return f"{name}: {true}"
    taken = "" if best == labels else f", taken for {names[best]} ({percent(shares[best])} %)"
    return f"{name}: {names[labels]} ({percent(shares[labels])} %){taken}"


def _by_class(scores: Scores) -> tuple[np.ndarray, np.ndarray]:
    """Return the accuracy, or the average precision, and the number of videos of each class."""
    if isinstance(scores, Recognition):
        return scores.class_accuracy, scores.confusion.sum(axis=1)
    labels = scores.known_labels
    return average_precisions(scores.scores, labels), (labels > 0).sum(axis=0)


def _classes_table(names: Sequence[str], scores: Scores) -> str:
    values, videos = _by_class(scores)
    shown = ["" if not n else f"{value:.6g}" for value, n in zip(values, videos, strict=True)]
    if not isinstance(scores, Recognition):
        header = ["class", "videos", "average_precision"]
        return _csv([header, *zip(names, videos.tolist(), shown, strict=True)])
    errors = scores.confusion * (1 - np.eye(len(names), dtype=np.int64))
    taken = [names[row.argmax()] if row.any() else "" for row in errors]
    header = ["class", "videos", "accuracy", "most_taken_for", "times"]
    columns = (names, videos.tolist(), shown, taken, errors.max(axis=1).tolist())
    return _csv([header, *zip(*columns, strict=True)])


def _csv(rows: Iterable[Iterable[Any]]) -> str:
    file = io.StringIO(newline="")
    csv.writer(file, lineterminator="\n").writerows(rows)
    return file.getvalue()

"""Write the predictions of a network: as a table, or for the evaluation server of a data set."""

import argparse
import csv
import io
import sys
from typing import TYPE_CHECKING

from mpvn.cli.mistakes import Mistake
from mpvn.files import write_atomically

if TYPE_CHECKING:
    import numpy as np

    from mpvn.data import VideoSet
    from mpvn.tasks import Scores


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the paths of the files."""
    parser.add_argument(
        "--predictions",
        metavar="FILE",
        help="actions: also write the scores of all classes for each video as CSV",
    )
    parser.add_argument(
        "--submission",
        metavar="FILE",
        help="actions: also write the predictions for the evaluation server of the data set "
        "(Something-Something, Jester, Charades), with a line for each video; for test videos "
        "without labels, set --config.data.evaluation.split=test",
    )


def are_wanted(arguments: argparse.Namespace) -> bool:
    """Return whether a file is to be written."""
    return arguments.predictions is not None or arguments.submission is not None


def check_wanted(arguments: argparse.Namespace, data: str) -> None:
    """Raise an error if the files cannot be written for the data set `data`."""
    from mpvn.data.sets.submission import check_submission

    if are_wanted(arguments) and arguments.early is not None:
        raise Mistake("--predictions and --submission are of whole videos. Leave out --early.")
    if arguments.submission is not None:
        check_submission(data)


def known_metrics(scores: "Scores") -> dict[str, float]:
    """Return the metrics of scores; say so if the videos have no labels to compute any."""
    if scores.labels is not None:
        return scores.metrics()
    print("The videos have no labels, so there are no metrics.")
    return {}


def write_predictions(
    arguments: argparse.Namespace, data: str, videos: "VideoSet", scores: "Scores"
) -> None:
    """Write the files, and name the paths.

    Args:
        arguments: the parsed arguments.
        data: name of the data set in `SETS`.
        videos: its videos.
        scores: their scores.
    """
    if arguments.predictions is not None:
        write_atomically(arguments.predictions, _table(videos, scores))
        print(f"written to {arguments.predictions}")
    if arguments.submission is not None:
        write_submission(arguments.submission, data, videos, scores.numbers, scores.scores)


def write_submission(
    path: str, data: str, videos: "VideoSet", numbers: "np.ndarray", scores: "np.ndarray"
) -> None:
    """Write a submission file, and name its path and the videos without scores.

    Args:
        path: the file.
        data, videos, numbers, scores: as in `mpvn.data.sets.submission.submission`.
    """
    from mpvn.data.sets.submission import submission

    write_atomically(path, submission(data, videos, numbers, scores))
    print(f"written to {path}")
    if unread := len(videos.videos) - len(numbers):
        print(
            f"{path}: {unread} of {len(videos.videos)} videos could not be read. Their lines are "
            "guesses: the mean scores of the other videos.",
            file=sys.stderr,
        )


def _table(videos: "VideoSet", scores: "Scores") -> str:
    """Return the scores of all classes as CSV, with a line for each video that could be read."""
    file = io.StringIO(newline="")
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["video", *videos.classes])
    for number, row in zip(scores.numbers.tolist(), scores.scores, strict=True):
        writer.writerow([videos.videos[number].name, *(f"{score:.9g}" for score in row)])
    return file.getvalue()

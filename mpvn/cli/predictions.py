"""Write the predictions of a network: as a table, or for the evaluation server of a data set."""

import argparse
import os
import sys
from typing import TYPE_CHECKING

from mpvn.cli.mistakes import Mistake
from mpvn.files import write_atomically

if TYPE_CHECKING:
    import numpy as np

    from mpvn.data import VideoSet
    from mpvn.tasks import Scores
    from mpvn.training import Experiment


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the paths of the files."""
    parser.add_argument(
        "--predictions",
        metavar="FILE",
        help="actions: also write the scores of all classes for each video as CSV",
    )
    parser.add_argument(
        "--report",
        metavar="FOLDER",
        help="actions: also write a report with the confusion matrix, the accuracy of each class, "
        "and pictures of the worst videos, and its numbers as CSV",
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
    paths = (arguments.predictions, arguments.report, arguments.submission)
    return any(path is not None for path in paths)


def check_wanted(arguments: argparse.Namespace, data: str) -> None:
    """Raise an error if the files cannot be written for the data set `data`."""
    from mpvn.data.sets.submission import check_submission

    if are_wanted(arguments) and arguments.early is not None:
        raise Mistake(
            "--predictions, --report and --submission are of whole videos. Leave out --early."
        )
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
    from mpvn.report.recognition import scores_table

    if arguments.predictions is not None:
        write_atomically(arguments.predictions, scores_table(videos, scores))
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


def check_report(arguments: argparse.Namespace, experiment: "Experiment") -> None:
    """Raise ValueError if a report is asked for, but there are no classes or no labels."""
    if arguments.report is not None:
        from mpvn.training.build.task import check_labels
        from mpvn.training.recognition import class_task

        check_labels(class_task(experiment), experiment.evaluation.videos)


def write_report(arguments: argparse.Namespace, experiment: "Experiment", scores: "Scores") -> None:
    """Write the report, if asked for, and name its path.

    Args:
        arguments: the parsed arguments.
        experiment: the network; of several networks, one, which gives the videos.
        scores: the scores.
    """
    if arguments.report is not None:
        from mpvn.report.recognition import write_recognition_report

        title = " and ".join(os.path.basename(os.path.normpath(run)) for run in arguments.runs)
        path = write_recognition_report(arguments.report, experiment, scores, title)
        print(f"written to {path}")

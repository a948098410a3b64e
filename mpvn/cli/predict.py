"""`mpvn predict`: what a trained network says about videos, cameras and streams, with names."""

import argparse
import contextlib
import math
import os
import sys
from typing import TYPE_CHECKING

from mpvn.cli.lines import STDOUT, Rows
from mpvn.cli.mistakes import Mistake, as_mistakes
from mpvn.cli.model_and_plan import MODEL_HELP, add_model_and_plan_options, load_model
from mpvn.cli.parsers import Commands, add_command
from mpvn.cli.paths import ROWS, TABLE, VIDEOS, check_paths, declare_paths
from mpvn.cli.runtimes import add_buffer_option, add_runtime_options, start_stream
from mpvn.cli.sources import SOURCE_HELP, add_source_options

if TYPE_CHECKING:
    from mpvn.cli.found import Found
    from mpvn.cli.predicting import Outputs, Work
    from mpvn.prediction.models import Model

EXIT_FAILED = 1

EXAMPLES = """\
mpvn predict walk.mp4 --model runs/finetune_tsm
mpvn predict videos 'more/*.mkv' --model network.keras --output answers.csv
mpvn predict match.mp4 --model network.keras --over-time --window 1 --threshold 0.6
mpvn predict walk.mp4 --model served/1 --annotated seen.mp4
mpvn predict camera:0 --model network.keras --output answers.jsonl
mpvn predict test/*.webm --model runs/jester --submission jester.csv --submission-for jester"""


def add_parser(commands: Commands) -> None:
    """Add `mpvn predict`."""
    summary = (
        "say what a trained network sees in videos, cameras and streams, with names (for the speed "
        "of any model: mpvn stream)"
    )
    parser = add_command(commands, "predict", run, summary, EXAMPLES)
    parser.add_argument(
        "source",
        metavar="SOURCE",
        nargs="+",
        help="video files, folders that are searched for videos, globs, folders of images, "
        f"{SOURCE_HELP}",
    )
    parser.add_argument(
        "--model", required=True, help=f"{MODEL_HELP}; or a SavedModel that mpvn export wrote"
    )
    _add_answers(parser)
    _add_outputs(parser)
    add_source_options(parser)
    add_runtime_options(parser)
    add_buffer_option(parser, "compute files in larger pieces")
    add_model_and_plan_options(parser)
    declare_paths(
        parser,
        reads=["SOURCE", "--weights", "--assignment", "--plan", "--calibrate"],
        runs=["--model"],
        writes={
            "--output": ROWS,
            "--intervals": ROWS,
            "--annotated": VIDEOS,
            "--submission": TABLE,
        },
    )


def _add_answers(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("answers")
    group.add_argument(
        "--top", type=int, default=3, metavar="K", help="show the K likeliest names (default: 3)"
    )
    group.add_argument(
        "--threshold",
        type=float,
        metavar="P",
        help="no answer is less likely (default: 0; 0.5 for networks that give any number of "
        "labels)",
    )
    group.add_argument(
        "--over-time",
        action="store_true",
        help="when which answer holds, in place of one answer for each video (always, if the "
        "source is live)",
    )
    group.add_argument(
        "--window",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="over time: average answers over the last seconds (default: 0, each frame alone)",
    )


def _add_outputs(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("outputs")
    group.add_argument(
        "--output",
        metavar="FILE",
        help="write an answer for each video, or with --over-time for each frame: JSON lines "
        "(.jsonl), or CSV with the scores of all classes (.csv)",
    )
    group.add_argument(
        "--intervals",
        metavar="FILE",
        help="over time: write start, end, name and mean probability of each answer (.jsonl, .csv)",
    )
    group.add_argument(
        "--annotated",
        metavar="FILE|FOLDER",
        help="write the original videos with names or joints over them: a file (.mp4), or a folder "
        "for several",
    )
    group.add_argument(
        "--submission", metavar="FILE", help="write the answers for an evaluation server"
    )
    group.add_argument(
        "--submission-for", metavar="SET", help="the data set of the server, such as jester"
    )


def run(arguments: argparse.Namespace) -> int:
    """Predict, and print and write the answers."""
    _check(arguments)
    with as_mistakes():
        from mpvn.cli.found import find_sources

        sources = find_sources(arguments.source)
        annotated = _annotated(arguments, sources)
        _check_sources(arguments, sources, annotated)
        model = load_model(arguments)
        _check_model(arguments, model)
        if model.is_causal:
            start_stream(model)
        with contextlib.ExitStack() as stack:
            follows = arguments.over_time or any(_may_be_live(each.source) for each in sources)
            outputs = _outputs(arguments, model, annotated, follows, stack)
            work = _work(arguments, model, sources, outputs)
            work.run()
        if arguments.submission is not None and not work.interrupted:
            _write_submission(arguments, model, sources, work)
    for path in filter(None, (arguments.output, arguments.intervals, arguments.annotated)):
        if outputs.prints:
            print(f"written to {path}")
    for reason in work.failures:
        print(f"could not be read: {reason}", file=sys.stderr)
    if work.failures and len(sources) > 1:
        print(f"{len(work.failures)} of {len(sources)} sources failed", file=sys.stderr)
    if work.interrupted:
        raise KeyboardInterrupt("interrupted: what was written until now is complete")
    return EXIT_FAILED if work.failures else 0


def _check(arguments: argparse.Namespace) -> None:
    if arguments.top < 1:
        raise Mistake(f"--top: expected at least 1. Received: {arguments.top}.")
    if arguments.intervals is not None and not arguments.over_time:
        raise Mistake("--intervals: expected --over-time beside it. Received: none. Add it.")
    if (arguments.submission is None) != (arguments.submission_for is None):
        raise Mistake(
            "--submission FILE and --submission-for SET: expected both or neither. Received: one."
        )
    if arguments.submission_for is not None:
        from mpvn.data.sets.submission import check_submission

        with as_mistakes():
            check_submission(arguments.submission_for)


def _annotated(arguments: argparse.Namespace, sources: "list[Found]") -> dict[str, str]:
    """Return the path of the annotated video of each source; empty if none is wanted."""
    path = arguments.annotated
    if path is None:
        return {}
    if VIDEOS.at(path).suffixes:
        if len(sources) > 1:
            raise Mistake(
                f"--annotated {path}: expected a folder for {len(sources)} videos. Received: the "
                "path of one file. Give a path without an ending."
            )
        return {sources[0].source: path}
    return {each.source: os.path.join(path, f"{each.name}.mp4") for each in sources}


def _check_sources(
    arguments: argparse.Namespace, sources: "list[Found]", annotated: dict[str, str]
) -> None:
    """Check that no output replaces one of the videos that were found."""
    kind = VIDEOS
    if annotated and not VIDEOS.at(arguments.annotated).suffixes:
        inside = [os.path.relpath(path, arguments.annotated) for path in annotated.values()]
        kind = VIDEOS._replace(files=tuple(inside))
    arguments.writes = {**arguments.writes, "--annotated": kind}
    check_paths(arguments, {f"SOURCE {n + 1}": each.source for n, each in enumerate(sources)})


def _check_model(arguments: argparse.Namespace, model: "Model") -> None:
    """Check that the network has the answers that are wanted, and say what it does not know."""
    from mpvn.prediction.scoring import Numbers

    if isinstance(model.scoring, Numbers):
        named = "" if model.scoring.names[0] != "output 0" else " and have no names"
        print(
            f"{arguments.model} does not say what it predicts: its outputs are shown as numbers"
            f"{named}",
            file=sys.stderr,
        )
    wants_classes = {
        "--over-time": arguments.over_time,
        "--intervals": arguments.intervals,
        "--submission": arguments.submission,
    }
    if model.scoring is None:
        asked = [name for name, value in wants_classes.items() if value]
        if asked:
            raise Mistake(
                f"{asked[0]}: expected a network with scores of classes. Received: "
                f"{_kind(model)}. Leave it out."
            )
        if not _has_rows(model) and (arguments.output or not arguments.annotated):
            raise Mistake(
                f"{arguments.model}: expected outputs that are names, joints or numbers. Received: "
                f"{_kind(model)}, which can be drawn. Use --annotated alone."
            )


def _has_rows(model: "Model") -> bool:
    """Return whether the outputs of a network can be rows of a file."""
    from mpvn.tasks import Keypoints

    return model.scoring is not None or isinstance(model.task, Keypoints)


def _kind(model: "Model") -> str:
    if model.task is None:
        return "a network without metadata whose outputs are no vector"
    return f"one of the task {model.metadata.task if model.metadata else None}"


def _outputs(
    arguments: argparse.Namespace,
    model: "Model",
    annotated: dict[str, str],
    follows: bool,
    stack: contextlib.ExitStack,
) -> "Outputs":
    """Open the files that answers go to, where each is seen at once if a source is `follow`ed."""
    from mpvn.cli.predicting import Outputs

    path = arguments.output
    if path is None and model.scoring is None and not annotated:
        path = "-"  # There is no shorter form of joints.
    files = [
        None if each is None else stack.enter_context(Rows(each, in_place=follows))
        for each in (path, arguments.intervals)
    ]
    return Outputs(files[0], files[1], annotated, path not in STDOUT)


def _may_be_live(source: str) -> bool:
    return not os.path.isfile(source) and not os.path.isdir(source)


def _work(
    arguments: argparse.Namespace, model: "Model", sources: "list[Found]", outputs: "Outputs"
) -> "Work":
    from mpvn.cli.predicting import Work
    from mpvn.prediction import Predictor
    from mpvn.prediction.scoring import Numbers
    from mpvn.tasks import MultiLabelActions

    threshold = arguments.threshold
    if threshold is None:
        threshold = 0.5 if isinstance(model.task, MultiLabelActions) else 0.0
        threshold = -math.inf if isinstance(model.scoring, Numbers) else threshold
    predictor = Predictor(model, arguments.window, pictures=bool(outputs.annotated))
    return Work(arguments, predictor, sources, outputs, threshold)


def _write_submission(
    arguments: argparse.Namespace, model: "Model", sources: "list[Found]", work: "Work"
) -> None:
    """Write a line for each source; the mean of the others for those that could not be read."""
    import numpy as np

    from mpvn.cli.predictions import write_submission
    from mpvn.data import VideoSet
    from mpvn.data.sets.files import FileVideo

    if model.scoring is None or not work.scores:
        return
    videos = VideoSet("SOURCE", [FileVideo(each.source) for each in sources], model.scoring.names)
    numbers, scores = np.array(list(work.scores)), np.stack(list(work.scores.values()))
    write_submission(arguments.submission, arguments.submission_for, videos, numbers, scores)

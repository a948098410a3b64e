"""`mpvn stream`: run any network over a video, frame by frame, and say how fast it is."""

import argparse
import contextlib
import itertools
import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from mpvn.cli.answers import Answers
from mpvn.cli.clusters import add_cluster_option
from mpvn.cli.continued import Continued, after_fault
from mpvn.cli.mistakes import Mistake, as_mistakes
from mpvn.cli.model_and_plan import MODEL_HELP, add_model_and_plan_options, load_model
from mpvn.cli.parsers import Commands, add_command
from mpvn.cli.paths import TABLE, VIDEO, declare_paths
from mpvn.cli.runtimes import add_runtime_options, start_stream
from mpvn.cli.sources import SOURCE_HELP, add_source_options, open_source, speed
from mpvn.cli.supervision import add_supervision
from mpvn.files import WriteError

if TYPE_CHECKING:
    from mpvn.data import VideoWriter
    from mpvn.prediction import Prediction
    from mpvn.prediction.models import Model
    from mpvn.prediction.opened import Opened

    Taker = Callable[[Prediction], None]

EXAMPLES = """\
mpvn stream walk.mp4 --model par_densenet --subnetworks 14 --output annotated.mp4
mpvn stream walk.mp4 --model MobileNetV2 --subnetworks 4 --clocks auto
mpvn stream walk.mp4 --model runs/finetune_tsm --answers answers.csv
mpvn stream camera:0 --model my_model.keras --output annotated.mp4
mpvn stream http://10.0.0.7/channel.ts --model my_model.keras --live
cat walk.ts | mpvn stream - --model my_model.keras
mpvn stream walk.mp4 --model my_network.keras --realtime"""


def add_parser(commands: Commands) -> None:
    """Add `mpvn stream`."""
    summary = (
        "measure how fast any model streams a video by any plan, and draw its outputs (for the "
        "answers of a trained network: mpvn predict)"
    )
    parser = add_command(commands, "stream", run, summary, EXAMPLES)
    parser.add_argument("video", metavar="VIDEO", help=f"a file, a folder of images, {SOURCE_HELP}")
    parser.add_argument(
        "--model", required=True, help=f"{MODEL_HELP}; or a SavedModel that mpvn export wrote"
    )
    parser.add_argument(
        "--output", metavar="FILE", help="write the video with the outputs over it (.mp4)"
    )
    parser.add_argument(
        "--answers",
        metavar="FILE",
        help="runs that recognize classes: write the answer at each frame, and the scores of all "
        "classes, as CSV",
    )
    parser.add_argument("--frames", type=int, help="stop after this many frames")
    add_source_options(parser)
    add_cluster_option(parser)
    add_supervision(parser, after_fault)
    add_runtime_options(parser)
    add_model_and_plan_options(parser, devices=True)
    declare_paths(
        parser,
        reads=["VIDEO", "--weights", "--assignment", "--plan", "--calibrate", "--cluster"],
        runs=["--model"],
        writes={"--output": VIDEO, "--answers": TABLE},
    )


def run(arguments: argparse.Namespace) -> int:
    """Stream the video and print statistics."""
    if arguments.frames is not None and arguments.frames < 1:
        raise Mistake(f"--frames: expected at least 1. Received: {arguments.frames}")
    model = load_model(arguments)
    continued = Continued(arguments)
    answers = _answers(model, arguments.answers, continued)
    from mpvn.data import ConnectionLost, VideoError
    from mpvn.prediction import Predictor

    predictor = Predictor(model, pictures=bool(arguments.output))
    loss: ConnectionLost | None = None
    try:
        with contextlib.ExitStack() as stack:
            with as_mistakes():
                opened = stack.enter_context(open_source(arguments, predictor, arguments.video))
            _say_rate(arguments, opened)
            start_stream(model)
            takers: list[Taker] = []
            if arguments.output:
                writer = _writer(arguments.output, opened, stack)
                takers.append(_drawing(writer, model, opened.is_even))
            if answers is not None:
                takers.append(stack.enter_context(answers))
            takers.append(continued)
            limits = [limit for limit in (opened.frame_count, arguments.frames) if limit]
            left = [max(0, limit - continued.done) for limit in limits]
            total = min(left, default=None)
            predictions = predictor.predict(opened, views=continued.views(opened))
            if arguments.frames:
                predictions = itertools.islice(predictions, left[-1])
            try:
                _run_stream(predictions, total, takers)
            except ConnectionLost as error:
                if not opened.is_live:
                    raise
                loss = error  # The output is kept: it shows what was sent.
    except (VideoError, WriteError) as error:  # The source, or when closing the output.
        raise Mistake(str(error)) from error
    print(speed(model, opened))
    if answers is not None and not opened.is_live:
        print(answers)
    for path in filter(None, (arguments.output, arguments.answers)):
        print(f"written to {path}")
    if loss is not None:
        raise Mistake(str(loss))
    return 0


def _answers(model: "Model", path: str | None, continued: Continued) -> Answers | None:
    """Return the answers of a trained network; None if it does not recognize classes.

    Raises:
        Mistake: a table is wanted of a network that does not.
    """
    from mpvn.tasks.classes import ClassTask

    if isinstance(model.task, ClassTask):
        return Answers(model.task, path, continued.done if continued.supervised else None)
    if path is None:
        return None
    received = "a network without metadata"
    if model.metadata is not None and model.task is not None:
        received = f"one of another task, {model.metadata.task}"
    raise Mistake(
        f"--answers {path}: expected --model to be a trained network that recognizes classes, "
        f"because it has their names. Received: {received}. Leave out --answers."
    )


def _say_rate(arguments: argparse.Namespace, opened: "Opened") -> None:
    if opened.remark:
        print(f"{arguments.model}: {opened.remark}", file=sys.stderr)


def _writer(path: str, opened: "Opened", stack: contextlib.ExitStack) -> "VideoWriter":
    from mpvn.data import VideoWriter

    with as_mistakes():
        return stack.enter_context(VideoWriter(path, fps=opened.fps or 25))


def _drawing(writer: "VideoWriter", model: "Model", even: bool) -> "Taker":
    """Return a function that writes each frame with its outputs at its time, or `even`ly."""
    from mpvn.prediction.drawing import draw

    def take(prediction: "Prediction") -> None:
        picture = draw(model.task, prediction, [f"{1000 * prediction.latency:.1f} ms"])
        writer.write(picture, None if even else prediction.seconds)

    return take


def _run_stream(
    predictions: "Iterable[Prediction]", total: int | None, takers: "Iterable[Taker]"
) -> None:
    """Run the stream until its end or Ctrl-C, and hand each step to the `takers`."""
    import tqdm

    with contextlib.suppress(KeyboardInterrupt):
        for prediction in tqdm.tqdm(predictions, total=total, unit="frame", dynamic_ncols=True):
            for take in takers:
                take(prediction)

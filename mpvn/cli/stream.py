"""`mpvn stream`: run a network over a video, frame by frame."""

import argparse
import contextlib
import itertools
import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from mpvn.cli.answers import answers_of
from mpvn.cli.mistakes import Mistake, as_mistakes
from mpvn.cli.model_and_plan import (
    MODEL_HELP,
    add_model_and_plan_options,
    load_model_and_plan,
    warn_of_random_weights,
)
from mpvn.cli.parsers import Commands, add_command, rate
from mpvn.cli.paths import TABLE, VIDEO, declare_paths
from mpvn.cli.trained import Trained
from mpvn.files import WriteError

if TYPE_CHECKING:
    from fractions import Fraction

    from mpvn.data import VideoReader, VideoWriter
    from mpvn.data.video.frames import Frame
    from mpvn.models.loading import LoadedModel
    from mpvn.network import VideoNetwork
    from mpvn.streaming import Stream, StreamStatistics

    Taker = Callable[[float, Frame, Any], None]

EXAMPLES = """\
mpvn stream walk.mp4 --model par_densenet --subnetworks 14 --output annotated.mp4
mpvn stream walk.mp4 --model MobileNetV2 --subnetworks 4 --clocks auto
mpvn stream walk.mp4 --model runs/class_folders --answers answers.csv
mpvn stream camera:0 --model my_model.keras --output annotated.mp4
mpvn stream http://10.0.0.7/channel.ts --model my_model.keras --live
cat walk.ts | mpvn stream - --model my_model.keras
mpvn stream walk.mp4 --model my_network.keras --realtime"""


def add_parser(commands: Commands) -> None:
    """Add `mpvn stream`."""
    summary = "stream a video through a network, frame by frame"
    parser = add_command(commands, "stream", run, summary, EXAMPLES)
    parser.add_argument(
        "video",
        metavar="VIDEO",
        help="a file, a folder of images, camera:0, /dev/video0, a URL, a named pipe, or - for "
        "standard input",
    )
    parser.add_argument("--model", required=True, help=MODEL_HELP)
    parser.add_argument("--output", metavar="FILE", help="write an annotated video (.mp4)")
    parser.add_argument(
        "--answers",
        metavar="FILE",
        help="runs that recognize classes: write the answer at each frame, and the scores of all "
        "classes, as CSV",
    )
    parser.add_argument(
        "--fps",
        type=rate,
        help="resample to this rate, such as 30000/1001 (default: that of the run of the model, "
        "if there is one, else keep it); of a folder of images: its frame rate",
    )
    parser.add_argument("--frames", type=int, help="stop after this many frames")
    parser.add_argument(
        "--realtime",
        action="store_true",
        help="play a file at its frame rate and drop frames that the network is too slow for",
    )
    parser.add_argument(
        "--skip-damage", action="store_true", help="skip the damaged frames of a file"
    )
    parser.add_argument(
        "--live",
        action=argparse.BooleanOptionalAction,
        help="drop the frames of VIDEO that the network is too slow for, or none (default: drop "
        "those of cameras and broadcasts only)",
    )
    parser.add_argument(
        "--reconnect",
        type=float,
        default=30.0,
        metavar="SECONDS",
        help="time to open a camera or broadcast again after it is lost (default: 30)",
    )
    parser.add_argument(
        "--stream-index",
        type=int,
        metavar="N",
        help="number of the video stream in the file, from 0 (default: the file's default)",
    )
    add_model_and_plan_options(parser)
    declare_paths(
        parser,
        reads=["VIDEO", "--weights", "--assignment"],
        runs=["--model"],
        writes={"--output": VIDEO, "--answers": TABLE},
    )


def run(arguments: argparse.Namespace) -> int:
    """Stream the video and print statistics."""
    if arguments.frames is not None and arguments.frames < 1:
        raise Mistake(f"--frames: expected at least 1. Received: {arguments.frames}")
    loaded, plan = load_model_and_plan(arguments)
    warn_of_random_weights(loaded)
    with as_mistakes():
        network = loaded.network(plan)
        trained = Trained.of(network)
    answers = answers_of(trained, arguments.answers)
    from mpvn.data import ConnectionLost, VideoError

    loss: ConnectionLost | None = None
    try:
        with contextlib.ExitStack() as stack:
            fps, stride = _rate(arguments, trained)
            reader = _open(arguments, loaded, trained, fps, stride)
            stack.enter_context(reader)
            frames = _frames(reader, arguments, stack)
            stream = _network_stream(network, loaded)
            limits = (reader.frame_count, arguments.frames)
            total = min((limit for limit in limits if limit), default=None)
            timed = itertools.islice(frames.timed(), arguments.frames)
            takers: list[Taker] = []
            if arguments.output:
                even = frames is reader and fps is not None
                writer = _writer(arguments.output, reader, stack)
                takers.append(_drawing(writer, stream, trained, even))
            if answers is not None:
                takers.append(stack.enter_context(answers))
            try:
                _run_stream(stream, timed, total, takers)
            except ConnectionLost as error:
                if not reader.is_live:
                    raise
                loss = error  # The output is kept: it shows what was sent.
    except (VideoError, WriteError) as error:  # The source, or when closing the output.
        raise Mistake(str(error)) from error
    _print_statistics(stream.statistics)
    if frames is not reader:
        print(f"dropped {frames.dropped} frames that arrived faster than the network could run")
    if answers is not None and not reader.is_live:
        print(answers)
    for path in filter(None, (arguments.output, arguments.answers)):
        print(f"written to {path}")
    if loss is not None:
        raise Mistake(str(loss))
    return 0


def _frames(
    reader: "VideoReader", arguments: argparse.Namespace, stack: contextlib.ExitStack
) -> Any:
    """Return the reader, or a `LiveSource` that drops the frames that the network is late for."""
    from mpvn.data import LiveSource

    if reader.is_live and arguments.realtime:
        raise Mistake(
            f"--realtime: expected a source that waits for its reader, such as a file. Received: "
            f"{arguments.video}, whose frames arrive in real time. Leave out --realtime."
        )
    if not reader.is_live and not arguments.realtime:
        return reader
    if not arguments.realtime:
        print(
            f"{arguments.video} is live: frames that the network is too slow for are dropped "
            "(--no-live reads every frame)",
            file=sys.stderr,
        )
    return stack.enter_context(LiveSource(reader, realtime=arguments.realtime))


def _rate(
    arguments: argparse.Namespace, trained: Trained | None
) -> "tuple[Fraction | float | None, int]":
    """Return the rate to bring the source to, if any, and the stride of its frames then."""
    if arguments.fps is not None or trained is None:
        return arguments.fps, 1
    return trained.shown_fps, trained.stride


def _open(
    arguments: argparse.Namespace,
    loaded: "LoadedModel",
    trained: Trained | None,
    fps: "Fraction | float | None",
    stride: int,
) -> "VideoReader":
    """Open the source, which gives every `stride`-th frame at `fps`, or at its own rate."""
    from mpvn.data import VideoReader
    from mpvn.data.video.timeline import DEFAULT_FPS

    with as_mistakes():
        reader = VideoReader(
            arguments.video,
            size=loaded.size,
            shorter_side=trained.metadata.shorter_side if trained else None,
            fps=fps,
            stride=stride,
            strict=not arguments.skip_damage,
            stream=arguments.stream_index,
            live=arguments.live,
            reconnect=arguments.reconnect,
            # A run brings folders of images to its rate from the rate that data sets give them.
            image_fps=DEFAULT_FPS if arguments.fps is None else None,
        )
    if arguments.fps is None and trained is not None:
        for line in trained.remarks_on_rate(arguments.model, arguments.video, reader.fps):
            print(line, file=sys.stderr)
    return reader


def _network_stream(network: "VideoNetwork", loaded: "LoadedModel") -> "Stream":
    from mpvn.streaming import Stream

    with as_mistakes():
        print(f"tracing {loaded.model.name} ...", file=sys.stderr)
        return Stream(network, loaded.prepare)


def _writer(path: str, reader: "VideoReader", stack: contextlib.ExitStack) -> "VideoWriter":
    from mpvn.data import VideoWriter

    with as_mistakes():
        return stack.enter_context(VideoWriter(path, fps=reader.fps or 25))


def _drawing(
    writer: "VideoWriter", stream: "Stream", trained: Trained | None, even: bool
) -> "Taker":
    """Return a function that writes each frame with its outputs at its time, or `even`ly."""
    from mpvn.data import draw_text
    from mpvn.tasks.overlay import annotate

    def draw(seconds: float, frame: "Frame", outputs: Any) -> None:
        lines = [f"{1000 * stream.statistics.latencies[-1]:.1f} ms"]
        if trained is None:
            picture = annotate(frame, outputs, lines)
        else:
            picture = draw_text(trained.task.picture(frame, outputs), lines)
        writer.write(picture, None if even else seconds)

    return draw


def _run_stream(
    stream: "Stream",
    timed: "Iterable[tuple[float, Frame]]",
    total: int | None,
    takers: "Iterable[Taker]",
) -> None:
    """Run the stream until its end or Ctrl-C, and hand each step to the `takers`."""
    import tqdm

    from mpvn.streaming import stream_frames

    timed, also_timed = itertools.tee(timed)
    steps = stream_frames(stream, (frame for _, frame in timed))
    bar = tqdm.tqdm(steps, total=total, unit="frame", dynamic_ncols=True)
    with contextlib.suppress(KeyboardInterrupt):
        for (frame, outputs), (seconds, _) in zip(bar, also_timed, strict=False):
            for take in takers:
                take(seconds, frame, outputs)


def _print_statistics(statistics: "StreamStatistics") -> None:
    if not statistics.frames:
        print("no frames")
        return
    worst = 1000 * max(statistics.latencies)
    percentiles = ", ".join(f"{p} % {statistics.percentile(p):.1f}" for p in (50, 95, 99))
    print(
        f"{statistics.frames} frames in {statistics.seconds:.1f} s "
        f"({statistics.frames / statistics.seconds:.1f} frames/s with reading and drawing)\n"
        f"network: {statistics.frames_per_second:.1f} frames/s\n"
        f"latency per step in ms: {percentiles}, worst {worst:.1f}"
    )

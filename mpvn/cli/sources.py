"""Sources of video on the command line: their options, and one way to open them for a network."""

import argparse
import sys
from typing import TYPE_CHECKING, Any

from mpvn.cli.parsers import rate

if TYPE_CHECKING:
    from mpvn.prediction import Predictor
    from mpvn.prediction.models import Model
    from mpvn.prediction.opened import Opened

SOURCE_HELP = "camera:0, /dev/video0, a URL, a named pipe, or - for standard input"


def add_source_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that `open_source` reads."""
    parser.add_argument(
        "--fps",
        type=rate,
        help="show frames at this rate, such as 30000/1001 (default: the rate of the training, if "
        "the model knows it, else that of the source); of a folder of images: its frame rate",
    )
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
        help="drop the frames that the network is too slow for, or none (default: drop those of "
        "cameras and broadcasts only)",
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


def open_source(
    arguments: argparse.Namespace, predictor: "Predictor", source: str, over_time: bool = True
) -> "Opened":
    """Open a source for a network.

    Args:
        arguments: the parsed arguments.
        predictor: the network.
        source: the source.
        over_time: as in `mpvn.predict`.

    Raises:
        VideoError: the source cannot be read.
        ValueError: the network cannot answer about this kind of source.
    """
    options: dict[str, Any] = {
        "strict": not arguments.skip_damage,
        "stream": arguments.stream_index,
        "live": arguments.live,
        "reconnect": arguments.reconnect,
    }
    opened = predictor.open(
        source,
        over_time=over_time,
        fps=arguments.fps,
        realtime=arguments.realtime,
        **options,
    )
    if opened.is_live and opened.drops:
        print(
            f"{source} is live: frames that the network is too slow for are dropped (--no-live "
            "reads every frame)",
            file=sys.stderr,
        )
    return opened


def speed(model: "Model", opened: "Opened") -> str:
    """Return what is known of the speed at which a network has streamed a source, as lines."""
    from mpvn.streaming.report import StreamReport

    if not model.stream.statistics.frames:
        return "no frames"
    dropped = opened.dropped if opened.drops else None
    rate = None if opened.drops else opened.fps
    return str(StreamReport.of(model.stream, rate, dropped))

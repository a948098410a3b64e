"""`mpvn demo`: train a network, make it parallel, stream a video, write a report."""

import argparse

from mpvn.cli.mistakes import as_mistakes
from mpvn.cli.parsers import Commands, add_command
from mpvn.cli.paths import Output, declare_paths
from mpvn.cli.startup import import_tensorflow

EXAMPLES = """\
mpvn demo
mpvn demo --steps 600 --subnetworks 7 --output demo_long"""


def add_parser(commands: Commands) -> None:
    """Add `mpvn demo`."""
    summary = "train a network, make it parallel, train that, stream a video, write an HTML report"
    parser = add_command(commands, "demo", run, summary, EXAMPLES)
    parser.add_argument("--video", help="the video to stream (default: a rendered one)")
    parser.add_argument("--subnetworks", type=int, default=4, help="default: %(default)s")
    parser.add_argument("--frames", type=int, default=96, help="default: %(default)s")
    parser.add_argument(
        "--steps", type=int, default=160, help="batches to train (default: %(default)s)"
    )
    parser.add_argument("--output", default="demo", metavar="FOLDER", help="default: %(default)s")
    output = Output(files=("seen.mp4", "report.html"))
    declare_paths(parser, reads=["--video"], writes={"--output": output})


def run(arguments: argparse.Namespace) -> int:
    """Run the demo."""
    import_tensorflow()
    from mpvn.demo import run_demo
    from mpvn.training import Interrupted

    with as_mistakes():
        try:
            run_demo(
                arguments.output,
                video=arguments.video,
                subnetworks=arguments.subnetworks,
                frames=arguments.frames,
                steps=arguments.steps,
            )
        except Interrupted as interrupted:
            raise KeyboardInterrupt(str(interrupted)) from interrupted
    return 0

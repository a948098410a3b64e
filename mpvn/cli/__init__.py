"""The `mpvn` command.

    mpvn plan MODEL       print a plan of the model: schedule, latencies, costs
    mpvn predict SOURCE   say what a trained network sees in videos and cameras, with names
    mpvn stream VIDEO     run any model over a file, camera or network stream, and measure its speed
    mpvn benchmark MODEL  measure steps, ages and memory, beside plain Keras
    mpvn timeline MODEL   record what a compiled network runs, and when
    mpvn export MODEL     write a SavedModel that streams without this package
    mpvn tf-serving DIR   write configs and warm-up records for TensorFlow Serving
    mpvn inspect PATH     say what an export or a network is: signatures, states, plan, names
    mpvn serve MODEL      answer frames of many streams over HTTP, gRPC and WebSockets
    mpvn models           list the published networks, their plans and options
    mpvn train            train a network from a config
    mpvn eval RUN         evaluate a trained network, also under another plan; or fuse several runs;
                          or evaluate a checkpoint or a saved network without a run
    mpvn sweep            train or evaluate a grid of runs; plot accuracy against speed
    mpvn compare SWEEP    plot accuracy against speed-up of several sweeps, in one picture
    mpvn worker           run subnetworks for commands with --cluster, on this host
    mpvn demo             train a network, make it parallel, stream a video, write a report

Each command is one module with two functions: `add_parser` declares the flags and `run` executes
the command. Modules import TensorFlow inside `run`, so that `mpvn --help` is fast.

A user's mistake ends with one message and exit code 2, without a stack trace. A request to stop
(Ctrl-C, SIGTERM, a closed terminal) ends commands alike: `train` leaves a checkpoint, `stream`
and `predict` complete their outputs, the others leave no part of a file.
"""

import argparse
import importlib.metadata
import os
import platform
import sys
from collections.abc import Sequence
from typing import NoReturn

from absl import logging

import mpvn
from mpvn.cli import (
    benchmark,
    compare,
    demo,
    evaluate,
    export,
    inspect,
    models,
    plan,
    predict,
    serve,
    stream,
    sweep,
    tf_serving,
    timeline,
    train,
    worker,
)
from mpvn.cli.mistakes import Mistake
from mpvn.cli.paths import check_paths
from mpvn.cli.supervision import run_command
from mpvn.signals import on_stop

EXIT_MISTAKE = 2
EXIT_INTERRUPTED = 130
EXIT_PIPE_CLOSED = 141

COMMANDS = (
    plan,
    predict,
    stream,
    benchmark,
    timeline,
    export,
    tf_serving,
    inspect,
    serve,
    models,
    train,
    evaluate,
    sweep,
    compare,
    worker,
    demo,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Args:
        argv: The arguments without the program's name. Defaults to those of the process.

    Raises:
        SystemExit: If the arguments cannot be parsed, or for `--help`.
    """
    argv = sys.argv[1:] if argv is None else argv
    arguments = _parse(argv)
    logging.set_verbosity(logging.ERROR)
    try:
        with on_stop(_interrupt):
            check_paths(arguments)
            code = run_command(arguments, argv)
            sys.stdout.flush()  # a closed pipe is noticed here, not when Python ends
            return code
    except Mistake as mistake:
        print(f"mpvn: {mistake}", file=sys.stderr)
        return EXIT_MISTAKE
    except KeyboardInterrupt as interrupt:
        print(f"mpvn: {str(interrupt) or 'interrupted'}", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # The reader of our output, such as `head`, has closed it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_PIPE_CLOSED


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


class _Version(argparse.Action):
    """Prints the versions of this package and of those it computes with, without importing them."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        packages = importlib.metadata.packages_distributions()  # of TensorFlow, one of several
        used = [
            f"{name} {importlib.metadata.version(packages[name.lower()][0])}"
            for name in ("Keras", "TensorFlow")
            if name.lower() in packages
        ]
        print(f"mpvn {mpvn.__version__} (Python {', '.join([platform.python_version(), *used])})")
        parser.exit()


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        if message.endswith("expected one argument"):
            message += ". Write a path that begins with '-' as ./-NAME"
        super().error(message)


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = _Parser(
        prog="mpvn",
        description="Video networks that keep up with the camera.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="examples:\n"
        "  mpvn demo\n"
        "  mpvn plan par_densenet --subnetworks 14\n"
        "  mpvn predict videos --model runs/finetune_tsm\n"
        "  mpvn stream walk.mp4 --model MobileNetV2 --subnetworks 4 --clocks auto\n"
        "  mpvn COMMAND --help",
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print versions and exit")
    commands = parser.add_subparsers(dest="name", required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add_parser(commands)
    for path in argv:
        if path.startswith("-") and os.path.lexists(path):
            parser.error(f"{path}: expected an option. Received: a path. Write it as ./{path}")
    # With a space in it, argparse would take an override for a positional argument.
    overrides = [each for each in argv if each.startswith("--config.")]
    rest = [each for each in argv if not each.startswith("--config.")]
    arguments, unknown = parser.parse_known_args(rest)
    overrides += unknown
    if overrides and not hasattr(arguments, "takes_overrides"):
        parser.error(f"unrecognized arguments: {' '.join(overrides)}")
    arguments.overrides = overrides
    return arguments

"""The options that choose what runs the steps of a stream."""

import argparse
import sys
from typing import TYPE_CHECKING

from mpvn.cli.mistakes import Mistake, as_mistakes

if TYPE_CHECKING:
    from mpvn.prediction.models import Model
    from mpvn.streaming.choice import RuntimeChoice

RUNTIME_OPTIONS = ("runtime", "precision", "threads")


def add_runtime_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that `runtime_choice` reads."""
    group = parser.add_argument_group("runtime")
    group.add_argument(
        "--runtime",
        choices=["auto", "openvino", "tensorflow", "network"],
        help="what runs the steps: OpenVINO, compiled TensorFlow, or the network as it is in "
        "training (default: auto, which is OpenVINO if it is installed, else TensorFlow)",
    )
    group.add_argument(
        "--precision",
        choices=["float32", "bfloat16"],
        help="of the computation (default: float32, equal to the network but for rounding)",
    )
    group.add_argument(
        "--threads", type=int, metavar="N", help="threads of a step (default: one for each core)"
    )


def check_threads(arguments: argparse.Namespace) -> None:
    """Raise `Mistake` unless the number of threads is one."""
    if arguments.threads is not None and arguments.threads < 1:
        raise Mistake(f"--threads: expected at least 1. Received: {arguments.threads}.")


def runtime_choice(arguments: argparse.Namespace) -> "RuntimeChoice":
    """Return what runs the steps.

    Raises:
        Mistake: the options do not go together.
    """
    from mpvn.streaming.choice import RuntimeChoice

    with as_mistakes():
        precision = arguments.precision or "float32"
        return RuntimeChoice(arguments.runtime or "auto", precision, arguments.threads)


def start_stream(model: "Model") -> None:
    """Compile or trace a network, and say what runs it.

    Raises:
        Mistake: it cannot run so.
    """
    print(f"compiling {model.name} ...", file=sys.stderr)
    with as_mistakes():
        stream = model.stream
    say_running(model.name, stream.runtime, stream.remark)


def say_running(name: str, runtime: str, remark: str) -> None:
    """Say what runs a network, and why it is not what is usually faster."""
    print(f"{name} runs by {runtime}" + f" ({remark})" * bool(remark), file=sys.stderr)

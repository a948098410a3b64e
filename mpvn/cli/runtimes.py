"""The options that choose what runs the steps of a stream."""

import argparse
import sys
from typing import TYPE_CHECKING

from mpvn.cli.mistakes import Mistake, as_mistakes

if TYPE_CHECKING:
    from mpvn.models.loading import LoadedModel
    from mpvn.network import VideoNetwork
    from mpvn.prediction.models import Model
    from mpvn.runtime.quantization import Quantization
    from mpvn.streaming.choice import RuntimeChoice

RUNTIME_OPTIONS = ("runtime", "precision", "threads", "calibrate")


def add_runtime_options(parser: argparse.ArgumentParser, int8: bool = True) -> None:
    """Add the options that `runtime_choice` reads.

    Args:
        parser: the parser of a command.
        int8: whether networks are also compiled in int8.
    """
    group = parser.add_argument_group("runtime")
    group.add_argument(
        "--runtime",
        choices=["auto", "openvino", "tensorflow", "network"],
        help="what runs the steps: OpenVINO, compiled TensorFlow, or the network as it is in "
        "training (default: auto, which is OpenVINO if it is installed, else TensorFlow)",
    )
    group.add_argument(
        "--precision",
        choices=["float32", "bfloat16", *["int8"] * int8],
        help="of the computation (default: float32, equal to the network but for rounding)"
        + ". int8 needs OpenVINO and --calibrate" * int8,
    )
    group.add_argument(
        "--threads", type=int, metavar="N", help="threads of a step (default: one for each core)"
    )
    if int8:
        group.add_argument(
            "--calibrate",
            action="append",
            metavar="VIDEOS",
            help="int8: a video, or a folder or glob of videos, like those that the network will "
            "see, on which ranges of values are measured; may be repeated",
        )


def add_buffer_option(parser: argparse.ArgumentParser, what: str) -> None:
    """Add the option `--buffer`.

    Args:
        parser: the parser of a command.
        what: what it does with the buffer.
    """
    parser.add_argument(
        "--buffer",
        type=int,
        metavar="N",
        help=f"{what}: N frames in one call; answers come up to N - 1 frames later (default: "
        "frame by frame)",
    )


def check_threads(arguments: argparse.Namespace) -> None:
    """Raise `Mistake` unless the number of threads is one."""
    if arguments.threads is not None and arguments.threads < 1:
        raise Mistake(f"--threads: expected at least 1. Received: {arguments.threads}.")


def runtime_choice(arguments: argparse.Namespace, buffer: int | None = None) -> "RuntimeChoice":
    """Return what runs the steps.

    Args:
        arguments: the parsed arguments.
        buffer: number of frames in one call, if they are for files.

    Raises:
        Mistake: the options do not go together.
    """
    from mpvn.streaming.choice import RuntimeChoice

    check_precision(arguments)
    with as_mistakes():
        precision = arguments.precision or "float32"
        runtime = arguments.runtime or "auto"
        return RuntimeChoice(runtime, precision, arguments.threads, buffer=buffer)


def check_precision(arguments: argparse.Namespace) -> None:
    """Raise `Mistake` unless int8 is calibrated, and nothing else."""
    if (arguments.precision == "int8") != bool(arguments.calibrate):
        received = f"--precision {arguments.precision or 'float32'}"
        given = f", --calibrate {arguments.calibrate[0]}" if arguments.calibrate else ""
        raise Mistake(
            "--precision int8 and --calibrate VIDEOS: expected both, or neither, because ranges of "
            f"values are measured on your videos. Received: {received}{given}."
        )


def start_stream(model: "Model") -> None:
    """Compile or trace a network, and say what runs it.

    Raises:
        Mistake: it cannot run so.
    """
    print(f"compiling {model.name} ...", file=sys.stderr)
    with as_mistakes():
        stream = model.stream
    say_running(model.name, stream.runtime, stream.remark, stream.quantization)
    if stream.buffer > 1:
        print(
            f"answers come up to {stream.buffer - 1} frames later than frame by frame, and are the "
            "same (--buffer)",
            file=sys.stderr,
        )


def say_running(
    name: str, runtime: str, remark: str, quantization: "Quantization | None" = None
) -> None:
    """Say what runs a network, why it is not what is usually faster, and what int8 changed."""
    print(f"{name} runs on {runtime}" + f" ({remark})" * bool(remark), file=sys.stderr)
    if quantization is not None:
        print(quantization, file=sys.stderr)


def calibrate(arguments: argparse.Namespace, model: "Model") -> None:
    """Calibrate what will run the streams of a model on the videos of `--calibrate`, if any.

    Raises:
        Mistake: there are no such videos.
    """
    if not arguments.calibrate:
        return
    from mpvn.cli.found import find_sources
    from mpvn.prediction.calibration import calibrated

    with as_mistakes():
        calibrated(model, [found.source for found in find_sources(arguments.calibrate)])


def calibrated_choice(
    arguments: argparse.Namespace, loaded: "LoadedModel", network: "VideoNetwork"
) -> "RuntimeChoice":
    """Return what runs the steps of a network, calibrated on the videos of `--calibrate`, if any.

    Raises:
        Mistake: the options do not go together, or there are no such videos.
    """
    from mpvn.prediction.models import NetworkModel

    choice = runtime_choice(arguments)
    if not arguments.calibrate:
        return choice
    with as_mistakes():
        model = NetworkModel(loaded, network, choice=choice)
    calibrate(arguments, model)
    return model.choice

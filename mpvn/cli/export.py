"""`mpvn export`: write a network in a format that streams without this package."""

import argparse
from typing import TYPE_CHECKING, Any

from mpvn.arguments import literal
from mpvn.cli.mistakes import as_mistakes
from mpvn.cli.model_and_plan import (
    MODEL_HELP,
    add_model_and_plan_options,
    load_model_and_plan,
    warn_of_random_weights,
)
from mpvn.cli.parsers import Commands, add_command
from mpvn.cli.paths import NEW_FOLDER, declare_paths

if TYPE_CHECKING:
    from mpvn.models.loading import LoadedModel
    from mpvn.network import VideoNetwork
    from mpvn.prediction.calibration import VideoClips

EXAMPLES = """\
mpvn export MobileNetV2 served/1 --subnetworks 4 --clocks auto
mpvn export runs/finetune_tsm served/1 --streams 64 --images jpeg
mpvn export runs/finetune_tsm served/1 --batch 1
mpvn export runs/finetune_tsm phone --format litert --quantization int8 --calibrate videos/"""

ANY = "any"
"""Value of `--batch`."""

OPTIONS = (
    *("streams", "idle", "images", "classes"),
    *("opset", "precision", "quantization", "select_tf_ops"),
)
"""Options of formats, as `network.export` has them; each format has some."""


def add_parser(commands: Commands) -> None:
    """Add `mpvn export`."""
    summary = "write a network in a format that streams without this package"
    parser = add_command(commands, "export", run, summary, EXAMPLES)
    parser.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    parser.add_argument("folder", metavar="FOLDER", help="the folder to create")
    _add_export_options(parser)
    _add_device_options(parser)
    add_model_and_plan_options(parser)
    declare_paths(
        parser,
        reads=["--weights", "--assignment", "--plan"],
        runs=["MODEL"],
        writes={"FOLDER": NEW_FOLDER},
    )


def _add_export_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("export")
    group.add_argument(
        "--format",
        default="tf_saved_model",
        help="tf_saved_model (the default), or for devices litert, onnx, or openvino; "
        "docs/export.md compares them",
    )
    group.add_argument(
        "--batch",
        type=literal,
        metavar="B|any",
        help="fix the number of streams in a call (default: any; for devices 1)",
    )
    group.add_argument(
        "--streams",
        type=int,
        metavar="N",
        help="keep the states of N streams on the server; a call names its streams by numbers "
        "(default: states go in and out)",
    )
    group.add_argument(
        "--idle",
        type=float,
        metavar="SECONDS",
        help="with --streams: a stream without a frame for this long may lose its place to a new "
        "one (default: 60)",
    )
    group.add_argument(
        "--images",
        metavar="uint8|jpeg",
        help="take frames as pictures of any size, uint8 or the bytes of JPEG files, which are "
        "cropped, resized and scaled inside (default: as the network takes them)",
    )
    group.add_argument(
        "--classes",
        type=int,
        metavar="K",
        help="name the K likeliest classes in the answer (default: 5 with --images, if the network "
        "knows names)",
    )


def _add_device_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("export for devices")
    group.add_argument(
        "--opset", type=int, metavar="N", help="onnx: the version of operators (default: 17)"
    )
    group.add_argument(
        "--precision",
        metavar="float32|float16",
        help="openvino: of the weights in the file (default: float32)",
    )
    group.add_argument(
        "--quantization",
        metavar="dynamic|int8",
        help="litert: weights in int8, or also values, which needs --calibrate",
    )
    group.add_argument(
        "--calibrate",
        action="append",
        metavar="VIDEOS",
        help="with --quantization: a video, or a folder or glob of videos, like those that the "
        "network will see, on which ranges and errors are measured; may be repeated",
    )
    group.add_argument(
        "--select-tf-ops",
        action="store_true",
        default=None,
        help="litert: let TensorFlow's kernels, which the device must have, run what LiteRT lacks",
    )


def run(arguments: argparse.Namespace) -> int:
    """Export the network."""
    loaded, plan = load_model_and_plan(arguments)
    warn_of_random_weights(loaded)
    from mpvn.export.description import read_description

    with as_mistakes():
        network = loaded.network(plan)
        network.export(
            arguments.folder,
            arguments.format,
            verbose=False,
            input_signature=_batches(network, arguments.batch),
            **_options(arguments, loaded, network),
        )
        description = read_description(arguments.folder)
    signatures = ", ".join(description["signatures"])
    print(f"written to {arguments.folder}: {description['form']}; signatures {signatures}")
    print(f"mpvn inspect {arguments.folder} says more")
    return 0


def _options(
    arguments: argparse.Namespace, loaded: "LoadedModel", network: "VideoNetwork"
) -> dict[str, Any]:
    """Return the options that are given."""
    values = {name: getattr(arguments, name) for name in OPTIONS}
    if arguments.images is not None:
        values["pixels"] = arguments.pixels or pixels_of(loaded)
    if arguments.calibrate:
        values["calibration"] = _calibration(arguments.calibrate, loaded, network)
    from mpvn.export.formats import find_format

    given = {name: value for name, value in values.items() if value is not None}
    is_open = arguments.batch == ANY and "batch" in find_format(arguments.format).options
    return {**given, "batch": None} if is_open else given


def pixels_of(loaded: "LoadedModel") -> str | None:
    """Return the range of a model's pixels; None if its metadata have it, or nothing tells."""
    import numpy as np

    from mpvn.pixels import RANGES

    known = loaded.metadata is not None and loaded.metadata.pixels is not None
    if known or loaded.guessed or loaded.plan is not None:
        return None
    colors = np.arange(24, dtype=np.uint8).reshape(2, 4, 3) * 10
    scaled = loaded.prepare(colors)
    fitting = (name for name, scale in RANGES.items() if np.allclose(scale(colors), scaled, 1e-4))
    return next(fitting, None)


def _calibration(paths: list[str], loaded: "LoadedModel", network: "VideoNetwork") -> "VideoClips":
    """Return the clips on which quantization is measured."""
    from mpvn.cli.found import find_sources
    from mpvn.prediction.calibration import calibration_clips
    from mpvn.prediction.models import NetworkModel

    sources = [found.source for found in find_sources(paths)]
    return calibration_clips(NetworkModel(loaded, network), sources)


def _batches(network: "VideoNetwork", batch: int | str | None) -> Any:
    """Return the specs of clips of so many streams; None for any number."""
    if batch in (None, ANY):
        return None
    if not isinstance(batch, int) or batch < 1:
        raise ValueError(f"--batch: expected at least 1, or {ANY}. Received: {batch}.")
    import keras
    import tensorflow as tf

    tensors = [network.graph.tensors[index] for index in network.graph.inputs]
    specs = [tf.TensorSpec((batch, None, *x.shape), x.dtype) for x in tensors]
    return keras.tree.pack_sequence_as(network.graph.input_structure, specs)

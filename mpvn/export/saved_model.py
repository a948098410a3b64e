"""Writes a network as a SavedModel that streams with TensorFlow alone.

Its signatures are those of `mpvn.export.signatures`, where the states go in and out, or those of
`mpvn.export.server`, which keeps them. The default serving signature is `step`. The description of
the export (`mpvn.export.description`) is in `assets.extra`, for clients, wherever the model is
served; without the checksums of the files, it is also an asset of the model:
`tf.saved_model.load(folder).description.asset_path`.
"""

import math
import pathlib
import tempfile
from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from mpvn.export.answers import Answers
from mpvn.export.description import NAME, Description, as_text, describe
from mpvn.export.images import Images
from mpvn.export.server import ServerSignatures
from mpvn.export.signatures import Function, Signatures, Specs

STATE_IN_AND_OUT = "state in and out"
STATE_ON_THE_SERVER = "state on the server"

DEFAULT = "step"
"""The signature that is also called `serving_default`."""

IDLE = 60.0
"""Default seconds without a frame after which a stream may lose its slot."""


def write_saved_model(
    network: keras.Model,
    clips: list[tf.TensorSpec],
    folder: pathlib.Path,
    *,
    streams: int | None = None,
    idle: float | None = None,
    images: str | None = None,
    pixels: str | None = None,
    classes: int | None = None,
) -> Description:
    """Write a SavedModel.

    Args:
        network: a causal `VideoNetwork`.
        clips: the spec `[B, T, ...]` of each input.
        folder: the folder to write into.
        streams: number of streams whose states the server keeps. None: states go in and out.
        idle: seconds without a frame after which a stream may lose its place on the server to a new
            one; infinity for never. None: 60.
        images: how frames arrive: `"uint8"`, pictures `[B, h, w, 3]` of any size, or `"jpeg"`, the
            bytes of JPEG files `[B]`; they are cropped, resized and scaled in the graph. None: as
            the network takes them.
        pixels: range of the network's pixels, with `images`; None for the one that it knows.
        classes: how many of the likeliest classes are named in the answer. None: 5 with `images`,
            if the network knows names, and else 0.

    Returns:
        The description of the export.

    Raises:
        ValueError: an option does not fit the network or another option.
    """
    _check(streams, idle, images, pixels, classes)
    pictures = Images.of(network, images, pixels) if images is not None else None
    answers = Answers.wanted(network, classes, images is not None)
    arguments = network, clips, pictures, answers
    own: dict[str, Any] = {"default_signature": DEFAULT}
    signatures: Signatures
    if streams is None:
        signatures, form = Signatures(*arguments), STATE_IN_AND_OUT
    else:
        seconds = IDLE if idle is None else float(idle)
        signatures = ServerSignatures(*arguments, streams=streams, idle=seconds)
        form = STATE_ON_THE_SERVER
        own |= {"streams": streams, "idle_seconds": seconds if math.isfinite(seconds) else None}
    own |= {"images": pictures.describe()} if pictures else {}
    own |= {"answers": answers.describe()} if answers else {}
    functions = {key: _trace(*each) for key, each in signatures.functions().items()}
    specs = {key: _specs(function) for key, function in functions.items()}
    description = describe(network, "tf_saved_model", form, specs, **own)
    _save(functions, signatures, description, folder)
    return description


def _check(
    streams: int | None,
    idle: float | None,
    images: str | None,
    pixels: str | None,
    classes: int | None,
) -> None:
    """Raise ValueError for options that are out of range, or that do not go together."""
    rules = {
        "streams": (streams, "a positive whole number", _is_whole(streams, 1)),
        "idle": (idle, "a number of seconds, at least 0", _is_time(idle)),
        "classes": (classes, "a whole number, at least 0", _is_whole(classes, 0)),
    }
    for name, (value, expected, holds) in rules.items():
        if value is not None and not holds:
            raise ValueError(f"Invalid {name}. Expected {expected}. Received: {value!r}.")
    pairs: dict[str, tuple[Any, str, Any]] = {
        "idle": (idle, "streams", streams),
        "pixels": (pixels, "images", images),
    }
    for name, (value, needed, other) in pairs.items():
        if value is not None and other is None:
            raise ValueError(
                f"Invalid {name}. Expected it with {needed} only. Received: {value!r} without "
                f"{needed}. Leave it out, or add {needed}."
            )


def _is_whole(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _is_time(value: Any) -> bool:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and value >= 0 and not math.isnan(value)


def _trace(function: Function, specs: Specs) -> Any:
    """Return a concrete function of a dict of tensors.

    What is saved are these functions. Keras's `ExportArchive` traces each once more.
    """
    return tf.function(function, autograph=False).get_concrete_function(specs)


def _specs(function: Any) -> tuple[Specs, Specs]:
    """Return the specs of the inputs and of the outputs of a concrete function."""
    (inputs,), _ = function.structured_input_signature
    return inputs, function.structured_outputs


def _save(
    functions: Mapping[str, Any],
    signatures: Signatures,
    description: Description,
    folder: pathlib.Path,
) -> None:
    root = tf.Module()
    root.weights = list({id(v): v for f in functions.values() for v in f.variables}.values())
    root.tables = _tables(signatures.network)
    if isinstance(signatures, ServerSignatures):
        root.slots = signatures.variables
    with tempfile.TemporaryDirectory() as assets:
        path = pathlib.Path(assets) / NAME
        path.write_text(as_text(description), encoding="utf-8")
        root.description = tf.saved_model.Asset(str(path))
        served = {**functions, "serving_default": functions[DEFAULT]}
        tf.saved_model.save(root, str(folder), signatures=served)


def _tables(network: keras.Model) -> list[Any]:
    """Return the lookup tables of a network, which no variable leads to."""
    parts = tf.train.TrackableView(network).descendants()
    return [x for x in parts if isinstance(x, tf.saved_model.experimental.TrackableResource)]

"""Writes a network as a SavedModel that streams with TensorFlow alone.

`mpvn.export.signatures` lists the signatures. The default serving signature is `step`. The
description of the export (`mpvn.export.description`) is in `assets.extra`, for clients, wherever
the model is served; without the checksums of the files, it is also an asset of the model:
`tf.saved_model.load(folder).description.asset_path`.
"""

import pathlib
import tempfile
from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from mpvn.export.description import NAME, Description, Specs, as_text, describe
from mpvn.export.signatures import Signatures

STATE_IN_AND_OUT = "state in and out"
DEFAULT = "step"


def write_saved_model(
    network: keras.Model, clips: list[tf.TensorSpec], folder: pathlib.Path
) -> Description:
    """Write a SavedModel.

    Args:
        network: a causal `VideoNetwork`.
        clips: the spec `[B, T, ...]` of each input.
        folder: the folder to write into.

    Returns:
        The description of the export.
    """
    signatures = Signatures(network, clips)
    batch_size = tf.TensorSpec((), tf.int32, name="batch_size")
    functions = {
        "step": _trace(signatures.step, signatures.frame_specs() | signatures.states),
        "clip": _trace(signatures.clip, signatures.clip_specs()),
        "init_states": _trace(signatures.init_states, {"batch_size": batch_size}),
    }
    specs = {key: _specs(function) for key, function in functions.items()}
    description = describe(
        network, "tf_saved_model", STATE_IN_AND_OUT, specs, default_signature=DEFAULT
    )
    _save(functions, network, description, folder)
    return description


def _trace(function: Any, specs: dict[str, tf.TensorSpec]) -> Any:
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
    network: keras.Model,
    description: Description,
    folder: pathlib.Path,
) -> None:
    root = tf.Module()
    root.weights = list({id(v): v for f in functions.values() for v in f.variables}.values())
    root.tables = _tables(network)
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

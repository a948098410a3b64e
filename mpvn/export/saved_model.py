"""Writes a network as a SavedModel that streams with TensorFlow alone.

`mpvn.export.signatures` lists the signatures. The default serving signature is `step`. Two files
in `assets.extra` are for clients, wherever the model is served: `names.json` has the original name
of each input and output, the state names, and when the network answers: the steps from a frame to
the output that has seen it, and the first step that has seen any; `metadata.json`, for networks
that have metadata, what the network knows (`mpvn.Metadata`): names of classes, frame rate, range of
the pixels. The latter is also an asset of the model:
`tf.saved_model.load(folder).metadata.asset_path`.
"""

import json
import os
import pathlib
import tempfile
from typing import Any

import keras
import tensorflow as tf

from mpvn.export.signatures import Signatures, Specs
from mpvn.files import AtomicPath, WriteError, cannot_write, writing
from mpvn.metadata import Metadata

EXTRA = "assets.extra"
"""Folder of files that loaders of SavedModels leave alone."""

NAMES = "names.json"
METADATA = "metadata.json"


def write_saved_model(
    signatures: Signatures, filepath: str | os.PathLike[str], verbose: bool
) -> None:
    """Write a SavedModel.

    Args:
        signatures: The functions to write.
        filepath: Folder to create. It appears only when it is complete.
        verbose: Whether to print the signatures.

    Raises:
        FileExistsError: If `filepath` exists.
        ValueError: If `filepath` is not a local path.
        WriteError: If it cannot be written, for example because the disk is full.
    """
    target = _check(filepath)
    archive = keras.export.ExportArchive()
    archive.track(signatures.network)
    step_specs = signatures.frame_specs() | signatures.states
    step = archive.add_endpoint("step", signatures.step, [step_specs])
    clip = archive.add_endpoint("clip", signatures.clip, [signatures.clip_specs()])
    batch_size = tf.TensorSpec((), tf.int32, name="batch_size")
    archive.add_endpoint("init_states", signatures.init_states, [batch_size])
    outputs = [function.get_concrete_function().structured_outputs for function in (step, clip)]
    try:
        with writing(target), tempfile.TemporaryDirectory() as assets:
            _attach_metadata(archive, signatures.network.metadata, pathlib.Path(assets))
            target.parent.mkdir(parents=True, exist_ok=True)
            with AtomicPath(target) as folder:
                archive.write_out(str(folder), verbose=False)
                _write_names(signatures, folder)
                _write_metadata(signatures.network.metadata, folder)
    except tf.errors.OpError as error:
        raise WriteError(cannot_write(target, error)) from error
    if verbose and keras.config.is_interactive_logging_enabled():
        print(_description(signatures, target, *outputs))


def _check(filepath: str | os.PathLike[str]) -> pathlib.Path:
    """Return `filepath` as the path of a new local folder."""
    if "://" in os.fspath(filepath):
        raise ValueError(
            f"Cannot export to {filepath}. Expected a local folder. Received: a URL. Export to a "
            "local folder and copy it."
        )
    target = pathlib.Path(filepath)
    if target.exists() or target.is_symlink():
        raise FileExistsError(
            f"Cannot export to {target}. Expected a new folder. Received: a path that exists. "
            "Remove it or choose another path."
        )
    return target


def _write_names(signatures: Signatures, folder: pathlib.Path) -> None:
    """Write the original names beside the model, where loaders of SavedModels leave files alone."""
    names = {
        "inputs": signatures.inputs,
        "outputs": signatures.outputs,
        "states": list(signatures.states),
        "latency": signatures.network.plan.information_latency[1],
        "first_informed_step": signatures.network.first_informed_step,
    }
    path = folder / EXTRA / NAMES
    path.parent.mkdir()
    _write_json(path, names)


def _write_metadata(metadata: Metadata | None, folder: pathlib.Path) -> None:
    if metadata is not None:
        _write_json(folder / EXTRA / METADATA, metadata.to_json())


def _attach_metadata(
    archive: keras.export.ExportArchive, metadata: Metadata | None, folder: pathlib.Path
) -> None:
    """Make `metadata` an asset of the archive, out of a file in `folder`."""
    if metadata is not None:
        _write_json(folder / METADATA, metadata.to_json())
        # `ExportArchive` takes variables and tables, but no assets, so it goes to its root object.
        archive._tf_trackable.metadata = tf.saved_model.Asset(str(folder / METADATA))


def _write_json(path: pathlib.Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _description(
    signatures: Signatures, target: pathlib.Path, step_outputs: Specs, clip_outputs: Specs
) -> str:
    """Return the signatures as text."""
    outputs = {name: step_outputs[name] for name in signatures.outputs}
    step = _lines("input", signatures.frame_specs()) + _lines("output", outputs)
    clip = _lines("input", signatures.clip_specs()) + _lines("output", clip_outputs)
    states = _lines("state", signatures.states)
    sections = {
        "step (default): one frame -> the outputs of this step": step + states,
        "clip: a whole clip -> the outputs of every step": clip,
        "init_states: batch_size, an int32 scalar -> the states of new streams": [],
    }
    text = "\n\n".join("\n".join([f"* {title}", *lines]) for title, lines in sections.items())
    return f"Saved artifact at '{target}'. The following signatures are available:\n\n{text}\n"


def _lines(kind: str, specs: Specs) -> list[str]:
    return [
        f"    {kind} {name}: {spec.dtype.name} {tuple(spec.shape)}" for name, spec in specs.items()
    ]

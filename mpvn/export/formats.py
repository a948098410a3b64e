"""Exports a network in one of the formats of `keras.Model.export`, and describes the export."""

import inspect
import os
import pathlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from mpvn.export.description import EXTRA, NAME, Description, write_description
from mpvn.export.litert_files import write_litert
from mpvn.export.onnx_files import write_onnx
from mpvn.export.openvino_files import write_openvino
from mpvn.export.page import signatures_text
from mpvn.export.saved_model import write_saved_model
from mpvn.export.specs import clip_specs
from mpvn.files import AtomicPath, WriteError, cannot_write, writing


class Format(NamedTuple):
    """A format of exports.

    Attributes:
        write: writes a network into an empty folder and returns the description of the export.
            Its arguments are the network, the specs of its clips (see `mpvn.export.specs`) and the
            folder; those by keyword alone are the options of the format.
        described: path in the folder of the description that is written beside the files.
    """

    write: Callable[..., Description]
    described: str = NAME

    @property
    def options(self) -> Mapping[str, Any]:
        """The names of the options, and their defaults."""
        parameters = inspect.signature(self.write).parameters.values()
        return {each.name: each.default for each in parameters if each.kind == each.KEYWORD_ONLY}


FORMATS: Mapping[str, Format] = {
    "tf_saved_model": Format(write_saved_model, f"{EXTRA}/{NAME}"),
    "litert": Format(write_litert),
    "onnx": Format(write_onnx),
    "openvino": Format(write_openvino),
}
"""The formats by name. A new one is one line here."""

KERAS_FORMATS = ("tf_saved_model", "onnx", "openvino", "litert", "torch")


def export_network(
    network: keras.Model,
    filepath: str | os.PathLike[str],
    format: str = "tf_saved_model",
    verbose: bool | None = None,
    input_signature: Any = None,
    **kwargs: Any,
) -> None:
    """Write `network` to a folder that runs without this package.

    Args:
        network: A causal `VideoNetwork`.
        filepath: Folder to create. It appears only when it is complete.
        format: One of `FORMATS`.
        verbose: Whether to print the signatures. None means True, as in Keras.
        input_signature: Specs of the clips; see `mpvn.export.specs`. None leaves the batch size and
            the number of frames open.
        **kwargs: Options of the format: the arguments by keyword of its writer.

    Raises:
        FileExistsError: If `filepath` exists.
        TypeError: If the format does not have an option in `kwargs`.
        ValueError: If the format is unknown, `filepath` is not a local path, a spec or an option
            does not fit the network, or the network looks into the future and therefore cannot
            stream.
        WriteError: If it cannot be written, for example because the disk is full.
    """
    chosen = find_format(format)
    check_options(format, kwargs)
    network.check_streams()
    clips = clip_specs(network.graph, input_signature)
    target = _check(filepath)
    try:
        with writing(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            with AtomicPath(target) as folder:
                description = chosen.write(network, clips, folder, **kwargs)
                write_description(description, folder, chosen.described)
    except tf.errors.OpError as error:
        raise WriteError(cannot_write(target, error)) from error
    if (verbose is None or verbose) and keras.config.is_interactive_logging_enabled():
        print(
            f"Saved artifact at '{target}'. The following signatures are available:\n\n"
            f"{signatures_text(description)}\n"
        )


def find_format(name: str) -> Format:
    """Return a format.

    Raises:
        ValueError: there is no such format.
    """
    if name in FORMATS:
        return FORMATS[name]
    also = " Keras has this format, but not for video networks." * (name in KERAS_FORMATS)
    raise ValueError(f"Invalid format. Expected one of {list(FORMATS)}. Received: {name!r}.{also}")


def check_options(name: str, given: Mapping[str, Any]) -> None:
    """Raise TypeError if a format does not have one of the options."""
    known = find_format(name).options
    unknown = sorted(given.keys() - known.keys())
    if unknown:
        raise TypeError(
            f"Invalid arguments of export. Expected options of the format {name!r}: "
            f"{', '.join(known) or 'none'}. Received: {', '.join(unknown)}."
        )


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

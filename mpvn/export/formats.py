"""Exports a network in one of the formats of `keras.Model.export`."""

import os
from typing import Any

import keras

from mpvn.export.saved_model import write_saved_model
from mpvn.export.signatures import Signatures
from mpvn.export.specs import clip_specs

FORMATS = ("tf_saved_model",)
KERAS_FORMATS = ("tf_saved_model", "onnx", "openvino", "litert", "torch")


def export_network(
    network: keras.Model,
    filepath: str | os.PathLike[str],
    format: str = "tf_saved_model",
    verbose: bool | None = None,
    input_signature: Any = None,
    **kwargs: Any,
) -> None:
    """Write `network` to a file that runs without this package.

    Args:
        network: A causal `VideoNetwork`.
        filepath: Folder to create. It appears only when it is complete.
        format: `"tf_saved_model"`; see `mpvn.export.signatures`.
        verbose: Whether to print the signatures. None means True, as in Keras.
        input_signature: Specs of the clips; see `mpvn.export.specs`. None leaves the batch size and
            the number of frames open.
        **kwargs: Options of the format. A SavedModel has none.

    Raises:
        FileExistsError: If `filepath` exists.
        TypeError: If the format does not have an option in `kwargs`.
        ValueError: If the format is unknown, a spec does not fit the network, or the network looks
            into the future and therefore cannot stream.
    """
    if format not in FORMATS:
        also = " Keras has this format, but not for video networks." * (format in KERAS_FORMATS)
        raise ValueError(
            f"Invalid format. Expected one of {list(FORMATS)}. Received: {format!r}.{also}"
        )
    if kwargs:
        raise TypeError(
            f"Invalid arguments of export. Expected no options for format {format!r}. "
            f"Received: {', '.join(sorted(kwargs))}."
        )
    network.check_streams()
    signatures = Signatures(network, clip_specs(network.graph, input_signature))
    write_saved_model(signatures, filepath, verbose is None or bool(verbose))

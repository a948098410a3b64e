"""Networks of `keras.applications`: by name, the pixels that they read, and their weights."""

import contextlib
import inspect
import os
import sys
import warnings
from collections.abc import Callable, Iterator

import keras
import numpy as np

Prepare = Callable[[np.ndarray], np.ndarray]
"""Scales frames uint8 `[..., H, W, 3]` to the input of a model, float32 `[..., H, W, 3]`."""


def application_builders() -> dict[str, Callable[..., keras.Model]]:
    """Return the functions that build the networks, by their names in lower case."""
    return {
        name.lower(): builder
        for name, builder in vars(keras.applications).items()
        if inspect.isfunction(builder) and "input_shape" in inspect.signature(builder).parameters
    }


def preprocessing(builder: Callable[..., keras.Model]) -> Prepare:
    """Return the `preprocess_input` that belongs to a network.

    It gets float32 copies of the frames, because some of these functions write in place.
    """
    preprocess = sys.modules[builder.__module__].preprocess_input
    return lambda frame: np.asarray(preprocess(frame.astype(np.float32)))


@contextlib.contextmanager
def download_errors() -> Iterator[None]:
    """Raise a failed download of Keras, a bare `Exception`, as a `ValueError` with a remedy."""
    try:
        yield
    except Exception as error:
        if type(error) is not Exception or "URL fetch failure" not in str(error):
            raise
        raise ValueError(
            f"Weights are not on this machine and cannot be downloaded: {error}. Connect and try "
            "again, or download the file elsewhere and give its path as weights"
        ) from error


@download_errors()
def load_application(name: str, weights: str | os.PathLike, include_top: bool) -> keras.Model:
    """Build a network of `keras.applications` with weights.

    Args:
        name: Name of the function that builds it, such as `"ResNet50"`.
        weights: `"imagenet"` (downloaded by Keras), or a weights file.
        include_top: Whether to include the classifier with 1000 classes. A file must have been
            saved with the same choice.

    Raises:
        ValueError: If the file does not exist, or holds the weights of another network.
    """
    builder = getattr(keras.applications, name)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # Keras only warns about layers that the file lacks
            return builder(weights=weights, include_top=include_top, input_shape=(224, 224, 3))
    except (ValueError, UserWarning, OSError) as error:
        first_line = str(error).strip().splitlines()[0]
        kind = "with its classifier" if include_top else "without its classifier (notop)"
        raise ValueError(
            f"{weights} does not hold the weights of keras.applications.{name} {kind}: {first_line}"
        ) from error

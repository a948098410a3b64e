"""Networks of `keras.applications` as sources of weights for the networks of this package."""

import os
import warnings

import keras


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

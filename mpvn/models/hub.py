"""Image models of keras-hub by the names of their presets, with their weights.

    hub:resnet_18_imagenet      hub:hf://timm/resnet18.a1_in1k      hub:./my_preset

keras-hub is optional. It downloads presets that are not on disk.
"""

from typing import Any

import keras
import numpy as np

from mpvn.models.applications import Prepare

PREFIX = "hub:"
"""Beginning of the names of presets."""


def load_preset(name: str) -> tuple[keras.Model, Prepare | None]:
    """Load the backbone of a preset, and the function that scales frames for it.

    Args:
        name: `hub:` and a preset: a name, a handle, or a folder.

    Returns:
        A functional model over images. None instead of the function if the preset has none.

    Raises:
        ValueError: If keras-hub is not installed, or has no such preset of images.
    """
    preset = name.removeprefix(PREFIX)
    try:
        import keras_hub
    except ImportError as error:
        raise ValueError(
            f"{name}: keras-hub is not installed. Install it with pip install keras-hub"
        ) from error
    try:
        backbone = keras_hub.models.Backbone.from_preset(preset)
    except Exception as error:  # of downloads, archives, configs, and more
        first_line = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise ValueError(f"{name}: keras-hub could not load this preset: {first_line}") from error
    # A backbone may check its inputs in a call of its own.
    model = keras.Model(backbone.input, backbone.output, name=backbone.name)
    try:
        converter = keras_hub.layers.ImageConverter.from_preset(preset)
    except ValueError:
        return model, None
    return model, _scaling(converter)


def _scaling(converter: Any) -> Prepare:
    """Return what a converter does to pixels, without its resizing."""
    scale = np.float32(1 if converter.scale is None else converter.scale)
    offset = np.float32(0 if converter.offset is None else converter.offset)
    return lambda frames: frames * scale + offset

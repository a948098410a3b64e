"""Full-Res, the network of *Skip-Sideways* (supplement) that predicts future frames.

It has eight units of two 3x3 convolutions and a 3x3 pool of stride 1, so every map has the size of
its input. Blocks of 2x2 pixels are moved into the channels at the input, and back at the end.
"""

import keras

from mpvn.models.heads import image_head
from mpvn.models.norms import check_norm
from mpvn.models.parts import (
    check_frame,
    convolution,
    max_pool,
    norm_relu,
    scale_channels,
    space_to_channels,
)

FILTERS = (64, 64, 32, 32, 32, 32, 32, 32)
"""Channels of each unit."""


def full_res(
    input_shape: tuple[int, int, int] = (224, 224, 3),
    *,
    norm: str = "batch",
    block: int = 2,
    width: float = 1.0,
    name: str = "full_res",
) -> keras.Model:
    """Build a frame model of 8 units.

    Args:
        input_shape: Height and width of the frames, multiples of `block`, and their channels.
        norm: Normalization of the convolutions: `"batch"` or `"group"`.
        block: Height and width of the blocks of pixels that are moved into the channels; 1: none.
        width: Factor for all channels but the frames'.
        name: Name of the model.

    Returns:
        A functional model from a frame `[B, H, W, C]` to a frame of the same shape, float32,
        between -1 and 1 (a hard tanh).

    Raises:
        ValueError: If the frame size is not a multiple of `block`.
    """
    check_norm(norm, name)
    if block < 1:
        raise ValueError(f"Invalid block of {name!r}. Expected at least 1. Received: {block}")
    check_frame(input_shape, block, name)
    frame = keras.Input(input_shape, name="frame")
    x = space_to_channels(frame, block, "unit1")
    for number, filters in enumerate(FILTERS, 1):
        unit, channels = f"unit{number}", scale_channels(filters, width)
        x = convolution(x, channels, 3, f"{unit}.conv1")
        x = norm_relu(x, f"{unit}.conv1", norm=norm)
        if number < len(FILTERS):
            x = convolution(x, channels, 3, f"{unit}.conv2")
            x = norm_relu(x, f"{unit}.conv2", norm=norm)
            x = max_pool(x, 3, f"{unit}.pool")
    image = image_head(x, input_shape[2], "hard_tanh", block, unit)
    return keras.Model(frame, image, name=name)

"""Simple-CNN, the small network of *Sideways* (section 4.2): five 3x3 convolutions, a classifier.

It has six modules, and each is a unit. The paper does not say whether it normalizes; by default
this network does not.
"""

import keras

from mpvn.models.heads import action_head
from mpvn.models.parts import check_frame, convolution, norm_relu, scale_channels, space_to_channels

FILTERS = (32, 64, 64, 128, 256)
STRIDES = (2, 1, 2, 1, 2)


def simple_cnn(
    input_shape: tuple[int, int, int] = (224, 224, 3),
    *,
    classes: int = 51,
    norm: str | None = None,
    block: int | tuple[int, int, int] = 1,
    width: float = 1.0,
    name: str = "simple_cnn",
) -> keras.Model:
    """Build a frame model of 6 units.

    Args:
        input_shape: Height, width and channels of the frames.
        classes: Number of classes (51: HMDB51).
        norm: Normalization of the convolutions: `"batch"`, `"group"`, or None.
        block: Moves blocks of `block` x `block` pixels, or of `(frames, height, width)`, into the
            channels of the input.
        width: Factor for all channels but the classes.
        name: Name of the model.

    Returns:
        A functional model from a frame `[B, H, W, C]` to logits `[B, classes]`, float32.

    Raises:
        ValueError: If the frame size is unknown, or `block` does not divide it.
    """
    check_frame(input_shape, 1, name)
    frame = keras.Input(input_shape, name="frame")
    x = convolutions(space_to_channels(frame, block, "conv1"), norm, width)
    logits = action_head(x, classes, unit="linear")
    return keras.Model(frame, logits, name=name)


def convolutions(x: keras.KerasTensor, norm: str | None, width: float) -> keras.KerasTensor:
    """Apply the five convolutions, units `conv1` to `conv5`.

    Args:
        x: `[B, H, W, C]`.
        norm: Their normalization: `"batch"`, `"group"`, or None.
        width: Factor for their channels.

    Returns:
        `[B, H / 8, W / 8, round(256 * width)]`.
    """
    for number, (filters, strides) in enumerate(zip(FILTERS, STRIDES, strict=True), 1):
        unit = f"conv{number}"
        channels = scale_channels(filters, width)
        x = convolution(x, channels, 3, f"{unit}.conv", strides=strides, use_bias=norm is None)
        x = norm_relu(x, f"{unit}.conv", norm=norm)
    return x

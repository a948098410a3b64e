"""What the published networks are built of: convolutions with or without a past, and their sizes.

Nodes are called `unit.part`; `Plan(model, n, partition="units")` cuts between the units.
"""

from typing import Any

import keras
from keras import layers

import keras_layers


def scaled(channels: int, width: float) -> int:
    """`channels` times the width multiplier, at least 1."""
    return max(1, round(channels * width))


def convolution(
    x: keras.KerasTensor,
    filters: int,
    kernel: int,
    name: str,
    *,
    strides: int = 1,
    groups: int = 1,
    temporal_kernel: int = 1,
    temporal_stride: int = 1,
    temporal_padding: str = "causal",
    padding: str = "same",
    use_bias: bool = False,
) -> keras.KerasTensor:
    """A 2D convolution, in groups if wanted: with as many as filters, a depthwise one. Or one over
    time too, without groups, if its temporal kernel or stride is above 1."""
    common: Any = {"padding": padding, "use_bias": use_bias, "name": name}
    if 1 < groups == filters:
        depthwise = layers.DepthwiseConv2D(
            kernel, strides, depthwise_initializer="he_normal", **common
        )
        return depthwise(x)
    common["kernel_initializer"] = "he_normal"
    if temporal_kernel == temporal_stride == 1:
        return layers.Conv2D(filters, kernel, strides, groups=groups, **common)(x)
    return keras_layers.TemporalConv3D(
        filters,
        (temporal_kernel, kernel, kernel),
        (temporal_stride, strides, strides),
        temporal_padding=temporal_padding,
        **common,
    )(x)


def rectified(
    x: keras.KerasTensor, name: str, *, epsilon: float = 1e-5, batch_norm: bool = True
) -> keras.KerasTensor:
    """Batch norm, if wanted, and ReLU: `name_norm` and `name_relu`."""
    if batch_norm:
        x = layers.BatchNormalization(epsilon=epsilon, name=f"{name}_norm")(x)
    return layers.ReLU(name=f"{name}_relu")(x)


def max_pool(
    x: keras.KerasTensor,
    size: int,
    name: str,
    *,
    strides: int = 1,
    temporal_size: int = 1,
    temporal_stride: int = 1,
    temporal_padding: str = "causal",
) -> keras.KerasTensor:
    """A 2D pool with padding "same", or one over time too."""
    if temporal_size == temporal_stride == 1:
        return layers.MaxPooling2D(size, strides, padding="same", name=name)(x)
    return keras_layers.TemporalMaxPooling3D(
        (temporal_size, size, size),
        (temporal_stride, strides, strides),
        padding="same",
        temporal_padding=temporal_padding,
        name=name,
    )(x)


def average_pool(
    x: keras.KerasTensor, size: int, name: str, *, temporal_stride: int = 1
) -> keras.KerasTensor:
    """A 2D pool over whole blocks of pixels that, with a temporal stride, ticks more rarely."""
    if temporal_stride == 1:
        return layers.AveragePooling2D(size, name=name)(x)
    return keras_layers.TemporalAveragePooling3D(
        (1, size, size), (temporal_stride, size, size), name=name
    )(x)


def stacked_input(
    frame: keras.KerasTensor, block: int | tuple[int, int, int], unit: str
) -> keras.KerasTensor:
    """`frame` with blocks of pixels, and of frames, moved into the channels.

    Args:
        frame: `[B, H, W, C]`.
        block: `height = width`, or `(time, height, width)`; 1 leaves the frame as it is.
        unit: the unit that the layer belongs to.

    Returns:
        `[B, H / height, W / width, C * time * height * width]`.
    """
    time, height, width = (1, block, block) if isinstance(block, int) else block
    if (time, height, width) == (1, 1, 1):
        return frame
    if time == 1:
        return keras_layers.SpaceToDepth((height, width), name=f"{unit}.space_to_depth")(frame)
    layer = keras_layers.SpaceTimeToDepth((time, height, width), name=f"{unit}.space_time_to_depth")
    return layer(frame)


def check_frame(input_shape: tuple[int, ...], divisor: int, network: str) -> None:
    """Raises ValueError unless frames are `(height, width, channels)`, multiples of `divisor`."""
    known = all(isinstance(size, int) and size > 0 for size in input_shape)
    if len(input_shape) != 3 or not known:
        raise ValueError(
            f"{network}: input_shape must be (height, width, channels), all known. "
            f"Received: {input_shape}"
        )
    if any(size % divisor for size in input_shape[:2]):
        nearest = [max(1, round(size / divisor)) * divisor for size in input_shape[:2]]
        raise ValueError(
            f"{network}: frames must be multiples of {divisor} high and wide, such as "
            f"{nearest[0]}x{nearest[1]}. Received: {input_shape[0]}x{input_shape[1]}"
        )


def check_task(network: str, joints: int | None, classes: int | None, feedback: bool) -> None:
    """Raises ValueError unless the network is for heatmaps or for classes."""
    if joints is not None and classes is not None:
        raise ValueError(
            f"{network}: give joints (heatmaps) or classes (a classifier), not both. "
            f"Received: joints={joints}, classes={classes}"
        )
    if feedback and classes is not None:
        raise ValueError(
            f"{network}: what is fed back are heatmaps. Leave out classes={classes}, or feedback"
        )

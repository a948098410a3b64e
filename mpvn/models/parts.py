"""Parts of the published networks: convolutions and pooling, spatial or temporal.

Nodes are called `unit.part`; `Plan(model, n, partition="units")` cuts between units.
"""

from typing import Any

import keras
from keras import layers

import keras_layers
from keras_layers.arguments import standardize_triple
from keras_layers.temporal import check_temporal_padding
from mpvn.models.norms import normalize

FEEDBACKS = ("heatmaps", "head_input")
"""What a network can read of its head at the previous step; see `join_feedback`."""


def scale_channels(channels: int, width: float) -> int:
    """Return `channels` times the width multiplier `width`, rounded, at least 1.

    Raises:
        ValueError: If `width` is not above 0.
    """
    if not width > 0:
        raise ValueError(f"Invalid width. Expected a factor above 0. Received: {width}")
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
    """Apply a 2D convolution, or a temporal one if the temporal kernel or stride is above 1.

    Args:
        x: `[B, H, W, C]`.
        filters: Number of output channels.
        kernel: Height and width of the kernel.
        name: Name of the layer.
        strides: Spatial stride.
        groups: Number of groups of a 2D convolution. If it equals `filters`, the convolution is
            depthwise.
        temporal_kernel, temporal_stride, temporal_padding: See `keras_layers.TemporalConv3D`.
        padding: Spatial padding, `"same"` or `"valid"`.
        use_bias: Whether to add a bias.

    Returns:
        `[B, H', W', filters]`.
    """
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


def norm_relu(
    x: keras.KerasTensor, name: str, *, norm: str | None = "batch", epsilon: float = 1e-5
) -> keras.KerasTensor:
    """Apply `norm` (see `normalize`; None for none) and ReLU, called `name_norm`, `name_relu`."""
    if norm is not None:
        x = normalize(x, f"{name}_norm", norm, epsilon=epsilon)
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
    padding: str = "same",
) -> keras.KerasTensor:
    """Apply max pooling, over time too if a temporal argument is above 1."""
    if temporal_size == temporal_stride == 1:
        return layers.MaxPooling2D(size, strides, padding=padding, name=name)(x)
    return keras_layers.TemporalMaxPooling3D(
        (temporal_size, size, size),
        (temporal_stride, strides, strides),
        padding=padding,
        temporal_padding=temporal_padding,
        name=name,
    )(x)


def average_pool(
    x: keras.KerasTensor,
    size: int | tuple[int, int],
    name: str,
    *,
    temporal_size: int = 1,
    temporal_stride: int = 1,
    temporal_padding: str = "causal",
) -> keras.KerasTensor:
    """Average blocks of `size` pixels, over time too if a temporal argument is above 1."""
    height, width = (size, size) if isinstance(size, int) else size
    if temporal_size == temporal_stride == 1:
        return layers.AveragePooling2D((height, width), name=name)(x)
    return keras_layers.TemporalAveragePooling3D(
        (temporal_size, height, width),
        (temporal_stride, height, width),
        temporal_padding=temporal_padding,
        name=name,
    )(x)


def space_to_channels(
    frame: keras.KerasTensor,
    block: int | tuple[int, int, int],
    unit: str,
    temporal_padding: str = "causal",
) -> keras.KerasTensor:
    """Move blocks of pixels, and of frames, into channels.

    Args:
        frame: `[B, H, W, C]`.
        block: Height and width, or `(time, height, width)`. With 1, the frame stays as it is.
        unit: Unit of the layer.
        temporal_padding: See `keras_layers.SpaceTimeToDepth`.

    Returns:
        `[B, H / height, W / width, C * time * height * width]`.
    """
    if isinstance(block, int):
        block = (1, block, block)
    time, height, width = standardize_triple(block, "block")
    if (time, height, width) == (1, 1, 1):
        return frame
    if time == 1:
        return keras_layers.SpaceToDepth((height, width), name=f"{unit}.space_to_depth")(frame)
    return keras_layers.SpaceTimeToDepth(
        (time, height, width), temporal_padding, name=f"{unit}.space_time_to_depth"
    )(frame)


def check_frame(input_shape: tuple[int, ...], divisor: int, network: str) -> None:
    """Raise a `ValueError` unless `input_shape` is that of frames with multiples of `divisor`."""
    known = all(isinstance(size, int) and size > 0 for size in input_shape)
    if len(input_shape) != 3 or not known:
        raise ValueError(
            f"Invalid input_shape of {network!r}. Expected (height, width, channels), all known. "
            f"Received: {input_shape}"
        )
    if any(size % divisor for size in input_shape[:2]):
        nearest = [max(1, round(size / divisor)) * divisor for size in input_shape[:2]]
        raise ValueError(
            f"Invalid frame size for {network!r}. Expected a height and width that are multiples "
            f"of {divisor}, such as {nearest[0]}x{nearest[1]}. "
            f"Received: {input_shape[0]}x{input_shape[1]}"
        )


def check_task(
    network: str,
    joints: int | None,
    classes: int | None,
    feedback: str | None,
    temporal_padding: str,
) -> None:
    """Raise a `ValueError` unless options of heatmaps, classes and whole clips fit together."""
    check_temporal_padding(temporal_padding, network)
    if joints is not None and joints < 1:
        raise ValueError(
            f"Invalid joints of {network!r}. Expected at least 1, or None. Received: {joints}"
        )
    if joints is not None and classes is not None:
        raise ValueError(
            f"Conflicting options of {network!r}. Expected joints (heatmaps) or classes (a "
            f"classifier), not both. Received: joints={joints}, classes={classes}"
        )
    if feedback is None:
        return
    if feedback not in FEEDBACKS:
        raise ValueError(
            f"Invalid feedback of {network!r}. Expected one of {FEEDBACKS}, or None. "
            f"Received: {feedback!r}"
        )
    if classes is not None or temporal_padding != "causal":
        raise ValueError(
            f"Conflicting options of {network!r}. Expected feedback only with heatmaps and "
            f"temporal_padding='causal'. Received: feedback={feedback!r}, classes={classes}, "
            f"temporal_padding={temporal_padding!r}"
        )

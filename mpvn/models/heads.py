"""Heads: from the features of a network to its predictions, always in float32.

By default, their nodes are called `head.part`. In the published plans they belong to the last
subnetwork, so the maps of other subnetworks reach them one step late (*Massively Parallel Video
Networks*, section 3.1). With `Plan(model, n, head="head")` they read all maps without delay.
"""

import math
from collections.abc import Mapping

import keras
from keras import layers

import keras_layers
from mpvn.models.parts import convolution
from mpvn.plan.units import HEAD_UNIT

LOGITS = f"{HEAD_UNIT}.logits"
"""Name of the node that computes the heatmaps. Feedback reads them by this name."""

JOINTS = 17
"""Default number of heatmaps: the joints of COCO."""


def action_head(
    features: keras.KerasTensor, classes: int, dropout: float = 0.0, unit: str = HEAD_UNIT
) -> keras.KerasTensor:
    """Compute class scores from a map: mean over space, dropout, a dense layer.

    Args:
        features: `[B, h, w, C]`.
        classes: Number of classes, at least 1.
        dropout: Fraction of the features to drop in training.
        unit: Unit of the layers.

    Returns:
        Logits `[B, classes]`, float32.
    """
    x = layers.GlobalAveragePooling2D(name=f"{unit}.mean")(features)
    if dropout:
        x = layers.Dropout(dropout, name=f"{unit}.dropout")(x)
    return layers.Dense(classes, dtype="float32", name=f"{unit}.logits")(x)


def keypoint_head(
    features: Mapping[str, keras.KerasTensor],
    joints: int,
    size: tuple[int, int] | None = None,
    temporal_kernel: int = 1,
) -> keras.KerasTensor:
    """Compute heatmaps from maps of several scales: upsample, concatenate, convolve 3x3.

    Each map is upsampled in its own unit, at the clock rate of that unit. The head concatenates the
    upsampled maps that are held.

    Args:
        features: Maps `[B, h, w, C]` of any sizes, by the name of their unit.
        joints: Number of heatmaps, at least 1.
        size: Height and width of the heatmaps. Defaults to those of the largest map.
        temporal_kernel: Number of frames that the convolution sees.

    Returns:
        Logits `[B, *size, joints]`, float32.

    Raises:
        ValueError: If `size` is not a multiple of the size of each map.
    """
    sizes = [(map_.shape[1], map_.shape[2]) for map_ in features.values()]
    size = max(sizes) if size is None else size
    if any(whole % part for map_ in sizes for whole, part in zip(size, map_, strict=True)):
        high, wide = (math.lcm(*side) for side in zip(*sizes, strict=True))
        raise ValueError(
            "Invalid size of the heatmaps. Expected multiples of the maps' sizes "
            f"{', '.join(f'{h}x{w}' for h, w in sizes)}, such as {high}x{wide} or "
            f"{2 * high}x{2 * wide}. Received: {size[0]}x{size[1]}"
        )
    upsampled = [_upsample(map_, size, unit) for unit, map_ in features.items()]
    joined = layers.Concatenate(name=f"{HEAD_UNIT}.join")(upsampled)
    name = f"{HEAD_UNIT}.convolution"
    logits = convolution(joined, joints, 3, name, temporal_kernel=temporal_kernel, use_bias=True)
    return layers.Activation("linear", dtype="float32", name=LOGITS)(logits)


def previous_heatmaps(
    anchor: keras.KerasTensor, joints: int, size: tuple[int, int] | None, unit: str
) -> keras.KerasTensor:
    """Feed the heatmaps of the previous step back to an earlier layer (section 3.2).

    Args:
        anchor: Map `[B, h, w, C]` that the layer reads besides the heatmaps.
        joints: As in `keypoint_head`.
        size: Height and width of the heatmaps. Defaults to those of `anchor`.
        unit: Unit of the layers.

    Returns:
        Tanh of the logits, averaged to the size of `anchor`: `[B, h, w, joints]`. Zeros before the
        first heatmaps.

    Raises:
        ValueError: If `size` is not a multiple of the size of `anchor`.
    """
    height, width = anchor.shape[1:3]
    size = (height, width) if size is None else size
    x = keras_layers.Feedback(LOGITS, (*size, joints), name=f"{unit}.feedback")(anchor)
    x = layers.Activation("tanh", name=f"{unit}.feedback_tanh")(x)
    if size == (height, width):
        return x
    if size[0] % height or size[1] % width:
        raise ValueError(
            f"Cannot feed heatmaps back to maps of {height}x{width}. Expected heatmaps of "
            f"{height}x{width}, {2 * height}x{2 * width}, and so on. "
            f"Received: {size[0]}x{size[1]}"
        )
    factors = (size[0] // height, size[1] // width)
    return layers.AveragePooling2D(factors, name=f"{unit}.feedback_pool")(x)


def image_head(
    features: keras.KerasTensor,
    channels: int = 3,
    activation: str = "linear",
    block: int = 1,
    unit: str = HEAD_UNIT,
) -> keras.KerasTensor:
    """Compute an image from a map: a 3x3 convolution and an activation.

    Args:
        features: `[B, h, w, C]`.
        channels: Number of channels of the image.
        activation: Activation, such as `"hard_tanh"` for pixels from -1 to 1.
        block: Height and width of the block of pixels that each position of the map becomes.
        unit: Unit of the layers.

    Returns:
        `[B, h * block, w * block, channels]`, float32.
    """
    x = convolution(features, channels * block**2, 3, f"{unit}.convolution", use_bias=True)
    if block > 1:
        x = keras_layers.DepthToSpace(block, name=f"{unit}.depth_to_space")(x)
    return layers.Activation(activation, dtype="float32", name=f"{unit}.image")(x)


def _upsample(map_: keras.KerasTensor, size: tuple[int, int], unit: str) -> keras.KerasTensor:
    factors = (size[0] // map_.shape[1], size[1] // map_.shape[2])
    if factors == (1, 1):
        return map_
    return layers.UpSampling2D(factors, interpolation="bilinear", name=f"{unit}.enlarge")(map_)

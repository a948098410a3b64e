"""Heads: from a network's features to what it predicts, always in float32.

Unless another unit is named, their nodes are called `head.part`, so that `Plan(model, n,
partition="units")` takes them for the head: they run at every step, in sequence with whatever they
read (*Massively Parallel Video Networks*, section 4).
"""

import math
from collections.abc import Mapping

import keras
from keras import layers

import keras_layers
from mpvn.models.parts import convolution
from mpvn.plan.units import HEAD_UNIT

LOGITS = f"{HEAD_UNIT}.logits"
"""Name of the node that makes the heatmaps, by which they are fed back."""

JOINTS = 17
"""Default number of heatmaps: the joints of COCO."""


def action_head(
    features: keras.KerasTensor, classes: int, dropout: float = 0.0, unit: str = HEAD_UNIT
) -> keras.KerasTensor:
    """Scores of classes from a map: mean over space, dropout, a dense layer.

    Args:
        features: `[B, h, w, C]`.
        classes: number of classes, at least 1.
        dropout: share of the features that training leaves out.
        unit: the unit that the layers make up.

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
    """Heatmaps from maps of several scales: all enlarged, joined, and convolved 3x3.

    A map is enlarged by its own unit, and so at its own clock; the head joins what it holds.

    Args:
        features: maps `[B, h, w, C]`, each of its own size, by the unit that makes them.
        joints: number of heatmaps, at least 1.
        size: height and width of the heatmaps; default: of the largest map.
        temporal_kernel: frames that the convolution sees.

    Returns:
        Logits `[B, *size, joints]`, float32.

    Raises:
        ValueError: a map cannot be enlarged to `size` by whole factors.
    """
    sizes = [(map_.shape[1], map_.shape[2]) for map_ in features.values()]
    size = max(sizes) if size is None else size
    if any(whole % part for map_ in sizes for whole, part in zip(size, map_, strict=True)):
        high, wide = (math.lcm(*side) for side in zip(*sizes, strict=True))
        raise ValueError(
            f"maps of {', '.join(f'{h}x{w}' for h, w in sizes)} must be enlarged by whole factors, "
            f"so heatmaps may be {high}x{wide}, {2 * high}x{2 * wide}, and so on. "
            f"Received: {size[0]}x{size[1]}"
        )
    enlarged = [_enlarged(map_, size, unit) for unit, map_ in features.items()]
    joined = layers.Concatenate(name=f"{HEAD_UNIT}.join")(enlarged)
    name = f"{HEAD_UNIT}.convolution"
    logits = convolution(joined, joints, 3, name, temporal_kernel=temporal_kernel, use_bias=True)
    return layers.Activation("linear", dtype="float32", name=LOGITS)(logits)


def fed_back(
    anchor: keras.KerasTensor, joints: int, size: tuple[int, int] | None, unit: str
) -> keras.KerasTensor:
    """The heatmaps of the step before, for an earlier layer to read (section 3.5).

    Args:
        anchor: the map `[B, h, w, C]` beside which they are read.
        joints: as `keypoint_head`.
        size: height and width of the heatmaps; default: of `anchor`.
        unit: the unit that reads them.

    Returns:
        `[B, h, w, joints]`, the tanh of the logits: zeros before there are any.

    Raises:
        ValueError: the heatmaps are no whole multiple of `anchor`'s size.
    """
    own = (anchor.shape[1], anchor.shape[2])
    size = own if size is None else size
    x = keras_layers.Feedback(LOGITS, (*size, joints), name=f"{unit}.feedback")(anchor)
    x = layers.Activation("tanh", name=f"{unit}.feedback_tanh")(x)
    if size == own:
        return x
    if any(whole % part for whole, part in zip(size, own, strict=True)):
        raise ValueError(
            f"heatmaps of {size[0]}x{size[1]} cannot be fed back to maps of {own[0]}x{own[1]}; "
            f"possible are {own[0]}x{own[1]}, {2 * own[0]}x{2 * own[1]}, and so on"
        )
    factors = (size[0] // own[0], size[1] // own[1])
    return layers.AveragePooling2D(factors, name=f"{unit}.feedback_pool")(x)


def image_head(
    features: keras.KerasTensor,
    channels: int = 3,
    activation: str = "linear",
    block: int = 1,
    unit: str = HEAD_UNIT,
) -> keras.KerasTensor:
    """A picture from a map: a 3x3 convolution and an activation.

    Args:
        features: `[B, h, w, C]`.
        channels: of the picture.
        activation: such as `"hard_tanh"` for pixels between -1 and 1.
        block: height and width of the blocks of pixels that each position of the map becomes.
        unit: the unit that the layers make up.

    Returns:
        `[B, h * block, w * block, channels]`, float32.
    """
    x = convolution(features, channels * block**2, 3, f"{unit}.convolution", use_bias=True)
    if block > 1:
        x = keras_layers.DepthToSpace(block, name=f"{unit}.depth_to_space")(x)
    return layers.Activation(activation, dtype="float32", name=f"{unit}.image")(x)


def _enlarged(map_: keras.KerasTensor, size: tuple[int, int], unit: str) -> keras.KerasTensor:
    factors = (size[0] // map_.shape[1], size[1] // map_.shape[2])
    if factors == (1, 1):
        return map_
    return layers.UpSampling2D(factors, interpolation="bilinear", name=f"{unit}.enlarge")(map_)

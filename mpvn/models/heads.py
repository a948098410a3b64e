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
from keras_layers.arguments import standardize_pair
from mpvn.models.parts import average_pool, convolution
from mpvn.plan.units import HEAD_UNIT

HEAD_INPUT, LOGITS = f"{HEAD_UNIT}.join", f"{HEAD_UNIT}.logits"
"""Names of the nodes of the keypoint head that feedback reads: what its convolution reads, and the
heatmaps."""

RELATED = 256
"""Channels of the features that temporal relations read, as in the authors' code of TRN."""

JOINTS = 17
"""Default number of heatmaps: the joints of COCO."""


def action_head(
    features: keras.KerasTensor,
    classes: int,
    dropout: float = 0.0,
    unit: str = HEAD_UNIT,
    *,
    temporal_size: int = 1,
    temporal_padding: str = "causal",
) -> keras.KerasTensor:
    """Compute class scores from a map: mean over space and time, dropout, a dense layer.

    Args:
        features: `[B, h, w, C]`. With `temporal_size=1` also rows `[B, N, C]`, whose mean is taken,
            or features `[B, C]`.
        classes: Number of classes, at least 1.
        dropout: Fraction of the features to drop in training.
        unit: Unit of the layers.
        temporal_size, temporal_padding: The ticks of `features` that the mean is over; see
            `keras_layers.TemporalAveragePooling3D`.

    Returns:
        Logits `[B, classes]`, float32.
    """
    x = features
    if temporal_size == 1 and len(features.shape) == 4:
        x = layers.GlobalAveragePooling2D(name=f"{unit}.mean")(features)
    elif temporal_size == 1 and len(features.shape) == 3:
        x = layers.GlobalAveragePooling1D(name=f"{unit}.mean")(features)
    elif temporal_size > 1:
        x = average_pool(
            features,
            tuple(features.shape[1:3]),
            f"{unit}.mean",
            temporal_size=temporal_size,
            temporal_padding=temporal_padding,
        )
        x = layers.Flatten(name=f"{unit}.flatten")(x)
    if dropout:
        x = layers.Dropout(dropout, name=f"{unit}.dropout")(x)
    return layers.Dense(classes, dtype="float32", name=f"{unit}.logits")(x)


def relation_head(
    features: keras.KerasTensor,
    classes: int,
    frames: int,
    dropout: float = 0.0,
    unit: str = HEAD_UNIT,
) -> keras.KerasTensor:
    """Compute class scores from the maps of several frames and their order (TRN-Multiscale).

    The mean over space and dropout, as in `action_head`; then a dense layer of 256 channels, and
    `keras_layers.TemporalRelation`.

    Args:
        features: `[B, h, w, C]`.
        classes: Number of classes, at least 1.
        frames: Number of frames that are related, at least 2: those of a clip.
        dropout: Fraction of the features to drop in training.
        unit: Unit of the layers.

    Returns:
        Logits `[B, classes]`, float32. The last step of a clip has seen all its frames.
    """
    x = layers.GlobalAveragePooling2D(name=f"{unit}.mean")(features)
    if dropout:
        x = layers.Dropout(dropout, name=f"{unit}.dropout")(x)
    x = layers.Dense(RELATED, name=f"{unit}.features")(x)
    relation = keras_layers.TemporalRelation(
        classes, frames, dtype="float32", name=f"{unit}.logits"
    )
    return relation(x)


def keypoint_head(
    features: Mapping[str, keras.KerasTensor],
    joints: int,
    size: tuple[int, int] | None = None,
    temporal_kernel: int = 1,
    temporal_padding: str = "causal",
) -> keras.KerasTensor:
    """Compute heatmaps from maps of several scales: upsample, concatenate, convolve 3x3.

    Each map is upsampled in its own unit, at the clock rate of that unit. The head concatenates the
    upsampled maps that are held.

    Args:
        features: Maps `[B, h, w, C]` of any sizes, by the name of their unit.
        joints: Number of heatmaps, at least 1.
        size: Height and width of the heatmaps. Defaults to those of the largest map.
        temporal_kernel, temporal_padding: The frames that the convolution reads; see
            `keras_layers.TemporalConv3D`.

    Returns:
        Logits `[B, *size, joints]`, float32.

    Raises:
        ValueError: If `size` is not a multiple of the size of each map.
    """
    sizes = [(map_.shape[1], map_.shape[2]) for map_ in features.values()]
    size = max(sizes) if size is None else standardize_pair(size, "heatmap_size")
    if any(whole % part for map_ in sizes for whole, part in zip(size, map_, strict=True)):
        high, wide = (math.lcm(*side) for side in zip(*sizes, strict=True))
        raise ValueError(
            "Invalid size of the heatmaps. Expected multiples of the maps' sizes "
            f"{', '.join(f'{h}x{w}' for h, w in sizes)}, such as {high}x{wide} or "
            f"{2 * high}x{2 * wide}. Received: {size[0]}x{size[1]}"
        )
    upsampled = [_upsample(map_, size, unit) for unit, map_ in features.items()]
    logits = convolution(
        layers.Concatenate(name=HEAD_INPUT)(upsampled),
        joints,
        3,
        f"{HEAD_UNIT}.convolution",
        temporal_kernel=temporal_kernel,
        temporal_padding=temporal_padding,
        use_bias=True,
    )
    return layers.Activation("linear", dtype="float32", name=LOGITS)(logits)


def join_feedback(
    anchor: keras.KerasTensor,
    feedback: str,
    joints: int,
    joined: int,
    size: tuple[int, int] | None,
    unit: str,
) -> keras.KerasTensor:
    """Join to a map what the keypoint head computed at the previous step (section 3.2).

    Args:
        anchor: Map `[B, h, w, C]`.
        feedback: `"heatmaps"`: the tanh of the logits; or `"head_input"`: the joined maps that the
            head's convolution reads.
        joints: Number of heatmaps.
        joined: Number of the channels that the head's convolution reads.
        size: Height and width of the heatmaps. Defaults to those of `anchor`.
        unit: Unit of the layers.

    Returns:
        `anchor` and what is fed back, averaged to its size, along the channels: `[B, h, w, D]`.
        Before the head has computed, zeros are fed back.

    Raises:
        ValueError: If `size` is not a multiple of the size of `anchor`.
    """
    height, width = anchor.shape[1:3]
    size = (height, width) if size is None else standardize_pair(size, "heatmap_size")
    if size[0] % height or size[1] % width:
        raise ValueError(
            f"Cannot feed heatmaps back to maps of {height}x{width}. Expected heatmaps of "
            f"{height}x{width}, {2 * height}x{2 * width}, and so on. "
            f"Received: {size[0]}x{size[1]}"
        )
    source, channels = (LOGITS, joints) if feedback == "heatmaps" else (HEAD_INPUT, joined)
    x = keras_layers.Feedback(source, (*size, channels), name=f"{unit}.feedback")(anchor)
    if feedback == "heatmaps":
        x = layers.Activation("tanh", name=f"{unit}.feedback_tanh")(x)
    if size != (height, width):
        factors = (size[0] // height, size[1] // width)
        x = layers.AveragePooling2D(factors, name=f"{unit}.feedback_pool")(x)
    return layers.Concatenate(name=f"{unit}.feedback_join")([anchor, x])


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

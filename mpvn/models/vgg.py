"""VGG-8 (*Sideways*, section 4.2), VGG-16 and 3D VGG (*Skip-Sideways*, supplement).

VGG-8 is the spatial network of *Two-Stream Convolutional Networks* (2014) with batch norm, one
layer per unit. VGG-16 has two layers per unit. 3D VGG is VGG-16 with 3x3x3 convolutions and 3x3x3
pools of stride (1, 2, 2), symmetric or causal.
"""

import functools
import os

import keras
from keras import layers

from keras_layers.temporal import check_temporal_padding
from mpvn.models.applications import load_application
from mpvn.models.norms import check_norm_of_weights
from mpvn.models.parts import (
    check_frame,
    convolution,
    max_pool,
    norm_relu,
    scale_channels,
    space_to_channels,
)
from mpvn.models.surgery.transfer import transfer_weights

VGG8 = ((7, 96, 2, 2), (5, 256, 2, 2), (3, 512, 1, 1), (3, 512, 1, 1), (3, 512, 1, 2))
"""Kernel, channels and stride of each convolution, and the size of the pool after it."""

VGG8_DENSE = (4096, 2048)

VGG16 = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
"""Channels and convolutions of each block; a pool follows."""

VGG16_DENSE = (4096, 4096)


def vgg8(
    input_shape: tuple[int, int, int] = (224, 224, 3),
    *,
    classes: int = 51,
    norm: str | None = "batch",
    dropout: float = 0.0,
    block: int | tuple[int, int, int] = 1,
    width: float = 1.0,
    name: str = "vgg8",
) -> keras.Model:
    """Build a frame model of 8 units: five convolutions and three dense layers.

    Args:
        input_shape: Height, width and channels of the frames.
        classes: Number of classes (51: HMDB51).
        norm: Normalization of the convolutions: `"batch"`, `"group"`, or None.
        dropout: Rate of the dropout after each of the first two dense layers. *Sideways* uses 0.9
            in its rows "with dropout".
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
    x = space_to_channels(frame, block, "conv1")
    for number, (kernel, filters, strides, pool) in enumerate(VGG8, 1):
        part = f"conv{number}.conv"
        channels = scale_channels(filters, width)
        x = convolution(x, channels, kernel, part, strides=strides, use_bias=norm is None)
        x = norm_relu(x, part, norm=norm)
        if pool > 1:
            x = max_pool(x, pool, f"conv{number}.pool", strides=pool)
    x = layers.Flatten(name="full6.flatten")(x)
    for number, units in enumerate(VGG8_DENSE, 6):
        x = _dense(x, scale_channels(units, width), f"full{number}.dense", dropout)
    logits = layers.Dense(classes, dtype="float32", name="full8.logits")(x)
    return keras.Model(frame, logits, name=name)


def vgg16(
    input_shape: tuple[int, int, int] = (224, 224, 3),
    *,
    classes: int = 51,
    norm: str | None = "batch",
    dropout: float = 0.0,
    temporal_kernel: int = 1,
    temporal_padding: str = "causal",
    block: int | tuple[int, int, int] = 1,
    weights: str | os.PathLike | None = None,
    width: float = 1.0,
    name: str = "vgg16",
) -> keras.Model:
    """Build a frame model of 8 units of two layers: 13 convolutions and three dense layers.

    Args:
        input_shape: Height, width and channels of the frames.
        classes: Number of classes (51: HMDB51).
        norm: Normalization of the convolutions: `"batch"`, `"group"`, or None.
        dropout: Rate of the dropout after each of the first two dense layers.
        temporal_kernel: The number of frames that every convolution and pool reads. Above 1, pools
            read 3x3 pixels, as in 3D VGG, otherwise 2x2.
        temporal_padding: `"causal"`, or `"symmetric"` for whole clips and one subnetwork.
        block: Moves blocks of `block` x `block` pixels, or of `(frames, height, width)`, into the
            channels of the input.
        weights: `"imagenet"` (downloaded by Keras), or a weights file of
            `keras.applications.VGG16`: with its classifier if there are 1000 classes and frames of
            224x224, without otherwise. Needs `norm=None`. If `temporal_kernel` is 1, a frame's
            output equals the image network's. Above 1, the weights are inflated, so that
            convolutions start from the present frame alone; but outputs differ from the image
            network's, because the pools read more pixels and frames than its own.
        width: Factor for all channels but the classes.
        name: Name of the model.

    Returns:
        A functional model from a frame `[B, H, W, C]` to logits `[B, classes]`, float32.

    Raises:
        ValueError: If the frame size is unknown or not divided by `block`, another option is
            invalid, or the weights do not fit.
    """
    check_frame(input_shape, 1, name)
    check_norm_of_weights(name, norm, None, weights)
    if weights is not None and width != 1.0:
        raise ValueError(
            f"{name}: weights of keras.applications need width=1.0. Received: width={width}"
        )
    frame = keras.Input(input_shape, name="frame")
    x = space_to_channels(frame, block, "unit1", temporal_padding)
    x = _vgg16_convolutions(x, norm, temporal_kernel, temporal_padding, width)
    x = layers.Flatten(name="unit7.flatten")(x)
    for part, units in zip(("unit7.fc1", "unit8.fc2"), VGG16_DENSE, strict=True):
        x = _dense(x, scale_channels(units, width), part, dropout)
    logits = layers.Dense(classes, dtype="float32", name="unit8.predictions")(x)
    model = keras.Model(frame, logits, name=name)
    if weights is not None:
        include_top = classes == 1000 and tuple(input_shape) == (224, 224, 3)
        source = load_application("VGG16", weights, include_top)
        transfer_weights(source, model, names=lambda layer: layer.rpartition(".")[2])
    return model


vgg_3d = functools.partial(vgg16, temporal_kernel=3, temporal_padding="symmetric", name="vgg_3d")
"""3D VGG: `vgg16` with 3x3x3 convolutions and pools, for whole clips and one subnetwork."""

causal_vgg_3d = functools.partial(vgg_3d, temporal_padding="causal", name="causal_vgg_3d")
"""Causal 3D VGG, which can stream; with 2x3x3 kernels, `temporal_kernel=2`."""


def _vgg16_convolutions(
    x: keras.KerasTensor,
    norm: str | None,
    temporal_kernel: int,
    temporal_padding: str,
    width: float,
) -> keras.KerasTensor:
    """Five blocks of convolutions with a pool after each, as units of two convolutions."""
    check_temporal_padding(temporal_padding, "VGG-16")
    pool_size = 2 if temporal_kernel == 1 else 3
    layer = 0
    for stage, (filters, count) in enumerate(VGG16, 1):
        for number in range(1, count + 1):
            unit = f"unit{layer // 2 + 1}"
            part = f"{unit}.block{stage}_conv{number}"
            x = convolution(
                x,
                scale_channels(filters, width),
                3,
                part,
                temporal_kernel=temporal_kernel,
                temporal_padding=temporal_padding,
                use_bias=norm is None,
            )
            x = norm_relu(x, part, norm=norm)
            layer += 1
        x = max_pool(
            x,
            pool_size,
            f"{unit}.block{stage}_pool",
            strides=2,
            temporal_size=temporal_kernel,
            temporal_padding=temporal_padding,
        )
    return x


def _dense(x: keras.KerasTensor, units: int, name: str, dropout: float) -> keras.KerasTensor:
    x = layers.Dense(units, activation="relu", name=name)(x)
    return layers.Dropout(dropout, name=f"{name}_dropout")(x) if dropout else x

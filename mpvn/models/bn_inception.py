"""BN-Inception, the network of the original TSN and TRN, as a baseline of TSM.

*Batch Normalization* (2015), the appendix's table, in the form of *Temporal Segment Networks*:
average pools count the zeros around a map. As in TSM's table 2, there is no temporal shift: a frame
is classified alone (TSN), or the frames of a clip are related (TRN-Multiscale). There are no
weights to start from.
"""

import functools
from typing import NamedTuple

import keras
from keras import layers

from mpvn.models.heads import action_head, relation_head
from mpvn.models.parts import check_frame, max_pool, scale_channels
from mpvn.models.resnet import convolved


class Module(NamedTuple):
    """Channels of the branches of a module.

    Attributes:
        single: Of the 1x1 convolution; 0 in a module that halves the map, which has none.
        double: Of the 1x1 convolution, and of the 3x3 convolution after it.
        triple: Of the 1x1 convolution, and of each of the two 3x3 convolutions after it.
        pool: Of the 1x1 convolution after the pool; 0 in a module that halves the map.
    """

    single: int
    double: tuple[int, int]
    triple: tuple[int, int]
    pool: int


MODULES = {
    "mixed_3a": Module(64, (64, 64), (64, 96), 32),
    "mixed_3b": Module(64, (64, 96), (64, 96), 64),
    "mixed_3c": Module(0, (128, 160), (64, 96), 0),
    "mixed_4a": Module(224, (64, 96), (96, 128), 128),
    "mixed_4b": Module(192, (96, 128), (96, 128), 128),
    "mixed_4c": Module(160, (128, 160), (128, 160), 128),
    "mixed_4d": Module(96, (128, 192), (160, 192), 128),
    "mixed_4e": Module(0, (128, 192), (192, 256), 0),
    "mixed_5a": Module(352, (192, 320), (160, 224), 128),
    "mixed_5b": Module(352, (192, 320), (192, 224), 128),
}

MAX_POOLED = ("mixed_3c", "mixed_4e", "mixed_5b")
"""Modules whose pool takes the maximum; that of the others takes the average."""


def bn_inception(
    input_shape: tuple[int, int, int] = (224, 224, 3),
    *,
    relation: bool = False,
    frames: int = 8,
    classes: int = 400,
    dropout: float = 0.0,
    norm: str = "batch",
    width: float = 1.0,
    name: str | None = None,
) -> keras.Model:
    """Build BN-Inception as a frame model: TSN, or TRN-Multiscale.

    Args:
        input_shape: Height, width and channels of the frames.
        relation: Classifies the newest `frames` frames together; see `relation_head`.
        frames: Frames of a clip, which temporal relations read.
        classes: Number of classes.
        dropout: Rate of the dropout before the classifier.
        norm: `"batch"` or `"group"`.
        width: Factor for all channels but the classes.
        name: Name of the model; default: `"tsn_bn_inception"` or `"trn_bn_inception"`.

    Returns:
        A functional model from a frame `[B, H, W, C]` to logits `[B, classes]`, float32. Their mean
        over a clip is its prediction; with `relation`, those of the last frame are.

    Raises:
        ValueError: If an option is out of range.
    """
    name = name or f"{'trn' if relation else 'tsn'}_bn_inception"
    check_frame(input_shape, 1, name)
    convolve = functools.partial(convolved, norm=norm)
    frame = keras.Input(input_shape, name="frame")
    x = convolve(frame, scale_channels(64, width), 7, "stem.conv1_", 2)
    x = max_pool(x, 3, "stem.pool1", strides=2)
    x = convolve(x, scale_channels(64, width), 1, "stem.conv2a_")
    x = convolve(x, scale_channels(192, width), 3, "stem.conv2b_")
    x = max_pool(x, 3, "stem.pool2", strides=2)
    for unit, module in MODULES.items():
        x = _module(x, unit, module, norm, width)
    if relation:
        return keras.Model(frame, relation_head(x, classes, frames, dropout), name=name)
    return keras.Model(frame, action_head(x, classes, dropout), name=name)


def _module(
    x: keras.KerasTensor, unit: str, module: Module, norm: str, width: float
) -> keras.KerasTensor:
    strides = 1 if module.single else 2

    def convolve(
        x: keras.KerasTensor, channels: int, kernel: int, part: str, strides: int = 1
    ) -> keras.KerasTensor:
        filters = scale_channels(channels, width)
        return convolved(x, filters, kernel, f"{unit}.{part}_", strides, norm=norm)

    (narrow, wide), (small, large) = module.double, module.triple
    branches = [convolve(x, module.single, 1, "b0")] if module.single else []
    branches.append(convolve(convolve(x, narrow, 1, "b1a"), wide, 3, "b1b", strides))
    inner = convolve(convolve(x, small, 1, "b2a"), large, 3, "b2b")
    branches.append(convolve(inner, large, 3, "b2c", strides))
    pooled = _pool(x, unit, strides)
    branches.append(convolve(pooled, module.pool, 1, "b3") if module.pool else pooled)
    return layers.Concatenate(name=f"{unit}.join")(branches)


def _pool(x: keras.KerasTensor, unit: str, strides: int) -> keras.KerasTensor:
    if unit in MAX_POOLED:
        return max_pool(x, 3, f"{unit}.pool", strides=strides)
    x = layers.ZeroPadding2D(1, name=f"{unit}.pool_pad")(x)
    return layers.AveragePooling2D(3, strides, name=f"{unit}.pool")(x)


trn_bn_inception = functools.partial(bn_inception, relation=True)

"""The building block of MobileNetV2, and the table of its blocks."""

import dataclasses
import functools
from collections.abc import Iterator

import keras
from keras import layers

from mpvn.models.resnet import convolved

STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
"""Expansion, channels, blocks and stride of each stage (*MobileNetV2*, table 2)."""


@dataclasses.dataclass(frozen=True)
class Block:
    """The place of an inverted residual block in the network.

    Attributes:
        number: Number of the block, from 1.
        expansion: Channels of its depthwise convolution per channel of its input.
        channels: Channels of the block.
        strides: Strides of its depthwise convolution.
    """

    number: int
    expansion: int
    channels: int
    strides: int

    @property
    def unit(self) -> str:
        """The unit of its layers, such as `"block1"`."""
        return f"block{self.number}"


def blocks() -> Iterator[Block]:
    """Yield the blocks of MobileNetV2, in order."""
    number = 0
    for expansion, channels, count, strides in STAGES:
        for index in range(count):
            number += 1
            yield Block(number, expansion, channels, strides if index == 0 else 1)


def inverted_residual(
    shortcut: keras.KerasTensor | None,
    x: keras.KerasTensor,
    block: Block,
    channels: int,
    norm: str = "batch",
) -> keras.KerasTensor:
    """Apply a block: a 1x1 expansion, a 3x3 depthwise and a 1x1 linear convolution.

    Args:
        shortcut: The input of the identity path, `[B, H, W, C]`; None for a block without one.
        x: The input of the convolutions, `[B, H, W, C]`.
        block: The place of the block in the network.
        channels: Channels of the block.
        norm: See `normalize`.

    Returns:
        `[B, H / block.strides, W / block.strides, channels]`, rounded up.
    """
    unit, inner = block.unit, block.expansion * x.shape[-1]
    convolve = functools.partial(convolved, norm=norm)
    if block.expansion > 1:
        x = convolve(x, inner, 1, f"{unit}.expand_", relu=6)
    x = convolve(x, inner, 3, f"{unit}.depthwise_", block.strides, groups=inner, relu=6)
    x = convolve(x, channels, 1, f"{unit}.project_", relu=None)
    return x if shortcut is None else layers.Add(name=f"{unit}.add")([shortcut, x])

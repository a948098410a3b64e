"""The building blocks of the ResNets of I3D and TSM: stem, bottleneck blocks, non-local blocks.

Two ResNet-50s have the same shapes. In PyTorch's, the 3x3 convolution has the stride and no
convolution has a bias. In that of `keras.applications`, the first 1x1 convolution has the stride
and all have biases. The argument `layout` chooses. Both pad maps equally on all sides, unlike
TensorFlow's "same" padding with strides.
"""

import dataclasses
import functools
import math
from collections.abc import Iterator

import keras
from keras import layers

from keras_layers import NonLocal
from mpvn.models.norms import normalize
from mpvn.models.parts import convolution, max_pool

STAGES = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
"""Blocks of the stages conv2 to conv5, by depth (*Deep Residual Learning*, table 1)."""

LAYOUTS = {"torch": 1e-5, "keras": 1.001e-5}
"""Layouts, and the epsilon of their batch norm."""


@dataclasses.dataclass(frozen=True)
class Block:
    """The place of a bottleneck block in a ResNet.

    Attributes:
        stage: 2 to 5.
        index: Number of the block in its stage, from 0.
    """

    stage: int
    index: int

    @property
    def unit(self) -> str:
        """The unit of its layers, such as `"conv2_block1"`."""
        return f"conv{self.stage}_block{self.index + 1}"

    @property
    def channels(self) -> int:
        """Channels of its 3x3 convolution; the block has four times as many."""
        return 64 * 2 ** (self.stage - 2)

    @property
    def first(self) -> bool:
        """Whether it is the first of its stage."""
        return self.index == 0

    @property
    def strides(self) -> int:
        """2 for the first block of the stages after conv2."""
        return 2 if self.first and self.stage > 2 else 1


def blocks(depth: int) -> Iterator[Block]:
    """Yield the bottleneck blocks of a ResNet of 50 or 101 layers, in order."""
    for stage, count in enumerate(STAGES[depth], 2):
        for index in range(count):
            yield Block(stage, index)


def convolved(
    x: keras.KerasTensor,
    filters: int,
    kernel: int,
    prefix: str,
    strides: int = 1,
    *,
    groups: int = 1,
    temporal_kernel: int = 1,
    temporal_stride: int = 1,
    temporal_padding: str = "symmetric",
    relu: float | None = math.inf,
    layout: str = "torch",
    norm: str = "batch",
) -> keras.KerasTensor:
    """Apply a convolution, a norm, and a ReLU.

    Args:
        x: `[B, H, W, C]`.
        filters, kernel, strides, groups, temporal_kernel, temporal_stride, temporal_padding: See
            `convolution` in `mpvn.models.parts`.
        prefix: Start of the layers' names.
        relu: Upper limit of the ReLU; None for no ReLU.
        layout: A key of `LAYOUTS`.
        norm: See `normalize`.

    Returns:
        `[B, H / strides, W / strides, filters]`, rounded up.
    """
    padding = "same"
    if kernel > 1 and strides > 1:
        x, padding = layers.ZeroPadding2D(kernel // 2, name=f"{prefix}conv_pad")(x), "valid"
    x = convolution(
        x,
        filters,
        kernel,
        f"{prefix}conv",
        strides=strides,
        groups=groups,
        temporal_kernel=temporal_kernel,
        temporal_stride=temporal_stride,
        temporal_padding=temporal_padding,
        padding=padding,
        use_bias=layout == "keras",
    )
    x = normalize(x, f"{prefix}{norm_name(norm)}", norm, epsilon=LAYOUTS[layout])
    if relu is None:
        return x
    return layers.ReLU(None if relu == math.inf else relu, name=f"{prefix}relu")(x)


def norm_name(norm: str) -> str:
    """Return the part of a layer's name that stands for `norm`: `"bn"`, as in PyTorch, or "gn"."""
    return "gn" if norm == "group" else "bn"


def stem(
    frame: keras.KerasTensor,
    channels: int,
    layout: str = "torch",
    norm: str = "batch",
    *,
    temporal_kernel: int = 1,
    temporal_strides: tuple[int, int] = (1, 1),
    temporal_padding: str = "symmetric",
) -> keras.KerasTensor:
    """Apply the layers before the blocks: a 7x7 convolution and a 3x3 pool, each of stride 2.

    Args:
        frame: `[B, H, W, C]`.
        channels: Channels of the convolution.
        layout: A key of `LAYOUTS`.
        norm: See `normalize`.
        temporal_kernel: Number of frames that the convolution reads.
        temporal_strides: Temporal strides of the convolution and of the pool; see `pool_frames`.
        temporal_padding: Temporal padding of both.

    Returns:
        `[B, H / 4, W / 4, channels]`, rounded up.
    """
    convolution_stride, pool_stride = temporal_strides
    x = convolved(
        frame,
        channels,
        7,
        "stem.",
        strides=2,
        temporal_kernel=temporal_kernel,
        temporal_stride=convolution_stride,
        temporal_padding=temporal_padding,
        layout=layout,
        norm=norm,
    )
    return max_pool(
        layers.ZeroPadding2D(1, name="stem.pool_pad")(x),
        3,
        "stem.pool",
        strides=2,
        temporal_size=pool_frames(pool_stride),
        temporal_stride=pool_stride,
        temporal_padding=temporal_padding,
        padding="valid",
    )


def pool_frames(temporal_stride: int) -> int:
    """Return the frames that a pool reads: 3 with a temporal stride, else 1."""
    return 3 if temporal_stride > 1 else 1


def bottleneck(
    shortcut: keras.KerasTensor,
    x: keras.KerasTensor,
    block: Block,
    channels: tuple[int, int],
    *,
    strides: int | None = None,
    groups: int = 1,
    temporal_kernels: tuple[int, int] = (1, 1),
    temporal_padding: str = "symmetric",
    layout: str = "torch",
    norm: str = "batch",
) -> keras.KerasTensor:
    """Apply a residual block: a 1x1, a 3x3 and a 1x1 convolution, added to the shortcut.

    Args:
        shortcut: The input of the identity path, `[B, H, W, C]`. In the first block of a stage,
            this path is a 1x1 convolution.
        x: The input of the residual branch, of the same shape.
        block: The place of the block in the network.
        channels: Channels of the 3x3 convolution, and of the block.
        strides: Spatial stride; default: `block.strides`.
        groups: Groups of the 3x3 convolution.
        temporal_kernels: The number of frames that the first 1x1 and the 3x3 convolution read.
        temporal_padding: Temporal padding of these two convolutions.
        layout: A key of `LAYOUTS`.
        norm: See `normalize`.

    Returns:
        `[B, H / strides, W / strides, channels[1]]`, rounded up.
    """
    convolve = functools.partial(
        convolved, layout=layout, norm=norm, temporal_padding=temporal_padding
    )
    unit, (inner, outer) = block.unit, channels
    strides = strides or block.strides
    # The layouts differ in the convolution that has the stride: the first 1x1, or the 3x3.
    early, late = (strides, 1) if layout == "keras" else (1, strides)
    pointwise, square = temporal_kernels
    if block.first:
        shortcut = convolve(shortcut, outer, 1, f"{unit}.0_", strides, relu=None)
    x = convolve(x, inner, 1, f"{unit}.1_", early, temporal_kernel=pointwise)
    x = convolve(x, inner, 3, f"{unit}.2_", late, groups=groups, temporal_kernel=square)
    x = convolve(x, outer, 1, f"{unit}.3_", relu=None)
    return layers.ReLU(name=f"{unit}.out")(layers.Add(name=f"{unit}.add")([shortcut, x]))


def non_local_block(
    x: keras.KerasTensor,
    unit: str,
    frames: int,
    temporal_padding: str = "symmetric",
    norm: str = "batch",
) -> keras.KerasTensor:
    """Add to `x` a non-local operation over all positions of the neighboring frames.

    Args:
        x: `[B, H, W, C]`.
        unit: The unit of the layers, which starts their names.
        frames, temporal_padding: See `keras_layers.NonLocal`.
        norm: See `normalize`.

    Returns:
        `[B, H, W, C]`. Before training this equals `x`: the norm's gamma starts at zero.
    """
    y = NonLocal(frames=frames, temporal_padding=temporal_padding, name=f"{unit}.nl")(x)
    y = layers.Conv2D(x.shape[-1], 1, name=f"{unit}.nl_conv")(y)
    y = normalize(
        y,
        f"{unit}.nl_{norm_name(norm)}",
        norm,
        epsilon=LAYOUTS["torch"],
        gamma_initializer="zeros",
    )
    return layers.Add(name=f"{unit}.nl_add")([x, y])

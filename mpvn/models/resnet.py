"""What I3D's and TSM's ResNets are built of: convolutions with batch norm, stem, bottleneck blocks.

There are two ResNet-50s of the same shapes: in PyTorch's the 3x3 convolution has the stride and no
convolution has a bias; in that of `keras.applications` the first 1x1 has the stride, and all have
biases. `layout` says which. In both, maps are padded alike on all sides, unlike TensorFlow's "same"
with strides.
"""

import functools
import math

import keras
from keras import layers

from mpvn.models.parts import convolution

BLOCKS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
"""Blocks of the stages conv2 to conv5, by depth."""

MOBILENET_BLOCKS = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
"""Expansion, channels, blocks and stride of each stage of MobileNetV2."""

LAYOUTS = {"torch": 1e-5, "keras": 1.001e-5}
"""Layouts, and the epsilon of their batch norm."""


def convolved(
    x: keras.KerasTensor,
    filters: int,
    kernel: int,
    prefix: str,
    strides: int = 1,
    *,
    groups: int = 1,
    temporal_kernel: int = 1,
    temporal_padding: str = "symmetric",
    relu: float | None = math.inf,
    layout: str = "torch",
) -> keras.KerasTensor:
    """A convolution, batch norm, and a ReLU up to `relu`, if any.

    Args:
        x: `[B, H, W, C]`.
        filters, kernel, strides, groups, temporal_kernel, temporal_padding: of the convolution.
        prefix: what the names of the layers begin with.
        relu: the most that comes out; None for no ReLU.
        layout: of `LAYOUTS`.

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
        temporal_padding=temporal_padding,
        padding=padding,
        use_bias=layout == "keras",
    )
    x = layers.BatchNormalization(epsilon=LAYOUTS[layout], name=f"{prefix}bn")(x)
    if relu is None:
        return x
    return layers.ReLU(None if relu == math.inf else relu, name=f"{prefix}relu")(x)


def stem(frame: keras.KerasTensor, channels: int, layout: str = "torch") -> keras.KerasTensor:
    """What comes before the blocks: a 7x7 convolution and a pool, each of stride 2.

    Args:
        frame: `[B, H, W, C]`.
        channels: of the convolution.
        layout: of `LAYOUTS`.

    Returns:
        `[B, H / 4, W / 4, channels]`, rounded up.
    """
    x = convolved(frame, channels, 7, "stem.", strides=2, layout=layout)
    x = layers.ZeroPadding2D(1, name="stem.pool_pad")(x)
    return layers.MaxPooling2D(3, 2, name="stem.pool")(x)


def bottleneck(
    shortcut: keras.KerasTensor,
    x: keras.KerasTensor,
    unit: str,
    channels: tuple[int, int],
    strides: int = 1,
    *,
    first: bool = False,
    groups: int = 1,
    temporal_kernels: tuple[int, int] = (1, 1),
    temporal_padding: str = "symmetric",
    layout: str = "torch",
) -> keras.KerasTensor:
    """A residual block: 1x1, 3x3 and 1x1 convolution, added to the shortcut.

    Args:
        shortcut: what the identity path reads, `[B, H, W, C]`.
        x: what the residual branch reads, of the same shape.
        unit: the unit that the layers make up.
        channels: of the 3x3 convolution, and of the block.
        strides: of the block.
        first: whether it is the first of its stage, whose shortcut is a 1x1 convolution.
        groups: of the 3x3 convolution.
        temporal_kernels: frames that the first 1x1 and the 3x3 convolution see.
        temporal_padding: of these.
        layout: of `LAYOUTS`.

    Returns:
        `[B, H / strides, W / strides, channels[1]]`, rounded up.
    """
    convolve = functools.partial(convolved, layout=layout, temporal_padding=temporal_padding)
    inner, outer = channels
    early = strides if layout == "keras" else 1
    pointwise, square = temporal_kernels
    if first:
        shortcut = convolve(shortcut, outer, 1, f"{unit}.0_", strides, relu=None)
    x = convolve(x, inner, 1, f"{unit}.1_", early, temporal_kernel=pointwise)
    x = convolve(x, inner, 3, f"{unit}.2_", strides // early, groups=groups, temporal_kernel=square)
    x = convolve(x, outer, 1, f"{unit}.3_", relu=None)
    return layers.ReLU(name=f"{unit}.out")(layers.Add(name=f"{unit}.add")([shortcut, x]))

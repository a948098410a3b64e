"""I3D on ResNet-50: the 3D convolutions that the *Temporal Shift Module* is compared with.

Three ways of giving a ResNet-50 a sense of time, all without temporal strides:

- `"3x3x3"`: every 3x3 convolution sees three frames.
- `"3x1x1"`: the first 1x1 convolution of every other block sees three frames (as in *Non-local
  Neural Networks*, section 4.2).
- `"replace"`: the first 1x1 convolution of every block does, where the temporal shift module would
  stand.

There are two ResNet-50s of the same shapes: in PyTorch's the 3x3 convolution has the stride and no
convolution has a bias; in that of `keras.applications` the first 1x1 has the stride, and all have
biases. `layout` says which; ImageNet weights of `keras.applications` fit only the second.
"""

import os

import keras
from keras import layers

from mpvn.models.heads import action_head
from mpvn.models.inflation import application, transfer_weights
from mpvn.models.parts import check_frame, convolution, scaled

BLOCKS = {"conv2": (3, 64), "conv3": (4, 128), "conv4": (6, 256), "conv5": (3, 512)}
"""Blocks of each stage, and the channels of their 3x3 convolutions."""

VARIANTS = ("3x3x3", "3x1x1", "replace")
LAYOUTS = {"torch": 1e-5, "keras": 1.001e-5}
"""Layouts, and the epsilon of their batch norm."""


def i3d_resnet50(
    input_shape: tuple[int, int, int] = (224, 224, 3),
    *,
    variant: str = "3x3x3",
    classes: int = 400,
    temporal_padding: str = "symmetric",
    layout: str | None = None,
    weights: str | os.PathLike | None = None,
    dropout: float = 0.0,
    width: float = 1.0,
    name: str | None = None,
) -> keras.Model:
    """A frame model of 16 bottleneck blocks, of which some see three frames.

    Args:
        input_shape: height, width and channels of the frames.
        variant: `"3x3x3"`, `"3x1x1"` or `"replace"`, as above.
        classes: number of classes.
        temporal_padding: `"symmetric"`, as in the comparison, for whole clips and one subnetwork;
            or `"causal"`, which can stream.
        layout: `"torch"` or `"keras"`; default `"keras"` if there are weights, else `"torch"`.
        weights: `"imagenet"` (downloaded by Keras), or a weights file of
            `keras.applications.ResNet50`, with its classifier if there are 1000 classes, else
            without; inflated so that each frame gives what the image network gives.
        dropout: before the classifier.
        width: multiplies all channels but the classes.
        name: of the model.

    Returns:
        A functional model from a frame `[B, H, W, C]` to logits `[B, classes]`, float32.

    Raises:
        ValueError: an unknown variant or layout, or weights that do not fit.
    """
    name = name or f"i3d_resnet50_{variant}"
    layout = layout or ("torch" if weights is None else "keras")
    if variant not in VARIANTS or layout not in LAYOUTS:
        raise ValueError(
            f"{name}: variant must be one of {', '.join(VARIANTS)}, and layout one of "
            f"{', '.join(LAYOUTS)}. Received: variant={variant!r}, layout={layout!r}"
        )
    if weights is not None and (layout != "keras" or width != 1.0):
        raise ValueError(
            f"{name}: weights of keras.applications need layout='keras' and width=1.0. "
            f"Received: layout={layout!r}, width={width}"
        )
    check_frame(input_shape, 1, name)
    network = _ResNet(variant, temporal_padding, layout, width)
    frame = keras.Input(input_shape, name="frame")
    x = network.stem(frame)
    number = 0
    for stage, (count, channels) in BLOCKS.items():
        for block in range(1, count + 1):
            strides = 2 if block == 1 and stage != "conv2" else 1
            x = network.block(x, channels, f"{stage}_block{block}", strides, number)
            number += 1
    model = keras.Model(frame, action_head(x, classes, dropout), name=name)
    if weights is not None:
        source = application("ResNet50", weights, include_top=classes == 1000)
        transfer_weights(source, model, names=_application_name)
    return model


class _ResNet:
    """Blocks of one variant and layout."""

    def __init__(self, variant: str, padding: str, layout: str, width: float) -> None:
        self._variant = variant
        self._padding = padding
        self._layout = layout
        self._width = width

    def stem(self, frame: keras.KerasTensor) -> keras.KerasTensor:
        x = self._convolution(frame, 64, 7, "stem.conv", strides=2)
        x = layers.ReLU(name="stem.relu")(self._norm(x, "stem.bn"))
        x = layers.ZeroPadding2D(1, name="stem.pool_pad")(x)
        return layers.MaxPooling2D(3, 2, name="stem.pool")(x)

    def block(
        self, x: keras.KerasTensor, channels: int, unit: str, strides: int, number: int
    ) -> keras.KerasTensor:
        """Bottleneck block `number`, counted from 0 over all stages."""
        first, second = self._temporal_kernels(number)
        early = strides if self._layout == "keras" else 1
        shortcut = x
        if unit.endswith("block1"):
            shortcut = self._convolution(x, 4 * channels, 1, f"{unit}.0_conv", strides=strides)
            shortcut = self._norm(shortcut, f"{unit}.0_bn")
        x = self._convolution(
            x, channels, 1, f"{unit}.1_conv", strides=early, temporal_kernel=first
        )
        x = layers.ReLU(name=f"{unit}.1_relu")(self._norm(x, f"{unit}.1_bn"))
        x = self._convolution(
            x, channels, 3, f"{unit}.2_conv", strides=strides // early, temporal_kernel=second
        )
        x = layers.ReLU(name=f"{unit}.2_relu")(self._norm(x, f"{unit}.2_bn"))
        x = self._norm(self._convolution(x, 4 * channels, 1, f"{unit}.3_conv"), f"{unit}.3_bn")
        x = layers.Add(name=f"{unit}.add")([shortcut, x])
        return layers.ReLU(name=f"{unit}.out")(x)

    def _temporal_kernels(self, number: int) -> tuple[int, int]:
        """Frames that the first 1x1 and the 3x3 convolution of block `number` see."""
        if self._variant == "3x3x3":
            return 1, 3
        return (3 if self._variant == "replace" or number % 2 == 0 else 1), 1

    def _convolution(
        self,
        x: keras.KerasTensor,
        channels: int,
        kernel: int,
        name: str,
        strides: int = 1,
        temporal_kernel: int = 1,
    ) -> keras.KerasTensor:
        """A convolution padded alike on all sides, unlike TensorFlow's "same" with strides."""
        if kernel > 1:
            x = layers.ZeroPadding2D(kernel // 2, name=f"{name}_pad")(x)
        return convolution(
            x,
            scaled(channels, self._width),
            kernel,
            name,
            strides=strides,
            temporal_kernel=temporal_kernel,
            temporal_padding=self._padding,
            padding="valid",
            use_bias=self._layout == "keras",
        )

    def _norm(self, x: keras.KerasTensor, name: str) -> keras.KerasTensor:
        return layers.BatchNormalization(epsilon=LAYOUTS[self._layout], name=name)(x)


def _application_name(name: str) -> str:
    """Name in `keras.applications.ResNet50` of the layer that is called `name` here."""
    if name == "head.logits":
        return "predictions"
    return name.replace("stem.", "conv1_").replace(".", "_")

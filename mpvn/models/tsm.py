"""TSM and TSN: image networks as PyTorch has them, with temporal shifts, or without.

*Temporal Shift Module for Efficient Video Understanding on Cloud and Edge* (TSM), sections 3 and 5:
ResNet-50, ResNet-101, ResNeXt-101 and MobileNetV2, of which each residual block shifts (with 101
layers, every second), and ResNet-50 with non-local blocks besides. Without shifts they are TSN
(*Temporal Segment Networks*), the baseline.

As in PyTorch, the 3x3 convolution has the stride, pads alike on all sides, and no convolution has a
bias. So they begin, as in the paper, with torchvision's weights of ImageNet; those of
`keras.applications` fit other networks, which `insert_temporal_shift` takes.
"""

import dataclasses
import functools
import math
import os

import keras
import numpy as np
from keras import layers

from keras_layers.non_local import NonLocal
from keras_layers.temporal import TEMPORAL_PADDINGS
from keras_layers.temporal_shift import TemporalShift
from mpvn.models.heads import action_head
from mpvn.models.parts import check_frame
from mpvn.models.resnet import BLOCKS, LAYOUTS, MOBILENET_BLOCKS, bottleneck, convolved, stem
from mpvn.models.surgery.shift import DEEP_STAGE, PLACEMENTS
from mpvn.models.torch.load import class_count, import_torch

CLASSES = 400
"""Those of Kinetics."""

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of red, green and blue, between 0 and 1, in the images of ImageNet."""


def tsm_resnet(
    input_shape: tuple[int, int, int] = (224, 224, 3),
    *,
    depth: int = 50,
    groups: int = 1,
    group_width: int = 64,
    non_local: bool = False,
    shift: bool = True,
    temporal_padding: str = "symmetric",
    divisor: int = 8,
    placement: str = "residual",
    frames: int = 8,
    classes: int | None = None,
    weights: str | os.PathLike | None = None,
    dropout: float = 0.0,
    width: float = 1.0,
    name: str | None = None,
) -> keras.Model:
    """A frame model of bottleneck blocks with temporal shifts.

    Args:
        input_shape: height, width and channels of the frames.
        depth: 50 or 101.
        groups, group_width: of the 3x3 convolutions: 1 and 64 for ResNet, 32 and 8 for ResNeXt-101.
        non_local: whether every other block of conv3 and conv4 of ResNet-50 is followed by a
            non-local block.
        shift: False for TSN.
        temporal_padding: `"symmetric"`: bi-directional shifts, for whole clips; or `"causal"`:
            uni-directional ones, which can stream.
        divisor: the share of the channels that moves one way.
        placement: `"residual"` or `"in_place"`; see `insert_temporal_shift`.
        frames: how many a non-local block sees; see `keras_layers.NonLocal`.
        classes: number of classes; default: those of the weights, or 400.
        weights: a file of PyTorch to begin with: of torchvision (ImageNet), the authors of TSM, or
            mmaction2. Frames between -1 and 1 are then brought to ImageNet's mean and deviation
            within the network. A classifier of other classes is left as it is, and said so; for
            frames of other than three channels, such as optical flow, see `import_torch`.
        dropout: before the classifier.
        width: multiplies all channels but the classes, to multiples of 8, and the groups.
        name: of the model.

    Returns:
        A functional model from a frame `[B, H, W, C]` to logits `[B, classes]`, float32; the mean
        over the frames of a clip is its prediction.

    Raises:
        ValueError: an unknown depth, padding or placement, non-local blocks at another depth, or
            weights that do not fit.
        FileNotFoundError: there is no such file of weights.
    """
    kind = "resnet" if groups == 1 else "resnext"
    name = name or f"{'non_local' if non_local else 'tsm' if shift else 'tsn'}_{kind}{depth}"
    if depth not in BLOCKS or (non_local and depth != 50):
        raise ValueError(
            f"{name}: depth must be one of {', '.join(map(str, BLOCKS))}, and 50 with "
            f"non-local blocks. Received: depth={depth}"
        )
    check_frame(input_shape, 1, name)
    shifts = _Shifts(name, shift, temporal_padding, divisor, placement)
    step = 2 if max(BLOCKS[depth]) >= DEEP_STAGE and placement == "residual" else 1
    frame = keras.Input(input_shape, name="frame")
    x = stem(_normalized(frame) if weights else frame, _scaled(64, width))
    for stage, count in enumerate(BLOCKS[depth], 2):
        channels = 64 * 2 ** (stage - 2)
        inner, own_groups = _scaled(channels, width), 1
        if groups > 1:
            own_groups = max(1, round(groups * width))
            inner = own_groups * (channels * group_width // 64)
        for block in range(count):
            unit = f"conv{stage}_block{block + 1}"
            shortcut, x = shifts.paths(x, unit, block % step == 0)
            x = bottleneck(
                shortcut,
                x,
                unit,
                (inner, _scaled(4 * channels, width)),
                2 if block == 0 and stage > 2 else 1,
                first=block == 0,
                groups=own_groups,
            )
            if non_local and stage in (3, 4) and block % 2 == 0:
                x = non_local_block(x, unit, frames, temporal_padding)
    return _classifier(frame, x, classes, weights, dropout, name)


tsm_resnet50 = functools.partial(tsm_resnet, depth=50)
tsm_resnet101 = functools.partial(tsm_resnet, depth=101)
tsm_resnext101 = functools.partial(tsm_resnet, depth=101, groups=32, group_width=8)
non_local_resnet50 = functools.partial(tsm_resnet, depth=50, non_local=True)


def tsm_mobilenet_v2(
    input_shape: tuple[int, int, int] = (224, 224, 3),
    *,
    shift: bool = True,
    temporal_padding: str = "symmetric",
    divisor: int = 8,
    placement: str = "residual",
    classes: int | None = None,
    weights: str | os.PathLike | None = None,
    dropout: float = 0.0,
    width: float = 1.0,
    name: str | None = None,
) -> keras.Model:
    """A frame model of inverted residual blocks; those with an identity path are shifted.

    Arguments, result and errors are those of `tsm_resnet`; the last convolution has 1280 channels,
    whatever the width up to 1.
    """
    name = name or f"{'tsm' if shift else 'tsn'}_mobilenet_v2"
    check_frame(input_shape, 1, name)
    shifts = _Shifts(name, shift, temporal_padding, divisor, placement)
    frame = keras.Input(input_shape, name="frame")
    x = _normalized(frame) if weights else frame
    x = convolved(x, _scaled(32, width), 3, "stem.", strides=2, relu=6)
    number = 0
    for expansion, channels, count, stride in MOBILENET_BLOCKS:
        outer = _scaled(channels, width)
        for block in range(count):
            number += 1
            unit, strides = f"block{number}", stride if block == 0 else 1
            residual = strides == 1 and x.shape[-1] == outer
            shortcut, x = shifts.paths(x, unit, residual and expansion > 1)
            inner = expansion * x.shape[-1]
            if expansion > 1:
                x = convolved(x, inner, 1, f"{unit}.expand_", relu=6)
            x = convolved(x, inner, 3, f"{unit}.depthwise_", strides, groups=inner, relu=6)
            x = convolved(x, outer, 1, f"{unit}.project_", relu=None)
            if residual:
                x = layers.Add(name=f"{unit}.add")([shortcut, x])
    x = convolved(x, _scaled(1280, max(1.0, width)), 1, "last.", relu=6)
    return _classifier(frame, x, classes, weights, dropout, name)


def non_local_block(
    x: keras.KerasTensor, unit: str, frames: int, temporal_padding: str = "symmetric"
) -> keras.KerasTensor:
    """`x` and, added to it, what all positions of the frames say to each.

    Args:
        x: `[B, H, W, C]`.
        unit: the unit that the layers belong to.
        frames, temporal_padding: as of `keras_layers.NonLocal`.

    Returns:
        `[B, H, W, C]`; `x` itself until the batch norm has learned a gamma other than zero.
    """
    y = NonLocal(frames=frames, temporal_padding=temporal_padding, name=f"{unit}.nl")(x)
    y = layers.Conv2D(x.shape[-1], 1, name=f"{unit}.nl_conv")(y)
    y = layers.BatchNormalization(
        epsilon=LAYOUTS["torch"], gamma_initializer="zeros", name=f"{unit}.nl_bn"
    )(y)
    return layers.Add(name=f"{unit}.nl_add")([x, y])


def _normalized(frame: keras.KerasTensor) -> keras.KerasTensor:
    """Pixels between -1 and 1 as the weights of PyTorch's networks expect them, `[B, H, W, C]`."""
    mean, deviation = np.array(MEAN), np.array(DEVIATION)
    if frame.shape[-1] != len(MEAN):  # as TSN has optical flow, which is gray where nothing moves
        mean, deviation = np.array(0.5), deviation.mean()
    # (p - mean) / deviation, of p = (x + 1) / 2
    scale, offset = (0.5 / deviation).tolist(), ((0.5 - mean) / deviation).tolist()
    return layers.Rescaling(scale, offset, name="stem.normalized")(frame)


def _classifier(
    frame: keras.KerasTensor,
    features: keras.KerasTensor,
    classes: int | None,
    weights: str | os.PathLike | None,
    dropout: float,
    name: str,
) -> keras.Model:
    """The network from `frame` to the scores of the classes, with its weights, if there are any."""
    if classes is None:
        classes = class_count(weights) if weights else CLASSES
    model = keras.Model(frame, action_head(features, classes, dropout), name=name)
    if weights:
        import_torch(model, weights, exact=False)
    return model


@dataclasses.dataclass(frozen=True)
class _Shifts:
    """The shifts of one network."""

    network: str
    shift: bool
    padding: str
    divisor: int
    placement: str

    def __post_init__(self) -> None:
        if self.padding not in TEMPORAL_PADDINGS or self.placement not in PLACEMENTS:
            raise ValueError(
                f"{self.network}: temporal_padding must be one of {', '.join(TEMPORAL_PADDINGS)}"
                f", and placement one of {', '.join(PLACEMENTS)}. Received: "
                f"temporal_padding={self.padding!r}, placement={self.placement!r}"
            )

    def paths(
        self, x: keras.KerasTensor, unit: str, here: bool
    ) -> tuple[keras.KerasTensor, keras.KerasTensor]:
        """What the shortcut and the residual branch of a block read, shifted or not."""
        if not (self.shift and here):
            return x, x
        shifted = TemporalShift(self.padding, self.divisor, name=f"{unit}.shift")(x)
        return (shifted if self.placement == "in_place" else x), shifted


def _scaled(channels: int, width: float) -> int:
    """`channels` times the width multiplier, up to a multiple of 8."""
    return 8 * math.ceil(channels * width / 8)

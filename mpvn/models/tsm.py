"""TSM: image networks with temporal shifts, as PyTorch defines them; and TSN, without shifts.

*Temporal Shift Module for Efficient Video Understanding on Cloud and Edge* (TSM), sections 4 and 5:
ResNet-50, ResNet-101, ResNeXt-101 and MobileNetV2 with a shift in each residual block (with 101
layers, in every second one), and ResNet-50 with non-local blocks as well. Without shifts they are
TSN (*Temporal Segment Networks*), the baseline; without shifts, but with temporal relations as the
classifier, TRN-Multiscale (*Temporal Relational Reasoning in Videos*), another baseline.

As in PyTorch, the 3x3 convolution has the stride, maps are padded equally on all sides, and no
convolution has a bias. Like the paper, they start from torchvision's ImageNet weights. Those of
`keras.applications` fit other networks; `insert_temporal_shift` adds shifts to them.
"""

import dataclasses
import functools
import math
import os

import keras
import numpy as np
from keras import layers

from keras_layers.temporal import TEMPORAL_PADDINGS
from keras_layers.temporal_shift import TemporalShift
from mpvn.models import mobilenet, resnet
from mpvn.models.heads import action_head, relation_head
from mpvn.models.norms import check_norm_of_weights
from mpvn.models.parts import check_frame
from mpvn.models.surgery.shift import DEEP_STAGE, PLACEMENTS
from mpvn.models.torch.load import class_count, import_torch

CLASSES = 400
"""Default number of classes: that of Kinetics-400."""

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
    relation: bool = False,
    frames: int = 8,
    classes: int | None = None,
    weights: str | os.PathLike | None = None,
    normalized: bool | None = None,
    dropout: float = 0.0,
    norm: str = "batch",
    width: float = 1.0,
    name: str | None = None,
) -> keras.Model:
    """Build a ResNet with temporal shifts, as a frame model.

    Args:
        input_shape: Height, width and channels of the frames.
        depth: 50 or 101.
        groups, group_width: Groups of the 3x3 convolutions, and channels of a group in conv2.
        non_local: Adds a non-local block after every second block of conv3 and conv4, depth 50.
        shift: False builds TSN, or TRN.
        temporal_padding: `"symmetric"` (bi-directional, whole clips) or `"causal"` (can stream).
        divisor: 1 / divisor of the channels is shifted, in each direction.
        placement: `"residual"` or `"in_place"`; see `insert_temporal_shift`.
        relation: Classifies the newest `frames` frames together; see `relation_head`.
        frames: Frames of a clip, which non-local blocks and temporal relations read.
        classes: Number of classes; default: that of the weights, or 400.
        weights: PyTorch checkpoint to start from; see `import_torch` with `exact=False`.
        normalized: Whether the network normalizes frames from -1..1 to ImageNet's mean and
            deviation, as PyTorch's weights need it; default: with weights.
        dropout: Rate of the dropout before the classifier.
        norm: `"batch"`, or `"group"` without weights.
        width: Factor for all channels but the classes, to multiples of 8, and for the groups.
        name: Name of the model.

    Returns:
        A functional model from a frame `[B, H, W, C]` to logits `[B, classes]`, float32. Their mean
        over a clip is its prediction; with `relation`, those of the last frame are.

    Raises:
        ValueError: If an option is out of range, or the weights do not fit.
    """
    name = name or _resnet_name(shift, relation, non_local, groups, depth)
    _check_depth(name, depth, non_local)
    frame = _frame(name, input_shape, norm, weights)
    shifts = _Shifts(name, shift, temporal_padding, divisor, placement)
    x = _normalized(frame, normalized, weights)
    x = resnet.stem(x, _scaled(64, width), norm=norm)
    for block in resnet.blocks(depth):
        shortcut, x = shifts.paths(x, block.unit, block.index % shifts.spacing(depth) == 0)
        channels, block_groups = _channels(block, groups, group_width, width)
        x = resnet.bottleneck(shortcut, x, block, channels, groups=block_groups, norm=norm)
        if non_local and block.stage in (3, 4) and block.index % 2 == 0:
            x = resnet.non_local_block(x, block.unit, frames, temporal_padding, norm)
    return _classifier(frame, x, classes, weights, dropout, name, frames if relation else None)


tsm_resnet50 = functools.partial(tsm_resnet, depth=50)
tsm_resnet101 = functools.partial(tsm_resnet, depth=101)
tsm_resnext101 = functools.partial(tsm_resnet, depth=101, groups=32, group_width=8)
non_local_resnet50 = functools.partial(tsm_resnet, depth=50, non_local=True)
trn_resnet50 = functools.partial(tsm_resnet, depth=50, shift=False, relation=True)


def tsm_mobilenet_v2(
    input_shape: tuple[int, int, int] = (224, 224, 3),
    *,
    shift: bool = True,
    temporal_padding: str = "symmetric",
    divisor: int = 8,
    placement: str = "residual",
    relation: bool = False,
    frames: int = 8,
    classes: int | None = None,
    weights: str | os.PathLike | None = None,
    normalized: bool | None = None,
    dropout: float = 0.0,
    norm: str = "batch",
    width: float = 1.0,
    name: str | None = None,
) -> keras.Model:
    """Build a MobileNetV2 with temporal shifts in the blocks that have an identity path.

    The arguments, the return value and the errors are those of `tsm_resnet`. The last convolution
    has 1280 channels, or more if `width` is above 1.
    """
    name = name or f"{_prefix(shift, relation)}_mobilenet_v2"
    frame = _frame(name, input_shape, norm, weights)
    shifts = _Shifts(name, shift, temporal_padding, divisor, placement)
    x = _normalized(frame, normalized, weights)
    x = resnet.convolved(x, _scaled(32, width), 3, "stem.", strides=2, relu=6, norm=norm)
    for block in mobilenet.blocks():
        outer = _scaled(block.channels, width)
        residual = block.strides == 1 and x.shape[-1] == outer
        shortcut, x = shifts.paths(x, block.unit, residual and block.expansion > 1)
        x = mobilenet.inverted_residual(shortcut if residual else None, x, block, outer, norm)
    x = resnet.convolved(x, _scaled(1280, max(1.0, width)), 1, "last.", relu=6, norm=norm)
    return _classifier(frame, x, classes, weights, dropout, name, frames if relation else None)


trn_mobilenet_v2 = functools.partial(tsm_mobilenet_v2, shift=False, relation=True)


@dataclasses.dataclass(frozen=True)
class _Shifts:
    """Inserts the temporal shifts of one network.

    Attributes:
        network: Its name, for messages.
        shift: False inserts none.
        temporal_padding, divisor, placement: See `tsm_resnet`.
    """

    network: str
    shift: bool
    temporal_padding: str
    divisor: int
    placement: str

    def __post_init__(self) -> None:
        if self.temporal_padding not in TEMPORAL_PADDINGS or self.placement not in PLACEMENTS:
            raise ValueError(
                f"{self.network}: expected temporal_padding to be one of "
                f"{', '.join(TEMPORAL_PADDINGS)}, and placement one of {', '.join(PLACEMENTS)}. "
                f"Received: temporal_padding={self.temporal_padding!r}, "
                f"placement={self.placement!r}"
            )

    def spacing(self, depth: int) -> int:
        """Return 2 if only every second block of a ResNet is shifted, as in the paper, else 1."""
        deep = max(resnet.STAGES[depth]) >= DEEP_STAGE
        return 2 if deep and self.placement == "residual" else 1

    def paths(
        self, x: keras.KerasTensor, unit: str, shifted: bool
    ) -> tuple[keras.KerasTensor, keras.KerasTensor]:
        """The inputs of a block's shortcut and of its residual branch."""
        if not (self.shift and shifted):
            return x, x
        y = TemporalShift(self.temporal_padding, self.divisor, name=f"{unit}.shift")(x)
        return (y if self.placement == "in_place" else x), y


def _resnet_name(shift: bool, relation: bool, non_local: bool, groups: int, depth: int) -> str:
    prefix = "non_local" if non_local else _prefix(shift, relation)
    return f"{prefix}_{'resnet' if groups == 1 else 'resnext'}{depth}"


def _prefix(shift: bool, relation: bool) -> str:
    return "tsm" if shift else "trn" if relation else "tsn"


def _frame(
    name: str,
    input_shape: tuple[int, int, int],
    norm: str,
    weights: str | os.PathLike | None,
) -> keras.KerasTensor:
    """The input of the network `name`, whose options have been checked."""
    check_norm_of_weights(name, norm, "batch", weights)
    check_frame(input_shape, 1, name)
    return keras.Input(input_shape, name="frame")


def _check_depth(name: str, depth: int, non_local: bool) -> None:
    if depth not in resnet.STAGES or (non_local and depth != 50):
        raise ValueError(
            f"{name}: expected depth to be one of {', '.join(map(str, resnet.STAGES))}, "
            f"and 50 with non-local blocks. Received: depth={depth}"
        )


def _normalized(
    frame: keras.KerasTensor, normalized: bool | None, weights: str | os.PathLike | None
) -> keras.KerasTensor:
    """The frame `[B, H, W, C]`, from -1..1 to the mean and deviation that the weights expect."""
    if not (normalized or (normalized is None and weights)):
        return frame
    mean, deviation = np.array(MEAN), np.array(DEVIATION)
    if frame.shape[-1] != len(MEAN):  # optical flow: as in TSN's code, 0 where nothing moves
        mean, deviation = np.array(0.5), deviation.mean()
    # (p - mean) / deviation, where p = (x + 1) / 2
    scale, offset = (0.5 / deviation).tolist(), ((0.5 - mean) / deviation).tolist()
    return layers.Rescaling(scale, offset, name="stem.normalized")(frame)


def _classifier(
    frame: keras.KerasTensor,
    features: keras.KerasTensor,
    classes: int | None,
    weights: str | os.PathLike | None,
    dropout: float,
    name: str,
    related: int | None,
) -> keras.Model:
    """The network from `frame` to logits, with its weights loaded.

    Args:
        related: Number of frames that are classified together; None for frame by frame.
    """
    if classes is None:
        classes = class_count(weights) if weights else CLASSES
    if related is None:
        model = keras.Model(frame, action_head(features, classes, dropout), name=name)
        image = model
    else:
        logits = relation_head(features, classes, related, dropout)
        model = keras.Model(frame, logits, name=name)
        # The layers below the head, with a classifier that only takes that of the file.
        image = keras.Model(frame, action_head(features, classes), name=name)
    if weights:
        import_torch(image, weights, exact=False)
    return model


def _scaled(channels: int, width: float) -> int:
    """`channels` times the width multiplier, rounded up to a multiple of 8."""
    return 8 * math.ceil(channels * width / 8)


def _channels(
    block: resnet.Block, groups: int, group_width: int, width: float
) -> tuple[tuple[int, int], int]:
    """Channels of a block's 3x3 convolution and of the block; groups of that convolution."""
    outer = _scaled(4 * block.channels, width)
    if groups == 1:
        return (_scaled(block.channels, width), outer), 1
    groups = max(1, round(groups * width))
    return (groups * (block.channels * group_width // 64), outer), groups

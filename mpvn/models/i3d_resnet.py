"""I3D on ResNet-50: the 3D convolutions that the *Temporal Shift Module* is compared with.

Three ways to make a ResNet-50 see time:

- `"3x3x3"`: every 3x3 convolution reads three frames.
- `"3x1x1"`: the first 1x1 convolution of about every other block reads three frames (*Non-local
  Neural Networks*, section 4.2; which blocks: its authors' code).
- `"replace"`: the first 1x1 convolution of every block does. It takes the place of the temporal
  shift.

The first two also read five frames with the first convolution, and have temporal strides: in that
convolution, in the pool after it, and in a pool after conv2. The papers print few of the strides;
the defaults are those with which multiply-adds and parameters come nearest to them:

    TSM, table 10       frames  strides   multiply-adds  printed  parameters  printed
    3x3x3                 16    (2, 1, 2)     40.9 G      40 G      47.0 M     47.0 M
    3x1x1                 32    (2, 2, 2)     33.2 G      33 G      28.0 M     29.3 M
    table 2 (from *Videos as Space-Time Region Graphs*)
    I3D, conv5_strides=1  32    (1, 1, 2)    152.5 G     153 G      28.0 M     28.0 M

`temporal_strides=(1, 1, 1)` keeps the temporal resolution of every stage (TSM, table 11).

`layout` chooses between two ResNet-50s; see `mpvn.models.resnet`. ImageNet weights of
`keras.applications` fit layout `"keras"` only.
"""

import dataclasses
import math
import os
from collections.abc import Mapping

import keras

from mpvn.models.applications import load_application
from mpvn.models.heads import action_head
from mpvn.models.norms import check_norm_of_weights
from mpvn.models.parts import check_frame, max_pool, scale_channels
from mpvn.models.resnet import (
    LAYOUTS,
    Block,
    blocks,
    bottleneck,
    non_local_block,
    pool_frames,
    stem,
)
from mpvn.models.surgery.transfer import transfer_weights

Strides = tuple[int, int, int]


@dataclasses.dataclass(frozen=True)
class Variant:
    """Where time enters a ResNet-50.

    Attributes:
        stem_kernel: Number of frames that the first convolution reads.
        temporal_strides: Default of `temporal_strides` in `i3d_resnet50`.
        pointwise: Numbers of the blocks whose first 1x1 convolution reads three frames, by stage.
        square: Whether every 3x3 convolution reads three frames.
    """

    stem_kernel: int
    temporal_strides: Strides
    pointwise: Mapping[int, tuple[int, ...]] = dataclasses.field(default_factory=dict)
    square: bool = False

    def temporal_kernels(self, block: Block) -> tuple[int, int]:
        """Return the frames that the first 1x1 and the 3x3 convolution of `block` read."""
        inflated = block.index in self.pointwise.get(block.stage, ())
        return (3 if inflated else 1), (3 if self.square else 1)


VARIANTS = {
    "3x3x3": Variant(5, (2, 1, 2), square=True),
    "3x1x1": Variant(5, (2, 2, 2), {2: (0, 1, 2), 3: (0, 2), 4: (0, 2, 4), 5: (1,)}),
    "replace": Variant(1, (1, 1, 1), {stage: tuple(range(6)) for stage in range(2, 6)}),
}


def i3d_resnet50(
    input_shape: tuple[int, int, int] = (224, 224, 3),
    *,
    variant: str = "3x3x3",
    temporal_strides: tuple[int, int, int] | None = None,
    conv5_strides: int = 2,
    non_local: bool = False,
    frames: int = 32,
    classes: int = 400,
    temporal_padding: str = "symmetric",
    layout: str | None = None,
    weights: str | os.PathLike | None = None,
    dropout: float = 0.0,
    norm: str = "batch",
    width: float = 1.0,
    name: str | None = None,
) -> keras.Model:
    """Build a frame model of 16 bottleneck blocks, some or all of which read three frames.

    Args:
        input_shape: Height, width and channels of the frames.
        variant: `"3x3x3"`, `"3x1x1"` or `"replace"`, as above.
        temporal_strides: Of the first convolution, of the pool after it, and of a pool after conv2.
            Pools with one read three frames. Default: as above; `"replace"` has none.
        conv5_strides: Spatial stride of conv5; 1 for I3D and non-local I3D in TSM's table 2.
        non_local: Adds a non-local block after every second block of conv3 and conv4.
        frames: Frames of a clip, which each non-local block reads; if causal, the newest ones.
        classes: Number of classes.
        temporal_padding: `"symmetric"`, for whole clips and one subnetwork, as in the comparison;
            or `"causal"`, which can stream.
        layout: `"torch"` or `"keras"`; default: `"keras"` with weights, `"torch"` without.
        weights: `"imagenet"` (downloaded by Keras), or a weights file of
            `keras.applications.ResNet50`: with its classifier if there are 1000 classes, without
            otherwise. They are inflated: for a video of one repeated image, or without temporal
            strides for any video, outputs equal those of the image network.
        dropout: Rate of the dropout before the classifier.
        norm: `"batch"`, or `"group"` without weights.
        width: Factor for all channels but the classes.
        name: Name of the model; default: `"i3d_resnet50_"` and the variant.

    Returns:
        A functional model from a frame `[B, H, W, C]` to logits `[B, classes]`, float32. It ticks
        once in as many frames as the product of the temporal strides.

    Raises:
        ValueError: If an option is unknown or out of range, or the weights do not fit.
    """
    name = name or f"{'non_local_' * non_local}i3d_resnet50_{variant}"
    layout = layout or ("torch" if weights is None else "keras")
    _check_options(name, variant, layout, temporal_strides, (conv5_strides, frames))
    _check_weights(name, layout, norm, weights, width)
    check_frame(input_shape, 1, name)
    network = _Network(VARIANTS[variant], temporal_strides, temporal_padding, layout, norm, width)
    frame = keras.Input(input_shape, name="frame")
    x = network.features(frame, conv5_strides, frames if non_local else None)
    model = keras.Model(frame, action_head(x, classes, dropout), name=name)
    if weights is not None:
        source = load_application("ResNet50", weights, include_top=classes == 1000)
        transfer_weights(source, model, names=_application_name)
    return model


class _Network:
    """The layers of I3D, with the options that all of them share; see `i3d_resnet50`."""

    def __init__(
        self,
        variant: Variant,
        temporal_strides: Strides | None,
        temporal_padding: str,
        layout: str,
        norm: str,
        width: float,
    ) -> None:
        self._variant = variant
        self._temporal_strides = temporal_strides or variant.temporal_strides
        self._temporal_padding = temporal_padding
        self._layout = layout
        self._norm = norm
        self._width = width

    def features(
        self, frame: keras.KerasTensor, conv5_strides: int, non_local_frames: int | None
    ) -> keras.KerasTensor:
        """Return the last map `[B, H / 32, W / 32, 2048]`, rounded up.

        Args:
            frame: `[B, H, W, C]`.
            conv5_strides: Spatial stride of conv5.
            non_local_frames: Frames of the clip that non-local blocks read; None for no blocks.
        """
        x = stem(
            frame,
            scale_channels(64, self._width),
            self._layout,
            self._norm,
            temporal_kernel=self._variant.stem_kernel,
            temporal_strides=self._temporal_strides[:2],
            temporal_padding=self._temporal_padding,
        )
        for block in blocks(50):
            x = self._bottleneck(x, block, conv5_strides)
            if block.unit == "conv2_block3" and self._temporal_strides[2] > 1:
                x = self._pool(x, f"{block.unit}.pool", self._temporal_strides[2])
            if non_local_frames and block.stage in (3, 4) and block.index % 2 == 1:
                seen = math.ceil(non_local_frames / math.prod(self._temporal_strides))
                x = non_local_block(x, block.unit, seen, self._temporal_padding, self._norm)
        return x

    def _bottleneck(
        self, x: keras.KerasTensor, block: Block, conv5_strides: int
    ) -> keras.KerasTensor:
        return bottleneck(
            x,
            x,
            block,
            (
                scale_channels(block.channels, self._width),
                scale_channels(4 * block.channels, self._width),
            ),
            strides=conv5_strides if block.first and block.stage == 5 else None,
            temporal_kernels=self._variant.temporal_kernels(block),
            temporal_padding=self._temporal_padding,
            layout=self._layout,
            norm=self._norm,
        )

    def _pool(self, x: keras.KerasTensor, name: str, temporal_stride: int) -> keras.KerasTensor:
        return max_pool(
            x,
            1,
            name,
            temporal_size=pool_frames(temporal_stride),
            temporal_stride=temporal_stride,
            temporal_padding=self._temporal_padding,
        )


def _check_options(
    name: str,
    variant: str,
    layout: str,
    temporal_strides: Strides | None,
    counts: tuple[int, ...],
) -> None:
    if variant not in VARIANTS or layout not in LAYOUTS:
        raise ValueError(
            f"{name}: expected variant to be one of {', '.join(VARIANTS)}, and layout one of "
            f"{', '.join(LAYOUTS)}. Received: variant={variant!r}, layout={layout!r}"
        )
    if temporal_strides is not None and not _is_triple(temporal_strides):
        raise ValueError(
            f"{name}: expected three ints as temporal_strides: of the first convolution, of the "
            f"pool after it, and of the pool after conv2. Received: {temporal_strides!r}"
        )
    if min(*counts, *(temporal_strides or ())) < 1:
        raise ValueError(
            f"{name}: expected strides and frames of at least 1. Received: "
            f"temporal_strides={temporal_strides}, conv5_strides={counts[0]}, frames={counts[1]}"
        )


def _is_triple(values: object) -> bool:
    if not isinstance(values, (tuple, list)):
        return False
    return len(values) == 3 and all(isinstance(value, int) for value in values)


def _check_weights(
    name: str, layout: str, norm: str, weights: str | os.PathLike | None, width: float
) -> None:
    check_norm_of_weights(name, norm, "batch", weights)
    if weights is not None and (layout != "keras" or width != 1.0):
        raise ValueError(
            f"{name}: weights of keras.applications need layout='keras' and width=1.0. "
            f"Received: layout={layout!r}, width={width}"
        )


def _application_name(layer: str) -> str:
    """The name that a layer has in `keras.applications.ResNet50`."""
    if layer == "head.logits":
        return "predictions"
    return layer.replace("stem.", "conv1_").replace(".", "_")

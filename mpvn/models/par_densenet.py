"""Par-DenseNet, the deep network of *Massively Parallel Video Networks* (appendix D, table 5).

A DenseNet of 54 layers for keypoints or actions: a 7x7 stem, dense blocks of 4, 8, 8 and 6
miniblocks, and a head that reads all scales. The pool of the stem runs at frame rate. The head
reads it directly, so heatmaps follow every frame. A temporal pool of two frames feeds the first
block, and pools between the blocks are temporal strides of 2, so the blocks tick every 2, 4, 8 and
16 frames. A miniblock reads each earlier miniblock of its block directly, not through one growing
tensor. So a connection that crosses a boundary is delayed by one step only.

The paper contradicts itself in three places:

- Table 5 prints no temporal stride for AvgPool_1. Here it is 2, as for the other pools: the paper's
  count of 86 miniblocks in 16 frames requires it.
- The 19,584 weights of the 17 heatmaps fit a 3x3 convolution of 128 channels: the 64 of the stem's
  pool, whose map has the size of the heatmaps, and the skips' 4 x 16. So `Logits` does not read
  what is fed back.
- Feedback is of the heatmaps in section 3.2, and of the input to `Logits` in the caption of
  table 5. Both are options.
"""

import keras
from keras import layers

from mpvn.models.heads import JOINTS, action_head, join_feedback, keypoint_head
from mpvn.models.norms import check_norm
from mpvn.models.parts import (
    average_pool,
    check_frame,
    check_task,
    convolution,
    max_pool,
    norm_relu,
    scale_channels,
)

MINIBLOCKS = (4, 8, 8, 6)
"""Miniblocks of each block."""

TRANSITIONS = (168, 340, 426)
"""Channels between the blocks."""

POOLED_FRAMES = (1, 2, 2)
"""Frames that the average pool after each block but the last reads: its size along time."""

STEM, BOTTLENECK, GROWTH, SKIP = 64, 256, 64, 16
"""Channels of the stem, of a miniblock's 1x1 and 3x3 convolutions, and of a skip to the head."""

REDUCTION = 32
"""Size of the frame divided by the size of the last block's maps."""


def par_densenet(
    input_shape: tuple[int, int, int] = (224, 224, 3),
    *,
    joints: int | None = None,
    classes: int | None = None,
    temporal_kernel: int = 1,
    temporal_filters: str = "3x3",
    temporal_padding: str = "causal",
    clocks: bool = True,
    feedback: str | None = None,
    heatmap_size: tuple[int, int] | None = None,
    dropout: float = 0.0,
    norm: str = "batch",
    width: float = 1.0,
    name: str = "par_densenet",
) -> keras.Model:
    """Build a frame model; published with 1, 2, 4, 7 and 14 subnetworks.

    Args:
        input_shape: Height and width of the frames, multiples of 32, and their channels.
        joints: Number of heatmaps; default: 17, without `classes`.
        classes: Number of classes, for a classifier on the last block instead of heatmaps.
        temporal_kernel: The number of frames that temporal filters read: 1, or 2 (section 3.2).
        temporal_filters: The convolutions that are temporal filters: `"3x3"`, those of the
            miniblocks, or `"all"` but the first.
        temporal_padding: `"causal"`, or `"symmetric"` for whole clips and one subnetwork: the
            non-causal network of table 1.
        clocks: Whether the pools before and between the blocks are temporal strides of 2. Without,
            pools do not read time at all: with `temporal_kernel=1` the network sees single frames.
        feedback: What the blocks also read of the previous step, joined to the pool of the stem:
            `"heatmaps"`, their tanh (section 3.2), or `"head_input"`, the maps that the head's
            convolution reads (table 5).
        heatmap_size: Height and width of the heatmaps; default: a quarter of the frame's.
        dropout: Rate of the dropout before the classifier.
        norm: Normalization before each ReLU: `"batch"` or `"group"`.
        width: Factor for all channels but the outputs', for small machines.
        name: Name of the model.

    Returns:
        A functional model from a frame `[B, H, W, C]` to logits, float32: heatmaps
        `[B, H / 4, W / 4, joints]`, or classes `[B, classes]`.

    Raises:
        ValueError: If options contradict each other, or a frame or heatmap size does not divide.
    """
    check_task(name, joints, classes, feedback, temporal_padding)
    check_frame(input_shape, REDUCTION, name)
    kernels = _temporal_kernels(name, temporal_kernel, temporal_filters)
    network = _DenseNet(kernels, temporal_padding, clocks, norm, width)
    joints = joints or JOINTS
    frame = keras.Input(input_shape, name="frame")
    stem = x = network.stem(frame)
    if feedback:
        joined = stem.shape[-1] + len(MINIBLOCKS) * network.scaled(SKIP)
        x = join_feedback(stem, feedback, joints, joined, heatmap_size, "stem")
    maps = network.blocks(x)
    if classes is not None:
        return keras.Model(frame, action_head([*maps.values()][-1], classes, dropout), name=name)
    heatmaps = network.heatmaps(stem, maps, joints, heatmap_size)
    return keras.Model(frame, heatmaps, name=name)


def _temporal_kernels(name: str, temporal_kernel: int, temporal_filters: str) -> tuple[int, int]:
    """Frames that the 1x1 and the 3x3 convolutions read."""
    if temporal_filters not in ("3x3", "all"):
        received = f"Received: {temporal_filters!r}"
        raise ValueError(f'{name}: expected temporal_filters to be "3x3" or "all". {received}')
    return (temporal_kernel if temporal_filters == "all" else 1, temporal_kernel)


class _DenseNet:
    """The layers of a DenseNet, with the options that all of them share.

    Args:
        kernels: Frames that the 1x1 and the 3x3 convolutions read.
        padding: `"causal"` or `"symmetric"`, along time.
        clocks, norm, width: See `par_densenet`.
    """

    def __init__(
        self, kernels: tuple[int, int], padding: str, clocks: bool, norm: str, width: float
    ) -> None:
        check_norm(norm, "Par-DenseNet")
        self._kernels = {1: kernels[0], 3: kernels[1]}
        self._padding = padding
        self._clocks = clocks
        self._norm = norm
        self._width = width

    def scaled(self, channels: int) -> int:
        return scale_channels(channels, self._width)

    def stem(self, frame: keras.KerasTensor) -> keras.KerasTensor:
        """Apply the first convolution and pool, at frame rate: `[B, H / 4, W / 4, 64]`."""
        x = convolution(frame, self.scaled(STEM), 7, "stem.conv7x7", strides=2)
        return max_pool(self._norm_relu(x, "stem.conv7x7"), 3, "stem.pool", strides=2)

    def blocks(self, x: keras.KerasTensor) -> dict[str, keras.KerasTensor]:
        """Apply the dense blocks to the stem. Return the features of each, by its last unit."""
        if self._clocks:
            x = self._temporal_pool(x)
        maps: dict[str, keras.KerasTensor] = {}
        for block, count in enumerate(MINIBLOCKS, 1):
            unit, features = f"block{block}_{count}", [x]
            for number in range(1, count + 1):
                features = [*features, self._miniblock(features, f"block{block}_{number}")]
            x = maps[unit] = self._norm_relu(
                _joined(features, f"{unit}.features"), f"{unit}.features"
            )
            if block < len(MINIBLOCKS):
                x = self._transition(x, block, unit)
        return maps

    def heatmaps(
        self,
        stem: keras.KerasTensor,
        maps: dict[str, keras.KerasTensor],
        joints: int,
        size: tuple[int, int] | None,
    ) -> keras.KerasTensor:
        """Apply the head to the stem and to a skip of the features of each block."""
        skips = {unit: self.convolved(x, SKIP, 1, f"{unit}.skip") for unit, x in maps.items()}
        scales = {"stem": stem} | skips
        return keypoint_head(scales, joints, size, self._kernels[1], self._padding)

    def convolved(
        self, x: keras.KerasTensor, channels: int, kernel: int, name: str
    ) -> keras.KerasTensor:
        """Apply a convolution, to `channels` times the width multiplier."""
        return convolution(
            x,
            self.scaled(channels),
            kernel,
            name,
            temporal_kernel=self._kernels[kernel],
            temporal_padding=self._padding,
        )

    def _temporal_pool(self, x: keras.KerasTensor) -> keras.KerasTensor:
        return max_pool(
            x,
            1,
            "stem.temporal_pool",
            temporal_size=2,
            temporal_stride=2,
            temporal_padding=self._padding,
        )

    def _miniblock(self, features: list[keras.KerasTensor], unit: str) -> keras.KerasTensor:
        x = self._norm_relu(_joined(features, f"{unit}.join"), f"{unit}.join")
        x = self.convolved(x, BOTTLENECK, 1, f"{unit}.conv1x1")
        x = self._norm_relu(x, f"{unit}.conv1x1")
        return self.convolved(x, GROWTH, 3, f"{unit}.conv3x3")

    def _transition(self, x: keras.KerasTensor, block: int, unit: str) -> keras.KerasTensor:
        x = self.convolved(x, TRANSITIONS[block - 1], 1, f"{unit}.transition")
        return average_pool(
            x,
            2,
            f"{unit}.pool",
            temporal_size=POOLED_FRAMES[block - 1] if self._clocks else 1,
            temporal_stride=2 if self._clocks else 1,
            temporal_padding=self._padding,
        )

    def _norm_relu(self, x: keras.KerasTensor, name: str) -> keras.KerasTensor:
        return norm_relu(x, name, norm=self._norm)


def _joined(features: list[keras.KerasTensor], name: str) -> keras.KerasTensor:
    return layers.Concatenate(name=name)(features) if len(features) > 1 else features[0]

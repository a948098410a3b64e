"""Par-DenseNet, the deep network of *Massively Parallel Video Networks* (appendix D, table 5).

A DenseNet of 54 layers for keypoints or actions: a 7x7 stem, dense blocks of 4, 8, 8 and 6
miniblocks, and a head that reads all scales. Each pool is also a temporal stride, so the blocks
tick every 2, 4, 8 and 16 frames. A miniblock reads each earlier miniblock of its block directly,
not through one growing tensor. So a connection that crosses a boundary is delayed by one step only.

The paper is silent or contradicts itself in two places:

- The pool of the stem and the three average pools all have a temporal stride of 2 here: the paper's
  count of 86 miniblocks in 16 frames requires it.
- The 19,584 weights of the 17 heatmaps fit a 3x3 convolution of 128 channels: the skips' 4 x 16,
  and the 64 of the stem, whose map has the size of the heatmaps.
"""

import keras
from keras import layers

from mpvn.models.heads import JOINTS, action_head, keypoint_head, previous_heatmaps
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
    clocks: bool = True,
    feedback: bool = False,
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
        clocks: Whether pools are temporal strides of 2.
        feedback: Whether the first block also reads the tanh of the previous step's heatmaps
            (section 3.2).
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
    check_task(name, joints, classes, feedback)
    check_frame(input_shape, REDUCTION, name)
    kernels = _temporal_kernels(name, temporal_kernel, temporal_filters)
    frame = keras.Input(input_shape, name="frame")
    stem = _stem(frame, scale_channels(STEM, width), clocks, norm)
    block_input = [stem]
    if feedback:
        block_input.append(previous_heatmaps(stem, joints or JOINTS, heatmap_size, "block1_1"))
    maps = _dense_blocks(block_input, kernels, clocks, norm, width)
    if classes is not None:
        *_, last = maps.values()
        return keras.Model(frame, action_head(last, classes, dropout), name=name)
    skips = {"stem": stem}
    for unit, map_ in maps.items():
        channels = scale_channels(SKIP, width)
        skips[unit] = convolution(map_, channels, 1, f"{unit}.skip", temporal_kernel=kernels[0])
    heatmaps = keypoint_head(skips, joints or JOINTS, heatmap_size, kernels[0])
    return keras.Model(frame, heatmaps, name=name)


def _temporal_kernels(name: str, temporal_kernel: int, temporal_filters: str) -> tuple[int, int]:
    """Frames that the 1x1 and the 3x3 convolutions read."""
    if temporal_filters not in ("3x3", "all"):
        received = f"Received: {temporal_filters!r}"
        raise ValueError(f'{name}: expected temporal_filters to be "3x3" or "all". {received}')
    return (temporal_kernel if temporal_filters == "all" else 1, temporal_kernel)


def _stem(frame: keras.KerasTensor, channels: int, clocks: bool, norm: str) -> keras.KerasTensor:
    x = convolution(frame, channels, 7, "stem.conv7x7", strides=2)
    x = norm_relu(x, "stem.conv7x7", norm=norm)
    return max_pool(x, 3, "stem.pool", strides=2, temporal_stride=2 if clocks else 1)


def _dense_blocks(
    features: list[keras.KerasTensor],
    kernels: tuple[int, int],
    clocks: bool,
    norm: str,
    width: float,
) -> dict[str, keras.KerasTensor]:
    """The normalized features of each block, by its last unit."""
    maps: dict[str, keras.KerasTensor] = {}
    for block, count in enumerate(MINIBLOCKS, 1):
        unit = f"block{block}_{count}"
        for number in range(1, count + 1):
            miniblock = f"block{block}_{number}"
            features = [*features, _miniblock(features, miniblock, kernels, norm, width)]
        x = maps[unit] = norm_relu(
            _joined(features, f"{unit}.features"), f"{unit}.features", norm=norm
        )
        if block < len(MINIBLOCKS):
            channels = scale_channels(TRANSITIONS[block - 1], width)
            x = convolution(x, channels, 1, f"{unit}.transition", temporal_kernel=kernels[0])
            x = average_pool(x, 2, f"{unit}.pool", temporal_stride=2 if clocks else 1)
            features = [x]
    return maps


def _miniblock(
    features: list[keras.KerasTensor],
    unit: str,
    kernels: tuple[int, int],
    norm: str,
    width: float,
) -> keras.KerasTensor:
    x = norm_relu(_joined(features, f"{unit}.join"), f"{unit}.join", norm=norm)
    x = convolution(
        x, scale_channels(BOTTLENECK, width), 1, f"{unit}.conv1x1", temporal_kernel=kernels[0]
    )
    x = norm_relu(x, f"{unit}.conv1x1", norm=norm)
    return convolution(
        x, scale_channels(GROWTH, width), 3, f"{unit}.conv3x3", temporal_kernel=kernels[1]
    )


def _joined(features: list[keras.KerasTensor], name: str) -> keras.KerasTensor:
    return layers.Concatenate(name=name)(features) if len(features) > 1 else features[0]

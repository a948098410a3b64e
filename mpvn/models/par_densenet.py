"""Par-DenseNet, the deep network of *Massively Parallel Video Networks* (section 4, table 5).

A DenseNet of 54 layers for keypoints or actions: a 7x7 stem, dense blocks of 4, 8, 8 and 6
miniblocks, and a head over all scales. Each pooling is also a temporal stride, so the blocks tick
every 2, 4, 8 and 16 frames. A miniblock reads every earlier one of its block by itself, not through
one growing tensor: where a boundary lies between, that connection is delayed by one step only.

Where the paper is silent or at odds with itself: the stem's pool and the three average pools all
have a temporal stride of 2 (its count of 86 miniblocks in 16 frames needs it); the 19,584 weights
of its 17 heatmaps are a 3x3 convolution of 128 channels, the skips' 4 x 16 and the stem's 64, which
is the map of the heatmaps' own size.
"""

import keras
from keras import layers

from mpvn.models.heads import action_head, fed_back, keypoint_head
from mpvn.models.parts import (
    average_pool,
    check_frame,
    check_task,
    convolution,
    max_pool,
    rectified,
    scaled,
)

MINIBLOCKS = (4, 8, 8, 6)
"""Miniblocks of each block."""

TRANSITIONS = (168, 340, 426)
"""Channels between the blocks."""

STEM, BOTTLENECK, GROWTH, SKIP = 64, 256, 64, 16
"""Channels of the stem, of a miniblock's 1x1 and 3x3 convolutions, and of a skip to the head."""

REDUCTION = 32
"""How much smaller the last block's maps are than the frame."""

JOINTS = 17
"""Heatmaps by default: the joints of COCO."""


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
    width: float = 1.0,
    name: str = "par_densenet",
) -> keras.Model:
    """A frame model; published with 1, 2, 4, 7 and 14 subnetworks.

    Args:
        input_shape: height, width and channels of the frames, multiples of 32.
        joints: number of heatmaps; 17 if neither this nor `classes` is given.
        classes: number of classes, for a classifier on the last block instead.
        temporal_kernel: frames that the temporal filters see: 1, or 2 as in section 3.3.
        temporal_filters: which convolutions see them: `"3x3"`, those of the miniblocks, or `"all"`
            but the first.
        clocks: whether poolings are temporal strides of 2.
        feedback: whether the first block also reads the heatmaps of the step before (section 3.5),
            through a tanh.
        heatmap_size: height and width of the heatmaps; default: a quarter of the frame's.
        dropout: of the classifier.
        width: multiplies all channels but the outputs', for small machines.
        name: of the model.

    Returns:
        A functional model from a frame `[B, H, W, C]` to logits, float32: heatmaps
        `[B, H/4, W/4, joints]`, or classes `[B, classes]`.

    Raises:
        ValueError: arguments that contradict each other, or a frame or heatmap size that does not
            divide.
    """
    check_task(name, joints, classes, feedback)
    if temporal_filters not in ("3x3", "all"):
        raise ValueError(
            f'{name}: temporal_filters must be "3x3" or "all". Received: {temporal_filters!r}'
        )
    check_frame(input_shape, REDUCTION, name)
    stride = 2 if clocks else 1
    kernels = (temporal_kernel if temporal_filters == "all" else 1, temporal_kernel)
    frame = keras.Input(input_shape, name="frame")
    x = stem = _stem(frame, scaled(STEM, width), stride)
    maps = {}
    for block, count in enumerate(MINIBLOCKS, 1):
        features = [x]
        if feedback and block == 1:
            features.append(fed_back(stem, joints or JOINTS, heatmap_size, "block1_1"))
        unit, x = _dense_block(features, block, count, kernels, width)
        maps[unit] = x
        if block < len(MINIBLOCKS):
            channels = scaled(TRANSITIONS[block - 1], width)
            x = convolution(x, channels, 1, f"{unit}.transition", temporal_kernel=kernels[0])
            x = average_pool(x, 2, f"{unit}.pool", temporal_stride=stride)
    if classes is not None:
        return keras.Model(frame, action_head(x, classes, dropout), name=name)
    skips = {"stem": stem}
    for unit, map_ in maps.items():
        channels = scaled(SKIP, width)
        skips[unit] = convolution(map_, channels, 1, f"{unit}.skip", temporal_kernel=kernels[0])
    heatmaps = keypoint_head(skips, joints or JOINTS, heatmap_size, kernels[0])
    return keras.Model(frame, heatmaps, name=name)


def _stem(frame: keras.KerasTensor, channels: int, stride: int) -> keras.KerasTensor:
    x = convolution(frame, channels, 7, "stem.conv7x7", strides=2)
    x = rectified(x, "stem.conv7x7")
    return max_pool(x, 3, "stem.pool", strides=2, temporal_stride=stride)


def _dense_block(
    features: list[keras.KerasTensor],
    block: int,
    count: int,
    kernels: tuple[int, int],
    width: float,
) -> tuple[str, keras.KerasTensor]:
    """Name of the block's last unit, and all its features, normalized."""
    for number in range(1, count + 1):
        unit = f"block{block}_{number}"
        x = rectified(_joined(features, f"{unit}.join"), f"{unit}.join")
        bottleneck = scaled(BOTTLENECK, width)
        x = convolution(x, bottleneck, 1, f"{unit}.conv1x1", temporal_kernel=kernels[0])
        x = rectified(x, f"{unit}.conv1x1")
        growth = scaled(GROWTH, width)
        x = convolution(x, growth, 3, f"{unit}.conv3x3", temporal_kernel=kernels[1])
        features = [*features, x]
    return unit, rectified(_joined(features, f"{unit}.features"), f"{unit}.features")


def _joined(features: list[keras.KerasTensor], name: str) -> keras.KerasTensor:
    return layers.Concatenate(name=name)(features) if len(features) > 1 else features[0]

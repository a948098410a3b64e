"""Par-Inception of *Massively Parallel Video Networks* (appendix D, table 7), and I3D.

I3D is Inception-v1 with 3D convolutions (*Quo Vadis, Action Recognition?*, 2017). Par-Inception is
I3D with causal convolutions, so it can stream. Its temporal strides are clocks of 2, 4 and 8
frames. Its paper lists 128 channels for the first branch of module 4e where I3D has 112; each
function here follows its own paper.

I3D pads a clip by an amount that depends on its length. The symmetric windows here equal I3D's for
clips of 8n + 1 frames. For clips of 8n frames I3D pads three frames less at the start; use
`Plan(model, phases=[3])`, which starts three steps later.

The classifier reads the mean over two ticks (AvgPool3d 2x7x7). I3D pools without padding, so a clip
of n ticks gives n - 1 outputs, and their mean is its prediction. Here the last symmetric window
also reads a tick after the end of the clip, which is zero. The outputs at the other n - 1 ticks
are I3D's.
"""

import keras
from keras import layers

from mpvn.models.heads import JOINTS, action_head, join_feedback, keypoint_head
from mpvn.models.norms import check_norm
from mpvn.models.parts import (
    check_frame,
    check_task,
    convolution,
    max_pool,
    norm_relu,
    scale_channels,
    space_to_channels,
)

Branches = tuple[int, int, int, int, int, int]
"""Channels of a module: of the 1x1 branch; of the 1x1 and the 3x3 convolution in each of two 3x3
branches; of the branch with a pool."""

MODULES: dict[str, Branches] = {
    "mixed_3b": (64, 96, 128, 16, 32, 32),
    "mixed_3c": (128, 128, 192, 32, 96, 64),
    "mixed_4b": (192, 96, 208, 16, 48, 64),
    "mixed_4c": (160, 112, 224, 24, 64, 64),
    "mixed_4d": (128, 128, 256, 24, 64, 64),
    "mixed_4e": (128, 144, 288, 32, 64, 64),
    "mixed_4f": (256, 160, 320, 32, 128, 128),
    "mixed_5b": (256, 160, 320, 32, 128, 128),
    "mixed_5c": (384, 192, 384, 48, 128, 128),
}

I3D_MODULES = MODULES | {"mixed_4e": (112, 144, 288, 32, 64, 64)}

SKIP = 16
"""Channels of a skip to the head; the stem and each module have one."""

AVERAGED_TICKS = 2
"""Ticks of the last module that the classifier reads the mean of."""

REDUCTION = 32
"""Size of the frame divided by the size of the last modules' maps."""


def par_inception(
    input_shape: tuple[int, int, int] = (224, 224, 3),
    *,
    joints: int | None = None,
    classes: int | None = None,
    temporal_filters: bool = True,
    temporal_padding: str = "causal",
    clocks: bool = True,
    feedback: str | None = None,
    heatmap_size: tuple[int, int] | None = None,
    dropout: float = 0.0,
    norm: str = "batch",
    width: float = 1.0,
    name: str = "par_inception",
) -> keras.Model:
    """Build a frame model; published with 1, 5 and 10 subnetworks.

    Args:
        input_shape: Height and width of the frames, multiples of 32, and their channels.
        joints: Number of heatmaps; default: 17, without `classes`.
        classes: Number of classes, for a classifier instead of heatmaps.
        temporal_filters: Whether convolutions and pools read 7, 3 and 2 frames, or only the newest.
        temporal_padding: `"causal"`, or `"symmetric"` for whole clips and one subnetwork: the
            non-causal network of table 1.
        clocks: Whether the first convolution and two of the pools are temporal strides of 2.
        feedback: What the second convolution also reads of the previous step: `"heatmaps"`, their
            tanh (section 3.2), or `"head_input"`, the maps that the head's convolution reads
            (table 5).
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
    network = _Inception(temporal_filters, clocks, temporal_padding, norm, width)
    joints = joints or JOINTS
    frame = keras.Input(input_shape, name="frame")
    x = network.reduced(frame)
    skip = scale_channels(SKIP, width)
    if feedback:
        joined = (1 + len(MODULES)) * skip
        x = join_feedback(x, feedback, joints, joined, heatmap_size, "stem")
    maps = network.modules(network.refined(x), MODULES)
    if classes is not None:
        return keras.Model(frame, network.scores(maps, classes, dropout), name=name)
    skips = {unit: convolution(x, skip, 1, f"{unit}.skip") for unit, x in maps.items()}
    heatmaps = keypoint_head(skips, joints, heatmap_size)
    return keras.Model(frame, heatmaps, name=name)


def i3d_inception(
    input_shape: tuple[int, int, int] = (224, 224, 3),
    *,
    classes: int = 400,
    temporal_padding: str = "symmetric",
    block: int | tuple[int, int, int] = 1,
    dropout: float = 0.0,
    norm: str = "batch",
    width: float = 1.0,
    name: str = "i3d_inception",
) -> keras.Model:
    """Build I3D, which reads future frames: for whole clips and one subnetwork.

    Args:
        input_shape: Height, width and channels of the frames.
        classes: Number of classes.
        temporal_padding: `"symmetric"`, or `"causal"` for a variant that can stream.
        block: Moves blocks of `block` x `block` pixels, or of `(frames, height, width)`, into the
            channels of the input: I3D* of *Skip-Sideways* (supplement, section 4).
        dropout: Rate of the dropout before the classifier.
        norm: Normalization before each ReLU: `"batch"` or `"group"`.
        width: Factor for all channels but the classes.
        name: Name of the model.

    Returns:
        A functional model from a frame `[B, H, W, C]` to logits `[B, classes]`, float32. It ticks
        every 8 frames (times those of a block). With symmetric padding, the mean over the ticks of
        a clip but the last is I3D's prediction.

    Raises:
        ValueError: If `temporal_padding` or the frame size is unknown, or `block` does not divide
            it.
    """
    check_frame(input_shape, 1, name)
    network = _Inception(True, True, temporal_padding, norm, width)
    frame = keras.Input(input_shape, name="frame")
    x = network.reduced(space_to_channels(frame, block, "stem", temporal_padding))
    maps = network.modules(network.refined(x), I3D_MODULES)
    return keras.Model(frame, network.scores(maps, classes, dropout), name=name)


class _Inception:
    """The layers of Inception-v1, with the options that all of them share.

    Args:
        temporal_filters, clocks, norm, width: See `par_inception`.
        padding: `"causal"` or `"symmetric"`, along time.
    """

    def __init__(
        self, temporal_filters: bool, clocks: bool, padding: str, norm: str, width: float
    ) -> None:
        check_norm(norm, "Inception-v1")
        self._temporal_filters = temporal_filters
        self._stride = 2 if clocks else 1
        self._padding = padding
        self._norm = norm
        self._width = width

    def reduced(self, frame: keras.KerasTensor) -> keras.KerasTensor:
        """Apply the first convolution and pool: `[B, H / 4, W / 4, 64]`."""
        x = self._unit(frame, 64, "stem.1a", 7, strides=2, temporal_stride=self._stride)
        return max_pool(x, 3, "stem.2a_pool", strides=2)

    def refined(self, x: keras.KerasTensor) -> keras.KerasTensor:
        """Apply the second and third convolution: `[B, H / 4, W / 4, 192]`."""
        return self._unit(self._unit(x, 64, "stem.2b"), 192, "stem.2c", 3)

    def modules(
        self, x: keras.KerasTensor, table: dict[str, Branches]
    ) -> dict[str, keras.KerasTensor]:
        """Apply the modules of `table`. Return the maps of the stem and of each module, by unit."""
        maps = {"stem": x}
        for unit, channels in table.items():
            if unit == "mixed_3b":
                x = max_pool(x, 3, "stem.3a_pool", strides=2)
            elif unit == "mixed_4b":
                x = self._pool(x, 3, "mixed_3c.4a_pool", 2, self._stride)
            elif unit == "mixed_5b":
                x = self._pool(x, 2, "mixed_4f.5a_pool", 2, self._stride)
            x = maps[unit] = self._module(x, channels, unit)
        return maps

    def scores(
        self, maps: dict[str, keras.KerasTensor], classes: int, dropout: float
    ) -> keras.KerasTensor:
        """Apply the classifier to the last map."""
        return action_head(
            maps["mixed_5c"],
            classes,
            dropout,
            temporal_size=AVERAGED_TICKS if self._temporal_filters else 1,
            temporal_padding=self._padding,
        )

    def _module(self, x: keras.KerasTensor, channels: Branches, unit: str) -> keras.KerasTensor:
        b0 = self._unit(x, channels[0], f"{unit}.b0")
        b1 = self._unit(x, channels[1], f"{unit}.b1a")
        b1 = self._unit(b1, channels[2], f"{unit}.b1b", 3)
        b2 = self._unit(x, channels[3], f"{unit}.b2a")
        b2 = self._unit(b2, channels[4], f"{unit}.b2b", 3)
        b3 = self._pool(x, 3, f"{unit}.b3a", 1, 1)
        b3 = self._unit(b3, channels[5], f"{unit}.b3b")
        return layers.Concatenate(name=f"{unit}.join")([b0, b1, b2, b3])

    def _unit(
        self,
        x: keras.KerasTensor,
        channels: int,
        name: str,
        kernel: int = 1,
        strides: int = 1,
        temporal_stride: int = 1,
    ) -> keras.KerasTensor:
        """Apply a convolution with the same kernel size in time as in space, a norm, a ReLU."""
        x = convolution(
            x,
            scale_channels(channels, self._width),
            kernel,
            f"{name}_conv",
            strides=strides,
            temporal_kernel=kernel if self._temporal_filters else 1,
            temporal_stride=temporal_stride,
            temporal_padding=self._padding,
        )
        return norm_relu(x, name, norm=self._norm, epsilon=1e-3)

    def _pool(
        self, x: keras.KerasTensor, size: int, name: str, strides: int, temporal_stride: int
    ) -> keras.KerasTensor:
        return max_pool(
            x,
            size,
            name,
            strides=strides,
            temporal_size=size if self._temporal_filters else 1,
            temporal_stride=temporal_stride,
            temporal_padding=self._padding,
        )

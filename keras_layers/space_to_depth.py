"""Blocks of pixels, and of frames, moved into channels and back.

A smaller map of more channels holds the same values: what comes after costs less at the same
kernel size. The Skip-Sideways networks (supplement of *Gradient Forward-Propagation for Large-Scale
Temporal Video Modelling*) take their frames so, in blocks of 2x2, and clips in blocks of time too.
Nothing is computed or learned here: no weights, no multiply-adds.

What it does not do well: frames that the blocks do not tile are refused, not padded.
"""

import keras
from keras import ops

from keras_layers.temporal import TemporalLayer
from keras_layers.temporal_conv import triple


class _SpatialBlocks(keras.layers.Layer):
    """What the two spatial layers share: a block size, and dtypes that pass through."""

    def __init__(self, block_size: int | tuple[int, int], **kwargs: object) -> None:
        super().__init__(**kwargs)
        values = (block_size,) * 2 if isinstance(block_size, int) else tuple(block_size)
        if len(values) != 2 or any(not isinstance(v, int) or v < 1 for v in values):
            raise ValueError(
                f"layer {self.name!r}: block_size must be a positive int or two of them "
                f"(height, width). Received: {block_size}"
            )
        self.block_size = values

    def compute_output_spec(self, inputs):
        return keras.KerasTensor(self.compute_output_shape(inputs.shape), inputs.dtype)

    def _check_rank(self, shape) -> None:
        if len(shape) not in (4, 5):
            raise ValueError(
                f"layer {self.name!r} takes a batch of frames [B, H, W, C] or of clips "
                f"[B, T, H, W, C]. Received: shape={tuple(shape)}"
            )

    def get_config(self) -> dict:
        return {**super().get_config(), "block_size": self.block_size}


@keras.saving.register_keras_serializable(package="keras_layers")
class SpaceToDepth(_SpatialBlocks):
    """Moves each block of pixels into the channels of one pixel, as `tf.nn.space_to_depth`.

    Channels are in the order (row, column, channel). Skip-Sideways (supplement) feeds its networks
    frames in blocks of 2x2.

    Args:
        block_size: int, or `(height, width)`, at least 1.

    Call arguments:
        inputs: frames `[B, H, W, C]` or clips `[B, T, H, W, C]`. Floating point becomes the
            layer's compute dtype; other dtypes stay.

    Output shape:
        `[B, H / height, W / width, height * width * C]`, for clips with T after B.

    Raises:
        ValueError: a block size out of range, an input of another rank, or a known height or width
            that is no multiple of the block's.
        tf.errors.InvalidArgumentError: the same of sizes unknown until the layer runs.
    """

    def call(self, inputs):
        self.compute_output_shape(inputs.shape)  # refuses what the blocks do not tile
        return _to_depth(inputs, self.block_size)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        self._check_rank(input_shape)
        return _shape_to_depth(tuple(input_shape), self.block_size, self.name)


@keras.saving.register_keras_serializable(package="keras_layers")
class DepthToSpace(_SpatialBlocks):
    """Moves the channels of each pixel into a block of pixels: the inverse of `SpaceToDepth`.

    Channels are read in the order (row, column, channel), as by `tf.nn.depth_to_space`. Networks
    that take their frames as Skip-Sideways does (supplement) give full-size frames back with it.

    Args:
        block_size: int, or `(height, width)`, at least 1.

    Call arguments:
        inputs: frames `[B, H, W, C]` or clips `[B, T, H, W, C]`. Floating point becomes the
            layer's compute dtype; other dtypes stay.

    Output shape:
        `[B, H * height, W * width, C / (height * width)]`, for clips with T after B.

    Raises:
        ValueError: a block size out of range, an input of another rank, or channels that are no
            multiple of the block's pixels.
    """

    def call(self, inputs):
        *_, channels = self.compute_output_shape(inputs.shape)
        height, width = self.block_size
        *leading, rows, columns, _ = ops.shape(inputs)
        # [..., H, W, h*w*C] -> [...*H, W, h, w*C]
        x = ops.reshape(inputs, (-1, columns, height, width * channels))
        # [...*H, W, h, w*C] -> [...*H, h, W, w*C]
        x = ops.transpose(x, (0, 2, 1, 3))
        # [...*H, h, W, w*C] -> [..., H*h, W*w, C]
        return ops.reshape(x, (*leading, rows * height, columns * width, channels))

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        self._check_rank(input_shape)
        *leading, rows, columns, channels = input_shape
        height, width = self.block_size
        if channels is None or channels % (height * width):
            raise ValueError(
                f"layer {self.name!r}: the number of channels must be known and a multiple of "
                f"{height * width}, the pixels of block_size={self.block_size}. Received: "
                f"shape={tuple(input_shape)}. Give the layer before it such a number of filters, "
                "or choose another block_size"
            )
        sizes = (
            None if size is None else size * block
            for size, block in zip((rows, columns), self.block_size, strict=True)
        )
        return (*leading, *sizes, channels // (height * width))


@keras.saving.register_keras_serializable(package="keras_layers")
class SpaceTimeToDepth(TemporalLayer):
    """Moves each block of frames and pixels into the channels of one pixel, once in `time` frames.

    Channels are in the order (time, row, column, channel), the oldest frame first. Skip-Sideways
    (supplement) reads its clips so. With a block of one frame this is `SpaceToDepth`.

    Which frames meet in one tick, for a block of t frames:

    - `"causal"`: the layer ticks at the frames 0, t, 2t, ..., each with the t - 1 frames before it
      (zeros before the start).
    - `"causal"` in a `mpvn.VideoNetwork` whose `Plan(..., phases={name: t - 1})` lets it tick at
      t - 1, 2t - 1, ...: the groups (0 .. t-1), (t .. 2t-1), ... Give the nodes that read it the
      same phase, or they wait for their own.
    - `"symmetric"`: each of the frames 0, t, 2t, ... with the t // 2 after it, and before it what
      is left of t (zeros beyond both ends). With t = 2, the groups (0, 1), (2, 3), ...

    What streams remember of a past frame is the frame itself: rearranged it would be no smaller,
    and could not be shared with other layers that look back on it.

    Args:
        block_size: int, or `(time, height, width)`, at least 1; `window` and `temporal_stride` are
            `time`.
        temporal_padding: `"causal"`, or `"symmetric"` for offline networks.

    Call arguments:
        inputs: frames `[B, H, W, C]`, seen with an empty past, or clips `[B, T, H, W, C]`. Floating
            point becomes the layer's compute dtype; other dtypes stay.

    Output shape:
        `[B, H / height, W / width, time * height * width * C]`, for clips with
        `ceil(T / time)` after B.

    Raises:
        ValueError: a block size or `temporal_padding` out of range, an input of another rank, or a
            known height or width that is no multiple of the block's.
        tf.errors.InvalidArgumentError: the same of sizes unknown until the layer runs.
    """

    def __init__(
        self,
        block_size: int | tuple[int, int, int],
        temporal_padding: str = "causal",
        **kwargs: object,
    ) -> None:
        block_size = triple(block_size, "block_size")
        super().__init__(
            window=block_size[0],
            temporal_stride=block_size[0],
            temporal_padding=temporal_padding,
            **kwargs,
        )
        self.block_size = block_size

    def compute(self, window):
        self.compute_frame_output_shape(window[-1].shape)  # refuses what the blocks do not tile
        # t times [B, H/h, W/w, h*w*C] -> [B, H/h, W/w, t*h*w*C]
        return ops.concatenate([_to_depth(x, self.block_size[1:]) for x in window], axis=-1)

    def compute_frame_output_shape(self, frame_shape: tuple) -> tuple:
        shape = _shape_to_depth(tuple(frame_shape), self.block_size[1:], self.name)
        return (*shape[:-1], None if shape[-1] is None else self.window * shape[-1])

    def compute_output_spec(self, inputs):
        return keras.KerasTensor(self.compute_output_shape(inputs.shape), inputs.dtype)

    def get_config(self) -> dict:
        config = super().get_config()
        del config["window"], config["temporal_stride"]
        return {**config, "block_size": self.block_size}


def _to_depth(frames, block: tuple[int, int]):
    """Blocks of pixels into channels, whatever axes lead.

    `tf.nn.space_to_depth` is slower on frames of few channels and knows square blocks only. Sizes
    unknown while tracing fail in the last reshape if blocks do not tile them: values would be left.
    """
    height, width = block
    *leading, rows, columns, channels = ops.shape(frames)
    # [..., H, W, C] -> [...*H/h, h, W/w, w*C]
    x = ops.reshape(frames, (-1, height, columns // width, width * channels))
    # [...*H/h, h, W/w, w*C] -> [...*H/h, W/w, h, w*C]
    x = ops.transpose(x, (0, 2, 1, 3))
    # [...*H/h, W/w, h, w*C] -> [..., H/h, W/w, h*w*C]
    return ops.reshape(x, (*leading, rows // height, columns // width, height * width * channels))


def _shape_to_depth(shape: tuple, block: tuple[int, int], name: str) -> tuple:
    """Shape of what `_to_depth` makes of `shape`; raises ValueError where blocks do not tile it."""
    *leading, rows, columns, channels = shape
    height, width = block
    if (rows or 0) % height or (columns or 0) % width:
        raise ValueError(
            f"layer {name!r}: the height of a frame must be a multiple of {height} and its width "
            f"of {width}, for blocks to tile it. Received: height {rows} and width {columns}, of "
            f"shape={shape}. Crop the frames (keras.layers.Cropping2D), pad them "
            "(keras.layers.ZeroPadding2D), or choose another block_size"
        )
    sizes = (
        None if size is None else size // block
        for size, block in ((rows, height), (columns, width))
    )
    return (*leading, *sizes, None if channels is None else height * width * channels)

"""Moves blocks of pixels, and of frames, into channels and back.

The result is a smaller map with more channels and the same values, so a convolution over it with
the same kernel size is cheaper. The networks of *Gradient Forward-Propagation for Large-Scale
Temporal Video Modelling* (Skip-Sideways, supplement) read their frames in blocks of 2x2, and clips
in blocks of time too. The layers have no weights and need no multiply-adds.

What it does not do well: sizes that are not multiples of the block size raise an error; the layers
do not pad.
"""

import keras
from keras import ops

from keras_layers.arguments import standardize_pair, standardize_triple
from keras_layers.temporal import TemporalLayer


class _SpatialBlocks(keras.layers.Layer):
    """Base class of the two spatial layers. Integer dtypes pass through unchanged."""

    def __init__(self, block_size: int | tuple[int, int], **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.block_size = standardize_pair(block_size, "block_size")

    def compute_output_spec(self, inputs):
        return keras.KerasTensor(self.compute_output_shape(inputs.shape), inputs.dtype)

    def _check_rank(self, shape) -> None:
        if len(shape) not in (4, 5):
            raise ValueError(
                f"Invalid input of layer {self.name!r}. Expected a batch of frames [B, H, W, C] or "
                f"of clips [B, T, H, W, C]. Received: shape={tuple(shape)}"
            )

    def get_config(self) -> dict:
        return {**super().get_config(), "block_size": self.block_size}


@keras.saving.register_keras_serializable(package="keras_layers")
class SpaceToDepth(_SpatialBlocks):
    """Moves each block of pixels into the channels of one pixel, as `tf.nn.space_to_depth` does.

    Channels are in the order (row, column, channel).

    Args:
        block_size: Int, or `(height, width)`; at least 1.

    Call arguments:
        inputs: Frames `[B, H, W, C]` or clips `[B, T, H, W, C]`. Floating-point inputs are cast to
            the compute dtype of the layer, other dtypes stay.

    Output shape:
        `[B, H / height, W / width, height * width * C]`; for clips, with T after B.

    Raises:
        ValueError: If the block size is out of range, the input has another rank, or its height or
            width is not a multiple of the block's.
        tf.errors.InvalidArgumentError: If a size that was unknown while tracing is not a multiple.

    Example:
        >>> tuple(SpaceToDepth(2)(keras.ops.ones((1, 4, 6, 3))).shape)
        (1, 2, 3, 12)
    """

    def call(self, inputs):
        self.compute_output_shape(inputs.shape)  # raises if the sizes are not multiples
        return _to_depth(inputs, self.block_size)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        self._check_rank(input_shape)
        return _shape_to_depth(tuple(input_shape), self.block_size, self.name)


@keras.saving.register_keras_serializable(package="keras_layers")
class DepthToSpace(_SpatialBlocks):
    """Moves the channels of each pixel into a block of pixels, as `tf.nn.depth_to_space` does.

    This is the inverse of `SpaceToDepth`: channels are in the order (row, column, channel).
    Networks that read their frames with `SpaceToDepth` use it to output frames of full size.

    Args:
        block_size: Int, or `(height, width)`; at least 1.

    Call arguments:
        inputs: Frames `[B, H, W, C]` or clips `[B, T, H, W, C]`. Floating-point inputs are cast to
            the compute dtype of the layer, other dtypes stay.

    Output shape:
        `[B, H * height, W * width, C / (height * width)]`; for clips, with T after B.

    Raises:
        ValueError: If the block size is out of range, the input has another rank, or its number of
            channels is not a multiple of the number of pixels of a block.

    Example:
        >>> tuple(DepthToSpace(2)(keras.ops.ones((1, 2, 3, 12))).shape)
        (1, 4, 6, 3)
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
                f"Invalid number of channels for layer {self.name!r}. Expected a multiple of "
                f"{height * width}, the number of pixels of block_size={self.block_size}. "
                f"Received: shape={tuple(input_shape)}. Change the filters of the layer before, or "
                "the block_size."
            )
        sizes = (
            None if size is None else size * block
            for size, block in zip((rows, columns), self.block_size, strict=True)
        )
        return (*leading, *sizes, channels // (height * width))


@keras.saving.register_keras_serializable(package="keras_layers")
class SpaceTimeToDepth(TemporalLayer):
    """Moves each block of frames and pixels into the channels of one pixel.

    Channels are in the order (time, row, column, channel), the oldest frame first. The layer has
    one output for every `time` frames. With blocks of one frame, it is `SpaceToDepth`.

    For blocks of t frames, an output contains:

    - `"causal"`: one of the frames 0, t, 2t, ... and the t - 1 frames before it (zeros before the
      start).
    - `"causal"` in a `mpvn.VideoNetwork` with `Plan(..., phases={name: t - 1})`, where the layer
      runs at the frames t - 1, 2t - 1, ...: the groups (0 .. t-1), (t .. 2t-1), ... Give the nodes
      that read the layer the same phase; otherwise they wait for their own.
    - `"symmetric"`: one of the frames 0, t, 2t, ... with the t // 2 frames after it and the other
      frames before it (zeros beyond both ends). With t = 2, the groups (0, 1), (2, 3), ...

    Streams remember whole past frames. Rearranged frames would have the same size, but could not be
    shared with other temporal layers that read the same frames.

    Args:
        block_size: Int, or `(time, height, width)`; at least 1. `window` and `temporal_stride` of
            the layer are `time`.
        temporal_padding: `"causal"` (can stream) or `"symmetric"` (for whole clips only).

    Call arguments:
        inputs: Frames `[B, H, W, C]` or clips `[B, T, H, W, C]`. Floating-point inputs are cast to
            the compute dtype of the layer, other dtypes stay.

    Output shape:
        `[B, H / height, W / width, time * height * width * C]`; for clips, with `ceil(T / time)`
        after B.

    Raises:
        ValueError: If `block_size` or `temporal_padding` is out of range, the input has another
            rank, or its height or width is not a multiple of the block's.
        tf.errors.InvalidArgumentError: If a size that was unknown while tracing is not a multiple.

    Example:
        >>> tuple(SpaceTimeToDepth((3, 2, 2))(keras.ops.ones((1, 9, 4, 6, 3))).shape)
        (1, 3, 2, 3, 36)
    """

    def __init__(
        self,
        block_size: int | tuple[int, int, int],
        temporal_padding: str = "causal",
        **kwargs: object,
    ) -> None:
        block_size = standardize_triple(block_size, "block_size")
        super().__init__(
            window=block_size[0],
            temporal_stride=block_size[0],
            temporal_padding=temporal_padding,
            **kwargs,
        )
        self.block_size = block_size

    def compute(self, window):
        self.compute_frame_output_shape(window[-1].shape)  # raises if sizes are not multiples
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
    """Move blocks of pixels into channels: `[..., H, W, C]` -> `[..., H/h, W/w, h*w*C]`.

    `tf.nn.space_to_depth` only supports square blocks and is slower for frames with few channels.
    If a size that was unknown while tracing is not a multiple of the block size, the last reshape
    fails, because the number of values differs.
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
    """Return the output shape of `_to_depth`; raise if the sizes are not multiples."""
    *leading, rows, columns, channels = shape
    height, width = block
    if (rows or 0) % height or (columns or 0) % width:
        raise ValueError(
            f"Invalid frame size for layer {name!r}. Expected a height that is a multiple of "
            f"{height} and a width that is a multiple of {width}. Received: height {rows} and "
            f"width {columns}, of shape={shape}. Crop the frames (keras.layers.Cropping2D), pad "
            "them (keras.layers.ZeroPadding2D), or choose another block_size."
        )
    sizes = (
        None if size is None else size // block
        for size, block in ((rows, height), (columns, width))
    )
    return (*leading, *sizes, None if channels is None else height * width * channels)

"""The non-local operation: self-attention over the positions of several frames.

*Non-local Neural Networks*, section 3, in the embedded Gaussian form. Streams keep the keys and
values of past frames, so a causal layer can stream. *Temporal Shift Module*, section 5, compares
shifts with non-local blocks and combines them. The rest of the non-local block (a 1x1 convolution
with batch norm, added to the input) consists of Keras layers.

What it does not do well: frames outside the clip are zeros, and the layer recognizes them by that,
so it also ignores a frame whose values are all zero. With symmetric padding the window is as long
as two clips: over whole clips, the layer computes and masks out half of the scores.
"""

import math

import keras
import tensorflow as tf
from keras import layers, ops

from keras_layers.arguments import output_size, standardize_pair
from keras_layers.temporal import TemporalLayer

_MASK = 3e4
"""Subtracted from the scores of frames outside the clip; float16 can represent it."""


@keras.saving.register_keras_serializable(package="keras_layers")
class NonLocal(TemporalLayer):
    """Computes `softmax(theta(x) phi(x)^T) g(x)`: each position attends to all positions.

    Args:
        filters: Number of channels of queries, keys and values. Defaults to half of the input's.
        frames: With symmetric padding, the number of frames of a clip: every frame attends to all
            of them. With causal padding, the number of frames that each frame attends to, including
            itself.
        subsample: Keys and values are max-pooled over blocks of this size, int or
            `(height, width)`.
        temporal_padding: `"causal"` (can stream) or `"symmetric"` (for whole clips only).

    Call arguments:
        inputs: Frames `[B, H, W, C]` or clips `[B, T, H, W, C]`, floating point.

    Output shape:
        `[B, H, W, filters]` or `[B, T, H, W, filters]`.

    Raises:
        ValueError: If an argument is out of range, or frames are smaller than a block.
    """

    def __init__(
        self,
        filters: int | None = None,
        frames: int = 1,
        subsample: int | tuple[int, int] = 2,
        temporal_padding: str = "causal",
        **kwargs: object,
    ) -> None:
        if (filters is not None and filters < 1) or frames < 1:
            raise ValueError(
                "Invalid filters or frames of a non-local layer. Expected at least 1. "
                f"Received: filters={filters}, frames={frames}"
            )
        subsample = standardize_pair(subsample, "subsample")
        window = 2 * frames - 1 if temporal_padding == "symmetric" else frames
        super().__init__(window, 1, temporal_padding, **kwargs)
        self.filters = filters
        self.frames = frames
        self.subsample = subsample

    def build(self, input_shape: tuple) -> None:
        filters = self._filters(input_shape)

        def embedding(name: str) -> layers.Dense:
            layer = layers.Dense(filters, dtype=self.dtype_policy, name=name)
            layer.build((None, input_shape[-1]))
            return layer

        self.theta, self.phi, self.g = (embedding(name) for name in ("theta", "phi", "g"))

    def _filters(self, shape: tuple) -> int:
        return self.filters or max(1, shape[-1] // 2)

    def remember(self, frame):
        """Return keys, values, and a mask that is 0 for empty frames: `[B, h, w, 2f + 1]`."""
        mask = ops.cast(ops.any(ops.not_equal(frame, 0), (1, 2, 3), keepdims=True), frame.dtype)
        embedded = ops.concatenate([self.phi(frame), self.g(frame)], axis=-1)
        embedded = ops.max_pool(embedded, self.subsample, data_format="channels_last") * mask
        return ops.concatenate([embedded, ops.ones_like(embedded[..., :1]) * mask], axis=-1)

    def anticipate(self, frame):
        """Return the same as `remember`."""
        return self.remember(frame)

    def compute(self, window):
        before, present, after = self.split_window(window)
        query = self.theta(present)
        embedded = [*before, self.remember(present), *after]
        shape, filters = ops.shape(query), query.shape[-1]
        # k times [B, h, w, 2f + 1] -> [B, k, h, w, 2f + 1] -> [B, k*h*w, 2f + 1]
        embedded = ops.reshape(ops.stack(embedded, axis=1), (shape[0], -1, 2 * filters + 1))
        query = ops.reshape(query, (shape[0], -1, filters))  # [B, H, W, f] -> [B, H*W, f]
        keys, values, mask = ops.split(embedded, [filters, 2 * filters], axis=-1)
        scores = ops.matmul(query, ops.swapaxes(keys, 1, 2))  # [B, H*W, k*h*w]
        # TensorFlow's softmax: that of Keras warns where there is one key, as in maps of one block.
        weights = tf.nn.softmax(scores - _MASK * (1 - ops.swapaxes(mask, 1, 2)), axis=-1)
        return ops.reshape(ops.matmul(weights, values), shape)  # [B, H*W, f] -> [B, H, W, f]

    def compute_frame_output_shape(self, frame_shape: tuple) -> tuple:
        for size, block in zip(frame_shape[1:3], self.subsample, strict=True):
            output_size(size, block, block, "valid")  # raises if the block is larger than the frame
        return (*frame_shape[:3], self._filters(frame_shape))

    def multiply_adds(self, input_shape: tuple, output_shape: tuple) -> int:
        """Return the multiply-adds of a frame that attends to `frames` frames.

        Args:
            input_shape, output_shape: Shapes of one frame without the batch axis.
        """
        positions = math.prod(output_shape[:-1])
        keys = self.frames * (positions // math.prod(self.subsample))
        return positions * output_shape[-1] * (3 * input_shape[-1] + 2 * keys)

    def get_config(self) -> dict:
        config = super().get_config()
        del config["window"], config["temporal_stride"]
        return {
            **config,
            "filters": self.filters,
            "frames": self.frames,
            "subsample": self.subsample,
        }

"""The non-local operation: every position looks at every position of the frames it may see.

*Non-local Neural Networks*, section 3, in its embedded Gaussian form: keys and values of the frames
are kept, so causally it streams. It is what the temporal shift is compared with, and joined to
(*Temporal Shift Module*, section 5). The rest of the non-local block, a 1x1 convolution with batch
norm added to the input, is made of Keras's own layers.

What it does not do well: frames outside the clip are zero, and told by that. So a frame all of
whose values are zero is not looked at either. And a symmetric window is the length of two clips:
over whole clips, half of the scores are computed to be left out.
"""

import math

import keras
from keras import layers, ops

from keras_layers.temporal import TemporalLayer
from keras_layers.temporal_conv import spatial_size

_ABSENT = 3e4
"""Taken off the scores of frames that are not there; within float16."""


@keras.saving.register_keras_serializable(package="keras_layers")
class NonLocal(TemporalLayer):
    """`softmax(theta(x) phi(x)^T) g(x)`: at each position, a mean of the values of all positions.

    Args:
        filters: channels of queries, keys and values; None: half of the input's.
        frames: frames of a clip, all of which each sees if padding is symmetric; if it is causal,
            the frames that each sees, itself included. With 1 each looks at itself alone.
        subsample: keys and values are the maxima of blocks of so many pixels, int or
            `(height, width)`.
        temporal_padding: `"causal"`, or `"symmetric"` for offline networks.

    Call arguments:
        inputs: frames `[B, H, W, C]` or clips `[B, T, H, W, C]`, floating point.

    Output shape:
        `[B, H, W, filters]` or `[B, T, H, W, filters]`.

    Raises:
        ValueError: an argument out of range, or frames smaller than a block.
    """

    def __init__(
        self,
        filters: int | None = None,
        frames: int = 1,
        subsample: int | tuple[int, int] = 2,
        temporal_padding: str = "causal",
        **kwargs: object,
    ) -> None:
        block = (subsample,) * 2 if isinstance(subsample, int) else tuple(subsample)
        if (filters is not None and filters < 1) or frames < 1 or len(block) != 2 or min(block) < 1:
            raise ValueError(
                "filters, frames and subsample must be at least 1. Received: "
                f"filters={filters}, frames={frames}, subsample={subsample}"
            )
        window = 2 * frames - 1 if temporal_padding == "symmetric" else frames
        super().__init__(window, 1, temporal_padding, **kwargs)
        self.filters = filters
        self.frames = frames
        self.subsample = block

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
        """Keys, values, and whether there is a frame: `[B, h, w, 2 * filters + 1]`."""
        there = ops.cast(ops.any(ops.not_equal(frame, 0), (1, 2, 3), keepdims=True), frame.dtype)
        embedded = ops.concatenate([self.phi(frame), self.g(frame)], axis=-1)
        embedded = ops.max_pool(embedded, self.subsample, data_format="channels_last") * there
        return ops.concatenate([embedded, ops.ones_like(embedded[..., :1]) * there], axis=-1)

    def anticipate(self, frame):
        """As `remember`."""
        return self.remember(frame)

    def compute(self, window):
        before, present, after = self.split_window(window)
        query = self.theta(present)
        seen = [*before, self.remember(present), *after]
        shape, filters = ops.shape(query), query.shape[-1]
        # k of [B, h, w, 2f + 1] -> [B, k*h*w, 2f + 1], and [B, H, W, f] -> [B, H*W, f]
        seen = ops.reshape(ops.stack(seen, axis=1), (shape[0], -1, 2 * filters + 1))
        query = ops.reshape(query, (shape[0], -1, filters))
        keys, values, there = ops.split(seen, [filters, 2 * filters], axis=-1)
        scores = ops.matmul(query, ops.swapaxes(keys, 1, 2))
        weights = ops.softmax(scores - _ABSENT * (1 - ops.swapaxes(there, 1, 2)), axis=-1)
        return ops.reshape(ops.matmul(weights, values), shape)

    def compute_frame_output_shape(self, frame_shape: tuple) -> tuple:
        for size, block in zip(frame_shape[1:3], self.subsample, strict=True):
            spatial_size(size, block, block, "valid")  # refuses frames smaller than a block
        return (*frame_shape[:3], self._filters(frame_shape))

    def multiply_adds(self, input_shape: tuple, output_shape: tuple) -> int:
        """Multiply-adds of a frame that sees `frames` frames, shapes without the batch axis."""
        positions = math.prod(output_shape[:-1])
        seen = self.frames * (positions // math.prod(self.subsample))
        return positions * output_shape[-1] * (3 * input_shape[-1] + 2 * seen)

    def get_config(self) -> dict:
        config = super().get_config()
        del config["window"], config["temporal_stride"]
        return {
            **config,
            "filters": self.filters,
            "frames": self.frames,
            "subsample": self.subsample,
        }

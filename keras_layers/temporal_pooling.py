"""Max and average pooling over space and time that can stream.

The layers pool space first. So a stream keeps only the pooled maps of past frames.
"""

import functools

import keras
from keras import ops

from keras_layers.arguments import check_padding, output_size, standardize_triple
from keras_layers.temporal import TemporalLayer


class _TemporalPooling3D(TemporalLayer):
    """Base class of the two pooling layers."""

    def __init__(
        self,
        pool_size: int | tuple[int, int, int] = 2,
        strides: int | tuple[int, int, int] | None = None,
        padding: str = "valid",
        temporal_padding: str = "causal",
        **kwargs: object,
    ) -> None:
        pool_size = standardize_triple(pool_size, "pool_size")
        strides = standardize_triple(pool_size if strides is None else strides, "strides")
        super().__init__(
            window=pool_size[0],
            temporal_stride=strides[0],
            temporal_padding=temporal_padding,
            **kwargs,
        )
        check_padding(padding)
        self.pool_size = pool_size
        self.strides = strides
        self.padding = padding

    def remember(self, frame):
        return self._pool_space(frame)

    def anticipate(self, frame):
        return self._pool_space(frame)

    def compute(self, window):
        before, present, after = self.split_window(window)
        return self._pool_time([*before, self._pool_space(present), *after])

    def _pool_space(self, frame):
        raise NotImplementedError

    def _pool_time(self, maps):
        raise NotImplementedError

    def compute_frame_output_shape(self, frame_shape: tuple) -> tuple:
        axes = zip(frame_shape[1:3], self.pool_size[1:], self.strides[1:], strict=True)
        spatial = (output_size(*axis, self.padding) for axis in axes)
        return (frame_shape[0], *spatial, frame_shape[3])

    def get_config(self) -> dict:
        config = super().get_config()
        del config["window"], config["temporal_stride"]
        return {
            **config,
            "pool_size": self.pool_size,
            "strides": self.strides,
            "padding": self.padding,
        }


@keras.saving.register_keras_serializable(package="keras_layers")
class TemporalMaxPooling3D(_TemporalPooling3D):
    """Max pooling over space and time, causal in time, that can run frame by frame.

    Frames before the start are zeros, so the first outputs are at least zero. After a ReLU, as in
    the published networks, this makes no difference.

    Args:
        pool_size: Int, or `(time, height, width)`.
        strides: Int, `(time, height, width)`, or None for `pool_size`. With a temporal stride above
            1, the layer and all layers that read only this layer run at a lower rate.
        padding: Spatial padding, `"valid"` or `"same"`.
        temporal_padding: `"causal"` (can stream) or `"symmetric"` (for whole clips only).

    Call arguments:
        inputs: Frames `[B, H, W, C]` or clips `[B, T, H, W, C]`, floating point.

    Output shape:
        `[B, H', W', C]` or `[B, ceil(T / stride), H', W', C]`.

    Raises:
        ValueError: If an argument is out of range, or the pool is larger than the frame.

    Example:
        >>> layer = TemporalMaxPooling3D((2, 2, 2), strides=(1, 2, 2))
        >>> tuple(layer(keras.ops.ones((1, 5, 16, 16, 3))).shape)
        (1, 5, 8, 8, 3)
    """

    def _pool_space(self, frame):
        return ops.max_pool(
            frame, self.pool_size[1:], self.strides[1:], self.padding, data_format="channels_last"
        )

    def _pool_time(self, maps):
        return functools.reduce(ops.maximum, maps)


@keras.saving.register_keras_serializable(package="keras_layers")
class TemporalAveragePooling3D(_TemporalPooling3D):
    """Average pooling over space and time, causal in time, that can run frame by frame.

    Frames before the start are zeros, and the average includes them.

    Args:
        pool_size: Int, or `(time, height, width)`.
        strides: Int, `(time, height, width)`, or None for `pool_size`. With a temporal stride above
            1, the layer and all layers that read only this layer run at a lower rate.
        padding: Spatial padding, `"valid"` or `"same"` (the average excludes padded pixels).
        temporal_padding: `"causal"` (can stream) or `"symmetric"` (for whole clips only).

    Call arguments:
        inputs: Frames `[B, H, W, C]` or clips `[B, T, H, W, C]`, floating point.

    Output shape:
        `[B, H', W', C]` or `[B, ceil(T / stride), H', W', C]`.

    Raises:
        ValueError: If an argument is out of range, or the pool is larger than the frame.

    Example:
        >>> layer = TemporalAveragePooling3D((2, 2, 2), strides=(1, 2, 2))
        >>> tuple(layer(keras.ops.ones((1, 5, 16, 16, 3))).shape)
        (1, 5, 8, 8, 3)
    """

    def _pool_space(self, frame):
        return ops.average_pool(
            frame, self.pool_size[1:], self.strides[1:], self.padding, data_format="channels_last"
        )

    def _pool_time(self, maps):
        return functools.reduce(ops.add, maps) / len(maps)

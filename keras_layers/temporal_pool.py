"""Pooling over space and the recent past.

Space is pooled first, so what a pool remembers of a past frame is its pooled map.
"""

import functools

import keras
from keras import ops

from keras_layers.temporal import TemporalLayer
from keras_layers.temporal_conv import check_spatial_padding, spatial_size, triple


class _TemporalPooling2D(TemporalLayer):
    """What the two pools share: arguments as in `keras.layers.MaxPooling3D`."""

    def __init__(
        self,
        pool_size: int | tuple[int, int, int] = 2,
        strides: int | tuple[int, int, int] | None = None,
        padding: str = "valid",
        temporal_padding: str = "causal",
        **kwargs: object,
    ) -> None:
        pool_size = triple(pool_size, "pool_size")
        strides = triple(pool_size if strides is None else strides, "strides")
        super().__init__(
            window=pool_size[0],
            temporal_stride=strides[0],
            temporal_padding=temporal_padding,
            **kwargs,
        )
        check_spatial_padding(padding)
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
        spatial = (
            spatial_size(size, pool, stride, self.padding)
            for size, pool, stride in zip(
                frame_shape[1:3], self.pool_size[1:], self.strides[1:], strict=True
            )
        )
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
class TemporalMaxPooling3D(_TemporalPooling2D):
    """Maximum over space and the last ticks.

    Before the start the past is zero, so the first outputs are at least zero: as after a ReLU,
    where these pools stand in the published networks.

    Args:
        pool_size: int, or `(time, height, width)`.
        strides: int, `(time, height, width)`, or None for `pool_size`.
        padding: spatial padding, `"valid"` or `"same"`.
        temporal_padding: `"causal"`, or `"symmetric"` for offline networks.

    Call arguments:
        inputs: frames `[B, H, W, C]` or clips `[B, T, H, W, C]`.

    Output shape:
        `[B, H', W', C]` or `[B, ceil(T / stride), H', W', C]`.
    """

    def _pool_space(self, frame):
        return ops.max_pool(
            frame, self.pool_size[1:], self.strides[1:], self.padding, data_format="channels_last"
        )

    def _pool_time(self, maps):
        return functools.reduce(ops.maximum, maps)


@keras.saving.register_keras_serializable(package="keras_layers")
class TemporalAveragePooling3D(_TemporalPooling2D):
    """Mean over space and the last ticks; the zeros before the start count.

    Args:
        pool_size: int, or `(time, height, width)`.
        strides: int, `(time, height, width)`, or None for `pool_size`.
        padding: spatial padding, `"valid"` or `"same"` (padded pixels do not count).
        temporal_padding: `"causal"`, or `"symmetric"` for offline networks.

    Call arguments:
        inputs: frames `[B, H, W, C]` or clips `[B, T, H, W, C]`.

    Output shape:
        `[B, H', W', C]` or `[B, ceil(T / stride), H', W', C]`.
    """

    def _pool_space(self, frame):
        return ops.average_pool(
            frame, self.pool_size[1:], self.strides[1:], self.padding, data_format="channels_last"
        )

    def _pool_time(self, maps):
        return functools.reduce(ops.add, maps) / len(maps)

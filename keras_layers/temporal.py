"""The contract of a layer that looks back in time, and the one way to run such a layer.

A temporal layer sees a *window*: the newest frame and the `window - 1` ticks of its input before it
(*Massively Parallel Video Networks*, section 3.3). Whoever runs the layer collects the window: this
class over a clip, or an executor of `mpvn` frame by frame. The layer only says how long it is, how
often it ticks, what of a past or a future input is worth having, and what comes out of a window. So
streaming and training cannot drift apart: there is one `compute`.

What it does not do well: the layer alone runs a clip by folding time into the batch, which holds
`window - 1` shifted copies at once of what the layer has of the other frames.
"""

import keras
import tensorflow as tf
from keras import ops

PADDINGS = ("causal", "symmetric")


class TemporalLayer(keras.layers.Layer):
    """A layer whose output depends on the last `window` ticks of its input.

    Subclasses implement `compute` and `compute_frame_output_shape`, and may override `remember` and
    `anticipate`.

    Args:
        window: how many ticks of its input the layer sees, the newest included; at least 1.
        temporal_stride: the layer ticks once in this many ticks of its input; at least 1.
        temporal_padding: `"causal"` (the window ends at the newest frame, zeros before the start)
            or `"symmetric"` (the window is centerd, zeros at both ends: offline use only).

    Call arguments:
        inputs: a frame, rank `frame_rank`, seen with an empty past; a clip with a time axis after
            the batch axis, rank `frame_rank + 1`; or, from an executor, a list: the window itself.

    Output shape:
        Of a frame, `compute_frame_output_shape`; of a clip of T frames, the same with a time axis
        of `ceil(T / temporal_stride)` ticks.

    Raises:
        ValueError: `window`, `temporal_stride` or `temporal_padding` out of range, or an input of
            another rank.
    """

    frame_rank = 4
    """Rank of one batch of frames, `[B, H, W, C]`."""

    def __init__(
        self,
        window: int,
        temporal_stride: int = 1,
        temporal_padding: str = "causal",
        **kwargs: object,
    ) -> None:
        super().__init__(**kwargs)
        if window < 1 or temporal_stride < 1:
            raise ValueError(
                f"layer {self.name!r}: window and temporal stride must be at least 1. "
                f"Received: window={window}, temporal_stride={temporal_stride}"
            )
        if temporal_padding not in PADDINGS:
            raise ValueError(
                f"layer {self.name!r}: temporal_padding must be one of {PADDINGS}. "
                f"Received: {temporal_padding!r}"
            )
        self.window = window
        self.temporal_stride = temporal_stride
        self.temporal_padding = temporal_padding

    @property
    def lookahead(self) -> int:
        """How many ticks of the future the window holds: 0 unless padding is symmetric."""
        return self.window // 2 if self.temporal_padding == "symmetric" else 0

    @property
    def lookback(self) -> int:
        """How many ticks of the past the window holds."""
        return self.window - 1 - self.lookahead

    def remember(self, frame):
        """What of a past input `frame` is kept until it leaves the window; all of it by default.

        Must map zeros to zeros, for the past is zero before the start.
        """
        return frame

    def anticipate(self, frame):
        """What of a future `frame` is seen, with symmetric padding; all of it by default.

        Must map zeros to zeros, for the future is zero after the end.
        """
        return frame

    def split_window(self, window):
        """The frames of a window before the present one, that one, and those after it."""
        return window[: self.lookback], window[self.lookback], window[self.lookback + 1 :]

    def compute(self, window):
        """The output of a window.

        Args:
            window: `self.window` tensors, oldest first. The present frame is whole. Those before it
                are what `remember` returned; with symmetric padding, the `lookahead` after it are
                what `anticipate` returned.

        Returns:
            One batch of output frames.
        """
        raise NotImplementedError(f"{type(self).__name__} must implement compute(window)")

    def compute_frame_output_shape(self, frame_shape: tuple) -> tuple:
        """Shape of the output for a frame of `frame_shape`, both with the batch axis."""
        raise NotImplementedError(
            f"{type(self).__name__} must implement compute_frame_output_shape(frame_shape)"
        )

    def call(self, inputs):
        if isinstance(inputs, (list, tuple)):
            return self.compute(list(inputs))
        if self._is_clip(inputs.shape):
            return self._call_clip(inputs)
        past = [ops.zeros_like(self.remember(inputs))] * self.lookback
        future = [ops.zeros_like(self.anticipate(inputs))] * self.lookahead
        return self.compute([*past, inputs, *future])

    def _call_clip(self, clip):
        batch, time, *frame = ops.shape(clip)
        frames = ops.reshape(clip, (-1, *frame))  # [B, T, ...] -> [B*T, ...]

        def padded(seen, before, after):
            """[B*T, ...] -> [B, before + T + after, ...], zeros outside the clip."""
            seen = ops.reshape(seen, (batch, time, *ops.shape(seen)[1:]))
            around = [[0, 0], [before, after]] + [[0, 0]] * (len(seen.shape) - 2)
            return ops.pad(seen, around)

        def at_ticks(clip, first):
            """Frame `first + t * stride` for every tick t: [B, T', ...] -> [B*ticks, ...]."""
            clip = clip[:, first : first + time : self.temporal_stride]
            return ops.reshape(clip, (-1, *ops.shape(clip)[2:]))

        window = [frames if self.temporal_stride == 1 else at_ticks(clip, 0)]
        if self.lookback:
            past = padded(self.remember(frames), self.lookback, 0)
            window = [at_ticks(past, first) for first in range(self.lookback)] + window
        if self.lookahead:
            future = padded(self.anticipate(frames), 0, self.lookahead)
            window += [at_ticks(future, 1 + further) for further in range(self.lookahead)]
        outputs = self.compute(window)
        ticks = -(-time // self.temporal_stride)
        # [B*ticks, ...] -> [B, ticks, ...]
        return ops.reshape(outputs, (batch, ticks, *ops.shape(outputs)[1:]))

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        if not self._is_clip(input_shape):
            return tuple(self.compute_frame_output_shape(tuple(input_shape)))
        batch, time, *frame = input_shape
        ticks = None if time is None else -(-time // self.temporal_stride)
        return (batch, ticks, *self.compute_frame_output_shape((batch, *frame))[1:])

    def _is_clip(self, shape) -> bool:
        """Whether an input of `shape` is a clip; raises for what is neither clip nor frame."""
        if len(shape) not in (self.frame_rank, self.frame_rank + 1):
            raise ValueError(
                f"layer {self.name!r} takes a batch of frames (rank {self.frame_rank}) or of clips "
                f"(rank {self.frame_rank + 1}). Received: shape={tuple(shape)}"
            )
        return len(shape) == self.frame_rank + 1

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "window": self.window,
            "temporal_stride": self.temporal_stride,
            "temporal_padding": self.temporal_padding,
        }


def is_temporal(layer: object) -> bool:
    """Whether `layer` looks back in time (a temporal kernel of 1 with stride 1 does not)."""
    return isinstance(layer, TemporalLayer) and (layer.window > 1 or layer.temporal_stride > 1)


def compresses(layer: TemporalLayer) -> bool:
    """Whether `layer` keeps less than the whole of a past input."""
    return type(layer).remember is not TemporalLayer.remember


def remembered_spec(layer: TemporalLayer, shape: tuple, dtype: str) -> tf.TensorSpec:
    """Shape and dtype of what `layer` remembers of one input of `shape` (with batch axis)."""
    traced = tf.function(layer.remember, autograph=False)
    kept = traced.get_concrete_function(tf.TensorSpec(shape, dtype)).structured_outputs
    return tf.TensorSpec(kept.shape, kept.dtype)

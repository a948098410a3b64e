"""The base class of layers that look back in time, and one way to run them.

A temporal layer reads a *window*: the present frame and the `window - 1` frames before it
(*Massively Parallel Video Networks*, section 3.2). The caller collects the window: `call` does so
for a clip, and an executor of `mpvn` does so frame by frame. The layer only defines how long the
window is, how often the layer runs, what to keep of past and future frames, and how to compute an
output from a window. Training and streaming share this one `compute`, so they cannot drift apart.

What it does not do well: over a clip, the layer folds time into the batch, which keeps
`window - 1` shifted copies of the remembered frames in memory at once.
"""

import keras
import tensorflow as tf
from keras import ops

from keras_layers.arguments import is_clip
from keras_layers.folding import fold_time, unfold_time

TEMPORAL_PADDINGS = ("causal", "symmetric")
"""Where the window of a temporal layer lies.

- `"causal"`: the window ends at the present frame. Frames before the start of the clip are zeros.
  The layer can stream.
- `"symmetric"`: the window is centered on the present frame; an even window has one more frame
  after it than before it. Frames before the start and after the end of the clip are zeros. The
  layer needs whole clips.
"""


def check_temporal_padding(temporal_padding: str, owner: str) -> None:
    """Raise a `ValueError` that names `owner` unless `temporal_padding` is a known value."""
    if temporal_padding not in TEMPORAL_PADDINGS:
        raise ValueError(
            f"Invalid temporal_padding of {owner}. Expected one of {TEMPORAL_PADDINGS}. "
            f"Received: {temporal_padding!r}"
        )


class TemporalLayer(keras.layers.Layer):
    """A layer whose output depends on the present frame and on the frames around it.

    Subclasses implement `compute` and `compute_frame_output_shape`. They may override `remember`
    and `anticipate`.

    Args:
        window: Number of frames that the layer sees, including the present one; at least 1.
        temporal_stride: The layer computes one output for every `temporal_stride` frames; at
            least 1.
        temporal_padding: `"causal"` (the window ends at the present frame) or `"symmetric"` (it is
            centered on it, for whole clips only); see `TEMPORAL_PADDINGS`.

    Call arguments:
        inputs: One of
            - a batch of frames, of rank `frame_rank`; their past and future are zeros;
            - a batch of clips, of rank `frame_rank + 1`, with the time axis after the batch axis;
            - from an executor: a list, the window itself, as in `compute`.

    Output shape:
        For frames, `compute_frame_output_shape`. For clips of T frames, the same with a time axis
        of `ceil(T / temporal_stride)` after the batch axis.

    Raises:
        ValueError: If `window`, `temporal_stride` or `temporal_padding` is out of range, or the
            input has another rank.
    """

    frame_rank = 4
    """Rank of a batch of frames, `[B, H, W, C]`."""

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
                f"Invalid window or temporal stride of layer {self.name!r}. Expected at least 1. "
                f"Received: window={window}, temporal_stride={temporal_stride}"
            )
        check_temporal_padding(temporal_padding, f"layer {self.name!r}")
        self.window = window
        self.temporal_stride = temporal_stride
        self.temporal_padding = temporal_padding

    @property
    def lookahead(self) -> int:
        """Number of future frames in the window; 0 if the padding is causal."""
        return self.window // 2 if self.temporal_padding == "symmetric" else 0

    @property
    def lookback(self) -> int:
        """Number of past frames in the window."""
        return self.window - 1 - self.lookahead

    def remember(self, frame):
        """Return what to keep of a past frame until it leaves the window.

        By default this is the whole frame. Frames before the start are zeros, so this function must
        map zeros to zeros.

        Args:
            frame: A batch of frames `[B, ...]`, of rank `frame_rank`.

        Returns:
            A tensor `[B, ...]`.
        """
        return frame

    def anticipate(self, frame):
        """Return what to read of a future frame, with symmetric padding.

        By default this is the whole frame. Frames after the end are zeros, so this function must
        map zeros to zeros. Arguments and return value are those of `remember`.
        """
        return frame

    def split_window(self, window):
        """Return the past frames of a window, its present frame, and its future frames."""
        return window[: self.lookback], window[self.lookback], window[self.lookback + 1 :]

    def compute(self, window):
        """Return the output for a window.

        Args:
            window: List of `self.window` tensors `[B, ...]`, oldest first: `lookback` results of
                `remember`, the whole present frame, and `lookahead` results of `anticipate`.

        Returns:
            A batch of output frames `[B, ...]`.
        """
        raise NotImplementedError(f"{type(self).__name__} must implement compute(window)")

    def compute_frame_output_shape(self, frame_shape: tuple) -> tuple:
        """Return the output shape for a batch of frames of shape `frame_shape`."""
        raise NotImplementedError(
            f"{type(self).__name__} must implement compute_frame_output_shape(frame_shape)"
        )

    def call(self, inputs):
        if isinstance(inputs, (list, tuple)):
            return self.compute(list(inputs))
        if is_clip(inputs.shape, self.frame_rank, self.name):
            return self._call_clip(inputs)
        past = [ops.zeros_like(self.remember(inputs))] * self.lookback
        future = [ops.zeros_like(self.anticipate(inputs))] * self.lookahead
        return self.compute([*past, inputs, *future])

    def _call_clip(self, clip):
        batch, time = ops.shape(clip)[:2]
        frames = fold_time(clip)  # [B, T, ...] -> [B*T, ...]

        def pad_time(frames, before, after):
            """Pad with zeros: [B*T, ...] -> [B, before + T + after, ...]."""
            clip = unfold_time(frames, batch, time)
            paddings = [[0, 0], [before, after]] + [[0, 0]] * (len(clip.shape) - 2)
            return ops.pad(clip, paddings)

        def every_stride(clip, first):
            """Take the frames first + t * stride: [B, T', ...] -> [B*ceil(T/stride), ...]."""
            return fold_time(clip[:, first : first + time : self.temporal_stride])

        window = [frames if self.temporal_stride == 1 else every_stride(clip, 0)]
        if self.lookback:
            past = pad_time(self.remember(frames), self.lookback, 0)
            window = [every_stride(past, first) for first in range(self.lookback)] + window
        if self.lookahead:
            future = pad_time(self.anticipate(frames), 0, self.lookahead)
            window += [every_stride(future, 1 + distance) for distance in range(self.lookahead)]
        outputs = self.compute(window)
        ticks = -(-time // self.temporal_stride)
        return unfold_time(outputs, batch, ticks)  # [B*ticks, ...] -> [B, ticks, ...]

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        if not is_clip(input_shape, self.frame_rank, self.name):
            return tuple(self.compute_frame_output_shape(tuple(input_shape)))
        batch, time, *frame = input_shape
        ticks = None if time is None else -(-time // self.temporal_stride)
        return (batch, ticks, *self.compute_frame_output_shape((batch, *frame))[1:])

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "window": self.window,
            "temporal_stride": self.temporal_stride,
            "temporal_padding": self.temporal_padding,
        }


def is_temporal(layer: object) -> bool:
    """Return whether `layer` sees more than the present frame, or skips frames."""
    return isinstance(layer, TemporalLayer) and (layer.window > 1 or layer.temporal_stride > 1)


def compresses(layer: TemporalLayer) -> bool:
    """Return whether `layer` overrides `remember`, to keep less than whole past frames."""
    return type(layer).remember is not TemporalLayer.remember


def remembered_spec(layer: TemporalLayer, shape: tuple, dtype: str) -> tf.TensorSpec:
    """Return the shape and dtype of what `layer` remembers of a batch of frames.

    Args:
        layer: A built temporal layer.
        shape: Shape of the frames, with the batch axis.
        dtype: Dtype of the frames.
    """
    traced = tf.function(layer.remember, autograph=False)
    outputs = traced.get_concrete_function(tf.TensorSpec(shape, dtype)).structured_outputs
    return tf.TensorSpec(outputs.shape, outputs.dtype)

"""The temporal shift: neighboring frames exchange some of their channels.

*Temporal Shift Module for Efficient Video Understanding on Cloud and Edge* (TSM), section 3. The 2D
convolution after the shift mixes frames, without any additional parameter or multiply-add. A stream
keeps only the channels of a frame that move to the next frame (section 4.2).

What it does not do well: a symmetric shift needs the next frame, so it cannot stream. And the layer
copies the channels in memory, which takes time in networks whose speed memory bandwidth limits.
"""

import keras
from keras import ops

from keras_layers.arguments import is_clip
from keras_layers.folding import fold_time, unfold_time
from keras_layers.temporal import TemporalLayer, check_temporal_padding


@keras.saving.register_keras_serializable(package="keras_layers")
class TemporalShift(TemporalLayer):
    """Moves some channels to the neighboring frames.

    With `fold = C // divisor`:

    - `"symmetric"` (in the paper: bi-directional): channels `[0:fold]` come from the next frame
      and channels `[fold:2 * fold]` come from the previous frame.
    - `"causal"` (in the paper: uni-directional): channels `[0:fold]` come from the previous frame.

    The other channels stay in place. Frames outside the clip are zeros.

    Args:
        temporal_padding: `"symmetric"` (for whole clips only) or `"causal"` (can stream).
        divisor: Each shift moves `1 / divisor` of the channels. At least 1 if causal, 2 if
            symmetric.
        segments: Number of frames of each clip, for inputs whose time axis is folded into the
            batch axis; or None.

    Call arguments:
        inputs: Frames `[B, H, W, C]` or clips `[B, T, H, W, C]`, floating point; with `segments`,
            also folded clips `[B * segments, H, W, C]`.

    Output shape:
        The shape of the inputs.

    Raises:
        ValueError: If an argument is out of range, the input has fewer channels than `divisor`, or
            the batch size is not a multiple of `segments`.

    Example:
        >>> layer = TemporalShift("causal", divisor=4)
        >>> clip = keras.ops.reshape(keras.ops.arange(1.0, 9.0), (1, 2, 1, 1, 4))
        >>> layer(clip)[0, :, 0, 0].numpy().tolist()
        [[0.0, 2.0, 3.0, 4.0], [1.0, 6.0, 7.0, 8.0]]
    """

    def __init__(
        self,
        temporal_padding: str = "symmetric",
        divisor: int = 8,
        segments: int | None = None,
        **kwargs: object,
    ) -> None:
        check_temporal_padding(temporal_padding, "a temporal shift")
        shifts = 2 if temporal_padding == "symmetric" else 1
        if divisor < shifts:
            raise ValueError(
                f"Invalid divisor of a {temporal_padding} shift. Expected at least {shifts}. "
                f"Received: {divisor}"
            )
        if segments is not None and segments < 1:
            raise ValueError(
                "Invalid segments of a temporal shift. Expected None or at least 1. "
                f"Received: {segments}"
            )
        super().__init__(1 + shifts, 1, temporal_padding, **kwargs)
        self.divisor = divisor
        self.segments = segments

    def build(self, input_shape: tuple) -> None:
        channels = input_shape[-1]
        if channels is None or channels < self.divisor:
            raise ValueError(
                f"Layer {self.name!r} cannot shift 1/{self.divisor} of the channels. Expected at "
                f"least {self.divisor} channels. Received: {channels}"
            )
        self.fold = channels // self.divisor

    def remember(self, frame):
        return self._groups(frame)[self.lookahead]

    def anticipate(self, frame):
        return self._groups(frame)[0]

    def compute(self, window):
        past, present, *future = window
        _, *stays = self._groups(present)[self.lookahead :]
        return ops.concatenate([*future, past, *stays], axis=-1)

    def _groups(self, frame):
        """Return the channels that move backward (symmetric), that move forward, and that stay."""
        ends = [self.fold * group for group in range(1, 2 + self.lookahead)]
        groups = ops.split(frame, ends, axis=-1)
        return groups if groups[-1].shape[-1] else groups[:-1]

    def compute_frame_output_shape(self, frame_shape: tuple) -> tuple:
        return frame_shape

    def call(self, inputs):
        folded = self.segments and not isinstance(inputs, (list, tuple))
        if not folded or is_clip(inputs.shape, self.frame_rank, self.name):
            return super().call(inputs)
        if inputs.shape[0] is not None and inputs.shape[0] % self.segments:
            raise ValueError(
                f"Invalid batch size for layer {self.name!r}, whose inputs are clips of "
                f"{self.segments} frames. Expected a multiple of {self.segments}. "
                f"Received: {inputs.shape[0]}"
            )
        # [B*T, ...] -> [B, T, ...] -> [B*T, ...]
        return fold_time(super().call(unfold_time(inputs, -1, self.segments)))

    def get_config(self) -> dict:
        config = super().get_config()
        del config["window"], config["temporal_stride"]
        return {**config, "divisor": self.divisor, "segments": self.segments}

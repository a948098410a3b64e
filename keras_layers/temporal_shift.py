"""The temporal shift: some channels of a frame are those of its neighbors.

*Temporal Shift Module for Efficient Video Understanding on Cloud and Edge* (TSM), section 3: the
2D convolution that comes after then mixes frames, at no parameter and no multiply-add. What a
stream keeps of a frame are the channels that the next one takes over (section 3.3), no more.

What it does not do well: offline, a bi-directional shift streams nothing, for it needs the future;
and channels are moved in memory, which costs time where a network is bound by it.
"""

import keras
from keras import ops

from keras_layers.temporal import TemporalLayer

DIRECTIONS = {"bidirectional": "symmetric", "unidirectional": "causal"}
"""Directions, and the temporal padding that each amounts to."""


@keras.saving.register_keras_serializable(package="keras_layers")
class TemporalShift(TemporalLayer):
    """Exchanges channels between neighboring frames.

    Of `fold = C // divisor`: bi-directional, channels `[0:fold]` come from the next frame and
    `[fold:2 * fold]` from the one before; uni-directional, `[0:fold]` come from the one before. The
    other channels stay, and outside the clip all are zero.

    Args:
        direction: `"bidirectional"` (offline: whole clips) or `"unidirectional"` (streams too).
        divisor: the share of the channels that moves one way; at least 1, and 2 if bi-directional.
        segments: None, or the frames per clip of inputs whose time is folded into the batch.

    Call arguments:
        inputs: frames `[B, H, W, C]` or clips `[B, T, H, W, C]`, floating point; or, with
            `segments`, `[B * segments, H, W, C]`.

    Output shape:
        That of the inputs.

    Raises:
        ValueError: an argument out of range, fewer channels than `divisor`, or a batch that is no
            multiple of `segments`.

    Example:
        >>> layer = TemporalShift("unidirectional", divisor=4)
        >>> clip = keras.ops.reshape(keras.ops.arange(1.0, 9.0), (1, 2, 1, 1, 4))
        >>> layer(clip)[0, :, 0, 0].numpy().tolist()
        [[0.0, 2.0, 3.0, 4.0], [1.0, 6.0, 7.0, 8.0]]
    """

    def __init__(
        self,
        direction: str = "bidirectional",
        divisor: int = 8,
        segments: int | None = None,
        **kwargs: object,
    ) -> None:
        if direction not in DIRECTIONS:
            raise ValueError(
                f"direction must be one of {', '.join(DIRECTIONS)}. Received: {direction!r}"
            )
        ways = 2 if direction == "bidirectional" else 1
        if divisor < ways:
            raise ValueError(
                f"divisor must be at least {ways} for a {direction} shift. Received: {divisor}"
            )
        if segments is not None and segments < 1:
            raise ValueError(f"segments must be None or at least 1. Received: {segments}")
        super().__init__(1 + ways, 1, DIRECTIONS[direction], **kwargs)
        self.direction = direction
        self.divisor = divisor
        self.segments = segments

    def build(self, input_shape: tuple) -> None:
        channels = input_shape[-1]
        if channels is None or channels < self.divisor:
            raise ValueError(
                f"layer {self.name!r}: to shift 1/{self.divisor} of the channels there must be at "
                f"least {self.divisor}. Received: {channels}"
            )
        self.fold = channels // self.divisor

    def remember(self, frame):
        return frame[..., self._taken : self._taken + self.fold]

    def anticipate(self, frame):
        return frame[..., : self.fold]

    @property
    def _taken(self) -> int:
        """The first of the channels that the next frame takes."""
        return self.fold * self.lookahead

    def compute(self, window):
        past, present, *future = window
        stays = present[..., self._taken + self.fold :]
        return ops.concatenate([*future, past, stays], axis=-1)

    def compute_frame_output_shape(self, frame_shape: tuple) -> tuple:
        return frame_shape

    def call(self, inputs):
        folded = self.segments and not isinstance(inputs, (list, tuple))
        if not folded or self._is_clip(inputs.shape):
            return super().call(inputs)
        if inputs.shape[0] is not None and inputs.shape[0] % self.segments:
            raise ValueError(
                f"layer {self.name!r}: a batch of clips of {self.segments} frames must be a "
                f"multiple of {self.segments}. Received: {inputs.shape[0]}"
            )
        # [B*T, ...] -> [B, T, ...] -> [B*T, ...]
        clip = ops.reshape(inputs, (-1, self.segments, *ops.shape(inputs)[1:]))
        return ops.reshape(super().call(clip), ops.shape(inputs))

    def get_config(self) -> dict:
        config = super().get_config()
        for name in ("window", "temporal_stride", "temporal_padding"):
            del config[name]
        return {
            **config,
            "direction": self.direction,
            "divisor": self.divisor,
            "segments": self.segments,
        }

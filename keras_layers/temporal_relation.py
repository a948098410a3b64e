"""Temporal relations: classes from the order of a few frames, at several scales.

TRN-Multiscale of *Temporal Relational Reasoning in Videos* (ECCV 2018), section 3: the baseline of
*Temporal Shift Module*, table 2 and figure 8. With T frames, scale s looks at ordered tuples of s
frames:

    for s in 2..T:    logits += sum over tuples of  dense(relu(dense(relu(concatenated tuple))))

The authors draw up to three tuples of a scale at random, anew at every call. Here they are fixed
and spread evenly over all tuples, so that clips, streams, and exported files agree.

What it does not do well: vectors that have not arrived are zeros, and the layer recognizes them by
that. It takes vectors of zeros at the start of a clip for missing ones.
"""

import math

import keras
from keras import layers, ops

from keras_layers.temporal import TemporalLayer


@keras.saving.register_keras_serializable(package="keras_layers")
class TemporalRelation(TemporalLayer):
    """Computes logits from the newest `frames` feature vectors and their order.

    Until `frames` vectors have been seen, those seen stand for `frames`: each is repeated as evenly
    as possible. After 3 of 8 frames, the layer reads the frames 0 0 0 1 1 1 2 2. So it answers as
    for segments that are sampled from the part of the video that has been seen.

    Args:
        classes: Number of classes.
        frames: Number of frames that are related, at least 2: the segments of a clip.
        hidden: Channels between the two dense layers of a scale.
        tuples: Largest number of tuples of a scale.

    Call arguments:
        inputs: Vectors `[B, C]`, or clips of them `[B, T, C]`, floating point. Only the output of
            the last step of a clip of `frames` vectors has seen all of them.

    Output shape:
        `[B, classes]` or `[B, T, classes]`.

    Raises:
        ValueError: If an argument is out of range, or the number of channels is unknown.

    Example:
        >>> layer = TemporalRelation(classes=5, frames=4)
        >>> tuple(layer(keras.ops.ones((1, 4, 16))).shape)
        (1, 4, 5)
    """

    frame_rank = 2
    """Rank of a batch of vectors, `[B, C]`."""

    def __init__(
        self, classes: int, frames: int = 8, hidden: int = 256, tuples: int = 3, **kwargs: object
    ) -> None:
        if frames < 2 or min(classes, hidden, tuples) < 1:
            raise ValueError(
                "Invalid arguments of a temporal relation. Expected at least 2 frames, and classes,"
                f" hidden and tuples of at least 1. Received: classes={classes}, frames={frames}, "
                f"hidden={hidden}, tuples={tuples}"
            )
        super().__init__(frames, 1, "causal", **kwargs)
        self.classes = classes
        self.frames = frames
        self.hidden = hidden
        self.tuples = tuples

    def build(self, input_shape: tuple) -> None:
        if input_shape[-1] is None:
            raise ValueError(
                f"The number of channels that layer {self.name!r} reads must be known. "
                f"Received: input_shape={tuple(input_shape)}"
            )

        def dense(units: int, inputs: int, name: str) -> layers.Dense:
            layer = layers.Dense(units, dtype=self.dtype_policy, name=name)
            layer.build((None, inputs))
            return layer

        scales = range(2, self.frames + 1)
        self.relations = [spread_tuples(self.frames, scale, self.tuples) for scale in scales]
        self.inner = [dense(self.hidden, s * input_shape[-1], f"inner{s}") for s in scales]
        self.outer = [dense(self.classes, self.hidden, f"outer{s}") for s in scales]

    def remember(self, frame):
        """Return the vectors and a mask that is 0 for vectors of zeros: `[B, C + 1]`."""
        arrived = ops.any(ops.not_equal(frame, 0), axis=-1, keepdims=True)
        return ops.concatenate([frame, ops.cast(arrived, frame.dtype)], axis=-1)

    def compute(self, window):
        *past, present = window
        newest = ops.concatenate([present, ops.ones_like(present[:, :1])], axis=-1)
        vectors = ops.relu(self._stretch(ops.stack([*past, newest], axis=1)))
        logits = []
        for tuples, inner, outer in zip(self.relations, self.inner, self.outer, strict=True):
            # [B, T, C] -> [B, n*s, C] -> [B, n, s*C]
            chosen = ops.take(vectors, [frame for each in tuples for frame in each], axis=1)
            chosen = ops.reshape(chosen, (-1, len(tuples), len(tuples[0]) * vectors.shape[-1]))
            logits.append(ops.sum(outer(ops.relu(inner(chosen))), axis=1))
        return sum(logits)

    def _stretch(self, remembered):
        """Return vectors `[B, T, C]` that repeat those that have arrived, from `[B, T, C + 1]`."""
        first = ops.argmax(remembered[..., -1], axis=1)[:, None]  # of those that have arrived
        seen = self.frames - first
        source = first + ops.arange(self.frames, dtype=seen.dtype) * seen // self.frames  # [B, T]
        return ops.take_along_axis(remembered[..., :-1], source[..., None], axis=1)

    def compute_frame_output_shape(self, frame_shape: tuple) -> tuple:
        return (frame_shape[0], self.classes)

    def multiply_adds(self, input_shape: tuple, output_shape: tuple) -> int:
        """Return the multiply-adds of a step.

        Args:
            input_shape, output_shape: Shapes of one vector without the batch axis.
        """
        return sum(
            len(tuples) * self.hidden * (len(tuples[0]) * input_shape[-1] + output_shape[-1])
            for tuples in self.relations
        )

    def get_config(self) -> dict:
        config = super().get_config()
        del config["window"], config["temporal_stride"], config["temporal_padding"]
        return {
            **config,
            "classes": self.classes,
            "frames": self.frames,
            "hidden": self.hidden,
            "tuples": self.tuples,
        }


def spread_tuples(frames: int, size: int, most: int) -> list[tuple[int, ...]]:
    """Return up to `most` ordered tuples of `size` of the frames `0..frames - 1`.

    They are spread evenly over all such tuples in lexicographic order: the middles of `most` equal
    parts.
    """
    total = math.comb(frames, size)
    count = min(most, total)
    return [_tuple_at((2 * part + 1) * total // (2 * count), frames, size) for part in range(count)]


def _tuple_at(rank: int, frames: int, size: int) -> tuple[int, ...]:
    """Return the ordered tuple of number `rank`, in lexicographic order."""
    chosen: list[int] = []
    frame = 0
    for left in range(size - 1, -1, -1):  # frames to choose after the next one
        while rank >= (starting_here := math.comb(frames - frame - 1, left)):
            rank -= starting_here
            frame += 1
        chosen.append(frame)
        frame += 1
    return tuple(chosen)

"""Checks inside exported graphs: a call that fails one ends with an error that says what to do.

TensorFlow's own servers do not compare inputs with the shapes of a signature, so a frame of another
size could run through a network to its end and give wrong values.
"""

from collections.abc import Mapping

import tensorflow as tf

from mpvn.pixels import far_values

Tensors = dict[str, tf.Tensor]


def require(condition: tf.Tensor, text: str, *values: tf.Tensor) -> tf.Tensor:
    """Return a tensor that raises InvalidArgumentError unless a condition holds.

    Args:
        condition: bool scalar.
        text: the message, with `{}` for each value.
        *values: tensors.
    """

    def refuse() -> tf.Tensor:
        message = tf.strings.format(text, values, summarize=4)  # formatted in this branch alone
        with tf.control_dependencies([tf.debugging.Assert(condition, [message])]):
            return tf.constant(False)

    return tf.cond(condition, lambda: tf.constant(True), refuse)


def checked(values: Mapping[str, tf.Tensor], checks: list[tf.Tensor]) -> Tensors:
    """Return values that are there after checks only: an error of theirs comes first."""
    with tf.control_dependencies(checks):
        return {name: tf.identity(value) for name, value in values.items()}


def of_shapes(values: Mapping[str, tf.Tensor], specs: Mapping[str, tf.TensorSpec]) -> Tensors:
    """Return the values of `specs`, which fail if they are of other shapes when they arrive."""
    return {name: tf.ensure_shape(values[name], spec.shape) for name, spec in specs.items()}


def one_batch(values: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """Require as many rows in each input: one row would be taken for that of every stream."""
    rows = tf.stack([tf.shape(value)[0] for value in values.values()])
    text = (
        "Invalid batch. Expected one row for each stream in every input. Received: from {} to {} "
        "rows."
    )
    least, most = tf.reduce_min(rows), tf.reduce_max(rows)
    return require(tf.equal(least, most), text, least, most)


def some_frames(clips: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """Require a frame at least in clips `[B, T, ...]`."""
    count = tf.reduce_min(tf.stack([tf.shape(clip)[1] for clip in clips.values()]))
    return require(count > 0, "Invalid clip. Expected at least one frame. Received: none.")


def counted(steps: tf.Tensor) -> tf.Tensor:
    """Require counters of steps from 0 on."""
    least = tf.reduce_min(steps)
    text = "Invalid step. Expected the number of a step, at least 0. Received: {}."
    return require(least >= 0, text, least)


def finite(name: str, value: tf.Tensor, streams: tf.Tensor) -> list[tf.Tensor]:
    """Require finite numbers in an input of floats `[B, ...]`. Others are always finite."""
    if not value.dtype.is_floating:
        return []
    # [B, ...] -> [B]
    good = tf.reduce_all(tf.math.is_finite(value), axis=list(range(1, len(value.shape))))
    text = (
        f"Invalid {name}. Expected finite numbers: others would stay in the memories of a stream. "
        "Received: NaN or infinity in the frames of the streams {}."
    )
    return [require(tf.reduce_all(good), text, tf.boolean_mask(streams, ~good))]


def of_range(name: str, value: tf.Tensor, streams: tf.Tensor, pixels: str) -> tf.Tensor:
    """Require numbers `[B, ...]` that may be pixels of a range, a key of `mpvn.pixels.RANGES`."""
    low, high = far_values(pixels)
    good = tf.reduce_all((value >= low) & (value <= high), axis=list(range(1, len(value.shape))))
    text = (
        f"Invalid {name}. Expected pixels of {pixels}, as in training. Received: values from {{}} "
        "to {}, in the frames of the streams {}. Scale them, or export with images='uint8'."
    )
    ends = tf.reduce_min(value), tf.reduce_max(value)
    return require(tf.reduce_all(good), text, *ends, tf.boolean_mask(streams, ~good))


def distinct(streams: tf.Tensor) -> list[tf.Tensor]:
    """Require at least one stream, and each once."""
    some = require(
        tf.size(streams) > 0, "Invalid stream_id. Expected at least one stream. Received: none."
    )
    values, _, counts = tf.unique_with_counts(streams)
    text = (
        "Invalid stream_id. Expected each stream once: its frames come one after the other, in "
        "calls of their own. Received several times: {}."
    )
    return [some, require(tf.reduce_all(counts < 2), text, tf.boolean_mask(values, counts > 1))]

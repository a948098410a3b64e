"""A SavedModel with state on the server, written by hand: what a client must cope with, quickly.

A stream's value is `10 * value + frame`, so it has each frame as a digit: 123 has seen 1, 2 and 3.
"""

import pathlib

import tensorflow as tf

STREAMS = 3


class Slots(tf.Module):
    def __init__(self) -> None:
        self.ids = tf.Variable(tf.zeros(STREAMS, tf.int64))
        self.steps = tf.Variable(tf.fill([STREAMS], tf.constant(-1, tf.int64)))  # -1: free
        self.values = tf.Variable(tf.zeros(STREAMS, tf.float64))

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.int64, "stream_id"),
            tf.TensorSpec([None], tf.float64, "frame"),
        ]
    )
    def step(self, stream_id: tf.Tensor, frame: tf.Tensor) -> dict:
        with tf.control_dependencies([tf.debugging.assert_all_finite(frame, "frame")]):
            slot, step = self._find(tf.identity(stream_id))
        before = tf.where(step == 0, tf.zeros((), tf.float64), self.values[slot])
        value = 10 * before + frame[0]
        self.ids.scatter_nd_update([[slot]], stream_id)
        self.values.scatter_nd_update([[slot]], [value])
        self.steps.scatter_nd_update([[slot]], [step + 1])
        return {"value": value[None], "step": step[None]}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int64, "stream_id")])
    def reset(self, stream_id: tf.Tensor) -> dict:
        slot, step = self._find(stream_id)
        with tf.control_dependencies([tf.debugging.assert_positive(step, "unknown stream")]):
            slot = tf.identity(slot)
        self.steps.scatter_nd_update([[slot]], [tf.constant(-1, tf.int64)])
        return {"steps": step[None]}

    def _find(self, stream_id: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the slot of one stream, and the number of its next step."""
        with tf.control_dependencies([tf.debugging.assert_equal(tf.size(stream_id), 1)]):
            is_mine = (self.ids == stream_id) & (self.steps >= 0)
        is_free = self.steps < 0
        is_known = tf.reduce_any(is_mine)
        tf.debugging.Assert(is_known | tf.reduce_any(is_free), ["no slot is free"])
        slot = tf.argmax(tf.cast(tf.where(is_known, is_mine, is_free), tf.int32))
        return slot, tf.where(is_known, self.steps[slot], 0)

    def export(self, folder: pathlib.Path) -> None:
        signatures = {"serving_default": self.step, "step": self.step, "reset": self.reset}
        tf.saved_model.save(self, folder, signatures)

"""A SavedModel of a stream whose inputs and outputs have every kind of dtype, written by hand."""

import pathlib

import tensorflow as tf

NUMBERS = [0.1, -1 / 3, 3e-39, 16777216.0, 1e30, float("nan"), float("inf"), float("-inf")]
"""What JSON could round: decimals, a denormal, integers, and what JSON does not have."""

DOUBLES = [1 / 3, 1e300, 5e-324]
BINARY = b"\x00\xff\n'\"\x00"
TEXT = 'jump "über"'


class Kinds(tf.Module):
    def __init__(self) -> None:
        self.count = tf.Variable(tf.constant(-1, tf.int64))

    def _step(self, stream_id: tf.Tensor) -> tf.Tensor:
        return tf.zeros_like(stream_id) + self.count.assign_add(1)

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.int64, "stream_id"),
            tf.TensorSpec([None, None, None, 3], tf.uint8, "image"),
            tf.TensorSpec([None], tf.string, "file"),
            tf.TensorSpec([None, len(NUMBERS)], tf.float32, "numbers"),
        ]
    )
    def step(
        self, stream_id: tf.Tensor, image: tf.Tensor, file: tf.Tensor, numbers: tf.Tensor
    ) -> dict:
        return {
            "step": self._step(stream_id),
            "sum": tf.reduce_sum(tf.cast(image, tf.int64), (1, 2, 3)),
            "image": image,
            "file_bytes": file,
            "length": tf.strings.length(file),
            "classes": tf.constant([[TEXT, "run"]]),
            "numbers": numbers,
            "doubles": tf.constant([DOUBLES], tf.float64),
            "is_nan": tf.math.is_nan(numbers),
            "large": stream_id,
        }

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.int64, "stream_id"),
            tf.TensorSpec([None, 2], tf.bfloat16, "frame"),
        ]
    )
    def low(self, stream_id: tf.Tensor, frame: tf.Tensor) -> dict:
        half = tf.cast(frame, tf.float16)
        return {"step": self._step(stream_id), "double": 2 * frame, "half": half}

    def export(self, folder: pathlib.Path) -> None:
        tf.saved_model.save(self, folder, {"serving_default": self.step, "low": self.low})

"""Joining several clips into one, compared with literal orders of frames."""

import numpy as np
import pytest
import tensorflow as tf

from mpvn.data.clips.montage import montage

CLIPS = tf.constant(np.arange(4 * 3).reshape(4, 3))  # Frame t of clip c is 3 c + t.


def test_clips_follow_each_other() -> None:
    np.testing.assert_array_equal(montage(CLIPS, 2), [[0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11]])


def test_frames_of_interleaved_clips_alternate() -> None:
    np.testing.assert_array_equal(
        montage(CLIPS, 2, interleaved=True), [[0, 3, 1, 4, 2, 5], [6, 9, 7, 10, 8, 11]]
    )
    np.testing.assert_array_equal(
        montage(CLIPS, 4, interleaved=True), [[0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11]]
    )


@pytest.mark.parametrize("interleaved", [False, True])
def test_frames_and_their_values_stay_together(interleaved: bool) -> None:
    frames = np.random.default_rng(0).normal(size=(6, 5, 2, 2, 3)).astype("float32")
    pair = (tf.constant(frames), tf.constant(frames.mean(axis=(2, 3, 4))))
    joined, means = montage(pair, 3, interleaved)
    assert joined.shape == (2, 15, 2, 2, 3)
    np.testing.assert_allclose(tf.reduce_mean(joined, axis=(2, 3, 4)), means, rtol=1e-6, atol=1e-7)


def test_one_clip_is_unchanged() -> None:
    np.testing.assert_array_equal(montage(CLIPS, 1, interleaved=True), CLIPS)


def test_sizes_may_be_unknown() -> None:
    traced = tf.function(lambda x: montage(x, 2), [tf.TensorSpec([None, None], tf.int32)])
    np.testing.assert_array_equal(traced(tf.cast(CLIPS, tf.int32)), montage(CLIPS, 2))
    known = tf.function(lambda x: montage(x, 2), [tf.TensorSpec([None, 3], tf.int32)])
    assert known.get_concrete_function().output_shapes == tf.TensorShape([None, 6])


def test_remaining_clips_are_dropped() -> None:
    np.testing.assert_array_equal(montage(CLIPS, 3), [[0, 1, 2, 3, 4, 5, 6, 7, 8]])
    assert montage(CLIPS, 5).shape == (0, 15)


def test_zero_clips_are_an_error() -> None:
    with pytest.raises(ValueError, match="clips: expected an int of at least 1. Received: 0"):
        montage(CLIPS, 0)

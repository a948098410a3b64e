"""The index rules of Sideways: they are those of the drawn schedule and of the papers."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_layers.sideways_rules import (
    check_clip,
    first_learning_steps,
    mean_factor,
    round_trip,
    shortest_clip,
)


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_a_module_learns_once_the_first_gradient_has_come_back(depth: int) -> None:
    """A frame crosses one module a step, and so does the gradient of its loss."""
    frame_at = list(range(depth))  # the first frame enters module i at step i
    gradient_at = [frame_at[-1] + (depth - 1 - i) for i in range(depth)]
    assert first_learning_steps(depth) == gradient_at
    assert gradient_at == [2 * depth - i - 1 for i in range(1, depth + 1)]  # as in the paper
    assert shortest_clip(gradient_at) == round_trip(depth) == 2 * depth - 1


def test_clips_that_are_too_short_are_refused() -> None:
    steps = first_learning_steps(3)
    check_clip(5, steps, "module")
    with pytest.raises(ValueError, match="module 0 first.*at least 5 frames.*Received: clips of 4"):
        check_clip(4, steps, "module")
    check_clip(tf.constant(5), steps, "subnetwork")
    with pytest.raises(tf.errors.InvalidArgumentError, match="at least 5.*fewer subnetworks"):
        check_clip(tf.constant(4), steps, "subnetwork")


def test_a_factor_turns_a_mean_into_a_mean_over_later_steps() -> None:
    values = np.array([0.0, 0.0, 0.0, 5.0, 7.0])  # masked before step 3
    np.testing.assert_allclose(values.mean() * mean_factor(5, 3), values[3:].mean())
    assert float(mean_factor(2, 3)) == 2  # a short clip in inference: all masked
    assert keras.backend.standardize_dtype(mean_factor(tf.constant(5), 3).dtype) == "float64"

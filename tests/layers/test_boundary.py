"""Boundaries delay clips by a step; their gradients go one step earlier, or one step later."""

from typing import Any

import keras
import numpy as np
import pytest
import reference_sideways as reference
import tensorflow as tf
from sideways_networks import WIDTH, assert_close, dense_layer, dense_modules, set_modules

from keras_layers import Boundary
from keras_layers.boundary import sent_sideways


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_the_gradient_goes_earlier_or_later(dtype: str, rng: np.random.Generator) -> None:
    clip = tf.constant(rng.normal(size=(2, 5, 3)), dtype)
    upstream = tf.constant(rng.normal(size=(2, 5, 3)), dtype)
    zero = tf.zeros_like(clip[:, :1])
    gradients = {}
    for name in ("exact", "sideways"):
        with tf.GradientTape() as tape:
            tape.watch(clip)
            later = Boundary(name, dtype=dtype)(clip)
        np.testing.assert_array_equal(later, tf.concat([zero, clip[:, :-1]], 1))
        gradients[name] = tape.gradient(later, clip, upstream)
        assert gradients[name].dtype == dtype
    np.testing.assert_array_equal(gradients["exact"], tf.concat([upstream[:, 1:], zero], 1))
    np.testing.assert_array_equal(gradients["sideways"], tf.concat([zero, upstream[:, :-1]], 1))


@pytest.mark.parametrize("start", [1, 2, 4, 5, 7])
def test_no_gradient_is_sent_before_the_start(start: int, rng: np.random.Generator) -> None:
    upstream = rng.normal(size=(2, 5, 3))
    clip = tf.ones((2, 5, 3), tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(clip)
        later = Boundary("sideways", start=start, dtype="float64")(clip)
    sent = tape.gradient(later, clip, tf.constant(upstream))
    for step in range(5):
        expected = upstream[:, step - 1] if step >= start else np.zeros((2, 3))
        np.testing.assert_array_equal(sent[:, step], expected)


def test_without_delay_gradients_are_masked_and_scaled(rng: np.random.Generator) -> None:
    """A factor of 0 stops a gradient that is not finite."""
    scale = [[1.0, 1.0, 3.0, 0.0, 4.0], [1.0, 1.0, 3.0, 3.0, 0.0]]
    upstream = rng.normal(size=(2, 5, 3))
    clip = tf.ones((2, 5, 3), tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(clip)
        received = sent_sideways(clip, clip, delay=0, start=2, scale=tf.constant(scale))
    upstream[1, 4] = np.nan
    sent = tape.gradient(received, clip, tf.constant(upstream))
    np.testing.assert_array_equal(sent[:, :2], 0)
    np.testing.assert_array_equal(sent[0, 2:], np.array([[3], [0], [4]]) * upstream[0, 2:])
    np.testing.assert_array_equal(sent[1, 2:4], 3 * upstream[1, 2:4])
    np.testing.assert_array_equal(sent[1, 4], 0)


def test_integers_are_delayed_without_a_cast() -> None:
    later = Boundary("sideways")(tf.constant([[[1], [2], [3]]], tf.uint8))
    assert later.dtype == tf.uint8
    np.testing.assert_array_equal(later, [[[0], [1], [2]]])


@pytest.mark.parametrize("depth", [1, 4])
def test_a_chain_of_layers_is_the_reference(depth: int, rng: np.random.Generator) -> None:
    """If the loss leaves out steps that no frame has reached, sums are those of the index rules."""
    clip, targets = rng.normal(size=(2, 2, 9, WIDTH))
    modules = dense_modules(depth, rng)
    x = start = keras.Input((None, WIDTH), dtype="float64")
    for index in range(depth):
        if index:
            x = Boundary("sideways", dtype="float64")(x)
        x = dense_layer(index)(x)
    model = keras.Model(start, x)
    set_modules(model, modules)
    weights = np.arange(9) >= depth - 1
    with tf.GradientTape() as tape:
        errors = tf.reduce_mean((model(clip) - targets) ** 2, axis=(0, 2))
        loss = tf.reduce_sum(errors * weights)
    gradients = tape.gradient(loss, [v.value for v in model.trainable_variables])
    expected = reference.sideways(modules, clip, targets)
    for index in range(depth):
        steps = [products for products in expected.steps[index] if products]
        sums = [sum(products[n] for products in steps) for n in (0, 1)]
        assert_close(gradients[2 * index : 2 * index + 2], sums)


@pytest.mark.parametrize(
    "use, message",
    [
        (lambda: Boundary("later"), "Invalid gradient. Expected one of"),
        (lambda: Boundary("sideways", start=0), "start as an int of at least 1"),
        (lambda: Boundary()(tf.ones(3)), "expected clips"),
    ],
)
def test_errors(use: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        use()

"""Layers as pure functions: values in, values out, and nothing else."""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from keras_layers import Sideways
from keras_layers.pure_call import PureScope, read_variables, refuse_losses


def call(layer: keras.layers.Layer, values: list, inputs: Any) -> tuple[tf.Tensor, PureScope]:
    scope = PureScope(layer.variables, values)
    scope.layer = layer
    with scope:
        return layer(inputs, training=True), scope


def test_batch_norm_reads_and_returns_values(rng: np.random.Generator) -> None:
    norm = layers.BatchNormalization(momentum=0.5)
    x = rng.normal(3, 1, (8, 2)).astype("float32")
    norm(x)
    before = [np.asarray(v) for v in norm.variables]
    values = [tf.constant(rng.uniform(1, 2, v.shape), "float32") for v in norm.variables]
    outputs, scope = call(norm, values, x)
    expected = (x - x.mean(0)) / np.sqrt(x.var(0) + norm.epsilon) * values[0] + values[1]
    np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-5)
    assert [v.name for v in scope.assigned.values()] == ["moving_mean", "moving_variance"]
    moved = scope.get_current_value(norm.moving_mean)
    np.testing.assert_allclose(moved, 0.5 * values[2] + 0.5 * x.mean(0), rtol=1e-5)
    for variable, value in zip(norm.variables, before, strict=True):
        np.testing.assert_array_equal(variable, value)


def test_losses_belong_to_the_layer_that_added_them() -> None:
    dense = layers.Dense(2, activity_regularizer="l2")
    dense.build((None, 3))
    _, scope = call(dense, read_variables(dense.variables), tf.ones((1, 3)))
    ((layer, loss),) = scope.added_losses
    assert layer is dense and float(loss) > 0
    with pytest.raises(ValueError, match="add losses.*dense.*Remove these losses"):
        refuse_losses([layer.name])
    refuse_losses([])


class Misuse(layers.Layer):
    """Reads a variable of someone else, or assigns a trainable one."""

    def __init__(self, borrowed: Any = None) -> None:
        super().__init__(name="misuse")
        self.borrow = lambda: borrowed  # hidden from Keras, which would track it
        self.weight = self.add_weight(shape=(), name="weight")

    def call(self, inputs: Any) -> Any:
        if self.borrow() is not None:
            return inputs * self.borrow()
        self.weight.assign(2.0)
        return inputs


def test_layers_that_are_not_pure_are_refused() -> None:
    borrowed = keras.Variable(1.0, name="borrowed")
    for layer, verb, name in (
        (Misuse(borrowed), "reads", "borrowed"),
        (Misuse(), "assigns", "misuse/weight"),
    ):
        with pytest.raises(ValueError, match=f"'misuse' {verb} the variable '{name}'.*only its"):
            call(layer, read_variables(layer.variables), tf.ones(2))


@pytest.mark.usefixtures("restore_dtype_policy")
def test_a_module_of_another_dtype_keeps_its_weights() -> None:
    """The scope cast values to the dtype of the layer around it: a float32 module in a layer that
    computes in bfloat16 got rounded weights, and a frozen one had them rounded for good."""
    keras.config.set_dtype_policy("mixed_bfloat16")
    module = layers.Dense(2, dtype="float32", kernel_initializer="random_normal")
    layer = Sideways([module])
    clip = tf.ones((1, 1, 3), "bfloat16")
    layer(clip)
    module.trainable = False
    exact = np.asarray(module.kernel)
    outputs = layer(clip, training=True)
    np.testing.assert_array_equal(module.kernel, exact)
    expected = tf.cast(tf.ones((1, 3)) @ exact, "bfloat16")
    np.testing.assert_array_equal(outputs[:, 0], expected)

"""Which layers are defined everywhere, and the step before which calls of others are cut."""

from collections.abc import Iterator

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

import keras_layers
from mpvn import Plan, VideoNetwork
from mpvn.graph.nesting import Door
from mpvn.plan import domain
from mpvn.plan.domain import is_total


class Custom(layers.Layer):
    """A layer that no list knows, undefined where one of its inputs is zero."""

    def call(self, *inputs):
        return sum(x / ops.norm(x, axis=-1, keepdims=True) for x in inputs)


class Shifted(layers.Layer):
    """A layer that no list knows, defined everywhere, with a weight."""

    def build(self, shape: tuple) -> None:
        self.offset = self.add_weight(shape=(shape[-1],), initializer="ones", name="offset")

    def call(self, x):
        return ops.tanh(x + self.offset)


def operations(base: type = keras.Operation) -> Iterator[str]:
    """Return the names of Keras's operations that are no layers."""
    for kind in base.__subclasses__():
        if not issubclass(kind, layers.Layer):
            yield kind.__name__
            yield from operations(kind)


def test_the_lists_name_classes_and_functions_of_keras() -> None:
    assert set(dir(layers)) >= domain._LAYERS
    assert set(operations()) >= domain._OPERATIONS
    assert set(dir(keras.activations)) >= domain._ACTIVATIONS
    assert {*dir(keras_layers), Door.__name__} >= domain._OWN_LAYERS


@pytest.mark.parametrize(
    ("layer", "total"),
    [
        (layers.Dense(2, "gelu"), True),
        (layers.Dense(2, lambda x: x**0.5), False),
        (layers.Dense(2, layers.ReLU()), True),
        (layers.Dense(2, layers.UnitNormalization()), False),
        (layers.Activation("exponential"), False),
        (layers.LayerNormalization(), True),
        (layers.LayerNormalization(epsilon=0.0), False),
        (layers.Lambda(lambda x: x), False),
        (Custom(), False),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_layers(layer: layers.Layer, total: bool) -> None:
    assert is_total(layer) == total


def test_operations() -> None:
    frame = keras.Input((3,))
    x = ops.abs(ops.reshape(frame, (-1, 3)) * 2.0 - 1.0)
    total = keras.Model(frame, x)
    assert all(is_total(node.operation) for node in Plan(total).graph.nodes)
    for undefined in (x / ops.norm(x), ops.log(x), ops.sqrt(x), x**-0.5, ops.arccos(x)):
        assert not is_total(undefined._keras_history.operation)


def test_total_layers_have_gradients_at_zeros() -> None:
    """Of those that normalize, which are closest to the edge."""
    for layer in (
        layers.BatchNormalization(),
        layers.GroupNormalization(3),
        layers.LayerNormalization(),
        layers.RMSNormalization(),
        layers.MultiHeadAttention(1, 3),
    ):
        assert is_total(layer)
        zeros = tf.zeros((2, 2, 3))
        arguments = [zeros] * (1 + isinstance(layer, layers.MultiHeadAttention))
        with tf.GradientTape() as tape:
            tape.watch(zeros)
            loss = tf.reduce_sum(layer(*arguments) ** 2)
        assert bool(tf.reduce_all(tf.math.is_finite(tape.gradient(loss, zeros))))


def cut_before(model: keras.Model, **arguments: object) -> dict[str, int]:
    """Return the cuts of the custom layers."""
    plan = Plan(model, **arguments)
    cuts = dict(zip(plan.nodes, plan.cut_before, strict=True))
    assert not any(cut for name, cut in cuts.items() if not name.startswith("custom"))
    return {name: cut for name, cut in cuts.items() if name.startswith("custom")}


def test_layers_that_are_defined_at_zeros_are_not_cut() -> None:
    """Their gradients are exact, also at steps that no frame has reached."""
    frame = keras.Input((3,))
    x = layers.Dense(3, name="d0")(frame)
    model = keras.Model(frame, Shifted(name="shifted")(x))
    network = VideoNetwork(model, Plan(model, boundaries=["shifted"]), executor="unroll")
    assert network.plan.settled_step == 0
    clip = tf.constant(np.random.default_rng(0).normal(size=(2, 4, 3)), tf.float32)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(network(clip, training=True))
    received = tape.gradient(loss, model.get_layer("shifted").offset.value)
    with tf.GradientTape() as tape:
        y = model.get_layer("d0")(clip)
        late = tf.concat([tf.zeros_like(y[:, :1]), y[:, :-1]], axis=1)
        loss = tf.reduce_sum(model.get_layer("shifted")(late))
    expected = tape.gradient(loss, model.get_layer("shifted").offset.value)
    np.testing.assert_allclose(received, expected, rtol=1e-5)


def test_calls_are_cut_until_a_frame_has_reached_every_input() -> None:
    frame = keras.Input((3,))
    first = Custom(name="custom_first")(frame)
    x = layers.Dense(3, name="d1")(first)
    both = Custom(name="custom_both")(first, x)
    after_skip = Custom(name="custom_after")(layers.Add(name="sum")([first, x]))
    model = keras.Model(frame, [both, after_skip])
    assert cut_before(model) == {"custom_first": 0, "custom_both": 0, "custom_after": 0}
    boundaries = ["d1", "custom_both", "sum"]
    # d1 is informed at step 1, so both its inputs are at step 2. The sum is informed at step 1.
    assert cut_before(model, boundaries=boundaries) == {
        "custom_first": 0,
        "custom_both": 2,
        "custom_after": 1,
    }
    late = {"custom_first": 4, "d1": 4, "custom_both": 4, "sum": 4, "custom_after": 4}
    phases = {"custom_first": 3, "d1": 3, "custom_both": 3, "sum": 3, "custom_after": 3}
    assert cut_before(model, boundaries=boundaries, clocks=late, phases=phases) == {
        "custom_first": 0,  # reads the frame at its first tick
        "custom_both": 8,  # d1 ticks at step 3, before it sees the tick of the first at that step
        "custom_after": 7,
    }


def test_zeros_that_the_frame_model_itself_reads_are_not_cut() -> None:
    """Those of feedback at the first step, and those of windows before the start."""
    frame = keras.Input((4, 4, 3))
    back = layers.Dense(3, name="d0")(keras_layers.Feedback("last", (4, 4, 3), name="back")(frame))
    x = Custom(name="custom_merge")(frame, back)
    x = keras_layers.TemporalConv3D(3, (3, 1, 1), name="past")(Custom(name="custom_back")(x))
    model = keras.Model(frame, layers.Dense(3, name="last")(x))
    assert cut_before(model) == {"custom_merge": 0, "custom_back": 0}


def test_steps_after_the_cuts_have_the_same_phase() -> None:
    frame = keras.Input((3,))
    x = Custom(name="custom")(layers.Dense(3, name="d1")(layers.Dense(3, name="d0")(frame)))
    plan = Plan(keras.Model(frame, x), boundaries=["d1", "custom"], clocks=[1, 1, 2])
    assert plan.settled_step == 2
    assert [plan.after_cuts(step) for step in range(3)] == [2, 3, 4]


def test_a_region_is_cut_if_one_of_its_parts_needs_it() -> None:
    """Nodes that regroup the batch axis are one node of the plan."""

    def last_cut(attend: layers.Layer) -> int:
        frame = keras.Input((4, 3))
        x = layers.Dense(3, name="d1")(layers.Dense(3, name="d0")(frame))
        x = ops.reshape(attend(ops.reshape(x, (-1, 2, 3))), (-1, 4, 3))
        return Plan(keras.Model(frame, x), boundaries=["d1"]).settled_step

    assert (last_cut(layers.Dense(3)), last_cut(Custom())) == (0, 1)

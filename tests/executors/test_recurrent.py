"""Recurrent layers in networks: starts, exports, figures of plans, users' layers, refusals.

Values and gradients at any clock, and streams of any age, are compared with the NumPy reference in
`test_rules.py` and `test_random_networks.py`.
"""

import pathlib
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from random_weights import randomize
from reference import Node, recur

import keras_layers
from mpvn import Plan, VideoNetwork
from mpvn.sideways.gpipe import gpipe

FRAME = (4, 5, 2)
CLIP = np.random.default_rng(1).normal(size=(2, 6, *FRAME)).astype("float32")


class Averaging(keras_layers.RecurrentLayer):
    """The mean of all vectors so far: a recurrent layer as a user writes it."""

    frame_rank = 2

    def build(self, input_shape: tuple) -> None:
        self.norm = layers.BatchNormalization()
        self.norm.build(input_shape)

    def prepare(self, frame: Any) -> Any:
        return self.norm(frame)

    def compute(self, prepared: Any, memory: list) -> list:
        mean, count = memory
        return [mean + (prepared - mean) / (count + 1), count + 1]

    def compute_memory_shapes(self, frame_shape: tuple) -> list[tuple]:
        return [frame_shape, (frame_shape[0], 1)]


def assert_close(actual: Any, expected: Any) -> None:
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5)


def network_of(*recurrent: keras.Layer, plan: dict | None = None, **settings: Any) -> VideoNetwork:
    """Return a network of these layers behind each other, with random weights."""
    x = frame = keras.Input(FRAME, name="frame")
    for layer in recurrent:
        x = layer(x)
    model = keras.Model(frame, x)
    randomize(model, np.random.default_rng(4))
    return VideoNetwork(model, Plan(model, **(plan or {})), **settings)


def stepped(network: VideoNetwork, clip: np.ndarray) -> np.ndarray:
    state, outputs = network.initial_state(len(clip)), []
    for time in range(clip.shape[1]):
        output, state = network.step(clip[:, time], state)
        outputs.append(output)
    return np.stack(outputs, axis=1)


def as_data(kind: str, layer: keras.Layer) -> Node:
    """Return a recurrent layer as the NumPy reference knows it."""
    weights = {weight.name: np.asarray(weight) for weight in layer.weights}
    return Node(layer.name, kind, (), {**weights, "strides": layer.strides, "padding": "same"})


@pytest.fixture(scope="module")
def network() -> VideoNetwork:
    """Return an LSTM, and a GRU on a slower clock across a boundary."""
    return network_of(
        keras_layers.TemporalConvLSTM2D(3, 3, name="lstm"),
        keras_layers.TemporalConvGRU2D(2, 3, 2, name="gru"),
        plan={"boundaries": ["gru"], "clocks": [1, 2], "phases": [0, 1]},
    )


def test_a_primed_memory_has_seen_the_first_frame_once(network: VideoNetwork) -> None:
    primed = VideoNetwork(network.frame_model, network.plan, start="primed")
    nodes = [
        as_data("conv_lstm", network.frame_model.get_layer("lstm")),
        as_data("conv_gru", network.frame_model.get_layer("gru")),
    ]
    lstm = recur(nodes[0], CLIP[:, 0], None)
    gru = recur(nodes[1], lstm[0], None)
    expected = []
    for time in range(6):
        delayed = lstm[0]
        lstm = recur(nodes[0], CLIP[:, time], lstm)
        gru = recur(nodes[1], delayed, gru) if time % 2 else gru
        expected.append(gru[0])
    for executor in ("unroll", "layerwise"):
        primed.executor = executor
        assert_close(primed(CLIP), np.stack(expected, axis=1))
    assert_close(stepped(primed, CLIP), np.stack(expected, axis=1))


def test_an_exported_network_streams_the_same_values(
    network: VideoNetwork, tmp_path: pathlib.Path
) -> None:
    network.export(tmp_path / "saved", verbose=False)
    loaded = tf.saved_model.load(str(tmp_path / "saved"))
    step, start = loaded.signatures["step"], loaded.signatures["init_states"]
    state = start(batch_size=tf.constant(2))
    assert {name: x.shape for name, x in state.items() if "lstm" in name} == {
        "t1_lstm_past1": (2, 4, 5, 3),
        "t2_lstm_1_past1": (2, 4, 5, 3),  # the cell
    }
    expected = network(CLIP)
    for time in range(6):
        outputs = dict(step(frame=tf.constant(CLIP[:, time]), **state))
        state = {name: outputs.pop(f"next_{name}") for name in state}
        (values,) = outputs.values()
        assert_close(values, expected[:, time])


def test_figures_of_a_plan_count_memories(network: VideoNetwork) -> None:
    plan = network.plan
    assert plan.receptive_field is None
    assert plan.information_latency == (1, 1)
    assert plan.cached_bytes == 4 * (2 * 4 * 5 * 3 + 2 * 3 * 2)
    assert plan.node_costs == (4 * 5 * 9 * (2 + 3) * 12, 2 * 3 * 9 * (3 + 2) * 6)
    assert plan.unread_share == 0  # a memory reads every tick, though only every second is output


def test_a_layer_of_a_user_runs_at_any_clock() -> None:
    pool, averaging = layers.GlobalAveragePooling2D(), Averaging(name="averaging")
    network = network_of(pool, averaging, plan={"clocks": {"averaging": 2}})
    mean, variance = averaging.norm.moving_mean, averaging.norm.moving_variance
    gamma, beta = averaging.norm.gamma, averaging.norm.beta
    vectors = CLIP[:, ::2].mean(axis=(2, 3))
    vectors = gamma * (vectors - mean) / np.sqrt(variance + averaging.norm.epsilon) + beta
    means = np.cumsum(vectors, axis=1) / np.arange(1, 4).reshape(1, -1, 1)
    expected = means.repeat(2, axis=1)
    for executor in ("unroll", "layerwise"):
        network.executor = executor
        assert_close(network(CLIP), expected)
    assert_close(stepped(network, CLIP), expected)


def test_between_layers_that_look_into_the_future() -> None:
    around = [
        keras_layers.TemporalConv3D(2, 3, temporal_padding="symmetric"),
        keras_layers.TemporalConvGRU2D(2, 3),
        keras_layers.TemporalConv3D(2, 3, temporal_padding="symmetric"),
    ]
    network = network_of(*around)
    first, gru, last = around
    assert_close(network(CLIP), last(gru(first(CLIP))))


def test_rematerialized_gradients_are_the_same(network: VideoNetwork) -> None:
    variables = [variable.value for variable in network.trainable_variables]

    def gradients() -> list:
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(network(CLIP, training=True) ** 2)
        return tape.gradient(loss, variables)

    network.executor = "layerwise"
    expected = gradients()
    network.rematerialize = True
    for actual, other in zip(gradients(), expected, strict=True):
        assert_close(actual, other)
    network.rematerialize = False


# --- refusals ----------------------------------------------------------------------------------


def in_a_loop_of_its_own() -> keras.Model:
    class Own(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.gru = keras_layers.TemporalConvGRU2D(2, 3, name="mine")

        def call(self, x: Any) -> Any:
            return self.gru(x)

    model = Own()
    model(CLIP[:, 0])
    return model


def with_memory_of_keras() -> keras.Model:
    frame = keras.Input(batch_shape=(2, *FRAME))
    clip = layers.Reshape((1, *FRAME))(frame)
    return keras.Model(frame, layers.ConvLSTM2D(2, 3, stateful=True, name="theirs")(clip))


def of_a_list() -> keras.Model:
    frame, memory = keras.Input(FRAME), keras.Input((4, 5, 2))
    outputs = keras_layers.TemporalConvGRU2D(2, 3, name="gru")([frame, memory])
    return keras.Model([frame, memory], outputs)


def over_rows() -> keras.Model:
    frame = keras.Input(FRAME)
    gru = keras_layers.TemporalConvGRU2D(2, 3, name="gru")
    return keras.Model(frame, gru(layers.Reshape((2, 2, 5, 2))(frame)))


def within_a_layer() -> keras.Model:
    class Wrapper(layers.Wrapper):
        def call(self, x: Any) -> Any:
            return self.layer(x)

    frame = keras.Input(FRAME)
    return keras.Model(frame, Wrapper(keras_layers.TemporalConvGRU2D(2, 3, name="mine"))(frame))


FAULTS = {
    "a layer around it": (within_a_layer, "past frames: mine. Call them in the functional model"),
    "a call of its own": (in_a_loop_of_its_own, "cannot give its layers their past frames: mine"),
    "stateful": (with_memory_of_keras, "'theirs' changes at inference.*TemporalConvLSTM2D"),
    "list": (of_a_list, "'gru' looks back in time, so it must have one input"),
    "clip": (over_rows, r"'gru' is recurrent.*rank 3.*Received: the shape \(2, 2, 5, 2\)"),
}


@pytest.mark.parametrize(("build", "message"), FAULTS.values(), ids=FAULTS)
def test_a_model_that_cannot_remember_is_refused(build: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"(?s){message}"):
        Plan(build())


def test_frame_by_frame_training_is_refused(network: VideoNetwork) -> None:
    plan = Plan(network.frame_model, 2)
    message = "memory of past frames .'lstm', 'gru'.*gradient=\"exact\""
    with pytest.raises(ValueError, match=message):
        VideoNetwork(network.frame_model, plan, gradient="sideways")
    with pytest.raises(ValueError, match=message):
        gpipe(plan, [tf.constant(CLIP)])

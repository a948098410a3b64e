"""Streams that start primed equal primed clips, whatever the ages of the streams beside them."""

import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from random_weights import randomize

import keras_layers
from mpvn import Plan, VideoNetwork


@pytest.fixture(scope="module")
def network() -> VideoNetwork:
    """Two slow subnetworks after a fast one, with windows and a memory around a boundary."""
    frame = keras.Input((4, 4, 2))
    x = keras_layers.TemporalConv3D(3, (2, 1, 1), activation="tanh", name="first")(frame)
    x = keras_layers.TemporalConvLSTM2D(3, 3, padding="valid", name="second")(x)
    x = keras_layers.TemporalConv3D(3, (3, 1, 1), name="third")(x)
    model = keras.Model(frame, layers.Flatten()(x))
    plan = Plan(model, boundaries=["second", "third"], clocks=[1, 2, 4])
    network = VideoNetwork(model, plan, start="primed")
    randomize(network, np.random.default_rng(0))
    return network


CLIP = np.random.default_rng(1).normal(size=(4, 11, 4, 4, 2)).astype("float32")


def assert_close(actual: object, expected: object) -> None:
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5)


def test_aligned_stream_equals_the_clip(network: VideoNetwork) -> None:
    expected = np.asarray(network(CLIP))
    zeros = VideoNetwork(network.frame_model, network.plan)(CLIP)
    assert np.abs(expected[:, 0] - zeros[:, 0]).max() > 0.1
    state = network.initial_state(4)
    for time in range(11):
        outputs, state = network.step(CLIP[:, time], state)
        assert_close(outputs, expected[:, time])
    outputs, state = network.run(CLIP[:, :7], network.initial_state(4))
    assert_close(outputs, expected[:, :7])
    assert_close(network.run(CLIP[:, 7:], state)[0], expected[:, 7:])


@pytest.mark.parametrize("way", ["eager", "tf.function", "run"])
def test_streams_of_different_ages_equal_each_alone(network: VideoNetwork, way: str) -> None:
    """Stream i starts at step 2 * i; until then, its row sees frames of another stream."""
    alone = np.asarray(network(CLIP))
    step = tf.function(network.step, autograph=False) if way == "tf.function" else network.step
    state = network.initial_state(4)
    for time in range(11):
        starts = [time == 2 * row for row in range(4)]
        state = network.reset(state, starts)
        ages = [time - 2 * row for row in range(4)]
        frames = np.stack([CLIP[row, max(age, 0)] for row, age in enumerate(ages)])
        if way == "run":
            clip_outputs, state = network.run(frames[:, None], state)
            outputs = clip_outputs[:, 0]
        else:
            outputs, state = step(tf.constant(frames), state)
        for row, age in enumerate(ages):
            if age >= 0:
                assert_close(outputs[row], alone[row, age])


def test_cell_primes_once(network: VideoNetwork) -> None:
    """The cell counts modulo the period, and step 0 must not come back."""
    outputs = layers.RNN(network.cell(), return_sequences=True)(CLIP)
    assert_close(outputs, network(CLIP))


@pytest.mark.parametrize("start", ["zeros", "primed"])
def test_streams_of_different_ages_share_a_cell(network: VideoNetwork, start: str) -> None:
    """A stream restarts where all its states are zero; its row among the others does not matter."""
    subject = VideoNetwork(network.frame_model, network.plan, start=start)
    alone, cell = np.asarray(subject(CLIP)), subject.cell()
    states = cell.get_initial_state(4)
    for time in range(11):
        ages = [time - 2 * row for row in range(4)]
        starts = np.array([[age == 0] for age in ages])
        states = [keras.ops.where(starts, 0.0, state) for state in states]
        frames = np.stack([CLIP[row, max(age, 0)] for row, age in enumerate(ages)])
        outputs, states = cell(frames, states)
        for row, age in enumerate(ages):
            if age >= 0:
                assert_close(outputs[row], alone[row, age])


def test_exported_streams_start_primed(network: VideoNetwork, tmp_path: pathlib.Path) -> None:
    network.export(tmp_path / "model", verbose=False)
    loaded = tf.saved_model.load(tmp_path / "model")
    step, name = loaded.signatures["step"], network.graph.tensors[0].name
    expected = np.asarray(network(CLIP))
    clip = loaded.signatures["clip"](**{name: tf.constant(CLIP)})
    assert_close(next(iter(clip.values())), expected)
    state = dict(loaded.signatures["init_states"](batch_size=tf.constant(4)))
    for time in range(11):
        results = dict(step(**{name: tf.constant(CLIP[:, time])}, **state))
        state = {key: results.pop(f"next_{key}") for key in state}
        assert_close(next(iter(results.values())), expected[:, time])

"""Networks with causal shifts stream, take plans, train and export like other video networks."""

import pathlib
from collections.abc import Callable
from typing import NamedTuple

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from random_weights import randomize

import mpvn
from mpvn.models import insert_temporal_shift, shifted_layers, tsm_mobilenet_v2

SIZE = (32, 32, 3)


class Application(NamedTuple):
    """A network of `keras.applications`, the same with shifts, and outputs from before."""

    model: keras.Model
    shifted: keras.Model
    frames: np.ndarray
    outputs: np.ndarray


@pytest.fixture(scope="module")
def application() -> Application:
    model = keras.applications.MobileNetV2(weights=None, input_shape=SIZE, alpha=0.35, classes=6)
    rng = np.random.default_rng(2)
    randomize(model, rng)
    frames = rng.normal(size=(2, *SIZE)).astype("float32")
    outputs = np.asarray(model(frames))
    return Application(model, insert_temporal_shift(model, "causal"), frames, outputs)


@pytest.fixture(scope="module")
def published() -> keras.Model:
    model = tsm_mobilenet_v2(SIZE, temporal_padding="causal", classes=6, width=0.1)
    randomize(model, np.random.default_rng(2))
    return model


def small_model() -> keras.Model:
    """Build two residual blocks, the second at half the size."""
    frame = keras.Input(SIZE, name="frame")
    x = frame
    for block in range(2):
        x = layers.Conv2D(8, 3, 2, padding="same", activation="relu", name=f"down{block}")(x)
        y = layers.Conv2D(8, 3, padding="same", activation="relu", name=f"first{block}")(x)
        y = layers.Conv2D(8, 3, padding="same", name=f"second{block}")(y)
        x = layers.Add(name=f"add{block}")([x, y])
    x = layers.GlobalAveragePooling2D(name="mean")(x)
    model = keras.Model(frame, layers.Dense(5, name="scores")(x), name="small")
    randomize(model, np.random.default_rng(2))
    return insert_temporal_shift(model, "causal", 4)


def pipelined(model: keras.Model, subnetworks: int) -> mpvn.VideoNetwork:
    return mpvn.VideoNetwork(model, mpvn.Plan(model, subnetworks, clocks="auto"))


def stream(network: mpvn.VideoNetwork, clip: np.ndarray) -> np.ndarray:
    state, steps = network.initial_state(len(clip)), []
    for time in range(clip.shape[1]):
        outputs, state = network.step(clip[:, time], state)
        steps.append(outputs)
    return np.stack(steps, axis=1)


@pytest.mark.parametrize(
    ("get_model", "subnetworks"),
    [
        (lambda request: request.getfixturevalue("application").shifted, 2),
        (lambda request: request.getfixturevalue("published"), 2),
        (lambda request: small_model(), 4),
    ],
    ids=["application", "published", "small"],
)
def test_with_boundaries_and_clocks_a_stream_equals_the_clip(
    get_model: Callable,
    subnetworks: int,
    request: pytest.FixtureRequest,
    rng: np.random.Generator,
) -> None:
    network = pipelined(get_model(request), subnetworks)
    assert network.plan.subnetworks == subnetworks
    period = network.plan.period
    assert period > 1, "some subnetwork does not run at every step"
    clip = rng.normal(size=(2, 2 * period + 3, *SIZE)).astype("float32")
    steps = stream(network, clip)
    assert np.isfinite(steps).all()
    assert np.ptp(steps[:, -2 * period :], axis=1).min() > 0, "the output follows the frames"
    scale = np.abs(steps).max()
    np.testing.assert_allclose(network(clip), steps, rtol=1e-4, atol=1e-5 * scale)
    # The remembered channels count: a stream that starts later ends with another output.
    shorter = stream(network, clip[:, period:])
    assert np.abs(shorter[:, -1] - steps[:, -1]).max() > 1e-4 * scale


def test_an_exported_network_streams_the_same(
    tmp_path: pathlib.Path, rng: np.random.Generator
) -> None:
    network = pipelined(small_model(), 4)
    clip = rng.normal(size=(3, 9, *SIZE)).astype("float32")
    network.export(tmp_path / "model")
    signatures = tf.saved_model.load(str(tmp_path / "model")).signatures
    state, steps = signatures["init_states"](batch_size=tf.constant(len(clip))), []
    for time in range(clip.shape[1]):
        values = dict(signatures["step"](frame=tf.constant(clip[:, time]), **state))
        state = {name: values.pop(f"next_{name}") for name in state}
        steps += values.values()
    expected = stream(network, clip)
    np.testing.assert_allclose(
        np.stack(steps, axis=1), expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max()
    )


def test_training_changes_the_filters_of_shifted_channels(rng: np.random.Generator) -> None:
    network = pipelined(small_model(), 4)
    first = network.frame_model.get_layer("first0")
    clip = rng.normal(size=(2, 12, *SIZE)).astype("float32")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    network.compile(keras.optimizers.SGD(1e-3), loss, jit_compile=False)
    before = np.asarray(first.kernel)
    network.fit(clip, np.zeros((2, 12), "int32"), epochs=2, verbose=0)
    change = np.abs(np.asarray(first.kernel) - before).max(axis=(0, 1, 3))
    assert change[:2].min() > 0, "filters of channels from the previous frame"
    np.testing.assert_allclose(stream(network, clip), network(clip), rtol=1e-3, atol=1e-5)


def test_shifts_leave_an_application_unchanged_and_survive_saving(
    application: Application, tmp_path: pathlib.Path, rng: np.random.Generator
) -> None:
    model, shifted, frames, outputs = application
    np.testing.assert_array_equal(model(frames), outputs)
    assert {id(weight) for weight in shifted.weights} == {id(weight) for weight in model.weights}
    shifted.save(tmp_path / "shifted.keras")
    loaded = keras.saving.load_model(tmp_path / "shifted.keras")
    assert list(shifted_layers(loaded)) == list(shifted_layers(shifted))
    clip = rng.normal(size=(1, 3, *SIZE)).astype("float32")
    expected = stream(mpvn.VideoNetwork(shifted), clip)
    np.testing.assert_array_equal(stream(mpvn.VideoNetwork(loaded), clip), expected)

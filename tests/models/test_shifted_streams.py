"""Networks with uni-directional shifts are video networks like any other: they stream, take plans,
train, and go elsewhere as a SavedModel."""

import pathlib
import subprocess
import sys
from collections.abc import Callable

import keras
import numpy as np
import pytest
from keras import layers
from random_weights import randomize

import mpvn
from mpvn.models import insert_temporal_shift, shifted_layers, tsm_mobilenet_v2

SIZE = (32, 32, 3)


def of_keras() -> keras.Model:
    model = keras.applications.MobileNetV2(weights=None, input_shape=SIZE, alpha=0.35, classes=6)
    return insert_temporal_shift(model, "causal")


def published() -> keras.Model:
    return tsm_mobilenet_v2(SIZE, temporal_padding="causal", classes=6, width=0.1)


def narrow() -> keras.Model:
    """Two residual blocks, the second at half the size."""
    frame = keras.Input(SIZE, name="frame")
    x = frame
    for block in range(2):
        x = layers.Conv2D(8, 3, 2, padding="same", activation="relu", name=f"down{block}")(x)
        y = layers.Conv2D(8, 3, padding="same", activation="relu", name=f"first{block}")(x)
        y = layers.Conv2D(8, 3, padding="same", name=f"second{block}")(y)
        x = layers.Add(name=f"add{block}")([x, y])
    x = layers.GlobalAveragePooling2D(name="mean")(x)
    model = keras.Model(frame, layers.Dense(5, name="scores")(x), name="narrow")
    return insert_temporal_shift(model, "causal", 4)


def network(build: Callable[[], keras.Model]) -> mpvn.VideoNetwork:
    model = build()
    randomize(model, np.random.default_rng(2))
    return mpvn.VideoNetwork(model, mpvn.Plan(model, subnetworks=4, clocks="auto"))


def streamed(net: mpvn.VideoNetwork, clip: np.ndarray) -> np.ndarray:
    state, steps = net.initial_state(len(clip)), []
    for time in range(clip.shape[1]):
        outputs, state = net.step(clip[:, time], state)
        steps.append(outputs)
    return np.stack(steps, axis=1)


@pytest.mark.parametrize("build", [of_keras, published])
def test_boundaries_and_clocks_stream_what_the_clip_gives(
    build: Callable, rng: np.random.Generator
) -> None:
    net = network(build)
    assert net.plan.subnetworks == 4
    assert net.plan.period > 1, "some subnetwork rests"
    clip = rng.normal(size=(2, 19, *SIZE)).astype("float32")
    steps = streamed(net, clip)
    assert np.isfinite(steps).all()
    assert np.ptp(steps[:, -2 * net.plan.period :], axis=1).min() > 0, "it follows the frames"
    scale = np.abs(steps).max()
    np.testing.assert_allclose(net(clip), steps, rtol=1e-4, atol=1e-5 * scale)
    # What is shifted counts: without what it keeps of the past, it says something else.
    forgetful = np.stack([streamed(net, clip[:, t:])[:, -1] for t in (0, 10)])
    assert np.abs(forgetful[0] - forgetful[1]).max() > 1e-4 * scale


CLIENT = """
import sys
import numpy as np
import tensorflow as tf

call = tf.saved_model.load("model").signatures
clip = np.load("clip.npy")
states, steps = call["init_states"](batch_size=tf.constant(len(clip))), []
for frame in clip.swapaxes(0, 1):
    states = call["step"](frame=tf.constant(frame), **states)
    (name,) = (name for name in states if "_past" not in name and name != "step")
    steps.append(states.pop(name))
np.save("steps.npy", np.stack(steps, axis=1))
assert not any(name.split(".")[0] in ("mpvn", "keras_layers") for name in sys.modules)
"""


def test_an_exported_network_streams_elsewhere_as_here(
    tmp_path: pathlib.Path, rng: np.random.Generator
) -> None:
    net = network(narrow)
    streamed(net, rng.normal(size=(1, 2, *SIZE)).astype("float32"))
    clip = rng.normal(size=(3, 9, *SIZE)).astype("float32")  # of another batch size
    np.save(tmp_path / "clip.npy", clip)
    net.export(tmp_path / "model")
    (tmp_path / "client.py").write_text(CLIENT)
    ran = subprocess.run(
        [sys.executable, "client.py"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    expected = streamed(net, clip)
    found = np.load(tmp_path / "steps.npy")
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


def test_training_teaches_the_network_that_streams(rng: np.random.Generator) -> None:
    net = network(narrow)
    first = net.frame_model.get_layer("first0")
    clip = rng.normal(size=(2, 12, *SIZE)).astype("float32")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    net.compile(keras.optimizers.SGD(1e-3), loss, jit_compile=False)
    before = np.asarray(first.kernel)
    net.fit(clip, np.zeros((2, 12), "int32"), epochs=2, verbose=0)
    change = np.abs(np.asarray(first.kernel) - before).max(axis=(0, 1, 3))
    assert change[:2].min() > 0, "what comes from the frame before is learned too"
    np.testing.assert_allclose(streamed(net, clip), net(clip), rtol=1e-3, atol=1e-5)


def test_an_application_is_untouched_and_its_shifted_model_survives_being_saved(
    tmp_path: pathlib.Path, rng: np.random.Generator
) -> None:
    model = keras.applications.MobileNetV2(weights=None, input_shape=SIZE, alpha=0.35, classes=6)
    randomize(model, rng)
    frames = rng.normal(size=(2, *SIZE)).astype("float32")
    before = np.asarray(model(frames))
    shifted = insert_temporal_shift(model, "causal")
    np.testing.assert_array_equal(model(frames), before)
    assert {id(weight) for weight in shifted.weights} == {id(weight) for weight in model.weights}
    shifted.save(tmp_path / "shifted.keras")
    loaded = keras.saving.load_model(tmp_path / "shifted.keras")
    assert list(shifted_layers(loaded)) == list(shifted_layers(shifted))
    clip = rng.normal(size=(1, 3, *SIZE)).astype("float32")
    steps = streamed(mpvn.VideoNetwork(shifted), clip)
    np.testing.assert_array_equal(streamed(mpvn.VideoNetwork(loaded), clip), steps)

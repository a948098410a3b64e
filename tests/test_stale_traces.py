"""A step uses the layers as they are now, not as they were when it was traced."""

from collections.abc import Callable

import keras
import numpy as np
import pytest
from keras import layers
from random_weights import randomize

from mpvn import Plan, VideoNetwork
from mpvn.watch import CountingTracker


@keras.saving.register_keras_serializable(package="tests")
class Scaled(layers.Layer):
    """Multiplies by an attribute that the layer reads at every call; counts its calls."""

    def __init__(self, factor: float = 1.0, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.factor = factor
        self.inner = layers.Dense(2)
        self.last = None

    def call(self, inputs):
        self.last = inputs * self.factor  # a symbolic tensor if traced
        return self.inner(self.last)


def network() -> VideoNetwork:
    """Build two subnetworks, the second of which rests every second step."""
    keras.utils.set_random_seed(0)
    frame = keras.Input((4,))
    x = layers.Dense(3, activation="tanh", name="first")(frame)
    x = layers.BatchNormalization(name="norm")(x)
    x = layers.Dense(2, name="second")(x)
    model = keras.Model(frame, Scaled(name="custom")(x))
    network = VideoNetwork(model, Plan(model, boundaries=["second"], clocks=[1, 2]))
    randomize(network, np.random.default_rng(1))
    return network


def streamed(network: VideoNetwork, training: bool = False) -> np.ndarray:
    clip = np.random.default_rng(0).normal(size=(2, 5, 4)).astype("float32")
    state, outputs = network.initial_state(2), []
    for time in range(5):
        output, state = network.step(clip[:, time], state, training)
        outputs.append(np.asarray(output))
    return np.stack(outputs, axis=1)


def enable_lora(network: VideoNetwork) -> None:
    layer = network.frame_model.get_layer("first")
    layer.enable_lora(2)
    layer.lora_kernel_b.assign(np.ones(layer.lora_kernel_b.shape, "float32"))


def quantize(network: VideoNetwork) -> None:
    network.frame_model.get_layer("first").quantize("int8")


def change_activation(network: VideoNetwork) -> None:
    network.frame_model.get_layer("first").activation = keras.activations.relu


def change_own_attribute(network: VideoNetwork) -> None:
    network.frame_model.get_layer("custom").factor = 3.0


def change_inner_layer(network: VideoNetwork) -> None:
    network.frame_model.get_layer("custom").inner.activation = keras.activations.relu


def change_dtype_policy(network: VideoNetwork) -> None:
    network.frame_model.get_layer("first").dtype_policy = "mixed_bfloat16"


CHANGES = [
    enable_lora,
    quantize,
    change_activation,
    change_own_attribute,
    change_inner_layer,
    change_dtype_policy,
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_step_and_run_follow_changes_of_layers(change: Callable[[VideoNetwork], None]) -> None:
    clip = np.random.default_rng(0).normal(size=(2, 5, 4)).astype("float32")
    subject = network()
    before = streamed(subject)
    subject.run(clip, subject.initial_state(2))
    change(subject)
    fresh = network()
    change(fresh)
    expected = streamed(fresh)
    assert np.abs(expected - before).max() > 1e-4
    np.testing.assert_array_equal(streamed(subject), expected)
    outputs, _ = subject.run(clip, subject.initial_state(2))
    np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-5)


def test_frozen_batch_norm_does_not_move() -> None:
    subject = network()
    norm = subject.frame_model.get_layer("norm")
    streamed(subject, training=True)
    norm.trainable = False
    frozen = [w.numpy().copy() for w in norm.weights]
    streamed(subject, training=True)
    for before, after in zip(frozen, norm.weights, strict=True):
        np.testing.assert_array_equal(before, after)
    norm.trainable = True
    streamed(subject, training=True)
    assert np.abs(frozen[2] - norm.moving_mean).max() > 1e-4


def test_traces_are_kept_while_nothing_changes() -> None:
    """Layers assign attributes in every call; clips, fit and weights do not make traces stale."""
    subject = network()
    streamed(subject)
    traced = subject.trace_count
    clip = np.zeros((2, 4, 4), "float32")
    subject.compile("sgd", "mse")
    streamed(subject)
    traced = subject.trace_count
    for _ in range(2):
        subject(clip)
        subject.fit(clip, np.zeros((2, 4, 2)), verbose=0)
        subject.run(clip, subject.initial_state(2))
        streamed(subject)
    assert subject.trace_count == traced
    assert type(subject.frame_model.get_layer("first")._tracker) is CountingTracker


def test_compile_drops_traces() -> None:
    subject = network()
    streamed(subject)
    before = set(map(id, subject._traced._steps.values()))
    subject.compile("sgd", "mse")
    streamed(subject)
    assert not before & set(map(id, subject._traced._steps.values()))

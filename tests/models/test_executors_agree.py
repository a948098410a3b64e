"""Published networks compute the same values in every executor, with and without feedback."""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from published_networks import CONFIGURATIONS, assert_close, small_model, small_network, stream

import keras_layers
import mpvn
from mpvn.models import PUBLISHED, load_frame_model

pytestmark = pytest.mark.usefixtures("few_blocks")


def assert_executors_agree(network: mpvn.VideoNetwork, clip: np.ndarray) -> None:
    """Stream = unroll = layerwise, if the network can run layer by layer."""
    steps = stream(network, clip)
    for executor in ("unroll",) if network.plan.has_feedback else ("unroll", "layerwise"):
        network.executor = executor
        assert_close(np.asarray(network(clip)), steps)


@pytest.mark.parametrize(
    "configuration",
    [name for name in CONFIGURATIONS if name != "inception"],  # the one at full size, below
)
def test_executors_agree(configuration: str, rng: np.random.Generator) -> None:
    network = small_network(configuration)
    last_phase = max(clock.phase for clock in network.plan.clock_of.values())
    steps = last_phase + network.plan.period + 3  # every node ticks, most of them twice
    assert_executors_agree(network, rng.normal(size=(2, steps, 32, 32, 3)).astype("float32"))


def test_executors_agree_at_full_size(rng: np.random.Generator) -> None:
    """One period of all of Par-Inception at 224 pixels, until the first frame has come through.

    With the aligned phases of the published plan, this takes 40 steps.
    """
    model = load_frame_model("par_inception", options={"classes": 400, "width": 0.25}).model
    network = mpvn.VideoNetwork(model, PUBLISHED["par_inception"].plan(model, 10, phases="chain"))
    steps = max(network.plan.period, network.plan.information_latency[0] + 2)
    clip = rng.uniform(-1, 1, size=(1, steps, 224, 224, 3)).astype("float32")
    assert_executors_agree(network, clip)


@pytest.mark.parametrize(
    ("name", "fed_back", "head_channels"),
    [
        ("par_densenet", "heatmaps", 6 + 4 * 2),
        ("par_densenet", "head_input", 6 + 4 * 2),
        ("par_inception", "head_input", 10 * 2),
    ],
)
def test_the_head_of_the_previous_step_is_fed_back(
    name: str, fed_back: str, head_channels: int, rng: np.random.Generator
) -> None:
    """Against a loop over the frame model, with its feedback as an input."""
    options = {"temporal_filters": False} if name == "par_inception" else {}
    model = small_model(name, joints=3, feedback=fed_back, clocks=False, **options)
    (feedback,) = [layer for layer in model.layers if isinstance(layer, keras_layers.Feedback)]
    head_input = model.get_layer("head.join").output
    assert head_input.shape[-1] == head_channels, "the head reads what is fed back"
    with_input = keras.Model([model.input, feedback.output], [model.output, head_input])
    clip = tf.constant(rng.normal(size=(2, 4, 32, 32, 3)), tf.float32)
    value, expected = tf.zeros((2, 8, 8, feedback.output.shape[-1])), []
    for time in range(4):
        heatmaps, joined = with_input([clip[:, time], value])
        value = heatmaps if fed_back == "heatmaps" else joined
        expected.append(heatmaps)
    assert_close(np.asarray(mpvn.VideoNetwork(model)(clip)), np.stack(expected, axis=1))


@pytest.mark.parametrize("subnetworks", [1, 4])
def test_par_densenet_sees_every_frame(subnetworks: int, rng: np.random.Generator) -> None:
    """It once pooled one of two frames before anything read them, so odd frames were lost.

    Through the pool of the stem, odd frames reach the head at once; through the temporal pool, at
    even steps, too.
    """
    model = small_model("par_densenet", joints=3)
    network = mpvn.VideoNetwork(model, PUBLISHED["par_densenet"].plan(model, subnetworks))
    clip = rng.normal(size=(1, 20, 32, 32, 3)).astype("float32")
    replaced = clip.copy()
    replaced[:, 1::2] = rng.normal(size=(1, 10, 32, 32, 3))
    outputs, others = np.asarray(network(clip)), np.asarray(network(replaced))
    changes = np.abs(outputs - others).max(axis=(0, 2, 3, 4))
    assert (changes[4:] > 1e-3 * np.std(outputs)).all()


@keras.saving.register_keras_serializable(package="tests")
class Zeros(keras.layers.Layer):
    """Returns zeros of a shape for any input."""

    def __init__(self, shape: tuple[int, ...], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.shape = tuple(shape)

    def call(self, inputs: Any) -> Any:
        return keras.ops.zeros((keras.ops.shape(inputs)[0], *self.shape))

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return (input_shape[0], *self.shape)


def test_feedback_changes_the_output(rng: np.random.Generator) -> None:
    configuration = "densenet, temporal, feedback"
    name, _, subnetworks = CONFIGURATIONS[configuration]
    network = small_network(configuration)

    def without_feedback(layer: keras.layers.Layer) -> keras.layers.Layer:
        if isinstance(layer, keras_layers.Feedback):
            return Zeros(layer.shape, name=layer.name)
        return layer.__class__.from_config(layer.get_config())

    model = keras.models.clone_model(network.frame_model, clone_function=without_feedback)
    model.set_weights(network.frame_model.get_weights())
    reference = mpvn.VideoNetwork(model, PUBLISHED[name].plan(model, subnetworks))
    clip = rng.normal(size=(1, 20, 32, 32, 3)).astype("float32")
    actual, without = np.asarray(network(clip)), np.asarray(reference(clip))
    np.testing.assert_allclose(actual[:, 0], without[:, 0], rtol=1e-4, atol=1e-5)
    assert np.abs(actual - without).max() > 0.01 * np.std(without)

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
    """One period of Par-Inception at 224 pixels, until the first frame has come through."""
    model = load_frame_model("par_inception", options={"classes": 400}).model
    network = mpvn.VideoNetwork(model, PUBLISHED["par_inception"].plan(model, 10))
    steps = max(network.plan.period, network.plan.information_latency[0] + 2)
    clip = rng.uniform(-1, 1, size=(1, steps, 224, 224, 3)).astype("float32")
    assert_executors_agree(network, clip)


@pytest.mark.parametrize(
    ("name", "options"),
    [("par_densenet", {}), ("par_inception", {"temporal_filters": False})],
    ids=["densenet", "inception"],
)
def test_the_heatmaps_of_the_previous_step_are_fed_back(
    name: str, options: dict[str, Any], rng: np.random.Generator
) -> None:
    """Against a loop over the frame model, with its feedback as an input."""
    model = small_model(name, joints=3, feedback=True, clocks=False, **options)
    (feedback,) = [layer for layer in model.layers if isinstance(layer, keras_layers.Feedback)]
    with_input = keras.Model([model.input, feedback.output], model.output)
    clip = tf.constant(rng.normal(size=(2, 4, 32, 32, 3)), tf.float32)
    heatmaps, expected = tf.zeros((2, 8, 8, 3)), []
    for time in range(4):
        heatmaps = with_input([clip[:, time], heatmaps])
        expected.append(heatmaps)
    assert_close(np.asarray(mpvn.VideoNetwork(model)(clip)), np.stack(expected, axis=1))


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

"""An inflated model computes, on a repeated image, what the image model computes on the image."""

import keras
import numpy as np
import pytest
from image_model import image_model
from random_weights import randomize

import keras_layers
import mpvn
from mpvn.models import inflate


def random_clip(rng: np.random.Generator, size: int, frames: int) -> np.ndarray:
    return rng.normal(size=(1, frames, size, size, 3)).astype("float32")


@pytest.mark.parametrize("temporal_padding", ["causal", "symmetric"])
def test_center_inflation_keeps_the_output_of_every_frame(
    temporal_padding: str, rng: np.random.Generator
) -> None:
    model = image_model()
    inflated = inflate(model, 3, temporal_padding=temporal_padding)
    clip = random_clip(rng, 16, 6)
    expected = np.stack([model(clip[:, time]) for time in range(6)], axis=1)
    np.testing.assert_allclose(mpvn.VideoNetwork(inflated)(clip), expected, rtol=1e-4, atol=1e-4)


def test_mean_inflation_keeps_the_output_for_a_repeated_image(rng: np.random.Generator) -> None:
    """From frame 6 on, all windows are full: three layers of three frames see seven frames."""
    model = image_model()
    inflated = inflate(model, 3, inflation="mean")
    clip = np.repeat(random_clip(rng, 16, 1), 10, axis=1)
    outputs = mpvn.VideoNetwork(inflated)(clip)
    expected = model(clip[:, 0])
    np.testing.assert_allclose(outputs[:, 6:], np.repeat(expected[:, None], 4, 1), rtol=1e-4)
    assert np.abs(outputs[:, 0] - expected).max() > 0.01, "zeros before the start count"
    np.testing.assert_allclose(model(clip[:, 0]), expected)


def temporal_layers(model: keras.Model) -> set[str]:
    return {node.name for node in mpvn.Plan(model).graph.nodes if node.temporal}


def test_where_selects_the_layers_to_inflate() -> None:
    model = image_model()
    assert temporal_layers(inflate(model)) == {"first", "wide", "block/deep"}
    chosen = ["pointwise", "block/deep"]
    assert temporal_layers(inflate(model, 2, chosen)) == set(chosen)
    assert temporal_layers(model) == set()
    with pytest.raises(ValueError, match="such as first, wide, .*Received: frist, grouped"):
        inflate(model, where=["frist", "grouped"])


@pytest.mark.parametrize("name", ["MobileNetV2", "MobileNetV3Small"])
def test_inflated_networks_of_keras_applications_stream(
    name: str, rng: np.random.Generator
) -> None:
    builder = getattr(keras.applications, name)
    model = builder(weights=None, input_shape=(32, 32, 3), alpha=0.35)
    randomize(model, np.random.default_rng(3))
    inflated = inflate(model, 2, inflation="mean")
    assert any(isinstance(layer, keras_layers.TemporalConv3D) for layer in inflated.layers)
    network = mpvn.VideoNetwork(inflated)
    clip, state = random_clip(rng, 32, 3), network.initial_state(1)
    for time in range(3):
        scores, state = network.step(clip[:, time], state)
    np.testing.assert_allclose(scores, network(clip)[:, -1], rtol=1e-3, atol=1e-5)

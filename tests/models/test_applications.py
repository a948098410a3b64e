"""Any image model works: five networks of `keras.applications`, unchanged, as video networks.

All weights are random, batch norm's statistics included. A plan with one subnetwork gives the model
frame by frame. With many subnetworks and slow clocks, steps give the values of the clip.
"""

from collections.abc import Callable

import keras
import numpy as np
import pytest
from published_networks import assert_close, stream
from random_weights import randomize

import mpvn

applications = keras.applications

NETWORKS: dict[str, tuple[Callable[..., keras.Model], int]] = {
    "MobileNetV2": (applications.MobileNetV2, 64),
    "ResNet50": (applications.ResNet50, 64),
    "DenseNet121": (applications.DenseNet121, 64),
    "InceptionV3": (applications.InceptionV3, 75),
    "EfficientNetV2B0": (applications.EfficientNetV2B0, 64),
}


@pytest.fixture(scope="module", params=NETWORKS)
def model(request: pytest.FixtureRequest) -> keras.Model:
    """A network with scores as outputs, built once: building takes longer than running."""
    build, size = NETWORKS[request.param]
    # Scores, not probabilities: a softmax would hide differences.
    model = build(weights=None, input_shape=(size, size, 3), classes=11, classifier_activation=None)
    randomize(model, np.random.default_rng(3))
    return model


def random_clip(model: keras.Model, rng: np.random.Generator, steps: int) -> np.ndarray:
    return rng.uniform(0, 255, size=(1, steps, *model.input_shape[1:])).astype("float32")


def test_one_subnetwork_without_clocks_is_the_model_on_each_frame(
    model: keras.Model, rng: np.random.Generator
) -> None:
    clip = random_clip(model, rng, steps=3)
    expected = np.stack([model(clip[:, time], training=False) for time in range(3)], axis=1)
    assert_close(np.asarray(mpvn.VideoNetwork(model)(clip)), expected)


def test_steps_of_a_pipeline_with_slow_clocks_give_the_clip(
    model: keras.Model, rng: np.random.Generator
) -> None:
    """Outputs and states, in every executor. Rates are limited so that nodes tick twice."""
    rates = mpvn.Plan(model, 4, clocks="auto").clock_of
    clocks = {node: min(clock.rate, 2) for node, clock in rates.items()}
    network = mpvn.VideoNetwork(model, mpvn.Plan(model, 4, clocks=clocks))
    clip = random_clip(model, rng, steps=5)  # two periods and a step
    network.executor = "layerwise"
    outputs, final_state = network.run(clip, network.initial_state(1))
    network.executor = "unroll"
    assert_close(np.asarray(network(clip)), np.asarray(outputs))
    state, steps = network.initial_state(1), []
    for time in range(clip.shape[1]):
        scores, state = network.step(clip[:, time], state)
        steps.append(scores)
    assert_close(np.stack(steps, axis=1), np.asarray(outputs))
    for slot, value in final_state.items():
        tolerance = 1e-3 * float(np.std(value)) + 1e-6
        np.testing.assert_allclose(state[slot], value, rtol=1e-3, atol=tolerance, err_msg=slot)


def test_steps_of_eight_subnetworks_with_clocks_from_the_model_give_the_clip(
    rng: np.random.Generator,
) -> None:
    model = applications.MobileNetV2(
        alpha=0.35, weights=None, input_shape=(64, 64, 3), classes=11, classifier_activation=None
    )
    randomize(model, np.random.default_rng(3))
    network = mpvn.VideoNetwork(model, mpvn.Plan(model, 8, clocks="auto"))
    clip = random_clip(model, rng, steps=26)  # two ticks of every node at rate 16
    steps = stream(network, clip)
    network.executor = "layerwise"
    assert_close(steps, np.asarray(network(clip)))

"""Any image model works: five networks of `keras.applications`, untouched, as video networks.

Weights are random in all of their parts, batch norm's statistics included. One plan must give the
model frame by frame; with many subnetworks and slow clocks, stepping must give the clip's values.
"""

from collections.abc import Callable

import keras
import numpy as np
import pytest
import tensorflow as tf
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

every_network = pytest.mark.parametrize("name", NETWORKS)


@pytest.fixture(scope="module")
def make() -> Callable[[str], keras.Model]:
    """Makes a network of `NETWORKS` once, for building takes longer than running."""
    made: dict[str, keras.Model] = {}

    def get(name: str) -> keras.Model:
        if name not in made:
            constructor, size = NETWORKS[name]
            model = constructor(weights=None, input_shape=(size, size, 3), classes=11)
            randomize(model, np.random.default_rng(3))
            # scores, not probabilities: a softmax would hide differences
            model.layers[-1].activation = keras.activations.linear
            made[name] = model
        return made[name]

    return get


def random_clip(name: str, rng: np.random.Generator, steps: int) -> np.ndarray:
    size = NETWORKS[name][1]
    return rng.uniform(0, 255, size=(1, steps, size, size, 3)).astype("float32")


def assert_close(ours: np.ndarray, theirs: np.ndarray) -> None:
    """Equal to float32's accuracy, and not for want of a signal."""
    scale = np.std(theirs)
    assert np.isfinite(scale)
    assert len({step.tobytes() for step in theirs[0]}) > 2, "all frames look alike"
    np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-3 * scale)


@every_network
def test_one_subnetwork_without_clocks_is_the_model_on_each_frame(
    name: str, make: Callable[[str], keras.Model], rng: np.random.Generator
) -> None:
    model, clip = make(name), random_clip(name, rng, steps=3)
    network = mpvn.VideoNetwork(model)
    expected = np.stack([model(clip[:, time], training=False) for time in range(3)], axis=1)
    assert_close(np.asarray(network(clip)), expected)


@every_network
@pytest.mark.parametrize("subnetworks", [4, 8])
def test_stepping_a_pipeline_with_slow_clocks_equals_the_clip(
    name: str, subnetworks: int, make: Callable[[str], keras.Model], rng: np.random.Generator
) -> None:
    model = make(name)
    network = mpvn.VideoNetwork(model, mpvn.Plan(model, subnetworks, clocks="auto"))
    clip = random_clip(name, rng, steps=26)  # two ticks of every node at rate 16
    network.executor = "layerwise"
    whole, after = network.run(clip, network.initial_state(1))
    state, steps = network.initial_state(1), []
    for time in range(clip.shape[1]):
        scores, state = network.step(clip[:, time], state)
        steps.append(scores)
    assert_close(np.stack(steps, axis=1), np.asarray(whole))
    for slot in state:
        assert_equal_slots(state[slot], after[slot], slot)


def assert_equal_slots(ours: tf.Tensor, theirs: tf.Tensor, slot: str) -> None:
    tolerance = 1e-3 * float(np.std(theirs)) + 1e-6
    np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=tolerance, err_msg=slot)


@pytest.mark.parametrize("name", ["MobileNetV2", "InceptionV3"])
def test_unrolling_equals_sweeping(
    name: str, make: Callable[[str], keras.Model], rng: np.random.Generator
) -> None:
    model, clip = make(name), random_clip(name, rng, steps=9)
    rates = mpvn.Plan(model, 4, clocks="auto").clock_of
    clocks = {node: min(clock.rate, 4) for node, clock in rates.items()}  # two periods and a step
    network = mpvn.VideoNetwork(model, mpvn.Plan(model, 4, clocks=clocks))
    outputs = {}
    for executor in ("layerwise", "unroll"):
        network.executor = executor
        outputs[executor], _ = network.run(clip, network.initial_state(1))
    assert_close(np.asarray(outputs["unroll"]), np.asarray(outputs["layerwise"]))

"""Any image model works: networks of `keras.applications`, unchanged, as video networks.

All weights are random, batch norm's included. A plan with one subnetwork gives the model frame by
frame. With many subnetworks and slow clocks, steps, clips and the exported file give the same.

`make soak` (MPVN_EXAMPLES) runs one network of each family and version; otherwise those whose parts
no other test has. Larger siblings share their code.
"""

import os
import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf
from per_frame import run_clip
from published_networks import assert_close
from random_weights import calibrate, randomize

import mpvn

FREE = {
    "MobileNetV3Small": 32,
    "EfficientNetV2B0": 32,
    "ConvNeXtTiny": 32,
    "Xception": 71,
}
"""Networks, and the smallest size that they take."""

FAMILIES = {
    **FREE,
    "DenseNet121": 32,
    "EfficientNetB0": 32,
    "InceptionResNetV2": 75,
    "InceptionV3": 75,
    "MobileNet": 32,
    "MobileNetV2": 32,
    "MobileNetV3Large": 32,
    "NASNetMobile": 32,
    "ResNet50": 32,
    "ResNet50V2": 32,
    "VGG16": 32,
}


def build(name: str, size: int, **options: float) -> keras.Model:
    # Scores, not probabilities: a softmax would hide differences.
    options = {"classes": 11, "classifier_activation": None, **options}
    network = getattr(keras.applications, name)
    model = network(weights=None, input_shape=(size, size, 3), **options)
    randomize(model, np.random.default_rng(3))
    return model


def random_clip(size: int, steps: int) -> np.ndarray:
    rng = np.random.default_rng(5)
    return rng.uniform(0, 255, size=(1, steps, size, size, 3)).astype("float32")


@pytest.mark.parametrize("name", FAMILIES if "MPVN_EXAMPLES" in os.environ else FREE)
def test_one_subnetwork_without_clocks_is_the_model_on_each_frame(name: str) -> None:
    size = FAMILIES[name]
    model, clip = build(name, size), random_clip(size, steps=2)
    calibrate(model, clip[0])
    expected = np.stack([model(clip[:, time], training=False) for time in range(2)], axis=1)
    assert np.abs(expected[:, 0] - expected[:, 1]).max() > 0.01 * expected.std()
    network = mpvn.VideoNetwork(model, executor="layerwise")
    assert_close(np.asarray(network(clip)), expected)


@pytest.fixture(scope="module")
def model() -> keras.Model:
    model = build("MobileNetV2", 32, alpha=0.35)
    calibrate(model, random_clip(32, steps=8)[0])
    return model


def test_steps_of_a_pipeline_with_slow_clocks_give_the_clip(model: keras.Model) -> None:
    network = mpvn.VideoNetwork(model, mpvn.Plan(model, 8, clocks="auto"))
    assert max(clock.rate for clock in network.plan.clock_of.values()) == 8
    clip = random_clip(32, steps=18)  # two ticks of every node
    scores = np.asarray(run_clip(network, clip, "layerwise"))
    assert_close(np.asarray(run_clip(network, clip, "unroll")), scores)
    assert_close(run_clip(network, clip, "step"), scores)


def test_an_exported_pipeline_gives_the_clip(model: keras.Model, tmp_path: pathlib.Path) -> None:
    """The first blocks only: an export traces all of the network several times."""
    model = keras.Model(model.inputs, model.get_layer("block_2_add").output)
    network = mpvn.VideoNetwork(model, mpvn.Plan(model, 3))
    clip = random_clip(32, steps=4)
    scores = np.asarray(run_clip(network, clip, "layerwise"))
    network.export(tmp_path / "network", verbose=False)
    exported = tf.saved_model.load(tmp_path / "network").signatures["clip"]
    (name,) = exported.structured_input_signature[1]
    (outputs,) = exported(**{name: tf.constant(clip)}).values()
    assert_close(outputs.numpy(), scores)

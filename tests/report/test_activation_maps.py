"""Class activation maps: their mean is the logit for every plan."""

import keras
import numpy as np
import pytest
from keras import layers
from random_weights import randomize

import mpvn
from keras_layers import TemporalShift
from mpvn.report.activation_maps import ActivationMapper

CLASSES = 5


def classifier(rng: np.random.Generator, temporal_padding: str = "", last: str = "") -> keras.Model:
    """Two convolutions and a head; optionally a temporal shift and a last activation."""
    x = frame = keras.Input((12, 8, 3), name="frame")
    x = layers.Conv2D(8, 3, 2, activation="relu", name="first.conv")(x)
    if temporal_padding:
        x = TemporalShift(temporal_padding, 4, name="second.shift")(x)
    x = layers.Conv2D(6, 2, name="second.conv")(x)
    x = layers.GlobalAveragePooling2D(name="head.mean")(x)
    x = layers.Dropout(0.5, name="head.dropout")(x)
    x = layers.Dense(CLASSES, name="head.logits")(x)
    if last:
        x = layers.Activation(last, name="head.last")(x)
    model = keras.Model(frame, x)
    randomize(model, rng)
    return model


@pytest.mark.parametrize("temporal_padding", ["", "causal", "symmetric"])
def test_mean_of_a_map_plus_bias_is_the_logit(
    temporal_padding: str, rng: np.random.Generator
) -> None:
    network = mpvn.VideoNetwork(classifier(rng, temporal_padding))
    frames = rng.uniform(-1, 1, (6, 12, 8, 3)).astype("float32")
    maps, outputs = ActivationMapper(network)(frames)
    assert maps.shape == (6, 4, 2, CLASSES)
    assert maps.dtype == np.float32
    bias = np.asarray(network.frame_model.get_layer("head.logits").bias)
    np.testing.assert_allclose(maps.mean(axis=(1, 2)) + bias, outputs, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(outputs, np.asarray(network(frames[None]))[0])
    # With a shift, and only then, a map depends on the order of the frames.
    reversed_maps, _ = ActivationMapper(network)(frames[::-1])
    assert np.allclose(reversed_maps[::-1], maps, atol=1e-5) == (temporal_padding == "")


@pytest.mark.parametrize("head", [None, "head.mean"])
def test_maps_across_boundaries_are_as_late_as_the_logits(
    head: str | None, rng: np.random.Generator
) -> None:
    """Boundaries before the mean and the dense layer, or a head within the step."""
    model = classifier(rng, "causal")
    boundaries = ["second.conv"] if head else ["second.conv", "head.mean", "head.logits"]
    network = mpvn.VideoNetwork(model, mpvn.Plan(model, boundaries=boundaries, head=head))
    frames = rng.uniform(-1, 1, (7, 12, 8, 3)).astype("float32")
    maps, outputs = ActivationMapper(network)(frames)
    bias = np.asarray(model.get_layer("head.logits").bias)
    np.testing.assert_allclose(maps.mean(axis=(1, 2)) + bias, outputs, rtol=1e-5, atol=1e-6)
    delay = 0 if head else 2
    assert not maps[:delay].any()
    assert len({step.tobytes() for step in maps[delay:]}) == 7 - delay


def test_classifier_may_end_with_an_activation(rng: np.random.Generator) -> None:
    network = mpvn.VideoNetwork(classifier(rng, last="softmax"))
    maps, outputs = ActivationMapper(network)(rng.uniform(-1, 1, (2, 12, 8, 3)))
    logits = maps.mean(axis=(1, 2)) + np.asarray(network.frame_model.get_layer("head.logits").bias)
    exponentials = np.exp(logits)
    expected = exponentials / exponentials.sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(outputs, expected, rtol=1e-5)


@pytest.mark.parametrize("wrong", ["no mean", "two dense layers", "ReLU between", "of the frame"])
def test_other_classifiers_are_rejected(wrong: str) -> None:
    frame = keras.Input((4, 4, 3), name="frame")
    x = frame if wrong == "of the frame" else layers.Conv2D(2, 1, name="conv")(frame)
    kind = layers.Flatten if wrong == "no mean" else layers.GlobalAveragePooling2D
    x = kind(name="joined")(x)
    if wrong == "two dense layers":
        x = layers.Dense(4, name="hidden")(x)
    if wrong == "ReLU between":
        x = layers.ReLU(name="between")(x)
    network = mpvn.VideoNetwork(keras.Model(frame, layers.Dense(CLASSES, name="logits")(x)))
    with pytest.raises(ValueError, match=r"one Dense layer .* ends with .*logits \(Dense\)"):
        ActivationMapper(network)

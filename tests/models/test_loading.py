"""Frame models by name, the pixels that they read, and features of all scales."""

import pathlib

import keras
import numpy as np
import pytest
from random_weights import randomize

import mpvn
from mpvn.models import PUBLISHED, LoadedModel, ModelError, load_frame_model, multi_scale
from mpvn.models.applications import preprocessing


def test_multi_scale_features_are_the_means_of_the_last_maps(rng: np.random.Generator) -> None:
    inputs = keras.Input((16, 16, 3))
    half = keras.layers.Conv2D(4, 3, strides=2, padding="same")(inputs)
    refined = keras.layers.ReLU()(half)
    quarter = keras.layers.Conv2D(5, 3, strides=2, padding="same")(refined)
    scores = keras.layers.Dense(2)(keras.layers.GlobalAveragePooling2D()(quarter))
    model = multi_scale(keras.Model(inputs, scores))
    frame = rng.normal(size=(2, 16, 16, 3)).astype("float32")
    maps = keras.Model(inputs, [refined, quarter])(frame)
    expected = np.concatenate([np.mean(values, axis=(1, 2)) for values in maps], axis=-1)
    np.testing.assert_allclose(model(frame), expected, rtol=1e-5, atol=1e-6)


def test_with_multi_scale_features_every_value_is_read() -> None:
    """With clocks, a classifier does not read most of what its fast layers compute."""
    classifier = load_frame_model("MobileNetV2", size=64).model
    assert mpvn.Plan(classifier, clocks="auto").unread_share > 0.5
    assert mpvn.Plan(multi_scale(classifier), clocks="auto").unread_share == pytest.approx(0)


def test_multi_scale_rejects_a_model_without_maps() -> None:
    vector = keras.Input((4,))
    with pytest.raises(ValueError, match="has no maps"):
        multi_scale(keras.Model(vector, keras.layers.Dense(2)(vector)))


@pytest.mark.parametrize(
    "name",
    [
        "ResNet50",  # blue first, minus the mean
        "DenseNet121",  # minus the mean, over the deviation
        "EfficientNetV2B0",  # 0..255
        "MobileNetV2",  # -1..1, as clips
    ],
)
def test_training_clips_are_scaled_to_the_pixels_that_a_network_reads(
    name: str, tmp_path: pathlib.Path, rng: np.random.Generator
) -> None:
    """Training clips are in -1..1. Networks with another range were trained on them unscaled: their
    ImageNet weights were of little use, and blue was read as red."""
    frame = keras.Input((8, 8, 3))
    model = keras.Model(frame, keras.layers.Conv2D(4, 3, padding="same")(frame))
    randomize(model, rng)
    loaded = LoadedModel(model, preprocessing(getattr(keras.applications, name)))
    pixels = rng.integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
    clip = pixels.astype("float32") / 127.5 - 1
    over_clips = loaded.over_clips()
    expected = model(loaded.prepare(pixels))
    np.testing.assert_allclose(over_clips(clip), expected, rtol=1e-4, atol=1e-4)
    over_clips.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again(clip), over_clips(clip))


def test_a_network_that_reads_the_pixels_of_clips_is_unchanged() -> None:
    loaded = load_frame_model("vgg8", size=32, options={"width": 0.1})
    assert loaded.over_clips() is loaded.model


def test_pixels_are_scaled_inside_the_first_unit() -> None:
    """Otherwise plans that cut between units would have one more unit."""
    loaded = load_frame_model("vgg8", size=32, pixels="0..255", options={"width": 0.1})
    over_clips = loaded.over_clips()
    assert over_clips.layers[1].name == "conv1.pixels"
    assert PUBLISHED["vgg8"].plan(over_clips, 8).subnetworks == 8


def test_frames_are_prepared_as_the_keras_application_expects(rng: np.random.Generator) -> None:
    frame = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
    before = frame.copy()
    loaded = load_frame_model("mobilenetv2", size=32)
    expected = keras.applications.mobilenet_v2.preprocess_input(frame.astype("float32"))
    np.testing.assert_allclose(loaded.prepare(frame), expected)
    np.testing.assert_array_equal(frame, before)
    assert loaded.size == (32, 32)


def test_a_saved_network_gets_the_pixels_that_it_was_trained_with(tmp_path: pathlib.Path) -> None:
    """Streams of a trained network got pixels of 0..255, so its outputs made no sense.

    `mpvn train` trains on pixels of -1..1 and writes a `VideoNetwork`.
    """
    frame_model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(2, 3)])
    frame_model.save(tmp_path / "frame_model.keras")
    mpvn.VideoNetwork(frame_model).save(tmp_path / "network.keras")
    frame = np.array([[[0, 127.5, 255]]], "float32")
    for name, pixels in (("network", [-1, 0, 1]), ("frame_model", [0, 127.5, 255])):
        loaded = load_frame_model(tmp_path / f"{name}.keras")
        np.testing.assert_allclose(loaded.prepare(frame), [[pixels]])
        loaded = load_frame_model(tmp_path / f"{name}.keras", pixels="0..1")
        np.testing.assert_allclose(loaded.prepare(frame), [[[0, 0.5, 1]]])


def test_a_misspelled_network_gets_a_suggestion() -> None:
    with pytest.raises(ModelError, match="Did you mean MobileNetV2"):
        load_frame_model("MobilNetV2")

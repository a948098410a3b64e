"""Frame models by name, and features of all scales."""

import keras
import numpy as np
import pytest

import mpvn
from mpvn.models import load_frame_model, multi_scale


def test_features_of_all_scales_are_the_means_of_the_last_maps(rng: np.random.Generator) -> None:
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


def test_with_all_scales_nothing_is_computed_unseen() -> None:
    classifier = load_frame_model("MobileNetV2", size=64).model
    assert mpvn.Plan(classifier, clocks="auto").unseen_share > 0.5
    assert mpvn.Plan(multi_scale(classifier), clocks="auto").unseen_share == pytest.approx(0)


def test_a_model_without_maps_has_no_scales() -> None:
    vector = keras.Input((4,))
    with pytest.raises(ValueError, match="has no maps"):
        multi_scale(keras.Model(vector, keras.layers.Dense(2)(vector)))

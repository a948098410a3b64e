"""Temporal pooling layers equal Keras's 3D pooling on a clip with zeros before its start."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from causal_padding import assert_same_values_and_gradients, pad_causally

from keras_layers import TemporalAveragePooling3D, TemporalLayer, TemporalMaxPooling3D

POOLS = {
    "valid": {"pool_size": (2, 3, 2)},
    "same": {"pool_size": (3, 3, 2), "strides": (1, 2, 2), "padding": "same"},
    "same, strides": {"pool_size": (2, 3, 3), "strides": (2, 2, 1), "padding": "same"},
    "stride larger than pool": {"pool_size": (2, 2, 2), "strides": (3, 1, 1)},
    "time only": {"pool_size": (4, 1, 1), "strides": 1},
}

every_pool = pytest.mark.parametrize("options", POOLS.values(), ids=POOLS)
both_layers = pytest.mark.parametrize("cls", [TemporalMaxPooling3D, TemporalAveragePooling3D])


@pytest.fixture
def clip(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=(2, 7, 9, 8, 3)).astype("float32")


@every_pool
def test_max_pooling_equals_max_pooling_3d_on_the_padded_clip(
    options: dict, clip: np.ndarray, rng: np.random.Generator
) -> None:
    layer = TemporalMaxPooling3D(**options)
    pool3d = keras.layers.MaxPooling3D(layer.pool_size, layer.strides, "valid")
    lowest = float(clip.min()) - 1

    def reference(values: tf.Tensor) -> tf.Tensor:
        return pool3d(
            pad_causally(values, layer.pool_size, layer.strides, layer.padding, fill=lowest)
        )

    assert_same_values_and_gradients(layer, reference, [], clip, rng)


@every_pool
def test_average_pooling_equals_average_pooling_3d_on_the_padded_clip(
    options: dict, clip: np.ndarray, rng: np.random.Generator
) -> None:
    layer = TemporalAveragePooling3D(**options)
    pool3d = keras.layers.AveragePooling3D(layer.pool_size, layer.strides, "valid")

    def pooled(values: tf.Tensor) -> tf.Tensor:
        return pool3d(pad_causally(values, layer.pool_size, layer.strides, layer.padding))

    # The average includes the zeros before the start, but not the padded pixels of a frame: divide
    # by the share of pixels inside the frame, taken from a time when the window is full.
    ones = np.ones((1, clip.shape[1] + layer.window, *clip.shape[2:]), "float32")
    share = pooled(tf.convert_to_tensor(ones))[:, -1:]
    assert_same_values_and_gradients(layer, lambda x: pooled(x) / share, [], clip, rng)


@both_layers
def test_every_argument_survives_serialization(cls: type[TemporalLayer], clip: np.ndarray) -> None:
    options = {
        "pool_size": (3, 2, 1),
        "strides": (2, 1, 3),
        "padding": "same",
        "temporal_padding": "symmetric",
    }
    layer = cls(**options, name="same_name")
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert again.get_config() == layer.get_config()
    assert {name: getattr(again, name) for name in options} == options
    np.testing.assert_array_equal(again(clip), layer(clip))


def test_streams_remember_pooled_maps() -> None:
    """Here a pooled map has a quarter of the pixels of the frame. Zeros stay zeros."""
    layer = TemporalMaxPooling3D((3, 2, 2))
    assert layer.remember(np.zeros((1, 8, 8, 3), "float32")).shape == (1, 4, 4, 3)
    for pool in (layer, TemporalAveragePooling3D((2, 3, 3), padding="same")):
        assert not np.any(pool.remember(np.zeros((1, 8, 8, 3), "float32")))


@both_layers
def test_invalid_arguments_are_refused(cls: type[TemporalLayer]) -> None:
    with pytest.raises(ValueError, match="pool_size.*Received: 0"):
        cls(0)
    with pytest.raises(ValueError, match="strides.*Received: 0"):
        cls(2, strides=0)
    with pytest.raises(ValueError, match="Received: 'full'"):
        cls(padding="full")

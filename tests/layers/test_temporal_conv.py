"""`TemporalConv3D` equals Keras's `Conv3D` on a clip with zeros before its start."""

from collections.abc import Callable

import keras
import numpy as np
import pytest
import tensorflow as tf
from causal_padding import assert_same_values_and_gradients, pad_causally

from keras_layers import TemporalConv3D

CLIP = (2, 7, 9, 8, 3)


@pytest.fixture
def clip(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=CLIP).astype("float32")


def random_convolution(rng: np.random.Generator, **options: object) -> TemporalConv3D:
    """Build a layer with random kernel and bias."""
    layer = TemporalConv3D(4, **options)
    layer.build(CLIP)
    layer.set_weights([rng.normal(size=weight.shape) for weight in layer.weights])
    return layer


CONVOLUTIONS = {
    "same": {"kernel_size": (3, 3, 3)},
    "valid": {"kernel_size": (2, 3, 2), "padding": "valid"},
    "strides": {"kernel_size": (3, 3, 2), "strides": (2, 2, 3)},
    "strides, valid": {"kernel_size": (2, 2, 3), "strides": (3, 2, 1), "padding": "valid"},
    "stride larger than kernel": {"kernel_size": (2, 1, 1), "strides": (3, 1, 1)},
    "dilation": {"kernel_size": (2, 3, 3), "dilation_rate": (2, 3)},
    "dilation, valid": {"kernel_size": (3, 3, 2), "dilation_rate": 2, "padding": "valid"},
    "kernel longer than clip": {"kernel_size": (9, 1, 3)},
    "one frame": {"kernel_size": (1, 3, 3)},
    "activation, no bias": {"kernel_size": 2, "activation": "tanh", "use_bias": False},
}


@pytest.mark.parametrize("options", CONVOLUTIONS.values(), ids=CONVOLUTIONS)
def test_causal_convolution_equals_conv3d_on_the_padded_clip(
    options: dict, clip: np.ndarray, rng: np.random.Generator
) -> None:
    layer = random_convolution(rng, **options)
    conv3d = keras.layers.Conv3D(
        4,
        layer.kernel_size,
        layer.strides,
        "valid",
        dilation_rate=(1, *layer.dilation_rate),
        activation=layer.activation,
        use_bias=layer.use_bias,
    )

    def reference(values: tf.Tensor) -> tf.Tensor:
        rows, columns = layer.dilation_rate
        if rows != columns:  # pad the two axes one after the other
            values = pad_causally(values, (*layer.kernel_size[:2], 1), layer.strides, "same", rows)
            kernel = (1, 1, layer.kernel_size[2])
            return conv3d(pad_causally(values, kernel, layer.strides, "same", columns))
        return conv3d(pad_causally(values, layer.kernel_size, layer.strides, layer.padding, rows))

    reference(tf.convert_to_tensor(clip))  # builds conv3d
    conv3d.set_weights(layer.get_weights())
    assert_same_values_and_gradients(layer, reference, conv3d.trainable_weights, clip, rng)


@pytest.mark.parametrize("frames", [1, 3, 5])
def test_symmetric_convolution_equals_conv3d_with_same_padding(
    frames: int, clip: np.ndarray, rng: np.random.Generator
) -> None:
    layer = random_convolution(rng, kernel_size=(frames, 3, 3), temporal_padding="symmetric")
    conv3d = keras.layers.Conv3D(4, (frames, 3, 3), padding="same")
    conv3d.build(clip.shape)
    conv3d.set_weights(layer.get_weights())
    assert_same_values_and_gradients(layer, conv3d, conv3d.trainable_weights, clip, rng)


EVERY_ARGUMENT = {
    "filters": 5,
    "kernel_size": (3, 2, 1),
    "strides": (2, 1, 3),
    "padding": "valid",
    "temporal_padding": "symmetric",
    "dilation_rate": (1, 1),
    "activation": "tanh",
    "use_bias": True,
    "kernel_initializer": keras.initializers.RandomNormal(stddev=0.3, seed=1),
    "bias_initializer": keras.initializers.RandomUniform(seed=2),
    "kernel_regularizer": keras.regularizers.L2(0.01),
    "bias_regularizer": keras.regularizers.L1(0.02),
    "activity_regularizer": keras.regularizers.L2(0.03),
    "kernel_constraint": keras.constraints.MaxNorm(3),
    "bias_constraint": keras.constraints.NonNeg(),
}


def test_every_argument_survives_serialization(clip: np.ndarray) -> None:
    layer = TemporalConv3D(**EVERY_ARGUMENT, name="same_name", trainable=False)
    config = layer.get_config()
    assert EVERY_ARGUMENT.keys() <= config.keys()
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert again.get_config() == config
    for name, value in EVERY_ARGUMENT.items():
        if isinstance(value, (int, tuple, str)) and name != "activation":
            assert getattr(again, name) == value
    layer(clip), again(clip)
    again.set_weights(layer.get_weights())
    np.testing.assert_array_equal(again(clip), layer(clip))


def test_dilation_and_no_bias_survive_serialization() -> None:
    layer = TemporalConv3D(2, 3, dilation_rate=(2, 3), use_bias=False)
    again = TemporalConv3D.from_config(layer.get_config())
    assert (again.dilation_rate, again.use_bias) == ((2, 3), False)


def test_regularizers_and_constraints_apply(clip: np.ndarray) -> None:
    layer = TemporalConv3D(
        2, 2, kernel_regularizer="l2", activity_regularizer="l1", kernel_constraint="non_neg"
    )
    layer(clip)
    assert len(layer.losses) == 2
    assert isinstance(layer.kernel.constraint, keras.constraints.NonNeg)


INVALID = {
    "no frame": (lambda: TemporalConv3D(1, (0, 1, 1)), "kernel_size.*Received: .0, 1, 1."),
    "two sizes": (lambda: TemporalConv3D(1, (3, 3)), "kernel_size.*time, height, width.*Received"),
    "stride 0": (lambda: TemporalConv3D(1, 1, strides=0), "Invalid strides.*Received: 0"),
    "no filters": (lambda: TemporalConv3D(0, 1), "Invalid filters. Expected at least 1.*: 0"),
    "padding": (lambda: TemporalConv3D(1, 1, padding="causal"), "same.*valid.*Received: 'causal'"),
    "time": (lambda: TemporalConv3D(1, 1, temporal_padding="same"), "causal.*Received: 'same'"),
    "dilation 0": (lambda: TemporalConv3D(1, 1, dilation_rate=0), "dilation_rate.*Received: 0"),
    "three dilations": (
        lambda: TemporalConv3D(1, 1, dilation_rate=(1, 2, 2)),
        r"dilation_rate.*Received: \(1, 2, 2\)",
    ),
    "strides and dilation": (
        lambda: TemporalConv3D(1, 3, strides=(1, 2, 2), dilation_rate=2),
        "strides.*dilation_rate.*Received",
    ),
    "large kernel": (
        lambda: TemporalConv3D(1, (1, 5, 5), padding="valid").compute_output_shape((1, 4, 4, 3)),
        "at least 5 pixels. Received: 4",
    ),
    "channels": (
        lambda: TemporalConv3D(1, 1).build((None, 8, 8, None)),
        "number of channels.*must be known",
    ),
}


@pytest.mark.parametrize(("make", "message"), INVALID.values(), ids=INVALID)
def test_invalid_arguments_are_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()

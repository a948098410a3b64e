"""Temporal layers against Keras's 3D layers, which know nothing of streams.

The clip is padded by hand (zeros before its start, "same" in space) and given to a stock 3D layer
with "valid" padding. Values and gradients must agree; frame by frame must agree with the clip.
"""

from collections.abc import Callable

import keras
import numpy as np
import pytest
import tensorflow as tf

import mpvn
from keras_layers import (
    NonLocal,
    TemporalAveragePooling3D,
    TemporalConv3D,
    TemporalLayer,
    TemporalMaxPooling3D,
    TemporalShift,
)

Size = tuple[int, int, int]

CLIP = (2, 7, 9, 8, 3)


@pytest.fixture
def clip(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=CLIP).astype("float32")


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Pixels before and after one spatial axis for padding "same"."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def padded(
    clip: tf.Tensor,
    kernel: Size,
    strides: Size,
    padding: str,
    dilation: int = 1,
    fill: float = 0.0,
) -> tf.Tensor:
    """`clip` with zeros before its start, and with `fill` around its frames if "same"."""
    clip = tf.pad(clip, [[0, 0], [kernel[0] - 1, 0], [0, 0], [0, 0], [0, 0]])
    if padding == "valid":
        return clip
    around = [
        same_padding(clip.shape[axis], dilation * (kernel[axis - 1] - 1) + 1, strides[axis - 1])
        for axis in (2, 3)
    ]
    return tf.pad(clip, [[0, 0], [0, 0], *around, [0, 0]], constant_values=fill)


def stream(layer: TemporalLayer, clip: np.ndarray) -> np.ndarray:
    """The outputs of a causal `layer` given one frame at a time, with a window collected by hand.

    The past is kept as `remember` returns it; at the layer's ticks the window is computed.
    """
    clip = tf.convert_to_tensor(clip)
    past = [tf.zeros_like(layer.remember(clip[:, 0]))] * (layer.window - 1)
    outputs = []
    for time in range(clip.shape[1]):
        frame = clip[:, time]
        if time % layer.temporal_stride == 0:
            outputs.append(layer.compute([*past, frame]))
        past = [*past, layer.remember(frame)][1:]
    return np.stack(outputs, axis=1)


def random_conv(rng: np.random.Generator, clip: np.ndarray, **kwargs: object) -> TemporalConv3D:
    """A layer built for `clip`, of random kernel and bias."""
    layer = TemporalConv3D(4, **kwargs)
    layer.build(clip.shape)
    layer.set_weights([rng.normal(size=weight.shape) for weight in layer.weights])
    return layer


CONVOLUTIONS = {
    "same": {"kernel_size": (3, 3, 3)},
    "valid": {"kernel_size": (2, 3, 2), "padding": "valid"},
    "strides": {"kernel_size": (3, 3, 2), "strides": (2, 2, 3)},
    "strides, valid": {"kernel_size": (2, 2, 3), "strides": (3, 2, 1), "padding": "valid"},
    "stride beyond kernel": {"kernel_size": (2, 1, 1), "strides": (3, 1, 1)},
    "dilation": {"kernel_size": (2, 3, 3), "dilation_rate": (2, 3)},
    "dilation, valid": {"kernel_size": (3, 3, 2), "dilation_rate": 2, "padding": "valid"},
    "kernel longer than clip": {"kernel_size": (9, 1, 3)},
    "one tick": {"kernel_size": (1, 3, 3)},
    "activation, no bias": {"kernel_size": 2, "activation": "tanh", "use_bias": False},
}


@pytest.mark.parametrize("kwargs", CONVOLUTIONS.values(), ids=CONVOLUTIONS)
def test_convolution_of_a_clip_equals_conv3d_on_the_causally_padded_clip(
    kwargs: dict, clip: np.ndarray, rng: np.random.Generator
) -> None:
    layer = random_conv(rng, clip, **kwargs)
    dilation = layer.dilation_rate[0] if len(set(layer.dilation_rate)) == 1 else None
    stock = keras.layers.Conv3D(
        4,
        layer.kernel_size,
        layer.strides,
        "valid",
        dilation_rate=(1, *layer.dilation_rate),
        activation=layer.activation,
        use_bias=layer.use_bias,
    )

    def expected(values: tf.Tensor) -> tf.Tensor:
        if dilation is None:  # pad the two axes one after the other
            values = padded(values, (*layer.kernel_size[:2], 1), layer.strides, "same", 2)
            kernel = (1, 1, layer.kernel_size[2])
            return stock(padded(values, kernel, layer.strides, "same", 3))
        return stock(padded(values, layer.kernel_size, layer.strides, layer.padding, dilation))

    expected(tf.convert_to_tensor(clip))  # builds it
    stock.set_weights(layer.get_weights())
    assert_same_values_and_gradients(layer, expected, stock.trainable_weights, clip, rng)


def assert_same_values_and_gradients(
    layer: keras.layers.Layer,
    expected: Callable[[tf.Tensor], tf.Tensor],
    expected_weights: list,
    clip: np.ndarray,
    rng: np.random.Generator,
) -> None:
    """Compares outputs, and gradients of a random linear functional of them."""
    clip = tf.convert_to_tensor(clip)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(clip)
        ours, theirs = layer(clip), expected(clip)
        direction = rng.normal(size=theirs.shape).astype("float32")
        our_loss, their_loss = (tf.reduce_sum(x * direction) for x in (ours, theirs))
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)
    our_gradients = tape.gradient(our_loss, [clip, *map(value_of, layer.trainable_weights)])
    their_gradients = tape.gradient(their_loss, [clip, *map(value_of, expected_weights)])
    for our, their in zip(our_gradients, their_gradients, strict=True):
        np.testing.assert_allclose(our, their, rtol=1e-3, atol=1e-3)


def value_of(variable: keras.Variable) -> tf.Variable:
    return variable.value


@pytest.mark.parametrize("window", [1, 3, 5])
def test_symmetric_padding_equals_conv3d_with_same_padding(
    window: int, clip: np.ndarray, rng: np.random.Generator
) -> None:
    layer = random_conv(rng, clip, kernel_size=(window, 3, 3), temporal_padding="symmetric")
    stock = keras.layers.Conv3D(4, (window, 3, 3), padding="same")
    stock.build(clip.shape)
    stock.set_weights(layer.get_weights())
    assert_same_values_and_gradients(layer, stock, stock.trainable_weights, clip, rng)


POOLS = {
    "valid": {"pool_size": (2, 3, 2)},
    "same": {"pool_size": (3, 3, 2), "strides": (1, 2, 2), "padding": "same"},
    "same, strides": {"pool_size": (2, 3, 3), "strides": (2, 2, 1), "padding": "same"},
    "stride beyond pool": {"pool_size": (2, 2, 2), "strides": (3, 1, 1)},
    "time only": {"pool_size": (4, 1, 1), "strides": 1},
}


@pytest.mark.parametrize("kwargs", POOLS.values(), ids=POOLS)
def test_max_pooling_equals_max_pooling_3d_on_the_causally_padded_clip(
    kwargs: dict, clip: np.ndarray, rng: np.random.Generator
) -> None:
    layer = TemporalMaxPooling3D(**kwargs)
    stock = keras.layers.MaxPooling3D(layer.pool_size, layer.strides, "valid")
    lowest = float(clip.min()) - 1

    def expected(values: tf.Tensor) -> tf.Tensor:
        return stock(padded(values, layer.pool_size, layer.strides, layer.padding, fill=lowest))

    assert_same_values_and_gradients(layer, expected, [], clip, rng)


@pytest.mark.parametrize("kwargs", POOLS.values(), ids=POOLS)
def test_average_pooling_equals_average_pooling_3d_on_the_causally_padded_clip(
    kwargs: dict, clip: np.ndarray, rng: np.random.Generator
) -> None:
    layer = TemporalAveragePooling3D(**kwargs)
    stock = keras.layers.AveragePooling3D(layer.pool_size, layer.strides, "valid")

    def pooled(values: tf.Tensor) -> tf.Tensor:
        return stock(padded(values, layer.pool_size, layer.strides, layer.padding))

    # Zeros before the start count, padded pixels do not: divide by the share of pixels inside.
    long_ago = np.ones((1, clip.shape[1] + layer.window, *clip.shape[2:]), "float32")
    share = pooled(tf.convert_to_tensor(long_ago))[:, -1:]

    assert_same_values_and_gradients(layer, lambda x: pooled(x) / share, [], clip, rng)


class Around(TemporalLayer):
    """Sums what it remembers, the present and what it anticipates, each scaled by its own."""

    def remember(self, frame):
        return 2 * frame

    def anticipate(self, frame):
        return 3 * frame

    def compute(self, window):
        return sum((age + 1) * seen for age, seen in enumerate(window))

    def compute_frame_output_shape(self, frame_shape: tuple) -> tuple:
        return frame_shape


SYMMETRIC = {
    "contract": lambda: Around(5, temporal_padding="symmetric"),
    "contract, even": lambda: Around(4, 2, "symmetric"),
    "contract, stride": lambda: Around(3, 3, "symmetric"),
    "conv": lambda: TemporalConv3D(4, 3, (2, 1, 1), temporal_padding="symmetric"),
    "max pool": lambda: TemporalMaxPooling3D((3, 2, 2), temporal_padding="symmetric"),
    "average pool": lambda: TemporalAveragePooling3D((4, 2, 2), 1, temporal_padding="symmetric"),
    "non-local": lambda: NonLocal(frames=2, subsample=2, temporal_padding="symmetric"),
    "shift": lambda: TemporalShift("symmetric", 3),
}


@pytest.mark.parametrize("frames", [1, 2, 7])
@pytest.mark.parametrize("make", SYMMETRIC.values(), ids=SYMMETRIC)
def test_a_window_has_what_is_remembered_the_present_and_what_is_anticipated(
    make: Callable[[], TemporalLayer], frames: int, clip: np.ndarray
) -> None:
    """Of a future frame the whole was once kept, padded and cut, whatever was seen of it."""
    clip = tf.constant(clip[:, :frames])
    frame = keras.Input(clip.shape[2:])
    layer = make()
    network = mpvn.VideoNetwork(keras.Model(frame, layer(frame)), executor="layerwise")

    def part_at(part: Callable, time: int) -> tf.Tensor:
        there = 0 <= time < frames
        return part(clip[:, time]) if there else tf.zeros_like(part(clip[:, 0]))

    expected = []
    for time in range(0, frames, layer.temporal_stride):
        window = [part_at(layer.remember, time - age) for age in range(layer.lookback, 0, -1)]
        window.append(clip[:, time])
        window += [part_at(layer.anticipate, time + 1 + age) for age in range(layer.lookahead)]
        expected.append(layer.compute(window))
    expected = np.stack(expected, axis=1)
    np.testing.assert_allclose(layer(clip), expected, rtol=1e-5, atol=1e-5)
    traced = tf.function(layer, input_signature=[tf.TensorSpec((None, None, *clip.shape[2:]))])
    np.testing.assert_allclose(traced(clip), expected, rtol=1e-5, atol=1e-5)
    held = np.repeat(expected, layer.temporal_stride, axis=1)[:, :frames]
    np.testing.assert_allclose(network(clip), held, rtol=1e-5, atol=1e-5)


LAYERS = {
    "conv": lambda: TemporalConv3D(4, (3, 3, 3)),
    "conv, strides": lambda: TemporalConv3D(4, (3, 2, 2), (2, 2, 1), "valid"),
    "max pool": lambda: TemporalMaxPooling3D((3, 2, 2), (1, 2, 2)),
    "max pool, same": lambda: TemporalMaxPooling3D((2, 3, 3), (2, 2, 2), "same"),
    "average pool": lambda: TemporalAveragePooling3D((3, 2, 2), (1, 2, 2)),
    "average pool, same": lambda: TemporalAveragePooling3D((2, 3, 3), (2, 2, 2), "same"),
}

every_layer = pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)


@every_layer
def test_windows_streamed_frame_by_frame_equal_the_clip(
    make: Callable[[], TemporalLayer], clip: np.ndarray
) -> None:
    layer = make()
    whole = layer(clip)
    np.testing.assert_allclose(stream(layer, clip), whole, rtol=1e-4, atol=1e-5)


@every_layer
def test_a_frame_is_a_clip_of_one_frame(
    make: Callable[[], TemporalLayer], clip: np.ndarray
) -> None:
    layer = make()
    np.testing.assert_allclose(layer(clip[:, 0]), layer(clip[:, :1])[:, 0], rtol=1e-5, atol=1e-6)


def test_a_frame_is_a_clip_of_one_frame_with_symmetric_padding(clip: np.ndarray) -> None:
    layer = TemporalConv3D(4, (5, 3, 3), temporal_padding="symmetric")
    np.testing.assert_allclose(layer(clip[:, 0]), layer(clip[:, :1])[:, 0], rtol=1e-5, atol=1e-6)


@every_layer
def test_computed_output_shape_is_the_shape_of_the_output(
    make: Callable[[], TemporalLayer], clip: np.ndarray
) -> None:
    layer = make()
    for inputs in (clip, clip[:, 0], clip[:, :4], clip[:1, :1]):
        assert layer.compute_output_shape(inputs.shape) == tuple(layer(inputs).shape)
    unknown = (None, None, *CLIP[2:])
    assert layer.compute_output_shape(unknown)[:2] == (None, None)


@every_layer
def test_unknown_batch_and_time_give_the_same_values(
    make: Callable[[], TemporalLayer], clip: np.ndarray
) -> None:
    layer = make()
    expected = layer(clip)
    traced = tf.function(layer, input_signature=[tf.TensorSpec((None, None, *CLIP[2:]))])
    np.testing.assert_allclose(traced(clip), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(traced(clip[:1, :4]), layer(clip[:1, :4]), rtol=1e-4, atol=1e-5)


@every_layer
def test_unknown_frame_size_gives_the_same_values(
    make: Callable[[], TemporalLayer], clip: np.ndarray
) -> None:
    """Keras's 3D layers take frames of any size; the fold of time into the batch once did not."""
    layer = make()
    expected = layer(clip)
    traced = tf.function(layer, input_signature=[tf.TensorSpec((None, None, None, None, 3))])
    np.testing.assert_allclose(traced(clip), expected, rtol=1e-4, atol=1e-5)


@every_layer
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_computes_in_half_and_keeps_variables_whole(
    make: Callable[[], TemporalLayer],
    policy: str,
    clip: np.ndarray,
    restore_dtype_policy: None,
) -> None:
    whole = make()
    expected = whole(clip)
    keras.config.set_dtype_policy(policy)
    half = make()
    half(clip)
    half.set_weights(whole.get_weights())
    outputs = half(clip)
    assert keras.backend.standardize_dtype(outputs.dtype) == policy.removeprefix("mixed_")
    assert all(weight.dtype == "float32" for weight in half.weights)
    np.testing.assert_allclose(tf.cast(outputs, "float32"), expected, rtol=0.1, atol=0.1)


EVERY_ARGUMENT = {
    TemporalConv3D: {
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
    },
    TemporalMaxPooling3D: {
        "pool_size": (3, 2, 1),
        "strides": (2, 1, 3),
        "padding": "same",
        "temporal_padding": "symmetric",
    },
    TemporalAveragePooling3D: {
        "pool_size": (3, 2, 1),
        "strides": (2, 1, 3),
        "padding": "same",
        "temporal_padding": "symmetric",
    },
}


@pytest.mark.parametrize("cls", EVERY_ARGUMENT, ids=lambda cls: cls.__name__)
def test_every_argument_survives_serialization(
    cls: type[TemporalLayer], clip: np.ndarray, rng: np.random.Generator
) -> None:
    layer = cls(**EVERY_ARGUMENT[cls], name="same_name", trainable=False)
    config = layer.get_config()
    assert EVERY_ARGUMENT[cls].keys() <= config.keys()
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert again.get_config() == config
    for name, given in EVERY_ARGUMENT[cls].items():
        if isinstance(given, (int, tuple, str)) and name != "activation":
            assert getattr(again, name) == given
    layer(clip), again(clip)
    again.set_weights(layer.get_weights())
    np.testing.assert_array_equal(again(clip), layer(clip))


def test_dilation_and_no_bias_survive_serialization() -> None:
    layer = TemporalConv3D(2, 3, dilation_rate=(2, 3), use_bias=False)
    again = TemporalConv3D.from_config(layer.get_config())
    assert (again.dilation_rate, again.use_bias) == ((2, 3), False)


def test_regularizers_and_constraints_act(clip: np.ndarray) -> None:
    layer = TemporalConv3D(
        2, 2, kernel_regularizer="l2", activity_regularizer="l1", kernel_constraint="non_neg"
    )
    layer(clip)
    assert len(layer.losses) == 2
    assert isinstance(layer.kernel.constraint, keras.constraints.NonNeg)


REFUSED = {
    "no tick": (lambda: TemporalConv3D(1, (0, 1, 1)), "kernel_size.*Received: .0, 1, 1."),
    "two sizes": (lambda: TemporalConv3D(1, (3, 3)), "kernel_size.*three of them.*Received"),
    "stride 0": (lambda: TemporalConv3D(1, 1, strides=0), "strides must be.*Received: 0"),
    "no filters": (lambda: TemporalConv3D(0, 1), "filters must be at least 1. Received: filters=0"),
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
    "pool": (lambda: TemporalMaxPooling3D(0), "pool_size.*Received: 0"),
    "pool padding": (lambda: TemporalAveragePooling3D(padding="full"), "Received: 'full'"),
    "window": (lambda: TemporalLayer(0), "window=0"),
}


@pytest.mark.parametrize(("make", "message"), REFUSED.values(), ids=REFUSED)
def test_constructor_refuses(make: Callable[[], TemporalLayer], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("shape", [(2, 8, 3), (2, 2, 2, 8, 8, 3)])
def test_an_input_that_is_neither_frame_nor_clip_is_refused(shape: tuple) -> None:
    layer = TemporalMaxPooling3D(2)
    with pytest.raises(ValueError, match=r"frames \(rank 4\) or of clips \(rank 5\).*Received"):
        layer.compute_output_shape(shape)
    with pytest.raises(ValueError, match=r"frames \(rank 4\) or of clips \(rank 5\)"):
        layer(np.zeros(shape, "float32"))


def test_a_kernel_larger_than_the_frame_is_refused() -> None:
    layer = TemporalConv3D(1, (1, 5, 5), padding="valid")
    with pytest.raises(ValueError, match="spans 5 pixels does not fit into 4"):
        layer.compute_output_shape((None, 4, 4, 3))


def test_unknown_channels_are_refused() -> None:
    with pytest.raises(ValueError, match="channels of the input must be known"):
        TemporalConv3D(1, 1).build((None, 8, 8, None))


def test_abstract_methods_name_the_class() -> None:
    layer = TemporalLayer(2)
    with pytest.raises(NotImplementedError, match="TemporalLayer must implement compute"):
        layer.compute([])
    with pytest.raises(NotImplementedError, match="compute_frame_output_shape"):
        layer.compute_frame_output_shape((1, 2, 2, 1))


def test_a_pool_remembers_the_pooled_map() -> None:
    """What streams keep of a past frame is a quarter of it here, and zeros stay zeros."""
    layer = TemporalMaxPooling3D((3, 2, 2))
    assert layer.remember(np.zeros((1, 8, 8, 3), "float32")).shape == (1, 4, 4, 3)
    for pool in (layer, TemporalAveragePooling3D((2, 3, 3), padding="same")):
        assert not np.any(pool.remember(np.zeros((1, 8, 8, 3), "float32")))

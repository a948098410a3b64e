"""What all temporal layers have in common: windows, streams, shapes, sizes and dtypes."""

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

CLIP = (2, 7, 9, 8, 3)


@pytest.fixture
def clip(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=CLIP).astype("float32")


# --- windows with a future ----------------------------------------------------------------------


class WeightedSum(TemporalLayer):
    """Adds the frames of the window. Each position, and past and future, have other factors."""

    def remember(self, frame):
        return 2 * frame

    def anticipate(self, frame):
        return 3 * frame

    def compute(self, window):
        return sum((position + 1) * frame for position, frame in enumerate(window))

    def compute_frame_output_shape(self, frame_shape: tuple) -> tuple:
        return frame_shape


SYMMETRIC = {
    "base class": lambda: WeightedSum(5, temporal_padding="symmetric"),
    "base class, even": lambda: WeightedSum(4, 2, "symmetric"),
    "base class, stride": lambda: WeightedSum(3, 3, "symmetric"),
    "conv": lambda: TemporalConv3D(4, 3, (2, 1, 1), temporal_padding="symmetric"),
    "max pool": lambda: TemporalMaxPooling3D((3, 2, 2), temporal_padding="symmetric"),
    "average pool": lambda: TemporalAveragePooling3D((4, 2, 2), 1, temporal_padding="symmetric"),
    "non-local": lambda: NonLocal(frames=2, subsample=2, temporal_padding="symmetric"),
    "shift": lambda: TemporalShift("symmetric", 3),
}


@pytest.mark.parametrize("frames", [1, 7])
@pytest.mark.parametrize("make", SYMMETRIC.values(), ids=SYMMETRIC)
def test_a_symmetric_window_has_remembered_present_and_anticipated_frames(
    make: Callable[[], TemporalLayer], frames: int, clip: np.ndarray
) -> None:
    """Layers once kept, padded and cut whole future frames, even if they read a part of them."""
    clip = tf.constant(clip[:, :frames])
    frame = keras.Input(clip.shape[2:])
    layer = make()
    network = mpvn.VideoNetwork(keras.Model(frame, layer(frame)), executor="layerwise")

    def part_at(part: Callable, time: int) -> tf.Tensor:
        inside = 0 <= time < frames
        return part(clip[:, time]) if inside else tf.zeros_like(part(clip[:, 0]))

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


# --- causal layers ------------------------------------------------------------------------------

CAUSAL = {
    "conv": lambda: TemporalConv3D(4, (3, 3, 3)),
    "conv, strides": lambda: TemporalConv3D(4, (3, 2, 2), (2, 2, 1), "valid"),
    "max pool": lambda: TemporalMaxPooling3D((3, 2, 2), (1, 2, 2)),
    "max pool, same": lambda: TemporalMaxPooling3D((2, 3, 3), (2, 2, 2), "same"),
    "average pool": lambda: TemporalAveragePooling3D((3, 2, 2), (1, 2, 2)),
    "average pool, same": lambda: TemporalAveragePooling3D((2, 3, 3), (2, 2, 2), "same"),
}

every_layer = pytest.mark.parametrize("make", CAUSAL.values(), ids=CAUSAL)


def stream(layer: TemporalLayer, clip: np.ndarray) -> np.ndarray:
    """Run a causal layer frame by frame, with a window that is collected by hand."""
    clip = tf.convert_to_tensor(clip)
    past = [tf.zeros_like(layer.remember(clip[:, 0]))] * (layer.window - 1)
    outputs = []
    for time in range(clip.shape[1]):
        frame = clip[:, time]
        if time % layer.temporal_stride == 0:
            outputs.append(layer.compute([*past, frame]))
        past = [*past, layer.remember(frame)][1:]
    return np.stack(outputs, axis=1)


@every_layer
def test_a_stream_equals_the_clip(make: Callable[[], TemporalLayer], clip: np.ndarray) -> None:
    layer = make()
    whole = layer(clip)
    np.testing.assert_allclose(stream(layer, clip), whole, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "make",
    [*CAUSAL.values(), lambda: TemporalConv3D(4, (5, 3, 3), temporal_padding="symmetric")],
    ids=[*CAUSAL, "symmetric"],
)
def test_a_frame_equals_a_clip_of_one_frame(
    make: Callable[[], TemporalLayer], clip: np.ndarray
) -> None:
    layer = make()
    np.testing.assert_allclose(layer(clip[:, 0]), layer(clip[:, :1])[:, 0], rtol=1e-5, atol=1e-6)


@every_layer
def test_compute_output_shape_is_the_shape_of_the_output(
    make: Callable[[], TemporalLayer], clip: np.ndarray
) -> None:
    layer = make()
    for inputs in (clip, clip[:, 0], clip[:, :4], clip[:1, :1]):
        assert layer.compute_output_shape(inputs.shape) == tuple(layer(inputs).shape)
    assert layer.compute_output_shape((None, None, *CLIP[2:]))[:2] == (None, None)


@every_layer
def test_unknown_sizes_give_the_same_values(
    make: Callable[[], TemporalLayer], clip: np.ndarray
) -> None:
    """Folding time into the batch once required a known frame size; Keras's 3D layers do not."""
    layer = make()
    expected = layer(clip)
    for frame_size in (CLIP[2:4], (None, None)):
        signature = [tf.TensorSpec((None, None, *frame_size, 3))]
        traced = tf.function(layer, input_signature=signature)
        np.testing.assert_allclose(traced(clip), expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(traced(clip[:1, :4]), layer(clip[:1, :4]), rtol=1e-4, atol=1e-5)


@every_layer
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_computes_in_half_precision_with_float32_variables(
    make: Callable[[], TemporalLayer],
    policy: str,
    clip: np.ndarray,
    restore_dtype_policy: None,
) -> None:
    full = make()
    expected = full(clip)
    keras.config.set_dtype_policy(policy)
    half = make()
    half(clip)
    half.set_weights(full.get_weights())
    outputs = half(clip)
    assert keras.backend.standardize_dtype(outputs.dtype) == policy.removeprefix("mixed_")
    assert all(weight.dtype == "float32" for weight in half.weights)
    np.testing.assert_allclose(tf.cast(outputs, "float32"), expected, rtol=0.1, atol=0.1)


# --- errors -------------------------------------------------------------------------------------


def test_a_window_without_frames_is_refused() -> None:
    with pytest.raises(ValueError, match="window=0"):
        TemporalLayer(0)


@pytest.mark.parametrize("shape", [(2, 8, 3), (2, 2, 2, 8, 8, 3)])
def test_inputs_of_another_rank_are_refused(shape: tuple) -> None:
    layer = TemporalMaxPooling3D(2)
    with pytest.raises(ValueError, match=r"frames \(rank 4\) or of clips \(rank 5\).*Received"):
        layer.compute_output_shape(shape)
    with pytest.raises(ValueError, match=r"frames \(rank 4\) or of clips \(rank 5\)"):
        layer(np.zeros(shape, "float32"))


def test_abstract_methods_name_the_class() -> None:
    layer = TemporalLayer(2)
    with pytest.raises(NotImplementedError, match="TemporalLayer must implement compute"):
        layer.compute([])
    with pytest.raises(NotImplementedError, match="compute_frame_output_shape"):
        layer.compute_frame_output_shape((1, 2, 2, 1))

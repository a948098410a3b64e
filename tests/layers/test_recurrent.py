"""Recurrent layers equal Keras's, whose recurrence is another program, and carry their memory.

`tests/reference.py` has the same recurrences in NumPy, for convolutions within networks.
"""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from random_weights import randomize

from keras_layers import RecurrentLayer, TemporalConvGRU2D, TemporalConvLSTM2D

CLIP = np.random.default_rng(0).normal(size=(2, 5, 7, 6, 3)).astype("float32")


class Decaying(RecurrentLayer):
    """Adds what `prepare` gives to half of the sum so far, and counts frames."""

    def compute(self, prepared: Any, memory: list) -> list:
        total, count = memory
        return [prepared + 0.5 * total, count + 1]

    def compute_memory_shapes(self, frame_shape: tuple) -> list[tuple]:
        return [frame_shape, (frame_shape[0], 1)]


def assert_close(actual: Any, expected: Any, tolerance: float = 1e-5) -> None:
    np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance)


def with_gradients(layer: keras.Layer, clip: np.ndarray, jit: bool = False) -> list:
    """Return the outputs over a clip, and gradients of the clip and all weights."""

    def run(clip: tf.Tensor) -> list:
        with tf.GradientTape() as tape:
            tape.watch(clip)
            outputs = layer(clip)
            weights = np.random.default_rng(2).normal(size=outputs.shape).astype("float32")
            loss = tf.reduce_sum(outputs * weights)
        return [outputs, *tape.gradient(loss, [clip, *(w.value for w in layer.weights)])]

    return tf.function(run, jit_compile=jit)(tf.constant(clip))


@pytest.mark.parametrize(("strides", "padding", "jit"), [(1, "same", True), (2, "valid", False)])
def test_an_lstm_and_its_gradients_are_those_of_keras(
    strides: int, padding: str, jit: bool, rng: np.random.Generator
) -> None:
    ours = TemporalConvLSTM2D(4, (3, 2), strides, padding)
    theirs = layers.ConvLSTM2D(4, (3, 2), strides, padding, return_sequences=True)
    ours(CLIP), theirs(CLIP)
    assert [w.shape for w in ours.weights] == [w.shape for w in theirs.weights]
    np.testing.assert_array_equal(ours.bias, theirs.cell.bias)  # ones for the forget gate
    randomize(ours, rng)
    theirs.set_weights(ours.get_weights())
    expected = with_gradients(theirs, CLIP)
    for actual, of_keras in zip(with_gradients(ours, CLIP, jit), expected, strict=True):
        assert_close(actual, of_keras, 1e-4)
    assert ours.multiply_adds((7, 6, 3), (4, 3, 4)) == 12 * (3 * 2 * (3 + 4) * 16)


def test_a_gru_of_one_pixel_is_that_of_keras(rng: np.random.Generator) -> None:
    ours, theirs = TemporalConvGRU2D(4, 1), layers.GRU(4, reset_after=False, return_sequences=True)
    pixel = CLIP[..., :1, :1, :]
    ours(pixel)
    randomize(ours, rng)
    theirs(pixel[:, :, 0, 0])
    kernel, recurrent_kernel, bias = ours.get_weights()
    theirs.set_weights([kernel[0, 0], recurrent_kernel[0, 0], bias])
    assert_close(ours(pixel)[:, :, 0, 0], theirs(pixel[:, :, 0, 0]))


@pytest.mark.parametrize("layer", [TemporalConvGRU2D(2, 3), TemporalConvLSTM2D(2, 3, 2)])
def test_pieces_and_single_frames_carry_the_memory(layer: RecurrentLayer) -> None:
    expected = layer(CLIP)
    memory = layer([CLIP[:, :2]])
    later = layer([CLIP[:, 2:4], *(x[:, -1] for x in memory)])
    last = layer([CLIP[:, 4], *(x[:, -1] for x in later)])
    assert_close(tf.concat([memory[0], later[0], last[0][:, None]], axis=1), expected)
    assert_close(layer(CLIP[:, 0]), expected[:, 0])


def test_one_graph_serves_all_sizes() -> None:
    layer = TemporalConvLSTM2D(2, 3, 2, "valid")
    symbol = keras.Input((None, None, None, 3))
    model = keras.Model(symbol, layer(symbol))
    assert model.output.shape == (None, None, None, None, 2)
    traced = tf.function(layer, input_signature=[tf.TensorSpec((None, None, None, None, 3))])
    for clip in (CLIP, CLIP[:1, :2, :5, :4]):
        assert_close(traced(clip), layer(clip))
        assert_close(model(clip), layer(clip))


def test_a_layer_of_ones_own_names_what_it_remembers() -> None:
    vectors = np.arange(1.0, 7, dtype="float32").reshape(1, 3, 2)
    layer = Decaying()
    layer.frame_rank = 2
    total, count = layer([vectors])
    assert total.numpy().tolist() == [[[1, 2], [3.5, 5], [6.75, 8.5]]]
    assert count.numpy().ravel().tolist() == [1, 2, 3]
    assert layer.compute_output_shape((None, 3, 2)) == (None, 3, 2)
    assert layer.compute_output_shape([(None, 3, 2)]) == [(None, 3, 2), (None, 3, 1)]


def faulty(compute: Any) -> RecurrentLayer:
    """Return a layer with another `compute`."""
    return type("Faulty", (Decaying,), {"compute": compute})()


def with_dropout(layer: RecurrentLayer, prepared: Any, memory: list) -> list:
    return [layers.Dropout(0.5)(prepared, training=True), memory[1]]


def with_loss(layer: RecurrentLayer, prepared: Any, memory: list) -> list:
    layer.add_loss(tf.reduce_sum(prepared))
    return memory


FAULTS = {
    "rank": (lambda: TemporalConvGRU2D(2, 3)(CLIP[0, 0]), "rank 4.*rank 5.*Received: shape"),
    "padding": (lambda: TemporalConvGRU2D(2, 3, padding="full"), "Invalid padding"),
    "filters": (lambda: TemporalConvLSTM2D(0, 3), "Invalid filters"),
    "kernel": (lambda: TemporalConvLSTM2D(2, 9, padding="valid")(CLIP), "larger than the frame"),
    "activity": (lambda: Decaying(activity_regularizer="l2"), "ActivityRegularization"),
    "variables": (lambda: faulty(with_dropout)(CLIP), "assigns the variable .*seed.* loop over"),
    "losses": (lambda: faulty(with_loss)(CLIP), "adds a loss.*into prepare"),
    "count": (lambda: faulty(lambda *_: [])(CLIP), "a list of 2 tensors.*Received: 0"),
}


@pytest.mark.parametrize(("build", "message"), FAULTS.values(), ids=FAULTS)
def test_a_mistake_is_named(build: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"(?s){message}"):
        build()

"""A clocked module in `keras.layers.RNN` follows the rule: compute, hold, delay."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_layers import SubnetworkCell


def run(cell: SubnetworkCell | list[SubnetworkCell], clip: np.ndarray) -> np.ndarray:
    """Run `cell` over a clip `[B, T, size]`."""
    return np.asarray(keras.layers.RNN(cell, return_sequences=True)(clip))


def clocked(values: np.ndarray, rate: int, phase: int, delay: int) -> np.ndarray:
    """Return the outputs of a clocked module from those of every step, `[B, T, ...]`."""
    outputs, last = [], np.zeros_like(values[:, 0])
    for time in range(values.shape[1]):
        before = last
        last = values[:, time] if time % rate == phase else last
        outputs.append(before if delay else last)
    return np.stack(outputs, axis=1)


@pytest.mark.parametrize(
    ("rate", "phase", "delay"), [(1, 0, 0), (1, 0, 1), (2, 0, 0), (3, 2, 0), (3, 1, 1)]
)
def test_it_computes_at_ticks_and_holds_and_delays_its_output(
    rate: int, phase: int, delay: int, rng: np.random.Generator
) -> None:
    clip = rng.normal(size=(2, 8, 4)).astype("float32")
    module = keras.layers.Dense(3, activation="tanh", bias_initializer="normal")
    outputs = run(SubnetworkCell(module, rate, phase, delay), clip)
    expected = clocked(np.asarray(module(clip)), rate, phase, delay)
    np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-6)


def test_maps_are_flattened_and_frames_reshaped(rng: np.random.Generator) -> None:
    clip = rng.normal(size=(2, 5, 6, 4, 3)).astype("float32")
    module = keras.layers.Conv2D(2, 3, strides=2, padding="same")
    frames = clip.reshape(2, 5, -1)
    outputs = run(SubnetworkCell(module, rate=2, frame_shape=(6, 4, 3)), frames)
    every_step = np.stack([module(clip[:, time]) for time in range(5)], axis=1)
    expected = clocked(every_step, 2, 0, 0).reshape(2, 5, -1)
    np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-6)


def test_stacked_cells_run_one_after_the_other(rng: np.random.Generator) -> None:
    clip = rng.normal(size=(2, 7, 4)).astype("float32")
    first, second = keras.layers.Dense(3, "tanh"), keras.layers.Dense(2, "tanh")
    cells = [SubnetworkCell(first, delay=1), SubnetworkCell(second, rate=2, phase=1)]
    outputs = run(cells, clip)
    between = clocked(np.asarray(first(clip)), 1, 0, 1)
    expected = clocked(np.asarray(second(between)), 2, 1, 0)
    np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-6)


def test_the_clock_ticks_beyond_the_integers_of_half_precision(rng: np.random.Generator) -> None:
    """`keras.layers.RNN` casts states to the compute dtype, and a float16 counter stops at 2048.

    The cell stopped ticking there when it did not count modulo the rate.
    """
    clip = rng.normal(size=(1, 2100, 2)).astype("float16")
    module = keras.layers.Dense(1, dtype="mixed_float16")
    cell = SubnetworkCell(module, rate=3, phase=1, dtype="mixed_float16")
    layer = keras.layers.RNN(cell, return_sequences=True, dtype="mixed_float16")
    outputs = np.asarray(tf.function(layer, autograph=False)(clip))
    expected = clocked(np.asarray(module(clip)), 3, 1, 0)
    np.testing.assert_allclose(outputs[:, -60:], expected[:, -60:], rtol=1e-2, atol=1e-2)


def test_only_ticks_send_gradients(rng: np.random.Generator) -> None:
    clip = tf.constant(rng.normal(size=(1, 6, 4)), "float32")
    module = keras.layers.Dense(3, activation="tanh")
    layer = keras.layers.RNN(SubnetworkCell(module, rate=2, phase=1), return_sequences=True)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(clip)
        loss = tf.reduce_sum(layer(clip) ** 2)
        ticks = module(clip[:, 1::2])  # each is held for two steps, the last for one
        expected = tf.reduce_sum(ticks**2 * tf.constant([2.0, 2.0, 1.0])[None, :, None])
    watched = [clip, module.kernel.value]
    for ours, theirs in zip(
        tape.gradient(loss, watched), tape.gradient(expected, watched), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
    assert not np.any(tape.gradient(loss, clip)[:, 0::2])


def test_batch_norm_in_the_module_follows_the_training_mode(rng: np.random.Generator) -> None:
    clip = rng.normal(3, 1, size=(4, 2, 5)).astype("float32")
    norm = keras.layers.BatchNormalization(momentum=0.5)
    layer = keras.layers.RNN(SubnetworkCell(norm))
    layer(clip, training=False)
    assert not np.any(norm.moving_mean)
    layer(clip, training=True)
    assert np.all(np.asarray(norm.moving_mean) > 1)


def test_every_argument_survives_serialization() -> None:
    cell = SubnetworkCell(
        keras.layers.Dense(3, name="inner"),
        rate=4,
        phase=3,
        delay=1,
        device="/CPU:0",
        frame_shape=(2, 3),
        name="cell",
    )
    loaded = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(cell))
    assert loaded.get_config() == cell.get_config()
    assert (loaded.rate, loaded.phase, loaded.delay, loaded.device) == (4, 3, 1, "/CPU:0")
    assert loaded.frame_shape == (2, 3)
    assert loaded.module.get_config() == cell.module.get_config()


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"rate": 0}, "Received: rate=0, phase=0"),
        ({"rate": 257}, "rate <= 256.*Received: rate=257"),
        ({"rate": 2, "phase": 2}, "phase < rate. Received: rate=2, phase=2"),
        ({"phase": -1}, "phase=-1"),
        ({"delay": 2}, "delay. Expected 0 or 1. Received: 2"),
    ],
)
def test_errors(kwargs: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SubnetworkCell(keras.layers.Dense(1), **kwargs)

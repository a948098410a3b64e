"""A clocked module in `keras.layers.RNN`, against the rule written out: hold, tick, delay."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_layers import SubnetworkCell


def run(cell: SubnetworkCell | list[SubnetworkCell], clip: np.ndarray) -> np.ndarray:
    """`cell` over a clip `[B, T, size]`, by Keras."""
    return np.asarray(keras.layers.RNN(cell, return_sequences=True)(clip))


def by_the_rule(values: np.ndarray, rate: int, phase: int, delay: int) -> np.ndarray:
    """What a clock makes of `values [B, T, ...]`, a module's output if it ticked at every step."""
    outputs, held = [], np.zeros_like(values[:, 0])
    for time in range(values.shape[1]):
        before = held
        held = values[:, time] if time % rate == phase else held
        outputs.append(before if delay else held)
    return np.stack(outputs, axis=1)


@pytest.mark.parametrize(
    ("rate", "phase", "delay"), [(1, 0, 0), (1, 0, 1), (2, 0, 0), (3, 2, 0), (3, 1, 1)]
)
def test_it_computes_at_ticks_holds_between_and_delays(
    rate: int, phase: int, delay: int, rng: np.random.Generator
) -> None:
    clip = rng.normal(size=(2, 8, 4)).astype("float32")
    module = keras.layers.Dense(3, activation="tanh", bias_initializer="normal")
    outputs = run(SubnetworkCell(module, rate, phase, delay), clip)
    expected = by_the_rule(np.asarray(module(clip)), rate, phase, delay)
    np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-6)


def test_maps_are_flattened_and_frames_reshaped(rng: np.random.Generator) -> None:
    clip = rng.normal(size=(2, 5, 6, 4, 3)).astype("float32")
    module = keras.layers.Conv2D(2, 3, strides=2, padding="same")
    frames = clip.reshape(2, 5, -1)
    outputs = run(SubnetworkCell(module, rate=2, frame_shape=(6, 4, 3)), frames)
    every_step = np.stack([module(clip[:, time]) for time in range(5)], axis=1)
    expected = by_the_rule(every_step, 2, 0, 0).reshape(2, 5, -1)
    np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-6)


def test_stacked_cells_run_one_after_the_other(rng: np.random.Generator) -> None:
    clip = rng.normal(size=(2, 7, 4)).astype("float32")
    first, second = keras.layers.Dense(3, "tanh"), keras.layers.Dense(2, "tanh")
    cells = [SubnetworkCell(first, delay=1), SubnetworkCell(second, rate=2, phase=1)]
    outputs = run(cells, clip)
    between = by_the_rule(np.asarray(first(clip)), 1, 0, 1)
    expected = by_the_rule(np.asarray(second(between)), 2, 1, 0)
    np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-6)


def test_the_clock_keeps_time_beyond_what_half_precision_counts(
    rng: np.random.Generator,
) -> None:
    """`keras.layers.RNN` casts states to the compute dtype, and a float16 counter sticks at 2048.

    A step counter that is not kept modulo the rate stops ticking there.
    """
    clip = rng.normal(size=(1, 2100, 2)).astype("float16")
    module = keras.layers.Dense(1, dtype="mixed_float16")
    cell = SubnetworkCell(module, rate=3, phase=1, dtype="mixed_float16")
    outputs = np.asarray(keras.layers.RNN(cell, return_sequences=True, dtype="mixed_float16")(clip))
    expected = by_the_rule(np.asarray(module(clip)), 3, 1, 0)
    np.testing.assert_allclose(outputs[:, -60:], expected[:, -60:], rtol=1e-2, atol=1e-2)


def test_only_ticks_send_gradients(rng: np.random.Generator) -> None:
    clip = tf.constant(rng.normal(size=(1, 6, 4)), "float32")
    module = keras.layers.Dense(3, activation="tanh")
    layer = keras.layers.RNN(SubnetworkCell(module, rate=2, phase=1), return_sequences=True)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(clip)
        ours = tf.reduce_sum(layer(clip) ** 2)
        ticked = module(clip[:, 1::2])  # held for two steps, the last for one
        theirs = tf.reduce_sum(ticked**2 * tf.constant([2.0, 2.0, 1.0])[None, :, None])
    watched = [clip, module.kernel.value]
    for our, their in zip(
        tape.gradient(ours, watched), tape.gradient(theirs, watched), strict=True
    ):
        np.testing.assert_allclose(our, their, rtol=1e-4, atol=1e-5)
    assert not np.any(tape.gradient(ours, clip)[:, 0::2])


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
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(cell))
    assert again.get_config() == cell.get_config()
    assert (again.rate, again.phase, again.delay, again.device) == (4, 3, 1, "/CPU:0")
    assert again.frame_shape == (2, 3)
    assert again.module.get_config() == cell.module.get_config()


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"rate": 0}, "Received: rate=0, phase=0"),
        ({"rate": 257}, "rate <= 256.*Received: rate=257"),
        ({"rate": 2, "phase": 2}, "phase < rate. Received: rate=2, phase=2"),
        ({"phase": -1}, "phase=-1"),
        ({"delay": 2}, "delay must be 0 or 1. Received: 2"),
    ],
)
def test_constructor_refuses(kwargs: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SubnetworkCell(keras.layers.Dense(1), **kwargs)

"""The temporal shift equals the authors' implementation, and streams equal clips."""

import json
import pathlib
import re

import golden
import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import mpvn
from keras_layers.temporal_shift import TemporalShift


def channels_last(frames: np.ndarray) -> np.ndarray:
    return np.moveaxis(frames, 1, -1)


def shift_by_definition(clip: np.ndarray, divisor: int, temporal_padding: str) -> np.ndarray:
    """Shift frame by frame and channel by channel, as in figure 1 of the paper."""
    shifted = np.zeros_like(clip)
    fold = clip.shape[-1] // divisor
    sources = [-1] * fold
    if temporal_padding == "symmetric":
        sources = [1] * fold + [-1] * fold
    sources += [0] * (clip.shape[-1] - len(sources))
    for time in range(clip.shape[1]):
        for channel, source in enumerate(sources):
            if 0 <= time + source < clip.shape[1]:
                shifted[:, time, ..., channel] = clip[:, time + source, ..., channel]
    return shifted


# --- authors' implementation --------------------------------------------------------------------


@pytest.mark.parametrize("folded", [False, True])
def test_the_shift_equals_the_authors_implementation(folded: bool, shared: pathlib.Path) -> None:
    stored = golden.arrays(shared, "temporal_shift")
    cases = [name for name in stored if name.startswith("in_div")]
    assert len(cases) == 12
    for name in cases:
        divisor, frames = map(int, re.match(r"in_div(\d+)_n\d+_t(\d+)", name).groups())
        inputs, expected = (channels_last(stored[n]) for n in (name, name.replace("in", "out", 1)))
        layer = TemporalShift("symmetric", divisor, segments=frames if folded else None)
        if folded:
            outputs = layer(inputs)
        else:
            outputs = np.reshape(layer(inputs.reshape(-1, frames, *inputs.shape[1:])), inputs.shape)
        np.testing.assert_array_equal(outputs, expected, name)
        assert not layer.variables


def test_the_gradient_equals_the_authors_implementation(shared: pathlib.Path) -> None:
    stored = golden.arrays(shared, "temporal_shift")
    inputs, upstream, expected = (
        channels_last(stored[f"grad_div8_t4_{part}"]) for part in ("in", "up", "gx")
    )
    layer, inputs = TemporalShift(segments=4), tf.constant(inputs)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = layer(inputs)
    np.testing.assert_array_equal(tape.gradient(outputs, inputs, upstream), expected)


# --- executors ----------------------------------------------------------------------------------


@pytest.mark.parametrize("divisor", [1, 2, 3, 8])
@pytest.mark.parametrize("temporal_padding", ["causal", "symmetric"])
def test_every_executor_shifts_by_the_definition(
    temporal_padding: str, divisor: int, rng: np.random.Generator
) -> None:
    if (temporal_padding, divisor) == ("symmetric", 1):
        return
    clip = rng.normal(size=(2, 5, 3, 2, 9)).astype("float32")
    expected = shift_by_definition(clip, divisor, temporal_padding)
    np.testing.assert_array_equal(TemporalShift(temporal_padding, divisor)(clip), expected)
    frame = keras.Input((3, 2, 9))
    model = keras.Model(frame, TemporalShift(temporal_padding, divisor)(frame))
    network = mpvn.VideoNetwork(model, executor="layerwise")
    np.testing.assert_array_equal(network(clip), expected)
    if temporal_padding == "symmetric":
        with pytest.raises(ValueError, match="looks into the future"):
            network.initial_state(2)
        return
    network.executor = "unroll"
    np.testing.assert_array_equal(network(clip), expected)
    state = network.initial_state(2)
    assert [value.shape[1:] for name, value in state.items() if name != "step"] == [
        (3, 2, 9 // divisor)
    ], "the state holds the shifted channels only"
    for time in range(5):
        outputs, state = network.step(clip[:, time], state)
        np.testing.assert_array_equal(outputs, expected[:, time])


def test_a_shift_across_boundaries_and_clocks(rng: np.random.Generator) -> None:
    """A slow subnetwork shifts from its own previous tick, in every executor."""
    x = frame = keras.Input((4, 4, 3))
    for index in range(3):
        x = layers.Conv2D(8, 3, padding="same", activation="tanh", name=f"u{index}.c")(x)
        x = TemporalShift("causal", 4, name=f"u{index}.shift")(x)
    model = keras.Model(frame, x)
    plan = mpvn.Plan(model, 3, partition="units", clocks=[1, 2, 2])
    network = mpvn.VideoNetwork(model, plan)
    clip = rng.normal(size=(2, 9, 4, 4, 3)).astype("float32")
    state, steps = network.initial_state(2), []
    for time in range(9):
        outputs, state = network.step(clip[:, time], state)
        steps.append(outputs)
    for executor in ("unroll", "layerwise"):
        network.executor = executor
        np.testing.assert_allclose(network(clip), np.stack(steps, 1), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("caller", ["layer", "layerwise", "step"])
@pytest.mark.parametrize("temporal_padding", ["causal", "symmetric"])
def test_only_the_moved_channels_are_padded_and_sliced(temporal_padding: str, caller: str) -> None:
    """The layer once padded and sliced whole clips, which copied them five times."""
    if (temporal_padding, caller) == ("symmetric", "step"):
        return
    shift = TemporalShift(temporal_padding, 8)
    frame = keras.Input((6, 5, 32))
    network = mpvn.VideoNetwork(keras.Model(frame, shift(frame)), executor="layerwise")
    if caller == "step":
        run = lambda clip: network.step(clip[:, 0], network.initial_state(2))[0]  # noqa: E731
    else:
        run = shift if caller == "layer" else network
    graph = tf.function(run).get_concrete_function(tf.TensorSpec((2, 4, 6, 5, 32))).graph
    whole = [op.type for op in graph.get_operations() for x in op.outputs if x.shape[-1:] == [32]]
    assert whole.count("ConcatV2") == 1
    slices = {"StridedSlice"} if caller == "step" else set()  # takes the frame from the clip
    free = {"Placeholder", "Identity", "Reshape", "EnsureShape"}
    assert set(whole) <= {"ConcatV2"} | free | slices


@pytest.mark.parametrize("frames", [1, 4])
@pytest.mark.parametrize("temporal_padding", ["causal", "symmetric"])
def test_compiled_or_with_unknown_sizes_values_and_gradients_are_the_same(
    temporal_padding: str, frames: int, rng: np.random.Generator
) -> None:
    clip = rng.normal(size=(2, frames, 3, 2, 8)).astype("float32")
    layer, expected = (
        TemporalShift(temporal_padding, 4),
        shift_by_definition(clip, 4, temporal_padding),
    )
    layer(clip)

    def shift_and_gradient(clip):
        with tf.GradientTape() as tape:
            tape.watch(clip)
            shifted = layer(clip)
            loss = tf.reduce_sum(shifted * expected)
        return shifted, tape.gradient(loss, clip)

    unknown = [tf.TensorSpec((None, None, None, None, 8))]
    survives = np.where(shift_by_definition(np.ones_like(clip), 4, temporal_padding), 1.0, 0.0)
    for arguments in ({"jit_compile": True}, {"input_signature": unknown}):
        shifted, gradient = tf.function(shift_and_gradient, **arguments)(tf.constant(clip))
        np.testing.assert_array_equal(shifted, expected)
        # The gradient of |shifted|^2 / 2 is the clip, except for values that left it at its ends.
        assert np.count_nonzero(gradient) == np.count_nonzero(survives)
        np.testing.assert_array_equal(gradient, np.where(gradient != 0, clip, 0))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_every_float_dtype_is_shifted_exactly(dtype: str, rng: np.random.Generator) -> None:
    clip = tf.cast(rng.normal(size=(1, 4, 2, 2, 8)), dtype)
    shifted = TemporalShift(divisor=4, dtype=dtype)(clip)
    assert shifted.dtype == dtype
    as_float = tf.cast(clip, "float64").numpy()
    expected = shift_by_definition(as_float, 4, "symmetric")
    np.testing.assert_array_equal(tf.cast(shifted, "float64"), expected)


def test_every_argument_survives_serialization() -> None:
    layer = TemporalShift("causal", 3, 5, name="shift")
    config = json.loads(json.dumps(layer.get_config()))
    again = TemporalShift.from_config(config)
    assert (again.temporal_padding, again.divisor, again.segments) == ("causal", 3, 5)
    assert again.get_config() == layer.get_config()


@pytest.mark.parametrize(
    ("arguments", "shape", "message"),
    [
        (("both",), None, "'causal', 'symmetric'.*Received: 'both'"),
        (("symmetric", 1), None, "at least 2. Received: 1"),
        (("causal", 0), None, "at least 1. Received: 0"),
        (("symmetric", 8, 0), None, "segments.*Received: 0"),
        ((), (2, 4, 4, 7), "1/8 of the channels.*at least 8 channels. Received: 7"),
        (("symmetric", 8, 3), (4, 2, 2, 8), "multiple of 3. Received: 4"),
        ((), (2, 4, 8), r"frames \(rank 4\) or of clips"),
    ],
)
def test_invalid_arguments_and_inputs_are_refused(
    arguments: tuple, shape: tuple, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        TemporalShift(*arguments)(np.zeros(shape or (), "float32"))

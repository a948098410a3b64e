"""The temporal shift and the non-local operation: the official ones, and streams equal clips."""

import json
import pathlib
import re

import golden
import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from random_weights import randomize

import mpvn
from keras_layers.non_local import NonLocal
from keras_layers.temporal_shift import TemporalShift


def channels_last(frames: np.ndarray) -> np.ndarray:
    return np.moveaxis(frames, 1, -1)


def by_hand(clip: np.ndarray, divisor: int, temporal_padding: str) -> np.ndarray:
    """Frame by frame and channel by channel, from the paper's figure 1."""
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


# --- the official shift -------------------------------------------------------------------------


@pytest.mark.parametrize("folded", [False, True])
def test_the_shift_is_the_official_one(folded: bool, shared: pathlib.Path) -> None:
    stored = golden.arrays(shared, "temporal_shift")
    cases = [name for name in stored if name.startswith("in_div")]
    assert len(cases) == 12
    for name in cases:
        divisor, frames = map(int, re.match(r"in_div(\d+)_n\d+_t(\d+)", name).groups())
        inputs, expected = (channels_last(stored[n]) for n in (name, name.replace("in", "out", 1)))
        layer = TemporalShift("symmetric", divisor, segments=frames if folded else None)
        if folded:
            found = layer(inputs)
        else:
            found = np.reshape(layer(inputs.reshape(-1, frames, *inputs.shape[1:])), inputs.shape)
        np.testing.assert_array_equal(found, expected, name)
        assert not layer.variables


def test_its_gradient_is_the_official_one(shared: pathlib.Path) -> None:
    stored = golden.arrays(shared, "temporal_shift")
    inputs, upstream, expected = (
        channels_last(stored[f"grad_div8_t4_{part}"]) for part in ("in", "up", "gx")
    )
    layer, inputs = TemporalShift(segments=4), tf.constant(inputs)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = layer(inputs)
    np.testing.assert_array_equal(tape.gradient(outputs, inputs, upstream), expected)


# --- one meaning --------------------------------------------------------------------------------


@pytest.mark.parametrize("divisor", [1, 2, 3, 8])
@pytest.mark.parametrize("temporal_padding", ["causal", "symmetric"])
def test_every_executor_shifts_by_the_definition(
    temporal_padding: str, divisor: int, rng: np.random.Generator
) -> None:
    if (temporal_padding, divisor) == ("symmetric", 1):
        return
    clip = rng.normal(size=(2, 5, 3, 2, 9)).astype("float32")
    expected = by_hand(clip, divisor, temporal_padding)
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
    ], "just the shifted channels are kept"
    for time in range(5):
        outputs, state = network.step(clip[:, time], state)
        np.testing.assert_array_equal(outputs, expected[:, time])


def test_a_shift_across_boundaries_and_clocks(rng: np.random.Generator) -> None:
    """A slow subnetwork shifts from its own last tick, in every executor alike."""
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


@pytest.mark.parametrize("way", ["layer", "layerwise", "step"])
@pytest.mark.parametrize("temporal_padding", ["causal", "symmetric"])
def test_only_what_moves_is_padded_and_cut(temporal_padding: str, way: str) -> None:
    """Whole clips were once padded and cut for the present frame and the next: five copies."""
    if (temporal_padding, way) == ("symmetric", "step"):
        return
    shift = TemporalShift(temporal_padding, 8)
    frame = keras.Input((6, 5, 32))
    network = mpvn.VideoNetwork(keras.Model(frame, shift(frame)), executor="layerwise")
    if way == "step":
        run = lambda clip: network.step(clip[:, 0], network.initial_state(2))[0]  # noqa: E731
    else:
        run = shift if way == "layer" else network
    graph = tf.function(run).get_concrete_function(tf.TensorSpec((2, 4, 6, 5, 32))).graph
    whole = [op.type for op in graph.get_operations() for x in op.outputs if x.shape[-1:] == [32]]
    assert whole.count("ConcatV2") == 1
    cuts = {"StridedSlice"} if way == "step" else set()  # the frame, out of the clip
    free = {"Placeholder", "Identity", "Reshape", "EnsureShape"}
    assert set(whole) <= {"ConcatV2"} | free | cuts


@pytest.mark.parametrize("frames", [1, 4])
@pytest.mark.parametrize("temporal_padding", ["causal", "symmetric"])
def test_compiled_and_of_unknown_sizes_it_shifts_and_learns_alike(
    temporal_padding: str, frames: int, rng: np.random.Generator
) -> None:
    clip = rng.normal(size=(2, frames, 3, 2, 8)).astype("float32")
    layer, expected = TemporalShift(temporal_padding, 4), by_hand(clip, 4, temporal_padding)
    layer(clip)

    def shift_and_gradient(clip):
        with tf.GradientTape() as tape:
            tape.watch(clip)
            shifted = layer(clip)
            loss = tf.reduce_sum(shifted * expected)
        return shifted, tape.gradient(loss, clip)

    unknown = [tf.TensorSpec((None, None, None, None, 8))]
    there_and_back = np.where(by_hand(np.ones_like(clip), 4, temporal_padding), 1.0, 0.0)
    for arguments in ({"jit_compile": True}, {"input_signature": unknown}):
        shifted, gradient = tf.function(shift_and_gradient, **arguments)(tf.constant(clip))
        np.testing.assert_array_equal(shifted, expected)
        # The gradient of |shifted|^2 / 2 is the clip, but for what left it at the ends.
        assert np.count_nonzero(gradient) == np.count_nonzero(there_and_back)
        np.testing.assert_array_equal(gradient, np.where(gradient != 0, clip, 0))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_any_float_dtype(dtype: str, rng: np.random.Generator) -> None:
    clip = tf.cast(rng.normal(size=(1, 4, 2, 2, 8)), dtype)
    shifted = TemporalShift(divisor=4, dtype=dtype)(clip)
    assert shifted.dtype == dtype
    as_float = tf.cast(clip, "float64").numpy()
    expected = by_hand(as_float, 4, "symmetric")
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
def test_what_cannot_be_shifted_is_refused(arguments: tuple, shape: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TemporalShift(*arguments)(np.zeros(shape or (), "float32"))


# --- the non-local operation --------------------------------------------------------------------


def non_local_weights(shared: pathlib.Path, name: str) -> dict[str, np.ndarray]:
    """The weights of one block: their file holds those of several."""
    listed = json.loads((shared / "golden" / "non_local.json").read_text())[name]
    rule = golden._module(shared / "golden" / "rule.py")
    return {key: rule.tensor(key, tuple(shape), kind) for key, kind, shape, *_ in listed}


def official_block(
    weights: dict[str, np.ndarray], frames: int, subsample: tuple[int, int]
) -> keras.Model:
    """A non-local block, of `NonLocal` and Keras's layers, with weights of the official names."""
    left = {re.sub(r"^(g|phi)\.0\.", r"\1.", name): value for name, value in weights.items()}
    frame = keras.Input((None, None, 8))
    attention = NonLocal(
        frames=frames,
        subsample=subsample,
        temporal_padding="causal" if frames == 1 else "symmetric",
    )
    x = attention(frame)
    for name in ("theta", "phi", "g"):
        kernel = left.pop(f"{name}.weight")
        kernel = kernel.reshape(kernel.shape[:2]).T
        getattr(attention, name).set_weights([kernel, left.pop(f"{name}.bias")])
    normed = "W.0.weight" in left
    out = layers.Conv2D(8, 1)
    x = out(x)
    kernel = left.pop("W.0.weight" if normed else "W.weight")
    kernel = kernel.reshape(kernel.shape[:2]).T
    out.set_weights([kernel[None, None], left.pop("W.0.bias" if normed else "W.bias")])
    if normed:
        norm = layers.BatchNormalization(epsilon=1e-5)
        x = norm(x)
        parts = ("weight", "bias", "running_mean", "running_var")
        norm.set_weights([left.pop(f"W.1.{part}") for part in parts])
    assert not left
    return keras.Model(frame, layers.Add()([frame, x]))


@pytest.mark.parametrize("batch_norm", [0, 1])
@pytest.mark.parametrize("subsampled", [0, 1])
@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_the_non_local_block_is_the_official_one(
    dimensions: int, subsampled: int, batch_norm: int, shared: pathlib.Path
) -> None:
    name = f"nl{dimensions}d_sub{subsampled}_bn{batch_norm}"
    stored = golden.arrays(shared, "non_local")
    inputs, expected = (channels_last(stored[f"{name}_{part}"]) for part in ("in", "out"))
    if dimensions == 1:
        inputs, expected = inputs[:, :, None], expected[:, :, None]
    block = (1 + subsampled, 1 if dimensions == 1 else 1 + subsampled)
    weights = non_local_weights(shared, name)
    model = official_block(weights, inputs.shape[1] if dimensions == 3 else 1, block)
    if dimensions < 3:
        np.testing.assert_allclose(model(inputs), expected, rtol=1e-5, atol=1e-6)
        return
    attention, *others = model.layers[1:]
    x = attention(inputs)  # [B, T, H, W, f] -> [B*T, H, W, f]
    x = tf.reshape(x, (-1, *x.shape[2:]))
    for layer in others[:-1]:
        x = layer(x)
    found = inputs + np.reshape(x, inputs.shape)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def attended_by_hand(layer: NonLocal, clip: np.ndarray, time: int, seen: range) -> np.ndarray:
    """Position by position, over the frames `seen`."""
    (phi, phi_bias), (g, g_bias), (theta, theta_bias) = (
        part.get_weights() for part in (layer.phi, layer.g, layer.theta)
    )
    frames = clip[:, seen.start : seen.stop].reshape(len(clip), -1, clip.shape[-1])
    query = clip[:, time].reshape(len(clip), -1, clip.shape[-1]) @ theta + theta_bias
    scores = np.exp(query @ np.swapaxes(frames @ phi + phi_bias, 1, 2))
    response = scores @ (frames @ g + g_bias) / scores.sum(-1, keepdims=True)
    return response.reshape(*clip[:, time].shape[:-1], -1)


@pytest.mark.parametrize("padding", ["causal", "symmetric"])
def test_the_non_local_operation_sees_just_its_frames_in_every_executor(
    padding: str, rng: np.random.Generator
) -> None:
    frame = keras.Input((3, 4, 6))
    layer = NonLocal(frames=3, subsample=1, temporal_padding=padding)
    model = keras.Model(frame, layer(frame))
    randomize(model, rng)
    clip = rng.normal(size=(2, 5, 3, 4, 6)).astype("float32")
    ahead = 3 if padding == "symmetric" else 1
    expected = np.stack(
        [
            attended_by_hand(layer, clip, time, range(max(0, time - 2), min(5, time + ahead)))
            for time in range(5)
        ],
        axis=1,
    )
    network = mpvn.VideoNetwork(model)
    for executor in ("layerwise",) if padding == "symmetric" else ("layerwise", "unroll"):
        network.executor = executor
        np.testing.assert_allclose(network(clip), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(layer(clip), expected, rtol=1e-4, atol=1e-5)
    if padding == "causal":
        state = network.initial_state(2)
        for time in range(5):
            outputs, state = network.step(clip[:, time], state)
            np.testing.assert_allclose(outputs, expected[:, time], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"filters": 0}, "filters=0"),
        ({"frames": 0}, "frames=0"),
        ({"subsample": (2, 2, 2)}, r"subsample=\(2, 2, 2\)"),
        ({"subsample": 4}, "spans 4 pixels does not fit into 3"),
    ],
)
def test_what_cannot_be_attended_to_is_refused(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        NonLocal(**arguments)(keras.Input((3, 8, 6)))

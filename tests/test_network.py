"""Clips and streams of a network agree with each other and with plain layers."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from random_weights import randomize
from small_models import causal, causal_row, chain, clocked_network, skipping

import keras_layers
from mpvn import Plan, VideoNetwork


@pytest.fixture(scope="module")
def network() -> VideoNetwork:
    return clocked_network()


def random_clip(rng: np.random.Generator, batch: int, steps: int) -> np.ndarray:
    return rng.normal(size=(batch, steps, 6, 6, 2)).astype("float32")


def stream(network: VideoNetwork, clip: np.ndarray, state: dict) -> tuple[np.ndarray, dict]:
    """Run `clip` frame by frame; return outputs `[B, T, ...]` and the state."""
    outputs = []
    for time in range(clip.shape[1]):
        output, state = network.step(clip[:, time], state)
        outputs.append(output)
    return np.stack(outputs, axis=1), state


def test_a_clip_in_pieces_equals_the_whole_clip(
    network: VideoNetwork, rng: np.random.Generator
) -> None:
    clip = random_clip(rng, 2, 11)
    whole, after = network.run(clip, network.initial_state(2))
    state, pieces = network.initial_state(2), []
    for piece in (clip[:, :1], clip[:, 1:6], clip[:, 6:]):
        outputs, state = network.run(piece, state)
        pieces.append(outputs)
    np.testing.assert_allclose(np.concatenate(pieces, axis=1), whole, rtol=1e-5, atol=1e-6)
    assert state["step"].numpy().tolist() == after["step"].numpy().tolist() == [11, 11]
    np.testing.assert_allclose(whole, network(clip), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("subnetworks", [1, 2])
def test_a_stream_through_temporal_layers_equals_the_layers_on_the_clip(
    subnetworks: int, rng: np.random.Generator
) -> None:
    """Windows are read within a step, or across a boundary and then one step late."""
    model = causal((3, 1), (2, 1))
    network = VideoNetwork(model, Plan(model, subnetworks))
    randomize(network, rng)
    clip = rng.normal(size=(2, 8, 4, 4, 1)).astype("float32")
    expected = np.asarray(model.layers[2](model.layers[1](clip)))
    if subnetworks == 2:
        # The zeros before the start are the second layer's input, not its output.
        late = np.pad(model.layers[1](clip)[:, :-1], [(0, 0), (1, 0), (0, 0), (0, 0), (0, 0)])
        expected = np.asarray(model.layers[2](late))
    outputs, _ = stream(network, clip, network.initial_state(2))
    np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-5)


def test_a_stream_can_start_at_any_phase(network: VideoNetwork, rng: np.random.Generator) -> None:
    clip = random_clip(rng, 1, 7)
    for phase in range(4):
        outputs, _ = stream(network, clip, network.initial_state(1, phase))
        expected, _ = network.run(clip, network.initial_state(1, phase))
        np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-6)


def test_a_step_in_a_tf_function_equals_an_eager_step(
    network: VideoNetwork, rng: np.random.Generator
) -> None:
    clip = random_clip(rng, 2, 9)
    expected, _ = stream(network, clip, network.initial_state(2))
    step = tf.function(network.step, autograph=False)
    state, outputs = network.initial_state(2), []
    for time in range(9):
        output, state = step(tf.constant(clip[:, time]), state)
        outputs.append(output)
    np.testing.assert_allclose(np.stack(outputs, axis=1), expected, rtol=1e-5, atol=1e-6)
    assert step.experimental_get_tracing_count() == 1


def test_a_reset_stream_equals_one_that_starts_then(
    network: VideoNetwork, rng: np.random.Generator
) -> None:
    clip = random_clip(rng, 3, 12)
    _, state = stream(network, clip[:, :3], network.initial_state(3))
    state = network.reset(state, [False, True, False])
    outputs, _ = stream(network, clip[:, 3:], state)
    alone, _ = stream(network, clip[1:2, 3:], network.initial_state(1))
    untouched, _ = stream(network, clip, network.initial_state(3))
    np.testing.assert_allclose(outputs[1], alone[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(outputs[[0, 2]], untouched[[0, 2], 3:], rtol=1e-5, atol=1e-6)
    assert not np.allclose(outputs[1], untouched[1, 3:])


def test_steps_are_traced_in_the_first_period_only(rng: np.random.Generator) -> None:
    network = clocked_network()
    period = network.plan.period
    assert (period, network.trace_count) == (4, 0)
    clip = random_clip(rng, 2, period)
    _, state = stream(network, clip, network.initial_state(2))
    traced = network.trace_count
    assert traced == len({network.plan.pattern(step) for step in range(period)})
    for _ in range(2):
        _, state = stream(network, clip, state)
    stream(network, random_clip(rng, 5, period), network.initial_state(5))
    assert network.trace_count == traced


def test_integer_frames_are_cast(network: VideoNetwork, rng: np.random.Generator) -> None:
    clip = rng.integers(0, 255, size=(1, 5, 6, 6, 2), dtype="uint8")
    expected, _ = stream(network, clip.astype("float32"), network.initial_state(1))
    outputs, _ = stream(network, clip, network.initial_state(1))
    np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(network(clip), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_streams_in_mixed_precision_equal_the_clip(
    policy: str, rng: np.random.Generator, restore_dtype_policy: None
) -> None:
    keras.config.set_dtype_policy(policy)
    model = skipping()
    network = VideoNetwork(model, Plan(model, 4, clocks=[1, 2, 2, 2]))
    randomize(network, rng)
    clip = rng.normal(size=(1, 7, 8, 8, 2)).astype("float32")
    whole, stepped = network(clip), stream(network, clip, network.initial_state(1))[0]
    assert keras.backend.standardize_dtype(whole.dtype) == policy.removeprefix("mixed_")
    assert stepped.dtype == np.asarray(whole).dtype
    np.testing.assert_allclose(
        stepped.astype("float32"), np.asarray(whole, "float32"), rtol=0.02, atol=0.02
    )


def test_feedback_from_an_earlier_node_is_one_step_late(rng: np.random.Generator) -> None:
    frame = keras.Input((4, 4, 2))
    first = layers.Conv2D(3, 1, name="c0")(frame)
    model = keras.Model(frame, keras_layers.Feedback("c0", (4, 4, 3))(first))
    clip = rng.normal(size=(2, 5, 4, 4, 2)).astype("float32")
    now = np.stack([model.layers[1](clip[:, time]) for time in range(5)], axis=1)
    expected = np.concatenate([np.zeros_like(now[:, :1]), now[:, :-1]], axis=1)
    np.testing.assert_allclose(VideoNetwork(model)(clip), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("executor", "phases"),
    [("layerwise", [0, 1, 3]), ("layerwise", [0, 1, 1]), ("unroll", [0, 1, 3])],
)
def test_a_clip_of_unknown_length_can_end_before_a_node_ticks(
    executor: str, phases: list[int], rng: np.random.Generator
) -> None:
    """A node without ticks whose reader takes every second tick was sliced from the wrong end."""
    model = causal_row((2, 1), (2, 2), (2, 2))
    randomize(model, rng)
    plan = Plan(model, boundaries=["t1", "t2"], phases=phases)
    network = VideoNetwork(model, plan, executor=executor)
    traced = tf.function(network, input_signature=[tf.TensorSpec((None, None, 4, 4, 2))])
    clip = rng.normal(size=(2, 9, 4, 4, 2)).astype("float32")
    expected, _ = stream(network, clip, network.initial_state(2))
    for length in (1, 2, 3, 4, 9):
        outputs = traced(clip[:, :length])
        np.testing.assert_allclose(outputs, expected[:, :length], rtol=1e-5, atol=1e-6)


def test_a_symmetric_layer_can_tick_before_its_input_has_ticked(rng: np.random.Generator) -> None:
    """The look-up started one tick too early and took the last ticks for the first ones.

    The input ticks at steps 3, 7, ...; at step 1, its first tick is in the future.
    """
    frame = keras.Input((4, 4, 2))
    x = layers.Conv2D(2, 1, name="slow")(frame)
    layer = keras_layers.TemporalConv3D(2, (3, 1, 1), temporal_padding="symmetric", name="ahead")
    model = keras.Model(frame, layer(x))
    randomize(model, rng)
    plan = Plan(model, clocks={"slow": 4}, phases={"slow": 3, "ahead": 1})
    clip = rng.normal(size=(1, 12, 4, 4, 2)).astype("float32")
    outputs = VideoNetwork(model, plan)(clip).numpy()
    slow = [model.get_layer("slow")(clip[:, step]).numpy() for step in (3, 7, 11)]
    zero = np.zeros_like(slow[0])
    windows = {1: [zero, zero, slow[0]], 5: [zero, *slow[:2]], 9: slow}
    for tick, window in windows.items():
        for step in range(tick, min(tick + 4, 12)):
            np.testing.assert_allclose(outputs[:, step], layer([*window]), rtol=1e-5, atol=1e-6)
    assert not outputs[:, 0].any()


def test_the_network_shares_weights_with_the_frame_model() -> None:
    model = chain(2, 2)
    network = VideoNetwork(model, Plan(model, 2))
    assert [id(w) for w in network.weights] == [id(w) for w in model.weights]

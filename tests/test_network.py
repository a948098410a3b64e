"""How a network streams, what it refuses, and how it trains."""

import re
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from random_weights import randomize
from small_models import causal, causal_row, chain, looping, skipping

import keras_layers
from mpvn import Plan, PlanError, VideoNetwork


@pytest.fixture
def network(rng: np.random.Generator) -> VideoNetwork:
    """Three subnetworks, a skip, slow clocks of a period of 4, a memory of 3 ticks."""
    frame = keras.Input((6, 6, 2), name="frame")
    first = x = layers.Conv2D(2, 3, padding="same", name="c0")(frame)
    x = layers.Conv2D(2, 1, activation="tanh", name="c1")(x)
    x = keras_layers.TemporalConv3D(2, (3, 1, 1), name="t2")(x)
    x = layers.Add(name="sum")([first, x])
    model = keras.Model(frame, layers.GlobalAveragePooling2D(name="pool")(x), name="small")
    network = VideoNetwork(model, Plan(model, boundaries=["c1", "t2"], clocks=[1, 2, 4]))
    randomize(network, rng)
    return network


def clip_for(network: VideoNetwork, rng: np.random.Generator, batch: int, steps: int) -> Any:
    shape = network.graph.tensors[network.graph.inputs[0]].shape
    return rng.normal(size=(batch, steps, *shape)).astype("float32")


def stream(network: VideoNetwork, clip: np.ndarray, state: dict) -> tuple[np.ndarray, dict]:
    outputs = []
    for time in range(clip.shape[1]):
        output, state = network.step(clip[:, time], state)
        outputs.append(output)
    return np.stack(outputs, axis=1), state


def test_a_clip_in_pieces_is_the_whole_clip(
    network: VideoNetwork, rng: np.random.Generator
) -> None:
    clip = clip_for(network, rng, 2, 11)
    whole, after = network.run(clip, network.initial_state(2))
    state, pieces = network.initial_state(2), []
    for piece in (clip[:, :1], clip[:, 1:6], clip[:, 6:]):
        outputs, state = network.run(piece, state)
        pieces.append(outputs)
    np.testing.assert_allclose(np.concatenate(pieces, axis=1), whole, rtol=1e-5, atol=1e-6)
    assert int(state["step"]) == int(after["step"]) == 11
    np.testing.assert_allclose(whole, network(clip), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("subnetworks", [1, 2])
def test_a_stream_of_temporal_layers_is_those_layers_over_the_clip(
    subnetworks: int, rng: np.random.Generator
) -> None:
    """With windows read within the step, and across a boundary: then one step later."""
    model = causal((3, 1), (2, 1))
    network = VideoNetwork(model, Plan(model, subnetworks))
    randomize(network, rng)
    clip = clip_for(network, rng, 2, 8)
    expected = np.asarray(model.layers[2](model.layers[1](clip)))
    if subnetworks == 2:
        # Zeros before the start are the second layer's input, not its output.
        late = np.pad(model.layers[1](clip)[:, :-1], [(0, 0), (1, 0), (0, 0), (0, 0), (0, 0)])
        expected = np.asarray(model.layers[2](late))
    found, _ = stream(network, clip, network.initial_state(2))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_a_stream_may_begin_at_any_phase(network: VideoNetwork, rng: np.random.Generator) -> None:
    clip = clip_for(network, rng, 1, 9)
    for phase in range(4):
        stepped, _ = stream(network, clip, network.initial_state(1, phase))
        whole, _ = network.run(clip, network.initial_state(1, phase))
        np.testing.assert_allclose(stepped, whole, rtol=1e-5, atol=1e-6)


def test_a_step_inside_a_traced_function_equals_the_eager_one(
    network: VideoNetwork, rng: np.random.Generator
) -> None:
    clip = clip_for(network, rng, 2, 9)
    expected, _ = stream(network, clip, network.initial_state(2))
    step = tf.function(network.step, autograph=False)
    state, found = network.initial_state(2), []
    for time in range(9):
        outputs, state = step(tf.constant(clip[:, time]), state)
        found.append(outputs)
    np.testing.assert_allclose(np.stack(found, axis=1), expected, rtol=1e-5, atol=1e-6)
    assert step.experimental_get_tracing_count() == 1


def test_a_stream_that_is_reset_is_as_one_begun_at_that_phase(
    network: VideoNetwork, rng: np.random.Generator
) -> None:
    clip = clip_for(network, rng, 3, 12)
    _, state = stream(network, clip[:, :3], network.initial_state(3))
    state = network.reset(state, [False, True, False])
    outputs, _ = stream(network, clip[:, 3:], state)
    alone, _ = stream(network, clip[1:2, 3:], network.initial_state(1, phase=3))
    untouched, _ = stream(network, clip, network.initial_state(3))
    np.testing.assert_allclose(outputs[1], alone[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(outputs[[0, 2]], untouched[[0, 2], 3:], rtol=1e-5, atol=1e-6)
    assert not np.allclose(outputs[1], untouched[1, 3:])


def test_steps_are_traced_in_the_first_period_only(
    network: VideoNetwork, rng: np.random.Generator
) -> None:
    period = network.plan.period
    assert period == 4
    clip = clip_for(network, rng, 2, period)
    _, state = stream(network, clip, network.initial_state(2))
    traced = network.trace_count
    assert traced == len({network.plan.pattern(step) for step in range(period)})
    for _ in range(2):
        _, state = stream(network, clip, state)
    stream(network, clip_for(network, rng, 5, period), network.initial_state(5))
    assert network.trace_count == traced


def test_frames_of_bytes_are_taken_as_they_are(
    network: VideoNetwork, rng: np.random.Generator
) -> None:
    clip = rng.integers(0, 255, size=(1, 5, 6, 6, 2), dtype="uint8")
    expected, _ = stream(network, clip.astype("float32"), network.initial_state(1))
    found, _ = stream(network, clip, network.initial_state(1))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(network(clip), expected, rtol=1e-4, atol=1e-4)


def test_a_frame_of_another_shape_is_refused(network: VideoNetwork) -> None:
    state = network.initial_state(1)
    message = r"a frame of shape \[B, 6, 6, 2\] for 'video_small'. Received: "
    for shape in ((1, 6, 5, 2), (6, 6, 2), (1, 1, 6, 6, 2)):
        with pytest.raises(ValueError, match=message + re.escape(str(shape))):
            network.step(np.zeros(shape, "float32"), state)


def test_a_clip_of_another_shape_is_refused(network: VideoNetwork) -> None:
    with pytest.raises(ValueError, match=r"\[B, T, 6, 6, 2\].*A clip has a time axis"):
        network(np.zeros((1, 6, 6, 2), "float32"))


@pytest.mark.parametrize("batch", [1, 2])
def test_a_batch_that_is_not_the_states_is_refused(batch: int, network: VideoNetwork) -> None:
    """Frames of 3 streams on the state of 1 were taken: its past was broadcast to all of them."""
    state = network.initial_state(batch)
    with pytest.raises(ValueError, match=f"3 streams.*{batch}|{batch} streams.*3"):
        network.step(np.zeros((3, 6, 6, 2), "float32"), state)
    with pytest.raises(ValueError, match=f"3 streams.*{batch}|{batch} streams.*3"):
        network.run(np.zeros((3, 5, 6, 6, 2), "float32"), state)


def test_a_state_of_another_network_is_refused(network: VideoNetwork) -> None:
    state = network.initial_state(1)
    slot = next(name for name in state if name != "step")
    lacking = {name: value for name, value in state.items() if name != slot}
    frame = np.zeros((1, 6, 6, 2), "float32")
    with pytest.raises(ValueError, match=f"not a state of 'video_small': lacks .'{slot}'"):
        network.step(frame, lacking)
    with pytest.raises(ValueError, match="has unknown .'more'.*initial_state"):
        network.step(frame, {**state, "more": state[slot]})
    with pytest.raises(ValueError, match="not a state"):
        network.reset(lacking, [True])


@pytest.mark.parametrize("streams", [[1, 0], True, [[True]]])
def test_streams_to_reset_must_be_bools(network: VideoNetwork, streams: Any) -> None:
    with pytest.raises(ValueError, match="one bool per stream.*Received"):
        network.reset(network.initial_state(2), streams)


@pytest.mark.parametrize("streams", [[True], [True, False]])
def test_as_many_bools_as_streams_are_needed(streams: list, network: VideoNetwork) -> None:
    """One bool for three streams was broadcast and reset them all."""
    with pytest.raises(ValueError, match="state is of 3 streams, but [12]"):
        network.reset(network.initial_state(3), streams)


def test_an_unknown_executor_is_refused(network: VideoNetwork) -> None:
    with pytest.raises(ValueError, match="executor. Expected one of.*Received: 'fast'"):
        network.executor = "fast"
    with pytest.raises(ValueError, match="Received: 'fast'"):
        VideoNetwork(network.frame_model, network.plan, executor="fast")


def test_feedback_cannot_be_swept() -> None:
    network = VideoNetwork(looping())
    with pytest.raises(ValueError, match='feedback.*executor="unroll"'):
        network.executor = "layerwise"


def test_a_network_that_looks_ahead_neither_unrolls_nor_streams() -> None:
    frame = keras.Input((4, 4, 1))
    conv = keras_layers.TemporalConv3D(1, 3, temporal_padding="symmetric")
    network = VideoNetwork(keras.Model(frame, conv(frame), name="ahead"))
    with pytest.raises(ValueError, match='future. Set executor="layerwise"'):
        network.executor = "unroll"
    with pytest.raises(ValueError, match='cannot stream. Build it with temporal_padding="causal"'):
        network.initial_state(1)
    clip = np.random.default_rng(0).normal(size=(2, 5, 4, 4, 1)).astype("float32")
    np.testing.assert_allclose(network(clip), conv(clip), rtol=1e-5, atol=1e-6)


def test_what_is_no_plan_is_refused() -> None:
    with pytest.raises(TypeError, match="plan must be a Plan or None. Received: 3"):
        VideoNetwork(chain(2), 3)


def test_a_plan_of_an_equal_model_is_taken_over_and_of_another_refused() -> None:
    plan = Plan(chain(2, 2), 2)
    assert VideoNetwork(chain(2, 2), plan).plan == plan
    with pytest.raises(PlanError, match="no node is named 'c1'"):
        VideoNetwork(chain(2), plan)


def test_regularizers_and_added_losses_reach_the_network(rng: np.random.Generator) -> None:
    @keras.saving.register_keras_serializable(package="tests")
    class Penalty(layers.Layer):
        def call(self, inputs: Any) -> Any:
            self.add_loss(0.5 * keras.ops.mean(keras.ops.square(inputs)))
            return inputs

    frame = keras.Input((4, 4, 2))
    x = layers.Conv2D(2, 1, kernel_regularizer=keras.regularizers.L2(0.1))(frame)
    model = keras.Model(frame, Penalty()(x))
    network = VideoNetwork(model, Plan(model, 2), executor="layerwise")
    randomize(network, rng)
    clip = rng.normal(size=(2, 3, 4, 4, 2)).astype("float32")
    outputs = network(clip)
    kernel = np.asarray(network.trainable_weights[0])
    assert sum(map(float, network.losses)) == pytest.approx(
        0.1 * np.sum(kernel**2) + 0.5 * np.mean(np.square(penalized(outputs, network, clip))),
        rel=1e-4,
    )
    network.compile("sgd", loss="mse")
    plain = float(np.mean(np.square(outputs)))
    assert network.evaluate(clip, np.zeros_like(outputs), verbose=0) > plain


def test_losses_that_layers_add_train_in_a_sweep_which_auto_chooses(
    rng: np.random.Generator,
) -> None:
    """Losses added within the loop of `unroll` cannot be reached from outside it."""
    frame = keras.Input((4, 4, 2))
    x = layers.Conv2D(2, 1, activity_regularizer=keras.regularizers.L2(0.1))(frame)
    model = keras.Model(frame, layers.Conv2D(2, 1)(x))
    clip = rng.normal(size=(2, 5, 4, 4, 2)).astype("float32")
    network = VideoNetwork(model, Plan(model, 2, clocks=[1, 2]))
    network.compile(keras.optimizers.SGD(0.0), loss="mse")
    loss = network.fit(clip, np.zeros_like(clip), verbose=0).history["loss"][0]
    plain = float(np.mean(np.square(network(clip))))
    model.layers[1](clip.reshape(-1, 4, 4, 2))
    (added,) = model.layers[1].losses
    assert added > 0.1
    assert loss == pytest.approx(plain + float(added), rel=1e-3)
    network.executor = "unroll"
    with pytest.raises(ValueError, match='add losses.*conv2d.*executor="layerwise"'):
        network(clip, training=True)
    assert network(clip).shape == clip.shape  # in inference nobody asks for them


@pytest.mark.parametrize("executor", ["layerwise", "unroll"])
def test_dropout_drops_in_training_and_anew_at_each_step(
    executor: str, rng: np.random.Generator
) -> None:
    """Keras records the default `training=False` of `Dropout.call` in the graph.

    It was taken for the user's wish, and dropout did nothing in `fit`.
    """
    frame = keras.Input((8, 8, 4))
    network = VideoNetwork(keras.Model(frame, layers.Dropout(0.5)(frame)), executor=executor)
    clip = tf.constant(rng.uniform(1, 2, size=(2, 5, 8, 8, 4)), "float32")
    run = tf.function(lambda values: network(values, training=True))
    dropped = np.asarray(run(clip)) == 0
    assert 0.4 < dropped.mean() < 0.6
    for time in range(4):
        assert np.any(dropped[:, time] != dropped[:, time + 1])
    np.testing.assert_array_equal(network(clip, training=False), clip)


def test_a_clip_without_frames_is_refused() -> None:
    model = chain(2, 3)
    network = VideoNetwork(model, Plan(model, 2, clocks=[1, 2]))
    with pytest.raises(ValueError, match="at least one frame"):
        network.run(np.zeros((2, 0, 8, 8, 2), "float32"), network.initial_state(2))


def penalized(outputs: Any, network: VideoNetwork, clip: np.ndarray) -> np.ndarray:
    """What the penalty saw: the convolution one step before, zeros at first."""
    before = np.asarray(network.frame_model.layers[1](clip.reshape(-1, 4, 4, 2)))
    before = before.reshape(2, 3, 4, 4, 2)
    delayed = np.concatenate([np.zeros_like(before[:, :1]), before[:, :-1]], axis=1)
    np.testing.assert_allclose(outputs, delayed, rtol=1e-4, atol=1e-5)
    return delayed


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


def test_weights_are_shared_with_the_frame_model(rng: np.random.Generator) -> None:
    model = chain(2, 2)
    network = VideoNetwork(model, Plan(model, 2))
    assert [id(w) for w in network.weights] == [id(w) for w in model.weights]


def test_feedback_from_an_earlier_node_is_of_the_previous_step_too(
    rng: np.random.Generator,
) -> None:
    frame = keras.Input((4, 4, 2))
    first = layers.Conv2D(3, 1, name="c0")(frame)
    model = keras.Model(frame, keras_layers.Feedback("c0", (4, 4, 3))(first))
    network = VideoNetwork(model)
    clip = rng.normal(size=(2, 5, 4, 4, 2)).astype("float32")
    now = np.stack([model.layers[1](clip[:, time]) for time in range(5)], axis=1)
    expected = np.concatenate([np.zeros_like(now[:, :1]), now[:, :-1]], axis=1)
    np.testing.assert_allclose(network(clip), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("phases", [[0, 1, 3], [0, 1, 1]])
@pytest.mark.parametrize("executor", ["layerwise", "unroll"])
def test_a_clip_of_unknown_length_may_end_before_a_node_ticks(
    executor: str, phases: list[int], rng: np.random.Generator
) -> None:
    """A node without ticks, read every second tick, was sliced from the wrong end."""
    model = causal_row((2, 1), (2, 2), (2, 2))
    model.set_weights([rng.normal(size=w.shape) for w in model.get_weights()])
    plan = Plan(model, boundaries=["t1", "t2"], phases=phases)
    network = VideoNetwork(model, plan, executor=executor)
    traced = tf.function(network, input_signature=[tf.TensorSpec((None, None, 4, 4, 2))])
    clip = rng.normal(size=(2, 9, 4, 4, 2)).astype("float32")
    state, streamed = network.initial_state(2), []
    for time in range(9):
        outputs, state = network.step(clip[:, time], state)
        streamed.append(outputs)
    for length in (1, 2, 3, 4, 9):
        np.testing.assert_allclose(
            traced(clip[:, :length]), np.stack(streamed[:length], axis=1), rtol=1e-5, atol=1e-6
        )


def test_a_symmetric_layer_may_tick_before_what_it_reads_has_ticked(
    rng: np.random.Generator,
) -> None:
    """Ticks of its input are at steps 3, 7, ...; at step 1 the first of them is its future.

    The look-up began one tick too early then, and took the last ticks for the first.
    """
    frame = keras.Input((4, 4, 2))
    x = layers.Conv2D(2, 1, name="slow")(frame)
    layer = keras_layers.TemporalConv3D(2, (3, 1, 1), temporal_padding="symmetric", name="seer")
    model = keras.Model(frame, layer(x))
    randomize(model, rng)
    plan = Plan(model, clocks={"slow": 4}, phases={"slow": 3, "seer": 1})
    clip = rng.normal(size=(1, 12, 4, 4, 2)).astype("float32")
    found = VideoNetwork(model, plan)(clip).numpy()
    slow = [model.get_layer("slow")(clip[:, step]).numpy() for step in (3, 7, 11)]
    zero = np.zeros_like(slow[0])
    windows = {1: [zero, zero, slow[0]], 5: [zero, *slow[:2]], 9: slow}
    for step, window in windows.items():
        for later in range(4 if step < 9 else 3):
            expected = layer([*window])
            np.testing.assert_allclose(found[:, step + later], expected, rtol=1e-5, atol=1e-6)
    assert not found[:, 0].any()


def test_batch_norm_is_trained_on_clips_of_any_size_alike() -> None:
    """Large clips were unrolled, with statistics of each step: at the first steps, before frames
    have come through, they are so unlike those of a clip that inference said something else."""
    frame = keras.Input((64, 64, 3))
    x = keras.layers.Conv2D(8, 3, padding="same")(frame)
    x = keras.layers.BatchNormalization(momentum=0.0)(x)
    model = keras.Model(frame, keras.layers.GlobalAveragePooling2D()(keras.layers.ReLU()(x)))
    network = VideoNetwork(model, Plan(model, 2))
    rng = np.random.default_rng(0)
    clips = rng.normal(size=(2, 40, 64, 64, 3)).astype("float32")  # more than SWEEP_BYTES
    clips *= np.linspace(0, 2, 40, dtype="float32")[:, None, None, None]
    trained = network(clips, training=True)
    np.testing.assert_allclose(network(clips, training=False), trained, atol=1e-3)
    network.executor = "unroll"
    trained = network(clips, training=True)
    assert np.abs(network(clips, training=False) - trained).max() > 0.01

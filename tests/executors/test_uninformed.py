"""Layers that are undefined at zeros, in the middle of a pipeline that starts from zeros.

`x / norm(x)` has no value and no gradient at zeros. One NaN of a step that no frame had reached
used to spoil all weights, whatever the weight of that step. The reference is the frame model on
single frames: the steps without information are left out, so they cannot matter.
"""

import itertools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops
from random_weights import randomize

import keras_layers
from mpvn import Plan, VideoNetwork
from mpvn.sideways.back_propagation import BackPropagationTrainer, GPipeTrainer
from mpvn.sideways.sideways_trainer import SidewaysTrainer

pytestmark = pytest.mark.usefixtures("double_precision")

STEPS = 9

PLANS: dict[str, dict[str, Any]] = {
    "three subnetworks": {},
    "clocks": {"clocks": [1, 2, 2]},
    "late phases": {"clocks": [2, 2, 4], "phases": [1, 0, 3]},
}


@keras.saving.register_keras_serializable(package="test_uninformed")
class Direction(layers.Layer):
    """`x w / norm(x w)`: a custom layer with weights, which counts its calls."""

    def build(self, shape: tuple) -> None:
        self.w = self.add_weight(name="w", shape=(shape[-1], 3))
        self.calls = self.add_weight(name="calls", initializer="zeros", trainable=False)

    def call(self, x):
        self.calls.assign_add(1.0)
        y = x @ self.w
        return y / ops.norm(y, axis=-1, keepdims=True)


def direction_by_operations(x: keras.KerasTensor) -> keras.KerasTensor:
    x = layers.Dense(3, use_bias=False, name="direction")(x)
    return x / ops.norm(x, axis=-1, keepdims=True)


def build(direction: Callable) -> keras.Model:
    """first | second, direction | a skip from the first, last"""
    frame = keras.Input((4,))
    first = layers.Dense(4, use_bias=False, name="first")(frame)
    x = layers.Dense(4, "tanh", use_bias=False, name="second")(first)
    x = direction(x)
    model = keras.Model(frame, layers.Dense(2, name="last")(x))
    randomize(model, np.random.default_rng(5))
    return model


@pytest.fixture(scope="module", params=["layer", "operations"])
def model(request: pytest.FixtureRequest) -> keras.Model:
    layer = request.param == "layer"
    return build(Direction(name="direction") if layer else direction_by_operations)


def plan_of(model: keras.Model, name: str = "three subnetworks") -> Plan:
    return Plan(model, boundaries=["second", "last"], **PLANS[name])


def frames_seen(name: str) -> np.ndarray:
    """Return which frame each output shows, -1 for none: by a network that passes frames on."""
    x = frame = keras.Input((1,))
    for layer in ("first", "second", "direction", "last"):
        x = layers.Identity(name=layer)(x)
    passing = keras.Model(frame, x)
    numbers = np.arange(1.0, STEPS + 1).reshape(1, STEPS, 1)
    return VideoNetwork(passing, plan_of(passing, name))(numbers).numpy().astype(int).ravel() - 1


def of_frames(model: keras.Model, clip: np.ndarray, seen: np.ndarray) -> tuple:
    """Return the frame model's outputs of the frames `seen`, and gradients of their loss."""
    with tf.GradientTape() as tape:
        outputs = tf.stack([model(clip[:, frame]) for frame in seen], axis=1)
        gradients = loss_of(outputs)
    return outputs, tape.gradient(gradients, [v.value for v in model.trainable_variables])


def loss_of(outputs: tf.Tensor) -> tf.Tensor:
    weights = tf.range(2.0, 2.0 + outputs.shape[1], dtype=tf.float64)
    return tf.reduce_sum(outputs**2 * weights[:, None])


def assert_close(received: list, expected: list) -> None:
    for ours, theirs in zip(received, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-11)


@pytest.mark.parametrize("plan", PLANS)
def test_gradients_of_clips_leave_uninformed_steps_out(
    model: keras.Model, plan: str, rng: np.random.Generator
) -> None:
    clip, seen = rng.normal(size=(2, STEPS, 4)), frames_seen(plan)
    first = int((seen < 0).sum())
    outputs, gradients = of_frames(model, clip, seen[first:])
    for executor, rematerialize in itertools.product(("unroll", "layerwise"), (False, True)):
        network = VideoNetwork(
            model, plan_of(model, plan), executor=executor, rematerialize=rematerialize
        )
        assert network.first_informed_step == first
        with tf.GradientTape() as tape:
            values = network(clip, training=True)
            loss = loss_of(values[:, first:])
        received = tape.gradient(loss, [v.value for v in network.trainable_variables])
        assert np.isfinite(values).all()
        assert_close([values[:, first:], *received], [outputs, *gradients])


@pytest.mark.parametrize("executor", ["unroll", "layerwise"])
def test_clips_of_any_length(executor: str, rng: np.random.Generator) -> None:
    """Also of one that is known only at run time, and that ends before a frame gets through."""
    model = build(Direction(name="direction"))
    network = VideoNetwork(model, plan_of(model, "late phases"), executor=executor)
    clip = tf.constant(rng.normal(size=(2, STEPS, 4)))
    seen = frames_seen("late phases")
    first = int((seen < 0).sum())
    outputs, gradients = of_frames(model, clip, seen[first:])
    weights = [v.value for v in network.trainable_variables]

    @tf.function(input_signature=[tf.TensorSpec((None, None, 4), tf.float64)], autograph=False)
    def run(clip):
        with tf.GradientTape() as tape:
            values = network(clip)
            late = values[:, first:]
            weight = tf.range(2.0, 2.0 + tf.cast(tf.shape(late)[1], tf.float64), dtype=tf.float64)
            loss = tf.reduce_sum(late**2 * weight[:, None])
        return values, tape.gradient(loss, weights)

    values, received = run(clip)
    assert_close([values[:, first:], *received], [outputs, *gradients])
    for steps in range(1, first + 2):
        short, received = run(clip[:, :steps])
        assert_close([short], [values[:, :steps]])
        assert all(np.isfinite(gradient).all() for gradient in received)


def test_a_nan_of_an_informed_step_shows(model: keras.Model, rng: np.random.Generator) -> None:
    clip = rng.normal(size=(1, STEPS, 4))
    clip[:, 3] = 0.0
    for executor in ("unroll", "layerwise"):
        network = VideoNetwork(model, plan_of(model), executor=executor)
        with tf.GradientTape() as tape:
            outputs = network(clip, training=True)
            loss = tf.reduce_sum(outputs[:, 2:])
        assert np.isnan(outputs[0, :, 0]).tolist() == [step == 5 for step in range(STEPS)]
        assert np.isnan(tape.gradient(loss, model.get_layer("last").kernel.value)).all()


def test_a_cut_call_changes_no_variable(rng: np.random.Generator) -> None:
    model = build(Direction(name="direction"))
    network = VideoNetwork(model, plan_of(model), executor="unroll")
    calls = model.get_layer("direction").calls
    calls.assign(0.0)
    network(rng.normal(size=(1, STEPS, 4)), training=True)
    assert calls.numpy() == STEPS - 1


def test_streams_of_all_ages_equal_clips(rng: np.random.Generator) -> None:
    """Values and gradients, where one stream of a batch is informed and the other is not."""
    model = build(Direction(name="direction"))
    network = VideoNetwork(model, plan_of(model, "late phases"))
    clips = rng.normal(size=(2, STEPS, 4))
    old, new = network(clips[:1]), network(clips[1:])
    state = network.initial_state(2)
    for step in range(5):  # now the clocks of the old stream tick when those of the new one rest
        _, state = network.step(clips[[0, 0], step], state)
    state = network.reset(state, [False, True])
    outputs: list = []
    with tf.GradientTape() as tape:
        for step in range(4):
            frames = np.stack([clips[0, 5 + step], clips[1, step]])
            output, state = network.step(frames, state, training=True)
            outputs.append(output)
        loss = tf.reduce_sum(tf.stack(outputs[3:]) ** 2)
    received = tape.gradient(loss, [v.value for v in network.trainable_variables])
    values = tf.stack(outputs, axis=1)
    assert_close([values[:1], values[1:]], [old[:, 5:], new[:, :4]])
    with tf.GradientTape() as tape:
        seen = frames_seen("late phases")
        shown = [[0, seen[8]], [1, seen[3]]]
        loss = tf.reduce_sum(model(tf.gather_nd(clips, shown)) ** 2)
    # No gradient flows to what the old stream computed before, so compare the last layer.
    expected = tape.gradient(loss, [v.value for v in model.get_layer("last").variables])
    assert_close(received[-2:], expected)
    assert all(np.isfinite(gradient).all() for gradient in received if gradient is not None)


def test_feedback_does_not_keep_a_nan_forever(rng: np.random.Generator) -> None:
    frame = keras.Input((4,))
    back = keras_layers.Feedback("norm", (4,), name="back")(frame)
    x = layers.Dense(4, name="entry")(layers.Add(name="sum")([frame, back]))
    x = layers.Lambda(lambda x: x / ops.norm(x, axis=-1, keepdims=True), name="norm")(
        layers.Dense(4, use_bias=False, name="second")(x)
    )
    model = keras.Model(frame, x)
    network = VideoNetwork(model, Plan(model, boundaries=["second"]))
    assert np.isfinite(network(rng.normal(size=(1, 4, 4)))).all()


# --- trainers -----------------------------------------------------------------------------------


def steps_of(
    trainer: Any, network: VideoNetwork, *batch: Any, loss: Any = "mean_squared_error"
) -> list[np.ndarray]:
    """Fit one batch with SGD of rate 1; return the step of each weight."""
    trainer.compile(keras.optimizers.SGD(1.0), loss)
    before = [v.numpy() for v in network.trainable_variables]
    history = trainer.fit(tf.data.Dataset.from_tensors(tuple(batch)), verbose=0, shuffle=False)
    assert np.isfinite(history.history["loss"]).all()
    after = [v.numpy() for v in network.trainable_variables]
    return [old - new for old, new in zip(before, after, strict=True)]


@pytest.fixture(scope="module")
def still() -> tuple[np.ndarray, np.ndarray]:
    """A clip of identical frames, on which Sideways is back-propagation, and its targets."""
    rng = np.random.default_rng(7)
    return tuple(np.repeat(rng.normal(size=(2, 1, n)), STEPS, axis=1) for n in (4, 2))


@pytest.mark.parametrize(
    ("trainer", "settings"),
    [
        (None, {"executor": "unroll"}),
        (None, {"executor": "layerwise"}),
        (None, {"executor": "layerwise", "start": "primed"}),
        (None, {"gradient": "sideways"}),
        (SidewaysTrainer, {}),
        (SidewaysTrainer, {"start": "primed"}),
        (BackPropagationTrainer, {}),
        (GPipeTrainer, {}),
    ],
)
def test_every_trainer_takes_the_step_of_single_frames(
    trainer: Any, settings: dict, still: tuple
) -> None:
    model = build(Direction(name="direction"))
    network = VideoNetwork(model, plan_of(model), **settings)
    clip, targets = still
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean((model(clip[:, 0]) - targets[:, 0]) ** 2)
    expected = tape.gradient(loss, [v.value for v in network.trainable_variables])
    batch: list = [clip, targets]
    if trainer is None and network.first_informed_step:
        batch.append(np.float64(np.arange(STEPS) >= 2)[None].repeat(2, 0) * STEPS / (STEPS - 2))
    received = steps_of(trainer(network) if trainer else network, network, *batch)
    assert_close(received, expected)


def length(targets: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
    """A loss that has no gradient, and no value, at zeros."""
    return ops.norm(outputs - targets, axis=-1) + ops.log(ops.norm(outputs, axis=-1))


@pytest.mark.parametrize(
    ("trainer", "settings"),
    [(None, {}), (None, {"gradient": "sideways"}), (SidewaysTrainer, {"latency": 2})],
)
def test_a_loss_need_not_be_defined_where_it_does_not_count(
    trainer: Any, settings: dict, still: tuple
) -> None:
    frame = keras.Input((4,))
    x = layers.Dense(4, use_bias=False, name="first")(frame)
    x = layers.Dense(4, use_bias=False, name="second")(x)
    model = keras.Model(frame, layers.Dense(2, use_bias=False, name="last")(x))
    randomize(model, np.random.default_rng(5))
    gradient = settings.get("gradient", "exact")
    network = VideoNetwork(model, plan_of(model), gradient=gradient)
    clip, targets = still[0], np.zeros_like(still[1])
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(length(targets[:, 0], model(clip[:, 0])))
    expected = tape.gradient(loss, [v.value for v in network.trainable_variables])
    batch = [clip, targets]
    if trainer is None:
        batch.append(np.float64(np.arange(STEPS) >= 2)[None].repeat(2, 0) * STEPS / (STEPS - 2))
    received = steps_of(trainer(network) if trainer else network, network, *batch, loss=length)
    assert_close(received, expected)


def test_outputs_for_a_loss_keep_their_masks_and_what_counts() -> None:
    words = keras.Input((3,), dtype="int32")
    x = layers.Dense(2, name="last")(layers.Embedding(5, 2, mask_zero=True)(words))
    model = keras.Model(words, [x, x + 1.0])
    network = VideoNetwork(model, Plan(model, boundaries=["last"]))
    outputs = network(np.ones((1, 3, 3), "int32"))
    for weights in (None, [None, None], {"last": np.zeros((1, 3))}):
        assert_close(network.counted_outputs(outputs, weights), outputs)
    counted, unweighted = network.counted_outputs(outputs, [tf.zeros((1, 3)), None])
    np.testing.assert_array_equal(counted._keras_mask, outputs[0]._keras_mask)
    np.testing.assert_array_equal(counted[:, 0], outputs[0][:, 2])
    np.testing.assert_array_equal(counted[:, 1:], outputs[0][:, 1:])
    np.testing.assert_array_equal(unweighted, outputs[1])


def test_sideways_learns_from_streams_beside_new_ones(rng: np.random.Generator) -> None:
    """A reset stream is not informed yet, while the other one is."""
    clip, targets = rng.normal(size=(2, STEPS, 4)), rng.normal(size=(2, STEPS, 2))
    steps = {}
    for streams in (slice(0, 1), slice(0, 2)):
        network = VideoNetwork(model := build(Direction(name="direction")), plan_of(model))
        trainer = SidewaysTrainer(network)
        trainer.compile(keras.optimizers.SGD(0.0), keras.losses.MeanSquaredError(dtype="float64"))
        count = len(clip[streams])
        state = trainer.initial_state(count)
        _, _, state = trainer.learn(clip[streams, :6], targets[streams, :6], state)
        state = trainer.reset(state, np.arange(count) > 0)
        for part in trainer._part_optimizers:
            part.learning_rate.assign(1.0)
        trainer.optimizer.learning_rate = 1.0
        before = [v.numpy() for v in network.trainable_variables]
        trainer.learn(clip[streams, 6:8], targets[streams, 6:8], state)
        after = [v.numpy() for v in network.trainable_variables]
        steps[count] = [old - new for old, new in zip(before, after, strict=True)]
    assert all(np.abs(step).max() > 1e-4 for step in steps[1])
    assert_close(steps[2], steps[1])

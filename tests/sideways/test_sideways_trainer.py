"""Sideways fused into training: against the NumPy reference, the clip's form, and itself."""

import copy
from typing import Any

import keras
import numpy as np
import pytest
import reference_sideways as reference
import tensorflow as tf
from keras import layers
from random_weights import randomize
from sideways_networks import SHORTCUTS, WIDTH, dense_modules, network

from keras_layers import Feedback, Sideways, TemporalConv3D
from mpvn import Plan, VideoNetwork
from mpvn.models import simple_cnn
from mpvn.tasks import FutureFrame
from mpvn.training import SidewaysTrainer


def weights(net: VideoNetwork, depth: int) -> list[np.ndarray]:
    """Kernel and bias of each module in turn."""
    found = [net.frame_model.get_layer(f"module{index}").get_weights() for index in range(depth)]
    return [array for of_module in found for array in of_module]


def trainer(net: VideoNetwork, rate: float = 1.0, **options: Any) -> SidewaysTrainer:
    made = SidewaysTrainer(net, **options)
    made.compile(keras.optimizers.SGD(rate), keras.losses.MeanSquaredError(dtype="float64"))
    return made


def batches(*arrays: np.ndarray) -> tf.data.Dataset:
    """One batch, in the dtypes of the arrays."""
    return tf.data.Dataset.from_tensors(arrays)


def fit(made: Any, *arrays: np.ndarray) -> dict[str, float]:
    history = made.fit(batches(*arrays), verbose=0, shuffle=False).history
    return {name: values[0] for name, values in history.items()}


@pytest.fixture
def moving(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return rng.normal(size=(2, 15, WIDTH)), rng.normal(size=(2, 15, WIDTH))


# --- the index rules ----------------------------------------------------------------------------


@pytest.mark.parametrize("shortcuts", SHORTCUTS, ids=str)
@pytest.mark.parametrize("depth", range(1, 7))
def test_on_a_clip_of_equal_frames_it_is_back_propagation(
    depth: int, shortcuts: tuple, rng: np.random.Generator
) -> None:
    modules = dense_modules(depth, rng)
    net = network(modules, shortcuts)
    frame, target = rng.normal(size=(2, 2, WIDTH))
    clip, targets = (np.repeat(x[:, None], 2 * depth + 2, axis=1) for x in (frame, target))
    before = weights(net, depth)
    fit(trainer(net), clip, targets)
    expected = reference.back_propagation(modules, frame, target, shortcuts)
    for old, new, gradient in zip(before, weights(net, depth), sum(expected, ()), strict=True):
        np.testing.assert_allclose(old - new, gradient, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("update_every", [None, 1, 4, 15, 40])
@pytest.mark.parametrize("shortcuts", SHORTCUTS, ids=str)
@pytest.mark.parametrize("depth", [1, 3, 5])
def test_on_a_moving_clip_it_is_the_reference(
    depth: int, shortcuts: tuple, update_every: int | None, moving: tuple, rng: np.random.Generator
) -> None:
    """Weights and outputs, with updates within the clip; targets are those of each step."""
    modules = dense_modules(depth, rng)
    net = network(modules, shortcuts)
    made = trainer(net, rate=0.5, update_every=update_every, latency=0)
    own = copy.deepcopy(modules)
    expected = reference.sideways(
        own, *moving, shortcuts, update_every=update_every or 15, rate=0.5
    )
    state = made.initial_state(2)
    _, outputs, _ = made.learn(*moving, state)
    np.testing.assert_allclose(outputs, expected.outputs, rtol=1e-10, atol=1e-14)
    wanted = [array for module in own for array in (module.kernel, module.bias)]
    for ours, theirs in zip(weights(net, depth), wanted, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-14)


def test_targets_are_those_of_the_frames_that_outputs_came_from(
    moving: tuple, rng: np.random.Generator
) -> None:
    """In `fit`, with the network's own latency: as the reference with targets moved by hand."""
    modules = dense_modules(4, rng)
    clip, targets = moving
    net = network(modules)
    fit(trainer(net, 0.5, update_every=3), clip, targets)
    late = np.concatenate([np.full_like(targets[:, :3], 99.0), targets[:, :-3]], axis=1)
    reference.sideways(modules, clip, late, update_every=3, rate=0.5)
    for index, module in enumerate(modules):
        np.testing.assert_allclose(weights(net, 4)[2 * index], module.kernel, rtol=1e-10)


def test_pieces_are_as_the_whole(moving: tuple, rng: np.random.Generator) -> None:
    """A stream in pieces of 1, 6, 2, 6 steps, with targets that wait from piece to piece."""
    whole, pieces = (network(dense_modules(4, np.random.default_rng(1))) for _ in range(2))
    made = trainer(whole, 0.5, update_every=1)
    _, outputs, _ = made.learn(*moving, made.initial_state(2))
    made = trainer(pieces, 0.5, update_every=1)
    state, found, first = made.initial_state(2), [], 0
    for steps in (1, 6, 2, 6):
        clip, targets = (x[:, first : first + steps] for x in moving)
        _, said, state = made.learn(clip, targets, state)
        found.append(said)
        first += steps
    np.testing.assert_allclose(np.concatenate(found, axis=1), outputs, rtol=1e-12)
    for ours, theirs in zip(weights(pieces, 4), weights(whole, 4), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)


def test_it_is_the_form_of_whole_clips(moving: tuple, rng: np.random.Generator) -> None:
    """With a head, a skip over subnetworks, two outputs' worth of paths, and penalized weights."""

    def build() -> VideoNetwork:
        frame = keras.Input((WIDTH,))
        a = layers.Dense(4, "tanh", name="a", kernel_regularizer="l2")(frame)
        b = layers.Dense(4, "tanh", name="b")(a)
        c = layers.Dense(4, "tanh", name="c")(b)
        x = layers.Concatenate(name="join")([a, b, c])
        model = keras.Model(frame, layers.Dense(2, name="head", kernel_regularizer="l2")(x))
        randomize(model, np.random.default_rng(3))
        plan = Plan(model, boundaries=["b", "c"], head="join")
        return VideoNetwork(model, plan, gradient="sideways")

    clip, targets = (x.astype("float32") for x in moving)
    targets = targets[..., :2]
    fused, clips = build(), build()
    said = fit(trainer(fused, 0.1, latency=0), clip, targets)
    clips.compile(keras.optimizers.SGD(0.1), "mse")
    fit(clips, clip, targets)
    first = clips.plan.information_latency[1]
    outputs = build()(clip)
    mse = np.mean((outputs[:, first:] - targets[:, first:]) ** 2)
    np.testing.assert_allclose(said["loss"], mse + sum(map(float, build().losses)), rtol=1e-5)
    for ours, theirs in zip(fused.trainable_variables, clips.trainable_variables, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_networks_of_two_outputs_learn_from_both(moving: tuple) -> None:
    """One of each subnetwork, by name, with losses of their own."""

    def build() -> VideoNetwork:
        frame = keras.Input((WIDTH,))
        early = layers.Dense(2, "tanh", name="early")(frame)
        late = layers.Dense(3, "tanh", name="late")(early)
        model = keras.Model(frame, {"early": early, "late": late})
        randomize(model, np.random.default_rng(3))
        return VideoNetwork(model, Plan(model, boundaries=["late"]), gradient="sideways")

    clip, targets = (x.astype("float32") for x in moving)
    wanted = {"early": targets[..., :2], "late": targets}
    losses = {"early": "mae", "late": "mse"}
    fused, clips = build(), build()
    made = SidewaysTrainer(fused, latency=0)
    made.compile(keras.optimizers.SGD(0.1), losses)
    fit(made, clip, wanted)
    clips.compile(keras.optimizers.SGD(0.1), losses)
    fit(clips, clip, wanted)
    for ours, theirs in zip(fused.trainable_variables, clips.trainable_variables, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_it_is_the_layer_with_batch_norm(rng: np.random.Generator) -> None:
    """Statistics and weights after a clip: batch norm sees each step once."""

    def modules() -> list:
        return [
            keras.Sequential(
                [keras.Input((6, 6, 2)), layers.Conv2D(3, 3), layers.BatchNormalization()]
            ),
            keras.Sequential(
                [keras.Input((4, 4, 3)), layers.Conv2D(2, 3), layers.BatchNormalization()]
            ),
            layers.GlobalAveragePooling2D(),
        ]

    clip = rng.normal(size=(3, 9, 6, 6, 2)).astype("float32")
    targets = rng.normal(size=(3, 9, 2)).astype("float32")
    own = modules()
    inputs = keras.Input((9, 6, 6, 2))
    layer = keras.Model(inputs, Sideways(own)(inputs))
    frame = keras.Input((6, 6, 2))
    theirs = modules()
    model = keras.Model(frame, theirs[2](theirs[1](theirs[0](frame))))
    randomize(model, rng)
    for a, b in zip(own, theirs, strict=True):
        a.set_weights(b.get_weights())
    names = Plan(model).nodes
    net = VideoNetwork(model, Plan(model, boundaries=[names[2], names[4]]))
    counts = (np.arange(9) >= 2).astype("float32") * np.ones((3, 1), "float32")
    layer.compile(keras.optimizers.SGD(0.1), "mse")
    fit(layer, clip, targets, counts)
    fit(trainer(net, 0.1, latency=0), clip, targets)
    for a, b in zip(own, theirs, strict=True):
        for ours, other in zip(b.get_weights(), a.get_weights(), strict=True):
            np.testing.assert_allclose(ours, other, rtol=2e-4, atol=2e-5)


# --- streams, weights, dropout ------------------------------------------------------------------


def test_one_of_the_streams_begins_anew(moving: tuple) -> None:
    """It is as a new one; what the others learn meanwhile is as without it."""
    clip, targets = moving
    pair, alone = (network(dense_modules(3, np.random.default_rng(1))) for _ in range(2))
    both, one = trainer(pair, 0.0, update_every=1), trainer(alone, 0.0, update_every=1)
    _, _, state = both.learn(clip[:, :9], targets[:, :9], both.initial_state(2))
    _, _, single = one.learn(clip[:1, :9], targets[:1, :9], one.initial_state(1))
    state = both.reset(state, [False, True])
    for made in (both, one):
        made.optimizer.learning_rate = 0.5
    _, _, state = both.learn(clip[:, 9:11], targets[:, 9:11], state)
    _, _, single = one.learn(clip[:1, 9:11], targets[:1, 9:11], single)
    for ours, theirs in zip(weights(pair, 3), weights(alone, 3), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)
    assert not np.allclose(
        weights(pair, 3)[0],
        network(dense_modules(3, np.random.default_rng(1)))
        .frame_model.get_layer("module0")
        .get_weights()[0],
    )
    fresh = trainer(network(dense_modules(3, np.random.default_rng(1))), 0.0)
    fresh.network.frame_model.set_weights(alone.frame_model.get_weights())
    both.optimizer.learning_rate = 0.0
    state = both.reset(state, [False, True])
    _, outputs, state = both.learn(clip[:, 11:], targets[:, 11:], state)
    _, expected, new = fresh.learn(clip[1:, 11:], targets[1:, 11:], fresh.initial_state(1))
    np.testing.assert_allclose(outputs[1:], expected, rtol=1e-12)
    for slot in new["slots"]:  # gradients are of the mean over the streams
        np.testing.assert_allclose(state["slots"][slot][1:], new["slots"][slot], rtol=1e-12)
        np.testing.assert_allclose(2 * state["sent"][slot][1:], new["sent"][slot], rtol=1e-12)


def test_steps_of_weight_zero_are_not_learned_from(moving: tuple) -> None:
    """What their targets are does not matter, and means are over the others."""
    clip, targets = moving
    counts = np.ones((2, 15), "float32")
    counts[:, 5:9] = 0
    found = []
    for value in (7.0, -7.0):
        net = network(dense_modules(3, np.random.default_rng(1)))
        other = np.where(counts[..., None] > 0, targets, value)
        # As tasks give them: of mean 1.
        fit(trainer(net), clip, other, counts / counts.mean())
        found.append(weights(net, 3))
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    # On equal frames with equal targets, a mean over fewer steps is the same mean.
    modules = dense_modules(3, np.random.default_rng(1))
    still, same = (np.repeat(x[:, :1], 15, axis=1) for x in moving)
    net = network(modules)
    before = weights(net, 3)
    fit(trainer(net), still, same, counts / counts.mean())
    expected = reference.back_propagation(modules, still[:, 0], same[:, 0])
    for old, new, gradient in zip(before, weights(net, 3), sum(expected, ()), strict=True):
        np.testing.assert_allclose(old - new, gradient, rtol=1e-5, atol=1e-8)


def test_dropout_drops_the_same_forward_and_backward() -> None:
    """A weight behind an output that was dropped gets no gradient from that step."""
    frame = keras.Input((4,))
    x = layers.Dropout(0.5, seed=1, name="drop")(layers.Dense(64, name="a")(frame))
    model = keras.Model(frame, layers.Dense(1, name="b")(x))
    randomize(model, np.random.default_rng(0))
    net = VideoNetwork(model, Plan(model, boundaries=["b"]))
    made = SidewaysTrainer(net, update_every=1)
    made.compile(keras.optimizers.SGD(0.1), "mse")
    clip, targets = np.ones((1, 3, 4), "float32"), np.zeros((1, 3, 1), "float32")
    state = made.initial_state(1)
    for time in range(3):
        before = model.get_layer("a").get_weights()[0]
        held = next(iter(state["slots"].values())).numpy()
        _, _, state = made.learn(clip[:, time : time + 1], targets[:, time : time + 1], state)
        moved = (model.get_layer("a").get_weights()[0] != before).any(axis=0)
        kept = next(iter(state["slots"].values())).numpy()[0] != 0
        assert 16 < kept.sum() < 48 and (held[0] != 0).tolist() != kept.tolist()
        # The gradient meets the mask of the step in which it arrives.
        np.testing.assert_array_equal(moved, kept if time == 2 else np.zeros(64, bool))


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_it_learns_to_predict_frames_in_fit(policy: str) -> None:
    """Plain `compile` and `fit`, a task's targets and metrics; the loss falls."""
    keras.config.set_dtype_policy(policy)
    try:
        from mpvn.models import full_res

        model = full_res((16, 16, 3), width=0.125)
    finally:
        keras.config.set_dtype_policy("float32")
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = 0.5
    net = VideoNetwork(model, Plan(model, 8, partition="units"))
    task = FutureFrame(ahead=2, latency=7)
    made = SidewaysTrainer(net)
    made.compile(keras.optimizers.Adam(0.01), task.loss, weighted_metrics=task.metrics())
    rows = np.linspace(-1, 1, 16)[None, None, :, None, None]
    phase = np.arange(20)[None, :, None, None, None] / 3 + np.arange(2).reshape(2, 1, 1, 1, 1)
    clip = np.sin(3 * rows + phase) * np.ones((2, 20, 16, 16, 3))
    given = {"frames": clip.astype("float32")}
    first, *_, last = (fit(made, *task.at_source(given))["loss"] for _ in range(30))
    assert last < 0.6 * first
    held_out = made.evaluate(batches(*task.prepare(given)), verbose=0, return_dict=True)
    assert held_out["mse"] < 0.75 * first


# --- refused ------------------------------------------------------------------------------------


def test_clips_too_short_are_refused(rng: np.random.Generator) -> None:
    made = trainer(network(dense_modules(3, rng)))
    with pytest.raises(ValueError, match=r"at least 5 frames \(2D - 1.*Received: clips of 4"):
        fit(made, np.zeros((1, 4, WIDTH)), np.zeros((1, 4, WIDTH)))
    fit(made, np.zeros((1, 5, WIDTH)), np.zeros((1, 5, WIDTH)))


def test_a_loss_that_is_not_per_frame_is_refused(rng: np.random.Generator) -> None:
    made = SidewaysTrainer(network(dense_modules(3, rng)))
    made.compile("sgd", lambda y, p: tf.reduce_mean((y - p) ** 2, axis=(1, 2)))
    with pytest.raises(ValueError, match=r"a value for each step, .*mpvn.tasks"):
        fit(made, np.zeros((1, 5, WIDTH)), np.zeros((1, 5, WIDTH)))


def temporal() -> keras.Model:
    frame = keras.Input((4, 4, 2))
    return keras.Model(frame, TemporalConv3D(2, (2, 1, 1), name="past")(frame))


def feedback() -> keras.Model:
    frame = keras.Input((4,))
    back = Feedback("last", (4,), name="back")(frame)
    return keras.Model(frame, layers.Dense(4, name="last")(layers.Add()([frame, back])))


@pytest.mark.parametrize(
    "build, says", [(temporal, "memory of past frames"), (feedback, "feedback")]
)
def test_networks_that_look_back_are_refused(build: Any, says: str) -> None:
    with pytest.raises(ValueError, match=f"{says}.*Remove it"):
        SidewaysTrainer(VideoNetwork(build()))


def test_other_wrong_arguments_are_refused(rng: np.random.Generator) -> None:
    net = network(dense_modules(2, rng))
    with pytest.raises(TypeError, match="expected a VideoNetwork"):
        SidewaysTrainer(net.frame_model)
    with pytest.raises(ValueError, match="update_every. Expected None or at least 1"):
        SidewaysTrainer(net, update_every=0)
    with pytest.raises(ValueError, match="latency. Expected None or at least 0"):
        SidewaysTrainer(net, latency=-1)
    made = SidewaysTrainer(net)
    with pytest.raises(ValueError, match="Call compile first"):
        made.learn(np.zeros((1, 1, 3)), np.zeros((1, 1, 3)), made.initial_state(1))
    with pytest.raises(ValueError, match="mixed_bfloat16"):
        made.compile(keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD()), "mse")
    with pytest.raises(ValueError, match="activity regularizer"):
        frame = keras.Input((3,))
        x = layers.Dense(3, activity_regularizer="l2")(frame)
        model = keras.Model(frame, layers.Dense(3, name="last")(x))
        adding = SidewaysTrainer(VideoNetwork(model, Plan(model, boundaries=["last"])))
        adding.compile("sgd", "mse")
        fit(adding, np.zeros((1, 5, 3), "float32"), np.zeros((1, 5, 3), "float32"))
    made = trainer(net)
    with pytest.raises(ValueError, match=r"\[B, T\], a weight for each step"):
        fit(made, *np.zeros((2, 1, 5, 3)), np.zeros((1, 5, 3), "float32"))


def test_it_trains_published_networks() -> None:
    model = simple_cnn((32, 32, 3), classes=3, width=0.125, batch_norm=True)
    net = VideoNetwork(model, Plan(model, 6, partition="units"))
    made = SidewaysTrainer(net, latency=0)
    made.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    rng = np.random.default_rng(0)
    clip = rng.normal(size=(4, 12, 32, 32, 3)).astype("float32")
    labels = np.tile(np.arange(4)[:, None] % 3, [1, 12])
    clip += labels[:, :, None, None, None]
    first = fit(made, clip, labels)["loss"]
    for _ in range(20):
        last = fit(made, clip, labels)["loss"]
    assert last < 0.7 * first

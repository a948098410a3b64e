"""Training by Sideways equals the NumPy reference, and the other forms of Sideways."""

import copy

import keras
import numpy as np
import pytest
import reference_sideways as reference
from keras import layers
from random_weights import randomize
from sideways_networks import (
    CHAINS,
    WIDTH,
    assert_close,
    dense_modules,
    fit,
    identical_frames,
    module_weights,
    network,
)

from keras_layers import Sideways
from mpvn import Plan, VideoNetwork
from mpvn.sideways.sideways_trainer import SidewaysTrainer


def sideways_trainer(net: VideoNetwork, rate: float = 1.0, **options: object) -> SidewaysTrainer:
    trainer = SidewaysTrainer(net, **options)
    trainer.compile(keras.optimizers.SGD(rate), keras.losses.MeanSquaredError(dtype="float64"))
    return trainer


@pytest.fixture
def moving(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A clip and targets that change at every step."""
    return rng.normal(size=(2, 15, WIDTH)), rng.normal(size=(2, 15, WIDTH))


# --- the index rules ----------------------------------------------------------------------------


@pytest.mark.parametrize("depth, shortcuts", CHAINS, ids=str)
def test_on_a_clip_of_identical_frames_it_is_back_propagation(
    depth: int, shortcuts: tuple, rng: np.random.Generator
) -> None:
    modules = dense_modules(depth, rng)
    net = network(modules, shortcuts)
    frame, target, clip, targets = identical_frames(depth, rng)
    before = module_weights(net, depth)
    fit(sideways_trainer(net), clip, targets)
    expected = sum(reference.back_propagation(modules, frame, target, shortcuts), ())
    steps = [old - new for old, new in zip(before, module_weights(net, depth), strict=True)]
    assert_close(steps, expected)


@pytest.mark.parametrize(
    "depth, shortcuts, update_every",
    [
        (1, (), 1),
        (3, (2,), None),
        (3, (), 40),  # longer than the clip
        (5, (), 15),  # as long as the clip
        (5, (), 1),
        (5, (3,), 1),
        (5, (2, 3), None),
        (5, (2, 3), 4),  # the last update has 3 steps
    ],
    ids=str,
)
def test_on_a_moving_clip_it_is_the_reference(
    depth: int, shortcuts: tuple, update_every: int | None, moving: tuple, rng: np.random.Generator
) -> None:
    """Compare weights and outputs, with updates within the clip; each step has its own target."""
    modules = dense_modules(depth, rng)
    net = network(modules, shortcuts)
    trainer = sideways_trainer(net, rate=0.5, update_every=update_every, latency=0)
    updated = copy.deepcopy(modules)
    expected = reference.sideways(
        updated, *moving, shortcuts, update_every=update_every or 15, rate=0.5
    )
    _, outputs, _ = trainer.learn(*moving, trainer.initial_state(2))
    assert_close(outputs, expected.outputs)
    assert_close(
        module_weights(net, depth), [x for module in updated for x in (module.kernel, module.bias)]
    )


def test_targets_belong_to_the_frames_of_the_outputs(
    moving: tuple, rng: np.random.Generator
) -> None:
    """`fit` delays targets by the network's latency, like the reference by hand."""
    modules = dense_modules(4, rng)
    clip, targets = moving
    net = network(modules)
    fit(sideways_trainer(net, 0.5, update_every=3), clip, targets)
    late = np.concatenate([np.full_like(targets[:, :3], 99.0), targets[:, :-3]], axis=1)
    reference.sideways(modules, clip, late, update_every=3, rate=0.5)
    assert_close(module_weights(net, 4)[::2], [module.kernel for module in modules])


def test_an_optimizer_accumulates_gradients_of_clips(
    moving: tuple, rng: np.random.Generator
) -> None:
    modules = dense_modules(2, rng)
    once, twice = network(modules), network(modules)
    fit(sideways_trainer(once), *moving)
    trainer = SidewaysTrainer(twice)
    halves = keras.optimizers.SGD(1.0, gradient_accumulation_steps=2)
    trainer.compile(halves, keras.losses.MeanSquaredError(dtype="float64"))
    before = module_weights(twice, 2)
    fit(trainer, *moving)
    assert_close(module_weights(twice, 2), before)
    fit(trainer, *moving)
    assert_close(module_weights(twice, 2), module_weights(once, 2))
    assert int(halves.iterations) == 1


# --- the other forms of Sideways ----------------------------------------------------------------


def test_it_is_the_gradient_of_whole_clips(moving: tuple) -> None:
    """With a head, skips over subnetworks, and penalized weights."""

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
    stepwise, clips = build(), build()
    penalty, outputs = sum(map(float, clips.losses)), np.asarray(clips(clip))
    loss = fit(sideways_trainer(stepwise, 0.1, latency=0), clip, targets)["loss"]
    clips.compile(keras.optimizers.SGD(0.1), "mse")
    fit(clips, clip, targets)
    first = clips.plan.information_latency[1]
    mse = np.mean((outputs[:, first:] - targets[:, first:]) ** 2)
    np.testing.assert_allclose(loss, mse + penalty, rtol=1e-5)
    assert_close(stepwise.get_weights(), clips.get_weights(), rtol=1e-5, atol=1e-6)


def test_networks_with_two_outputs_learn_from_both(moving: tuple) -> None:
    """Each subnetwork has an output, by name, with a loss of its own."""

    def build() -> VideoNetwork:
        frame = keras.Input((WIDTH,))
        early = layers.Dense(2, "tanh", name="early")(frame)
        late = layers.Dense(3, "tanh", name="late")(early)
        model = keras.Model(frame, {"early": early, "late": late})
        randomize(model, np.random.default_rng(3))
        return VideoNetwork(model, Plan(model, boundaries=["late"]), gradient="sideways")

    clip, targets = (x.astype("float32") for x in moving)
    named = {"early": targets[..., :2], "late": targets}
    stepwise, clips = build(), build()
    for model in (SidewaysTrainer(stepwise, latency=0), clips):
        model.compile(keras.optimizers.SGD(0.1), {"early": "mae", "late": "mse"})
        fit(model, clip, named)
    assert_close(stepwise.get_weights(), clips.get_weights(), rtol=1e-5, atol=1e-6)


def test_it_is_the_layer_with_batch_norm(rng: np.random.Generator) -> None:
    """Batch norm sees each step once: compare statistics and weights after a clip."""

    def modules() -> list:
        return [
            keras.Sequential(
                [keras.Input((6, 6, 2)), layers.Conv2D(3, 3), layers.BatchNormalization()]
            ),
            layers.Conv2D(2, 3),
            layers.GlobalAveragePooling2D(),
        ]

    clip = rng.normal(size=(3, 7, 6, 6, 2)).astype("float32")
    targets = rng.normal(size=(3, 7, 2)).astype("float32")
    of_network, of_layer = modules(), modules()
    frame, inputs = keras.Input((6, 6, 2)), keras.Input((7, 6, 6, 2))
    model = keras.Model(frame, of_network[2](of_network[1](of_network[0](frame))))
    layer = keras.Model(inputs, Sideways(of_layer)(inputs))
    randomize(model, rng)
    for ours, theirs in zip(of_layer, of_network, strict=True):
        ours.set_weights(theirs.get_weights())
    nodes = Plan(model).nodes
    net = VideoNetwork(model, Plan(model, boundaries=[nodes[2], nodes[3]]))
    informed = (np.arange(7) >= 2).astype("float32") * np.ones((3, 1), "float32")
    layer.compile(keras.optimizers.SGD(0.1), "mse")
    fit(layer, clip, targets, informed)
    fit(sideways_trainer(net, 0.1, latency=0), clip, targets)
    for ours, theirs in zip(of_network, of_layer, strict=True):
        assert_close(ours.get_weights(), theirs.get_weights(), rtol=2e-4, atol=2e-5)


def test_dropout_repeats_its_mask_in_the_backward_pass() -> None:
    """A weight before a dropped output gets no gradient from that step."""
    frame = keras.Input((4,))
    x = layers.Dropout(0.5, seed=1, name="drop")(layers.Dense(64, name="a")(frame))
    model = keras.Model(frame, layers.Dense(1, name="b")(x))
    randomize(model, np.random.default_rng(0))
    net = VideoNetwork(model, Plan(model, boundaries=["b"]))
    trainer = SidewaysTrainer(net, update_every=1)
    trainer.compile(keras.optimizers.SGD(0.1), "mse")
    clip, targets = np.ones((1, 3, 4), "float32"), np.zeros((1, 3, 1), "float32")
    state = trainer.initial_state(1)
    for time in range(3):
        before = model.get_layer("a").get_weights()[0]
        slot = next(iter(state["slots"].values())).numpy()
        _, _, state = trainer.learn(clip[:, time : time + 1], targets[:, time : time + 1], state)
        moved = (model.get_layer("a").get_weights()[0] != before).any(axis=0)
        kept = next(iter(state["slots"].values())).numpy()[0] != 0
        assert 16 < kept.sum() < 48 and (slot[0] != 0).tolist() != kept.tolist()
        # A gradient meets the mask of the step in which it arrives.
        np.testing.assert_array_equal(moved, kept if time == 2 else np.zeros(64, bool))


def test_steps_of_weight_zero_do_not_count(moving: tuple) -> None:
    """Their targets do not matter, and means are over the other steps."""
    clip, targets = moving
    counts = np.ones((2, 15), "float32")
    counts[:, 5:9] = 0
    weights = counts / counts.mean()  # of mean 1, as tasks give them
    results = []
    for value in (7.0, -7.0):
        net = network(dense_modules(3, np.random.default_rng(1)))
        fit(sideways_trainer(net), clip, np.where(counts[..., None] > 0, targets, value), weights)
        results.append(module_weights(net, 3))
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    # With identical frames and targets, the mean over fewer steps is the same.
    modules = dense_modules(3, np.random.default_rng(1))
    still, same = (np.repeat(x[:, :1], 15, axis=1) for x in moving)
    net = network(modules)
    before = module_weights(net, 3)
    fit(sideways_trainer(net), still, same, weights)
    steps = [old - new for old, new in zip(before, module_weights(net, 3), strict=True)]
    expected = sum(reference.back_propagation(modules, still[:, 0], same[:, 0]), ())
    assert_close(steps, expected, rtol=1e-5, atol=1e-8)

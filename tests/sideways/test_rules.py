"""Networks with Sideways gradients equal an independent NumPy implementation."""

from typing import Any

import keras
import numpy as np
import pytest
import reference_sideways as reference
import tensorflow as tf
from keras import layers
from random_weights import randomize
from sideways_networks import (
    CHAINS,
    SHORTCUTS,
    WIDTH,
    assert_close,
    dense_layer,
    dense_modules,
    identical_frames,
    network,
    set_modules,
)

from keras_layers.sideways_rules import first_learning_steps
from mpvn import Plan, VideoNetwork
from mpvn.sideways.rules import SidewaysRules


def gradients(model: Any, clip: Any, targets: Any, variables: list) -> list[tf.Tensor]:
    """Return gradients of the mean squared error over all steps."""
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean((model(clip, training=True) - targets) ** 2)
    return tape.gradient(loss, [variable.value for variable in variables])


def by_module(net: VideoNetwork, depth: int) -> list[keras.Variable]:
    """Return kernel and bias of each module in turn."""
    modules = [net.frame_model.get_layer(f"module{index}") for index in range(depth)]
    return [variable for module in modules for variable in module.trainable_variables]


@pytest.fixture
def moving(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A clip and targets that change at every step."""
    return rng.normal(size=(2, 15, WIDTH)), rng.normal(size=(2, 15, WIDTH))


@pytest.mark.parametrize("depth, shortcuts", CHAINS, ids=str)
def test_on_a_clip_of_identical_frames_it_is_back_propagation(
    depth: int, shortcuts: tuple, rng: np.random.Generator
) -> None:
    modules = dense_modules(depth, rng)
    frame, target, clip, targets = identical_frames(depth, rng)
    net = network(modules, shortcuts, gradient="sideways")
    expected = reference.back_propagation(modules, frame, target, shortcuts)
    assert_close(gradients(net, clip, targets, by_module(net, depth)), sum(expected, ()))


@pytest.mark.parametrize("rematerialize", [False, True])
@pytest.mark.parametrize("depth, shortcuts", [(2, ()), *((5, s) for s in SHORTCUTS)], ids=str)
def test_on_a_moving_clip_it_is_the_reference(
    depth: int, shortcuts: tuple, rematerialize: bool, moving: tuple, rng: np.random.Generator
) -> None:
    clip, targets = moving
    modules = dense_modules(depth, rng)
    net = network(modules, shortcuts, gradient="sideways", rematerialize=rematerialize)
    expected = reference.sideways(modules, clip, targets, shortcuts)
    assert_close(net(clip), expected.outputs)
    means = sum((expected.mean(index) for index in range(depth)), ())
    assert_close(gradients(net, clip, targets, by_module(net, depth)), means)


def test_a_mask_that_opens_late_changes_every_gradient(
    moving: tuple, rng: np.random.Generator
) -> None:
    """So the comparison above would fail with another mask."""
    modules = dense_modules(4, rng)
    right, late = (reference.sideways(modules, *moving, (3,), late=late) for late in (0, 1))
    for index in range(4):
        change = np.abs(right.mean(index)[0] - late.mean(index)[0]).max()
        assert change > 1e-3 * np.abs(right.mean(index)[0]).max()


@pytest.mark.parametrize("depth", [1, 3, 6])
def test_subnetworks_of_a_chain_learn_from_the_papers_step_on(
    depth: int, rng: np.random.Generator
) -> None:
    """Shortcuts do not make them learn earlier: the slowest path decides."""
    rules = SidewaysRules(network(dense_modules(depth, rng), (2, 3)).plan)
    assert list(rules.first_steps[:depth]) == first_learning_steps(depth)
    assert rules.first_output == depth - 1
    assert rules.lags == [*reversed(range(depth)), 0]


# --- other wirings ------------------------------------------------------------------------------


def test_a_head_learns_with_the_subnetworks_that_it_reads(rng: np.random.Generator) -> None:
    """It reads the last subnetwork, and one before it, without delay."""
    outputs: list = [keras.Input((WIDTH,), dtype="float64")]
    for index in range(3):
        outputs.append(dense_layer(index)(outputs[-1]))
    head = layers.Add(dtype="float64", name="head")([outputs[1], outputs[3]])
    scores = layers.Dense(2, "tanh", dtype="float64", name="scores")(head)
    model = keras.Model(outputs[0], scores)
    randomize(model, rng)
    plan = Plan(model, boundaries=["module1", "module2"], head="head")
    assert SidewaysRules(plan).first_steps == (4, 3, 2, 2)
    net = VideoNetwork(model, plan, gradient="sideways", dtype="float64")
    frame, target = rng.normal(size=(2, WIDTH)), rng.normal(size=(2, 2))
    clip, targets = (np.repeat(x[:, None], 8, axis=1) for x in (frame, target))
    expected = gradients(model, frame, target, model.trainable_variables)
    assert_close(gradients(net, clip, targets, model.trainable_variables), expected)


def test_a_head_sends_gradients_without_delay(moving: tuple, rng: np.random.Generator) -> None:
    """It adds the output of module 1 for the last frame and of module 0 for this one."""
    clip, targets = moving
    modules = dense_modules(2, rng)
    frame = keras.Input((WIDTH,), dtype="float64")
    first = dense_layer(0)(frame)
    head = layers.Add(dtype="float64", name="head")([first, dense_layer(1)(first)])
    model = keras.Model(frame, head)
    set_modules(model, modules)
    plan = Plan(model, boundaries=["module1"], head="head")
    net = VideoNetwork(model, plan, gradient="sideways", dtype="float64")
    before, sent = np.zeros((2, WIDTH)), np.zeros((2, WIDTH))
    learned: list[list] = [[], []]
    for step in range(15):
        output = modules[0].forward(clip[:, step])
        error = 2 * (output + modules[1].forward(before) - targets[:, step]) / output.size
        if step >= 2:
            learned[0].append(modules[0].vjp(clip[:, step], error + sent))
        if step >= 1:
            learned[1].append(modules[1].vjp(before, error))
            sent = learned[1][-1][2]
        before = output
    means = [np.mean([s[n] for s in steps], axis=0) for steps in learned for n in (0, 1)]
    assert_close(gradients(net, clip, targets, by_module(net, 2)), means)


Wiring = tuple[dict[int, list[int]], list[int], tuple[int, ...]]

WIRINGS: dict[str, Wiring] = {  # what each module reads; modules with outputs; first steps
    "an early output": ({1: [0], 2: [1]}, [0, 2], (4, 3, 2)),
    "an output beside the chain": ({1: [0], 2: [0], 3: [2]}, [1, 3], (4, 2, 3, 2)),
    "a short branch first": ({1: [0], 2: [0], 3: [2], 4: [1, 3]}, [4], (6, 4, 5, 4, 3)),
    "a long branch first": ({1: [0], 2: [1], 3: [0], 4: [2, 3]}, [4], (6, 5, 4, 4, 3)),
    "a branch that reads frames": ({1: [0], 2: [1], 3: [], 4: [2, 3]}, [4], (6, 5, 4, 4, 3)),
}


@pytest.mark.parametrize("wiring", WIRINGS.values(), ids=WIRINGS)
def test_the_slowest_path_decides_the_masks(wiring: Wiring, rng: np.random.Generator) -> None:
    """On a clip of identical frames any wiring has the gradient of one frame."""
    reads, ends, first_steps = wiring
    frame = keras.Input((WIDTH,), dtype="float64")
    outputs: dict[int, Any] = {}
    for index in range(max(reads) + 1):
        inputs = [outputs[source] for source in reads.get(index, [])] or [frame]
        add = layers.Add(dtype="float64", name=f"merge{index}")
        outputs[index] = dense_layer(index)(add(inputs) if len(inputs) > 1 else inputs[0])
    model = keras.Model(frame, [outputs[index] for index in ends])
    randomize(model, rng)
    boundaries = ["merge4" if len(reads[i]) > 1 else f"module{i}" for i in sorted(reads)]
    plan = Plan(model, boundaries=boundaries)
    assert SidewaysRules(plan).first_steps[:-1] == first_steps
    net = VideoNetwork(model, plan, gradient="sideways", dtype="float64")
    frames = rng.normal(size=(2, 1, WIDTH))
    results = []
    for call, inputs in ((model, frames[:, 0]), (net, np.repeat(frames, 10, axis=1))):
        with tf.GradientTape() as tape:
            values = keras.tree.flatten(call(inputs))  # the loss depends on all of them together
            loss = tf.reduce_mean((values[0] * values[-1] + values[0]) ** 2)
        results.append(tape.gradient(loss, [v.value for v in model.trainable_variables]))
    assert_close(results[1], results[0])

"""Sideways with a primed start equals the NumPy reference, in both forms and for reset streams."""

import copy
from typing import Any

import keras
import numpy as np
import pytest
import reference_sideways as reference
import tensorflow as tf
from sideways_networks import (
    CHAINS,
    WIDTH,
    assert_close,
    dense_modules,
    identical_frames,
    module_weights,
    network,
)

from mpvn import VideoNetwork
from mpvn.sideways.sideways_trainer import SidewaysTrainer


def trainer_of(net: VideoNetwork, rate: float, **options: Any) -> SidewaysTrainer:
    trainer = SidewaysTrainer(net, **options)
    trainer.compile(keras.optimizers.SGD(rate), keras.losses.MeanSquaredError(dtype="float64"))
    return trainer


@pytest.fixture
def moving(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A clip and targets that change at every step."""
    return rng.normal(size=(2, 9, WIDTH)), rng.normal(size=(2, 9, WIDTH))


@pytest.mark.parametrize("depth, shortcuts", CHAINS[2:4], ids=str)
def test_on_a_clip_of_identical_frames_it_is_back_propagation(
    depth: int, shortcuts: tuple, rng: np.random.Generator
) -> None:
    modules = dense_modules(depth, rng)
    net = network(modules, shortcuts, start="primed", gradient="sideways")
    frame, target, clip, targets = identical_frames(depth, rng)
    expected = sum(reference.back_propagation(modules, frame, target, shortcuts), ())
    with tf.GradientTape() as tape:
        # The shortest clip: the loss of step 0 reaches the first module at its end.
        loss = tf.reduce_mean((net(clip[:, :depth], training=True) - targets[:, :depth]) ** 2)
    assert_close(tape.gradient(loss, [v.value for v in net.trainable_variables]), list(expected))


def test_both_forms_are_the_reference_on_a_moving_clip(
    moving: tuple, rng: np.random.Generator
) -> None:
    modules = dense_modules(4, rng)
    expected = reference.sideways(modules, *moving, (2,), primed=True)
    means = [gradient for index in range(4) for gradient in expected.mean(index)]
    net = network(modules, (2,), start="primed", gradient="sideways")
    with tf.GradientTape() as tape:
        outputs = net(moving[0], training=True)
        loss = tf.reduce_mean((outputs - moving[1]) ** 2)
    assert_close(outputs, expected.outputs)
    assert_close(tape.gradient(loss, [v.value for v in net.trainable_variables]), means)
    before = module_weights(net, 4)
    trainer = trainer_of(net, rate=1.0, latency=0)
    _, outputs, _ = trainer.learn(*moving, trainer.initial_state(2))
    assert_close(outputs, expected.outputs)
    steps = [old - new for old, new in zip(before, module_weights(net, 4), strict=True)]
    assert_close(steps, means)


def test_updates_within_the_clip_are_those_of_the_reference(
    moving: tuple, rng: np.random.Generator
) -> None:
    modules = dense_modules(3, rng)
    net = network(modules, start="primed")
    trainer = trainer_of(net, rate=0.5, latency=0, update_every=1)
    trainer.learn(*moving, trainer.initial_state(2))
    updated = copy.deepcopy(modules)
    reference.sideways(updated, *moving, update_every=1, rate=0.5, primed=True)
    assert_close(
        module_weights(net, 3), [x for module in updated for x in (module.kernel, module.bias)]
    )


def test_a_reset_stream_is_primed_by_its_next_frame(moving: tuple) -> None:
    modules = dense_modules(3, np.random.default_rng(1))
    trainer = trainer_of(network(modules, start="primed"), 0.0, latency=0)
    clip, targets = moving
    _, before, state = trainer.learn(clip[:, :5], targets[:, :5], trainer.initial_state(2))
    state = trainer.reset(state, [False, True])
    _, after, _ = trainer.learn(clip[:, 5:], targets[:, 5:], state)
    whole = reference.sideways(modules, *moving, primed=True)
    new = reference.sideways(modules, clip[1:, 5:], targets[1:, 5:], primed=True)
    assert_close(np.concatenate([before, after], axis=1)[:1], whole.outputs[:1])
    assert_close(after[1:], new.outputs)

"""Back-propagation and GPipe on single frames have the same gradients, as computed by hand."""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from random_weights import randomize
from sideways_networks import assert_close, fit

from mpvn import Plan, VideoNetwork
from mpvn.sideways.back_propagation import BackPropagationTrainer, GPipeTrainer
from mpvn.sideways.gpipe import gpipe

TRAINERS = [BackPropagationTrainer, GPipeTrainer]
STEPS = 6
RATE = 0.02


def network(batch_norm: bool = False) -> VideoNetwork:
    """Return three subnetworks with a skip."""
    frame = keras.Input((4, 4, 2))
    x = first = layers.Conv2D(3, 3, padding="same", activation="tanh", name="first")(frame)
    if batch_norm:
        x = layers.BatchNormalization(momentum=0.5, name="norm")(x)
    x = layers.Conv2D(3, 3, padding="same", activation="tanh", name="second")(x)
    x = layers.Add(name="third")([first, x])
    model = keras.Model(frame, layers.Dense(2)(layers.Flatten()(x)))
    randomize(model, np.random.default_rng(5))
    return VideoNetwork(model, Plan(model, boundaries=["second", "third"]))


def train(trainer: Any, *arrays: np.ndarray) -> float:
    """Train on one batch; return the loss."""
    trainer.compile(keras.optimizers.SGD(RATE), "mse")
    return fit(trainer, *arrays)["loss"][0]


def video(rng: np.random.Generator, steps: int = STEPS) -> tuple[np.ndarray, np.ndarray]:
    """Return a clip and its targets."""
    clip, targets = rng.normal(size=(2, steps, 4, 4, 2)), rng.normal(size=(2, steps, 2))
    return clip.astype("float32"), targets.astype("float32")


def by_hand(
    model: keras.Model, frames: np.ndarray, targets: np.ndarray, weights: Any, update_every: int
) -> tuple[list[np.ndarray], float]:
    """Train `model` on one frame after another; return its weights and the mean loss."""
    losses = []
    for first in range(0, frames.shape[1], update_every):
        x, y, w = (v[:, first : first + update_every] for v in (frames, targets, weights))
        with tf.GradientTape() as tape:
            outputs = [model(x[:, t], training=True) for t in range(x.shape[1])]
            errors = tf.reduce_mean((tf.stack(outputs, axis=1) - y) ** 2, axis=-1)
            loss = tf.reduce_mean(errors * w)
        variables = [v.value for v in model.trainable_variables]
        for variable, gradient in zip(variables, tape.gradient(loss, variables), strict=True):
            variable.assign_sub(RATE * gradient)
        losses.append(float(loss) * x.shape[1])
    return model.get_weights(), sum(losses) / frames.shape[1]


@pytest.mark.parametrize(
    "trainer, update_every",
    [
        (BackPropagationTrainer, None),
        (BackPropagationTrainer, 1),
        (BackPropagationTrainer, 4),  # 4 frames and 2 frames; GPipe needs pieces of one length
        (GPipeTrainer, None),
        (GPipeTrainer, 3),
    ],
)
def test_gradients_are_those_of_single_frames(
    trainer: Any, update_every: int | None, rng: np.random.Generator
) -> None:
    net, (clip, targets) = network(), video(rng)
    weights = rng.uniform(0, 2, (2, STEPS)).astype("float32")
    loss = train(trainer(net, update_every), clip, targets, weights)
    model = network().frame_model
    expected, mean = by_hand(model, clip, targets, weights, update_every or STEPS)
    np.testing.assert_allclose(loss, mean, rtol=1e-5)
    assert_close(net.frame_model.get_weights(), expected, rtol=1e-4, atol=1e-5)


def test_with_frozen_batch_norm_a_pipeline_has_the_gradients_of_back_propagation(
    rng: np.random.Generator,
) -> None:
    """Batch norm that trains breaks this, which a warning says; frozen batch norm is affine."""
    nets, (clip, targets) = [network(batch_norm=True) for _ in TRAINERS], video(rng, 4)
    for net, trainer in zip(nets, TRAINERS, strict=True):
        net.frame_model.get_layer("norm").trainable = False
        train(trainer(net), clip, targets)
    weights, expected = (net.frame_model.get_weights() for net in nets)
    assert_close(weights, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("trainer", TRAINERS)
def test_in_real_time_frames_are_skipped(trainer: Any, rng: np.random.Generator) -> None:
    """Three subnetworks train on frames 0, 5 and 10; NaN in the others shows if they are read."""
    net, (clip, targets) = network(), video(rng, 12)
    read = np.isin(np.arange(12), (0, 5, 10))
    holes = np.where(read[:, None, None, None], clip, np.nan)
    realtime = trainer(net, update_every=1, realtime=True)
    assert realtime.updates(12) == 3
    train(realtime, holes, np.where(read[:, None], targets, np.nan))
    model, ones = network().frame_model, np.ones((2, 3), "float32")
    expected, _ = by_hand(model, clip[:, read], targets[:, read], ones, 1)
    assert_close(net.frame_model.get_weights(), expected, rtol=1e-4, atol=1e-5)


def test_a_pipeline_has_the_outputs_of_single_frames(rng: np.random.Generator) -> None:
    net, (clip, _) = network(), video(rng)
    (outputs,) = gpipe(net.plan, [tf.constant(clip)])
    frames = net.frame_model(clip.reshape(-1, 4, 4, 2))
    np.testing.assert_allclose(outputs, tf.reshape(frames, (2, STEPS, 2)), rtol=1e-5, atol=1e-6)
    # The network itself answers two steps later: its longest path crosses two boundaries.
    assert np.abs(np.asarray(net(clip)) - outputs).max() > 1e-3


def test_batch_norm_counts_each_micro_batch_once(rng: np.random.Generator) -> None:
    """Statistics, and gradients through them, are those of one frame after another."""
    net, (clip, targets) = network(batch_norm=True), video(rng, 4)
    with pytest.warns(RuntimeWarning, match="one frame of each clip.*1 such layers, 'norm' first"):
        trainer = GPipeTrainer(net)
    train(trainer, clip, targets)
    model, ones = network(batch_norm=True).frame_model, np.ones((2, 4), "float32")
    expected, _ = by_hand(model, clip, targets, ones, 4)
    assert_close(net.frame_model.get_weights(), expected, rtol=1e-3, atol=1e-4)


def test_the_network_is_evaluated_under_its_plan(rng: np.random.Generator) -> None:
    net, (clip, targets) = network(), video(rng)
    trainer = BackPropagationTrainer(net)
    trainer.compile("sgd", "mse")
    dataset = tf.data.Dataset.from_tensors((clip, targets))
    expected = np.mean((np.asarray(net(clip)) - targets) ** 2)
    np.testing.assert_allclose(trainer.evaluate(dataset, verbose=0), expected, rtol=1e-5)


def test_clips_of_unknown_length_are_refused() -> None:
    clip = keras.KerasTensor((2, None, 4, 4, 2))
    with pytest.raises(ValueError, match="Expected clips of known length"):
        gpipe(network().plan, [clip])

"""Back-propagation and GPipe on single frames: the same gradients, by other ways."""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from random_weights import randomize

from mpvn import Plan, VideoNetwork
from mpvn.sideways.gpipe import gpipe
from mpvn.training import BackPropagationTrainer, GPipeTrainer

TRAINERS = [BackPropagationTrainer, GPipeTrainer]
DEPTH = 3


def network(batch_norm: bool = False) -> VideoNetwork:
    """Three subnetworks and a skip."""
    frame = keras.Input((6, 6, 2))
    x = first = layers.Conv2D(3, 3, padding="same", activation="tanh", name="first")(frame)
    if batch_norm:
        x = layers.BatchNormalization(momentum=0.5, name="norm")(x)
    x = layers.Conv2D(3, 3, padding="same", activation="tanh", name="second")(x)
    x = layers.Add(name="third")([first, x])
    model = keras.Model(frame, layers.Dense(2)(layers.Flatten()(x)))
    randomize(model, np.random.default_rng(5))
    return VideoNetwork(model, Plan(model, boundaries=["second", "third"]))


def fit(made: Any, *arrays: np.ndarray, rate: float = 0.02) -> dict[str, float]:
    made.compile(keras.optimizers.SGD(rate), "mse")
    dataset = tf.data.Dataset.from_tensors(arrays)
    return {
        name: value[0]
        for name, value in made.fit(dataset, verbose=0, shuffle=False).history.items()
    }


@pytest.fixture
def clip(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=(2, 12, 6, 6, 2)).astype("float32")


@pytest.fixture
def targets(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=(2, 12, 2)).astype("float32")


def by_hand(
    frames: np.ndarray,
    targets: np.ndarray,
    weights: np.ndarray,
    update_every: int,
    rate: float = 0.02,
) -> tuple[list[np.ndarray], float]:
    """Weights after gradient descent on single frames, and the mean of the losses."""
    model = network().frame_model
    losses = []
    for first in range(0, frames.shape[1], update_every):
        x, y, w = (v[:, first : first + update_every] for v in (frames, targets, weights))
        with tf.GradientTape() as tape:
            said = [model(x[:, t], training=True) for t in range(x.shape[1])]
            errors = tf.reduce_mean((tf.stack(said, axis=1) - y) ** 2, axis=-1)
            loss = tf.reduce_mean(errors * w)
        variables = [v.value for v in model.trainable_variables]
        for variable, gradient in zip(variables, tape.gradient(loss, variables), strict=True):
            variable.assign_sub(rate * gradient)
        losses.append(float(loss) * x.shape[1])
    return model.get_weights(), sum(losses) / frames.shape[1]


@pytest.mark.parametrize("update_every", [None, 1, 4])
@pytest.mark.parametrize("trainer", TRAINERS)
def test_gradients_are_those_of_single_frames(
    trainer: Any, update_every: int | None, clip: np.ndarray, targets: np.ndarray
) -> None:
    net = network()
    weights = np.random.default_rng(2).uniform(0, 2, (2, 12)).astype("float32")
    said = fit(trainer(net, update_every), clip, targets, weights)
    expected, loss = by_hand(clip, targets, weights, update_every or 12)
    np.testing.assert_allclose(said["loss"], loss, rtol=1e-5)
    for ours, theirs in zip(net.frame_model.get_weights(), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("trainer", TRAINERS)
def test_in_real_time_frames_go_by(trainer: Any, clip: np.ndarray, targets: np.ndarray) -> None:
    """Of frames 0 to 11, three subnetworks take 0, 5 and 10; what the others hold is not seen."""
    net = network()
    seen = np.isin(np.arange(12), (0, 5, 10))
    other = np.where(seen[None, :, None, None, None], clip, np.nan)
    fit(
        trainer(net, update_every=1, realtime=True), other, np.where(seen[:, None], targets, np.nan)
    )
    expected, _ = by_hand(clip[:, seen], targets[:, seen], np.ones((2, 3), "float32"), 1)
    for ours, theirs in zip(net.frame_model.get_weights(), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_a_pipeline_gives_what_frames_give(clip: np.ndarray) -> None:
    net = network()
    (outputs,) = gpipe(net.plan, [tf.constant(clip)])
    folded = net.frame_model(clip.reshape(-1, 6, 6, 2))
    np.testing.assert_allclose(outputs, tf.reshape(folded, (2, 12, 2)), rtol=1e-5, atol=1e-6)
    # The network itself answers two steps later: the longest way is two boundaries long.
    assert np.abs(np.asarray(net(clip)) - outputs).max() > 1e-3


def test_batch_norm_counts_each_micro_batch_once(clip: np.ndarray, targets: np.ndarray) -> None:
    """Of statistics, and of gradients through them: as frame after frame, computed by hand."""
    net, model = network(batch_norm=True), network(batch_norm=True).frame_model
    fit(GPipeTrainer(net), clip, targets)
    with tf.GradientTape() as tape:
        said = tf.stack([model(clip[:, t], training=True) for t in range(12)], axis=1)
        loss = tf.reduce_mean((said - targets) ** 2)
    variables = [v.value for v in model.trainable_variables]
    for variable, gradient in zip(variables, tape.gradient(loss, variables), strict=True):
        variable.assign_sub(0.02 * gradient)
    for ours, theirs in zip(net.frame_model.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4)


def test_it_is_evaluated_under_its_plan(clip: np.ndarray, targets: np.ndarray) -> None:
    net = network()
    made = BackPropagationTrainer(net)
    made.compile("sgd", "mse")
    dataset = tf.data.Dataset.from_tensors((clip, targets))
    expected = np.mean((np.asarray(net(clip)) - targets) ** 2)
    np.testing.assert_allclose(made.evaluate(dataset, verbose=0), expected, rtol=1e-5)


def test_clips_of_unknown_length_are_refused(clip: np.ndarray, targets: np.ndarray) -> None:
    made = GPipeTrainer(network())
    made.compile("sgd", "mse")
    open_ended = tf.data.Dataset.from_tensors((clip, targets)).map(
        lambda x, y: (tf.ensure_shape(x, (2, None, 6, 6, 2)), tf.ensure_shape(y, (2, None, 2)))
    )

    def unknown(x: tf.Tensor, y: tf.Tensor) -> tuple:
        steps = tf.random.uniform((), 12, 13, tf.int32)
        return x[:, :steps], y[:, :steps]

    with pytest.raises(ValueError, match="Expected clips of known length"):
        made.fit(open_ended.map(unknown), verbose=0, shuffle=False)

"""Training by Sideways in streams and in `fit`: pieces, resets, learning, errors."""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from sideways_networks import WIDTH, assert_close, dense_modules, fit, module_weights, network

from keras_layers import Feedback, TemporalConv3D
from mpvn import Plan, VideoNetwork
from mpvn.models import simple_cnn
from mpvn.sideways.sideways_trainer import SidewaysTrainer
from mpvn.tasks import FutureFrame


def compiled(net: VideoNetwork, rate: float, **options: Any) -> SidewaysTrainer:
    trainer = SidewaysTrainer(net, **options)
    trainer.compile(keras.optimizers.SGD(rate), keras.losses.MeanSquaredError(dtype="float64"))
    return trainer


def chain(depth: int) -> VideoNetwork:
    return network(dense_modules(depth, np.random.default_rng(1)))


@pytest.fixture
def moving(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A clip and targets that change at every step."""
    return rng.normal(size=(2, 13, WIDTH)), rng.normal(size=(2, 13, WIDTH))


def test_pieces_equal_the_whole(moving: tuple) -> None:
    """A stream in pieces, shorter and longer than the latency for which targets wait."""
    whole, pieces = chain(4), chain(4)
    trainer = compiled(whole, 0.5, update_every=1)
    _, expected, _ = trainer.learn(*moving, trainer.initial_state(2))
    trainer = compiled(pieces, 0.5, update_every=1)
    state, outputs, first = trainer.initial_state(2), [], 0
    for steps in (1, 6, 6):
        clip, targets = (x[:, first : first + steps] for x in moving)
        _, values, state = trainer.learn(clip, targets, state)
        outputs.append(values)
        first += steps
    assert_close(np.concatenate(outputs, axis=1), expected, rtol=1e-12)
    assert_close(module_weights(pieces, 4), module_weights(whole, 4), rtol=1e-12)


def test_a_reset_stream_is_new_and_others_learn_without_it(moving: tuple) -> None:
    clip, targets = moving

    def learn(trainer: SidewaysTrainer, state: Any, streams: slice, steps: range) -> tuple:
        outputs = []
        for t in steps:  # one step at a time: one traced function
            inputs = clip[streams, t : t + 1], targets[streams, t : t + 1]
            _, output, state = trainer.learn(*inputs, state)
            outputs.append(output)
        return np.concatenate(outputs, axis=1), state

    pair, alone = compiled(chain(3), 0.0), compiled(chain(3), 0.0)
    both, first, second = slice(0, 2), slice(0, 1), slice(1, 2)
    _, state = learn(pair, pair.initial_state(2), both, range(7))
    _, single = learn(alone, alone.initial_state(1), first, range(7))
    # The reset stream counts no loss for some steps, so the pair learns from the first stream.
    state = pair.reset(state, [False, True])
    for trainer in (pair, alone):
        trainer.optimizer.learning_rate = 0.5
    _, state = learn(pair, state, both, range(7, 9))
    learn(alone, single, first, range(7, 9))
    weights = module_weights(pair.network, 3)
    assert_close(weights, module_weights(alone.network, 3), rtol=1e-12)
    assert not np.allclose(weights[0], module_weights(chain(3), 3)[0])
    # With equal weights, it is like a new stream.
    pair.optimizer.learning_rate = alone.optimizer.learning_rate = 0.0
    outputs, state = learn(pair, pair.reset(state, [False, True]), both, range(9, 13))
    expected, new = learn(alone, alone.initial_state(1), second, range(9, 13))
    assert_close(outputs[1:], expected, rtol=1e-12)
    for slot in new["slots"]:  # gradients are of the mean over the streams
        assert_close(state["slots"][slot][1:], new["slots"][slot], rtol=1e-12)
        assert_close(2 * state["sent"][slot][1:], new["sent"][slot], rtol=1e-12)


@pytest.mark.usefixtures("restore_dtype_policy")
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_it_learns_to_predict_frames(policy: str) -> None:
    """Plain `compile` and `fit`, with the targets and metrics of a task."""
    keras.config.set_dtype_policy(policy)
    x = frame = keras.Input((8, 8, 1))
    for name in ("first", "second"):
        x = layers.Conv2D(8, 3, padding="same", use_bias=False, name=name)(x)
        x = layers.ReLU()(layers.BatchNormalization(momentum=0.5)(x))
    outputs = layers.Conv2D(1, 3, padding="same", dtype="float32", name="last")(x)
    model = keras.Model(frame, outputs)
    net = VideoNetwork(model, Plan(model, boundaries=["second", "last"]))
    task = FutureFrame(ahead=1, latency=2)
    trainer = SidewaysTrainer(net)
    trainer.compile(keras.optimizers.Adam(0.01), task.loss, weighted_metrics=task.metrics())
    rows = np.linspace(-1, 1, 8)[None, None, :, None, None]
    phase = np.arange(10)[None, :, None, None, None] / 3 + np.arange(2).reshape(2, 1, 1, 1, 1)
    clip = np.sin(3 * rows + phase) * np.ones((2, 10, 8, 8, 1))
    batch = {"frames": clip.astype("float32")}
    losses = fit(trainer, *task.at_source(batch), epochs=40)["loss"]
    assert losses[-1] < 0.6 * losses[0]
    held_out = tf.data.Dataset.from_tensors(task.prepare(batch))
    assert trainer.evaluate(held_out, verbose=0, return_dict=True)["mse"] < 0.75 * losses[0]


def test_it_trains_published_networks() -> None:
    model = simple_cnn((32, 32, 3), classes=3, width=0.125, norm="batch")
    net = VideoNetwork(model, Plan(model, 6, partition="units"))
    trainer = SidewaysTrainer(net, latency=0)
    trainer.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    rng = np.random.default_rng(0)
    labels = np.tile(np.arange(3)[:, None], [1, 11])
    clip = rng.normal(size=(3, 11, 32, 32, 3)) + labels[:, :, None, None, None]
    losses = fit(trainer, clip.astype("float32"), labels, epochs=20)["loss"]
    assert losses[-1] < 0.7 * losses[0]


# --- errors -------------------------------------------------------------------------------------


def test_clips_that_are_too_short_are_refused() -> None:
    trainer = compiled(chain(3), 1.0)
    with pytest.raises(ValueError, match=r"at least 5 frames \(2D - 1.*Received: clips of 4"):
        fit(trainer, *np.zeros((2, 1, 4, WIDTH)))
    fit(trainer, *np.zeros((2, 1, 5, WIDTH)))
    later = compiled(chain(3), 1.0, latency=4)  # targets of the first two outputs never come
    with pytest.raises(ValueError, match="at least 7 frames"):
        fit(later, *np.zeros((2, 1, 6, WIDTH)))


def test_a_loss_without_a_value_for_each_step_is_refused() -> None:
    trainer = SidewaysTrainer(chain(3))
    trainer.compile("sgd", lambda y, p: tf.reduce_mean((y - p) ** 2, axis=(1, 2)))
    with pytest.raises(ValueError, match=r"a value for each step, \[B, T\].*mpvn.tasks"):
        fit(trainer, *np.zeros((2, 1, 5, WIDTH)))


def with_memory() -> keras.Model:
    frame = keras.Input((4, 4, 2))
    return keras.Model(frame, TemporalConv3D(2, (2, 1, 1), name="past")(frame))


def with_feedback() -> keras.Model:
    frame = keras.Input((4,))
    back = Feedback("last", (4,), name="back")(frame)
    return keras.Model(frame, layers.Dense(4, name="last")(layers.Add()([frame, back])))


@pytest.mark.parametrize(
    "build, reason", [(with_memory, "memory of past frames"), (with_feedback, "feedback")]
)
def test_networks_that_look_back_are_refused(build: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=f"{reason}.*Remove it"):
        SidewaysTrainer(VideoNetwork(build()))


def test_a_layer_that_adds_losses_is_refused() -> None:
    frame = keras.Input((3,))
    x = layers.Dense(3, activity_regularizer="l2")(frame)
    model = keras.Model(frame, layers.Dense(3, name="last")(x))
    trainer = SidewaysTrainer(VideoNetwork(model, Plan(model, boundaries=["last"])))
    trainer.compile("sgd", "mse")
    with pytest.raises(ValueError, match="activity regularizer.*Remove these losses"):
        fit(trainer, *np.zeros((2, 1, 5, 3), "float32"))


def test_other_errors() -> None:
    net = chain(2)
    with pytest.raises(TypeError, match="expected a VideoNetwork"):
        SidewaysTrainer(net.frame_model)
    with pytest.raises(ValueError, match="update_every. Expected None or at least 1"):
        SidewaysTrainer(net, update_every=0)
    with pytest.raises(ValueError, match="latency. Expected None or at least 0"):
        SidewaysTrainer(net, latency=-1)
    trainer = SidewaysTrainer(net)
    with pytest.raises(ValueError, match="Call compile first"):
        trainer.learn(np.zeros((1, 1, 3)), np.zeros((1, 1, 3)), trainer.initial_state(1))
    with pytest.raises(ValueError, match="mixed_bfloat16"):
        trainer.compile(keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD()), "mse")
    with pytest.raises(ValueError, match=r"\[B, T\], a weight for each step"):
        fit(compiled(net, 1.0), *np.zeros((2, 1, 5, 3)), np.zeros((1, 5, 3), "float32"))

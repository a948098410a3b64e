"""Losses, dropout and batch norm of networks in training."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from random_weights import randomize

from mpvn import Plan, VideoNetwork
from mpvn.executors import choose
from mpvn.sideways.back_propagation import BackPropagationTrainer
from mpvn.training.evaluator import Evaluator


def test_regularizers_and_added_losses_reach_the_network(rng: np.random.Generator) -> None:
    class Penalty(layers.Layer):
        def call(self, inputs: Any) -> Any:
            self.add_loss(0.5 * keras.ops.mean(keras.ops.square(inputs)))
            return inputs

    frame = keras.Input((4, 4, 2))
    conv = layers.Conv2D(2, 1, kernel_regularizer=keras.regularizers.L2(0.1))
    model = keras.Model(frame, Penalty()(conv(frame)))
    network = VideoNetwork(model, Plan(model, 2), executor="layerwise")
    randomize(network, rng)
    clip = rng.normal(size=(2, 3, 4, 4, 2)).astype("float32")
    outputs = network(clip)
    # The penalty reads the convolution one step late, and zeros at the first step.
    features = np.asarray(conv(clip.reshape(-1, 4, 4, 2))).reshape(clip.shape)
    delayed = np.concatenate([np.zeros_like(features[:, :1]), features[:, :-1]], axis=1)
    np.testing.assert_allclose(outputs, delayed, rtol=1e-4, atol=1e-5)
    expected = 0.1 * np.sum(np.square(conv.kernel)) + 0.5 * np.mean(np.square(delayed))
    assert sum(map(float, network.losses)) == pytest.approx(expected, rel=1e-4)
    network.compile("sgd", loss="mse")
    plain = float(np.mean(np.square(outputs)))
    assert network.evaluate(clip, np.zeros_like(outputs), verbose=0) > plain


def test_losses_of_layers_train_layer_by_layer_which_auto_chooses(
    rng: np.random.Generator,
) -> None:
    """Losses that layers add in the loop of `unroll` cannot leave that loop."""
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
    assert network(clip).shape == clip.shape  # inference does not need the losses


@pytest.mark.parametrize("around", [lambda network: network, Evaluator, BackPropagationTrainer])
def test_fit_traces_a_step_once(around: Callable, rng: np.random.Generator) -> None:
    """TensorFlow traces a function that creates variables, such as an optimizer's, twice."""
    traces = []

    def loss(targets: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
        traces.append(str(outputs.shape))
        return tf.reduce_mean(tf.square(outputs - targets), axis=-1)

    frame = keras.Input((4, 4, 2))
    model = around(VideoNetwork(keras.Model(frame, layers.Conv2D(2, 1)(frame))))
    model.compile(keras.optimizers.Adam(), loss)
    clip = rng.normal(size=(2, 5, 4, 4, 2)).astype("float32")
    model.fit(clip, np.zeros_like(clip), verbose=0)
    assert traces and len(traces) == len(set(traces))


@pytest.mark.parametrize("executor", ["layerwise", "unroll"])
def test_dropout_draws_a_new_mask_at_each_step_of_training(
    executor: str, rng: np.random.Generator
) -> None:
    """Dropout did nothing in `fit`.

    Keras records the default `training=False` of `Dropout.call` in the graph, and it was taken for
    a choice of the user.
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


def test_batch_norm_trains_with_the_statistics_of_clips_of_any_size(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Large clips were unrolled, so that batch norm took the statistics of each step.

    At the first steps, before information has arrived, these differ from the statistics of the clip
    so much that inference had other outputs than training.
    """
    monkeypatch.setattr(choose, "LAYERWISE_BYTES", 0)  # any clip is large
    frame = keras.Input((8, 8, 3))
    x = layers.Conv2D(8, 3, padding="same")(frame)
    x = layers.BatchNormalization(momentum=0.0)(x)
    model = keras.Model(frame, layers.GlobalAveragePooling2D()(layers.ReLU()(x)))
    network = VideoNetwork(model, Plan(model, 2))
    clips = rng.normal(size=(2, 20, 8, 8, 3)).astype("float32")
    clips *= np.linspace(0, 2, 20, dtype="float32")[:, None, None, None]
    trained = network(clips, training=True)
    np.testing.assert_allclose(network(clips, training=False), trained, atol=1e-3)
    network.executor = "unroll"
    trained = network(clips, training=True)
    assert np.abs(network(clips, training=False) - trained).max() > 0.01

"""The training mode: calls, `fit`, `predict` and `step` do as Keras does, random numbers included.

Two models of the same seeds draw the same numbers, so values are compared exactly: step by step,
the frame model called on one frame after the other; layer by layer, called on all frames at once.
"""

import keras
import numpy as np
import pytest
from keras import layers
from random_weights import randomize

from keras_layers.folding import fold_time, unfold_time
from mpvn import VideoNetwork

BATCH, STEPS = 2, 3


class Jitter(layers.Layer):
    """A layer of a user that is in training unless it is told otherwise."""

    def __init__(self) -> None:
        super().__init__()
        self.seeds = keras.random.SeedGenerator(7)

    def call(self, x, training=True):
        return x + keras.random.normal(keras.ops.shape(x), seed=self.seeds) if training else x


def augmented() -> keras.Model:
    """Layers that are in training by default, and layers that are not."""
    frame = keras.Input((6, 6, 3))
    x = layers.RandomFlip(seed=1)(frame)
    x = layers.RandomContrast(0.5, value_range=(-5, 5), seed=2)(x)
    x = layers.Conv2D(4, 3)(Jitter()(x))
    x = layers.BatchNormalization(momentum=0.5)(x)
    return keras.Model(frame, layers.Dense(2)(layers.GlobalMaxPooling2D()(x)))


def regularized() -> keras.Model:
    """Nested, with layers that are in training only if they are told so."""
    inside = keras.Input((6, 6, 4))
    x = layers.GaussianNoise(0.5, seed=3)(inside)
    x = layers.BatchNormalization(momentum=0.5)(x)
    block = keras.Model(inside, layers.SpatialDropout2D(0.5, seed=4)(x))
    frame = keras.Input((6, 6, 3))
    x = block(layers.Dense(4)(frame))
    x = layers.MultiHeadAttention(1, 2, dropout=0.3, seed=5)(*2 * [layers.Reshape((36, 4))(x)])
    return keras.Model(frame, layers.Dense(2)(layers.Dropout(0.5, seed=6)(x[:, 0])))


def called_in_inference() -> keras.Model:
    """Calls that name a training mode, which a mode of the network overrides."""
    frame = keras.Input((6, 6, 3))
    x = layers.RandomFlip(seed=1)(frame, training=False)
    x = layers.BatchNormalization(momentum=0.5)(layers.Dense(4)(x), training=True)
    x = layers.Dropout(0.5, seed=6)(x, training=True)
    return keras.Model(frame, layers.Dense(2)(layers.GlobalAveragePooling2D()(x)))


MODELS = [augmented, regularized, called_in_inference]


@pytest.fixture(params=MODELS)
def pair(request: pytest.FixtureRequest) -> tuple[VideoNetwork, keras.Model]:
    """A network, and plain Keras: the same model again."""
    models = request.param(), request.param()
    for model in models:
        randomize(model, np.random.default_rng(8))
    return VideoNetwork(models[0]), models[1]


@pytest.fixture
def clip(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=(BATCH, STEPS, 6, 6, 3)).astype("float32")


def assert_alike(network: VideoNetwork, plain: keras.Model) -> None:
    """Weights, moving statistics and random seeds are the same."""
    for variable, other in zip(network.frame_model.variables, plain.variables, strict=True):
        np.testing.assert_allclose(variable, other, rtol=1e-4, atol=1e-5, err_msg=variable.path)


@pytest.mark.parametrize("training", [None, True, False])
def test_a_call_step_by_step_is_the_model_called_on_each_frame(
    pair: tuple, training: bool | None, clip: np.ndarray
) -> None:
    network, plain = pair
    network.executor = "unroll"
    outputs = network(clip, training=training)
    expected = [plain(clip[:, time], training=training) for time in range(STEPS)]
    np.testing.assert_allclose(outputs, np.stack(expected, axis=1), rtol=1e-5, atol=1e-5)
    assert_alike(network, plain)


@pytest.mark.parametrize("training", [None, True, False])
def test_a_call_layer_by_layer_is_the_model_called_on_all_frames(
    pair: tuple, training: bool | None, clip: np.ndarray
) -> None:
    network, plain = pair
    network.executor = "layerwise"
    outputs = network(clip, training=training)
    expected = unfold_time(plain(fold_time(clip), training=training), BATCH, STEPS)
    np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-5)
    assert_alike(network, plain)


def test_predict_evaluate_step_and_run_are_inference(pair: tuple, clip: np.ndarray) -> None:
    network, plain = pair
    expected = unfold_time(plain(fold_time(clip), training=False), BATCH, STEPS)
    state, steps = network.initial_state(BATCH), []
    for time in range(STEPS):
        output, state = network.step(clip[:, time], state)
        steps.append(output)
    run, _ = network.run(clip, network.initial_state(BATCH))
    network.compile(loss="mse")
    loss = network.evaluate(clip, np.zeros_like(expected), verbose=0)
    for outputs in (np.stack(steps, axis=1), run, network.predict(clip, verbose=0)):
        np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(loss, np.mean(np.square(expected)), rtol=1e-5)
    assert_alike(network, plain)


def test_fit_is_training(pair: tuple, clip: np.ndarray, rng: np.random.Generator) -> None:
    """Frames as one batch have the same loss, gradients, statistics and random numbers."""
    network, plain = pair
    targets = rng.normal(size=(BATCH, STEPS, 2)).astype("float32")
    network.executor = "layerwise"
    for model, frames, labels in (
        (network, clip, targets),
        (plain, fold_time(clip).numpy(), fold_time(targets).numpy()),
    ):
        model.compile(optimizer=keras.optimizers.SGD(0.05), loss="mse")
        model.fit(frames, labels, batch_size=len(frames), epochs=2, shuffle=False, verbose=0)
    assert_alike(network, plain)

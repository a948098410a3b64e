"""`VideoNetwork(gradient="sideways")`: fit, XLA, files, changes of the option, errors."""

import itertools
import pathlib
from typing import Any

import keras
import numpy as np
import pytest
import reference_sideways as reference
import tensorflow as tf
from keras import layers
from random_weights import randomize
from sideways_networks import (
    WIDTH,
    assert_close,
    dense_modules,
    fit,
    module_weights,
    network,
    set_modules,
)

import keras_layers
from mpvn import Plan, VideoNetwork
from mpvn.sideways.sideways_trainer import SidewaysTrainer
from mpvn.tasks import Autoencoding


@pytest.fixture
def moving(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A clip and targets that change at every step."""
    return rng.normal(size=(2, 9, WIDTH)), rng.normal(size=(2, 9, WIDTH))


def kernel_gradient(net: VideoNetwork, clip: Any, targets: Any) -> np.ndarray:
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean((net(clip, training=True) - targets) ** 2)
    return np.asarray(tape.gradient(loss, net.frame_model.get_layer("module0").kernel.value))


def test_fit_takes_the_step_of_the_reference(moving: tuple, rng: np.random.Generator) -> None:
    modules = dense_modules(3, rng)
    net = network(modules, gradient="sideways")
    before = module_weights(net, 3)
    net.compile(keras.optimizers.SGD(0.5), "mse")
    fit(net, *moving)
    expected = reference.sideways(modules, *moving)
    for index in range(6):
        step = before[index] - module_weights(net, 3)[index]
        np.testing.assert_allclose(step, 0.5 * expected.mean(index // 2)[index % 2], 1e-4)


def trained_once(model: Any, net: VideoNetwork, *batch: Any) -> list[np.ndarray]:
    """Return the weights of four fixed modules after one update of `model`, a form of `net`."""
    set_modules(net.frame_model, dense_modules(4, np.random.default_rng(2)))
    model.train_on_batch(*batch)
    return module_weights(net, 4)


@pytest.mark.parametrize(
    "weights",
    [
        [
            [[1, 1, 1, 1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1, 1, 1, 1]],
            [[0, 0, 0, 1, 1, 0, 1, 1, 1], [0, 0, 0, 1, 0, 0, 1, 0, 0]],
            [[0.3, 0, 0, 0.5, 2, 0, 0.1, 3, 1], [1, 1, 1, 1, 0.2, 1, 0, 0.7, 1]],
        ],
        [[0.25, 3], [0, 1.5]],
    ],
    ids=["of steps", "of clips"],
)
def test_fit_follows_sample_weights_like_the_trainer(weights: list, moving: tuple) -> None:
    """Gradients were too large where steps had no weight: means were over all steps.

    With shortcuts, a module may receive a gradient that counts together with one that does not.
    """
    modules = dense_modules(4, np.random.default_rng(2))
    stepwise = network(modules, (2, 3))
    clips = network(modules, (2, 3), gradient="sideways")
    trainer = SidewaysTrainer(stepwise, latency=0)
    for model in (trainer, clips):
        model.compile(keras.optimizers.SGD(0.5), keras.losses.MeanSquaredError(dtype="float64"))
    updated = []
    for values in weights:
        given = np.array(values, "float32")
        ours = trained_once(clips, clips, *moving, given)
        theirs = trained_once(trainer, stepwise, *moving, given)
        assert_close(ours, theirs, rtol=1e-6)  # weights are float32
        updated.append(ours[0])
    assert all(np.abs(a - b).max() > 1e-3 for a, b in itertools.combinations(updated, 2))


def test_the_weights_of_a_task_are_means_over_steps_that_count(moving: tuple) -> None:
    """With the first 3 of 9 steps masked, gradients were 9 / 6 times too large."""
    late = Autoencoding(latency=3).late(*moving, tf.ones((2, 9)))
    stepwise, clips = (
        network(dense_modules(4, np.random.default_rng(2)), **options)
        for options in ({}, {"gradient": "sideways"})
    )
    for model, arrays in ((SidewaysTrainer(stepwise), moving), (clips, late)):
        model.compile(keras.optimizers.SGD(0.5), keras.losses.MeanSquaredError(dtype="float64"))
        fit(model, *arrays)
    assert_close(module_weights(clips, 4), module_weights(stepwise, 4), rtol=1e-6)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_compiled_for_clips_of_any_length(
    jit_compile: bool, moving: tuple, rng: np.random.Generator
) -> None:
    clip, targets = moving
    modules = dense_modules(3, rng)
    net = network(modules, (2,), gradient="sideways")
    kernel = net.frame_model.get_layer("module0").kernel.value
    spec = tf.TensorSpec((None, None, WIDTH), tf.float64)

    @tf.function(jit_compile=jit_compile, input_signature=[spec, spec], autograph=False)
    def compiled(clip, targets):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((net(clip, training=True) - targets) ** 2)
        return tape.gradient(loss, kernel)

    for steps in [9] if jit_compile else [5, 9]:  # XLA compiles each length
        expected = reference.sideways(modules, clip[:, :steps], targets[:, :steps], (2,))
        assert_close(compiled(clip[:, :steps], targets[:, :steps]), expected.mean(0)[0])
    if not jit_compile:  # XLA leaves assertions out
        with pytest.raises(tf.errors.InvalidArgumentError, match="at least 5 frames"):
            compiled(clip[:, :4], targets[:, :4])


def test_the_option_can_be_changed_and_is_saved(
    moving: tuple, rng: np.random.Generator, tmp_path: pathlib.Path
) -> None:
    modules = dense_modules(3, rng)
    net, exact = network(modules, gradient="sideways"), network(modules)
    net.save(tmp_path / "network.keras")
    loaded = keras.models.load_model(tmp_path / "network.keras")
    assert (net.gradient, loaded.gradient, exact.gradient) == ("sideways", "sideways", "exact")
    sideways = kernel_gradient(loaded, *moving)
    np.testing.assert_array_equal(sideways, kernel_gradient(net, *moving))
    loaded.gradient = "exact"
    exact_gradient = kernel_gradient(loaded, *moving)
    np.testing.assert_array_equal(exact_gradient, kernel_gradient(exact, *moving))
    assert not np.allclose(exact_gradient, sideways)


def test_a_run_from_a_state_follows_the_option(moving: tuple, rng: np.random.Generator) -> None:
    """`run` reused a function that was traced with the other gradient."""
    clip = tf.constant(moving[0])
    net = network(dense_modules(3, rng))
    weight = net.frame_model.get_layer("module0").kernel.value
    for gradient in ("exact", "sideways", "exact"):
        net.gradient = gradient
        with tf.GradientTape(persistent=True) as tape:
            whole = tf.reduce_mean(net(clip, training=True) ** 2)
            outputs, _ = net.run(clip, net.initial_state(2), training=True)
            run = tf.reduce_mean(outputs**2)
        np.testing.assert_allclose(tape.gradient(run, weight), tape.gradient(whole, weight), 1e-12)


@pytest.mark.usefixtures("restore_dtype_policy")
def test_mixed_precision_is_close(rng: np.random.Generator) -> None:
    clip = rng.normal(size=(2, 6, 6, 6, 2)).astype("float32")
    gradients = {}
    for policy in ("float32", "mixed_bfloat16"):
        keras.config.set_dtype_policy(policy)
        frame = keras.Input((6, 6, 2))
        x = layers.Conv2D(3, 3, activation="tanh")(frame)
        x = layers.Conv2D(3, 3, activation="tanh", name="second")(x)
        model = keras.Model(frame, layers.Conv2D(2, 1, name="third")(x))
        randomize(model, np.random.default_rng(1))
        plan = Plan(model, boundaries=["second", "third"])
        net = VideoNetwork(model, plan, gradient="sideways")
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.cast(net(clip, training=True), "float32") ** 2)
        gradients[policy] = tape.gradient(loss, [v.value for v in model.trainable_variables])
    for half, whole in zip(gradients["mixed_bfloat16"], gradients["float32"], strict=True):
        assert half.dtype == tf.float32
        np.testing.assert_allclose(half, whole, atol=0.05 * np.abs(whole).max())


# --- errors -------------------------------------------------------------------------------------


def with_slow_clock() -> tuple:
    frame = keras.Input((WIDTH,))
    model = keras.Model(frame, layers.Dense(2, name="last")(layers.Dense(2)(frame)))
    return model, Plan(model, boundaries=["last"], clocks=[1, 2])


def with_memory() -> tuple:
    frame = keras.Input((6, 6, 2))
    x = keras_layers.TemporalConv3D(2, (2, 1, 1), name="past")(frame)
    model = keras.Model(frame, layers.Conv2D(2, 1, name="last")(x))
    return model, Plan(model, boundaries=["last"])


def with_feedback() -> tuple:
    frame = keras.Input((WIDTH,))
    back = keras_layers.Feedback("last", (2,), name="back")(frame)
    model = keras.Model(frame, layers.Dense(2, name="last")(layers.Concatenate()([frame, back])))
    return model, Plan(model, boundaries=["last"])


@pytest.mark.parametrize(
    "build, reason",
    [
        (with_slow_clock, "clock rate 2"),
        (with_memory, "'past'"),
        (with_feedback, "feedback .'back'."),
    ],
)
def test_plans_that_the_papers_do_not_cover_are_refused(build: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=f'{reason}.*gradient="exact"'):
        VideoNetwork(*build(), gradient="sideways")


def test_errors(rng: np.random.Generator) -> None:
    modules = dense_modules(3, rng)
    with pytest.raises(ValueError, match="Invalid gradient. Expected one of"):
        network(modules, gradient="later")
    with pytest.raises(ValueError, match='executor="layerwise"'):
        network(modules, gradient="sideways", executor="unroll")
    net = network(modules, gradient="sideways")
    with pytest.raises(ValueError, match='executor="layerwise"'):
        net.executor = "unroll"
    net.compile("sgd", "mse")
    clip = np.zeros((2, 4, WIDTH))
    with pytest.raises(ValueError, match="at least 5 frames.*Received: clips of 4 frames"):
        net.fit(clip, clip, verbose=0)
    assert net.predict(clip, verbose=0).shape == clip.shape

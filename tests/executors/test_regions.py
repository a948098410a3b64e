"""Networks that regroup the batch axis: every executor computes what Keras computes per frame."""

import pathlib
from collections.abc import Callable

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops
from random_weights import randomize
from regrouping_models import REGROUPING, swin, windows, wrapped

from mpvn import Plan, VideoNetwork
from mpvn.graph.regions import Region
from mpvn.sideways.gpipe import gpipe

STEPS, BATCH = 7, 3


def network_of(function: Callable, clocks: list[int], executor: str = "auto") -> VideoNetwork:
    """Return subnetworks `before`, `function` and `after`, on `clocks`."""
    model = wrapped(function)
    randomize(model, np.random.default_rng(0))
    names = Plan(model).nodes
    plan = Plan(model, boundaries=[names[1], "after"], clocks=clocks, phases="aligned")
    assert any(isinstance(node, Region) for node in plan.graph.nodes)
    return VideoNetwork(model, plan, executor)


def newest_frames(clocks: list[int], steps: int) -> list[int]:
    """Return the frame that the output of a chain of subnetworks shows at each step; -1 for none.

    Each subnetwork reads the value that the one before it had at the previous step.
    """
    shown = [-1] * len(clocks)
    newest = []
    for step in range(steps):
        reads = [step, *shown[:-1]]
        shown = [
            read if step % rate == 0 else old
            for rate, read, old in zip(clocks, reads, shown, strict=True)
        ]
        newest.append(shown[-1])
    return newest


def expected(network: VideoNetwork, clip: np.ndarray, clocks: list[int]) -> dict[int, np.ndarray]:
    """Return the outputs by step, computed by Keras frame by frame and stream by stream."""
    return {
        step: np.concatenate([network.frame_model(clip[i : i + 1, t]) for i in range(len(clip))])
        for step, t in enumerate(newest_frames(clocks, clip.shape[1]))
        if t >= 0
    }


def random_clip(steps: int = STEPS) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(BATCH, steps, 4, 4, 2)).astype("float32")


@pytest.mark.parametrize("function", REGROUPING, ids=lambda function: function.__name__)
def test_clips_equal_keras_per_frame(function: Callable) -> None:
    network, clip = network_of(function, [1, 1, 2]), random_clip()
    right = expected(network, clip, [1, 1, 2])
    assert len(right) >= 3
    for executor in ("layerwise", "unroll"):
        network.executor = executor
        outputs = np.asarray(network(clip))
        for step, value in right.items():
            np.testing.assert_allclose(outputs[:, step], value, rtol=1e-4, atol=1e-5)


@pytest.fixture(scope="module")
def clocked() -> VideoNetwork:
    return network_of(swin, [1, 2, 2])


def test_streams_of_different_ages_equal_keras_per_frame(clocked: VideoNetwork) -> None:
    clip = random_clip()
    right = expected(clocked, clip, [1, 2, 2])
    state = clocked.initial_state(BATCH)
    frames = np.zeros_like(clip[:, 0])
    for now in range(STEPS + 1):
        # Stream 1 starts one step after the others.
        steps = np.array([now, now - 1, now])
        state = clocked.reset(state, steps == 0)
        for stream, step in enumerate(steps):
            frames[stream] = clip[stream, min(max(step, 0), STEPS - 1)]
        outputs, state = clocked.step(frames, state)
        for stream, step in enumerate(steps):
            if step in right:
                np.testing.assert_allclose(
                    outputs[stream], right[step][stream], rtol=1e-4, atol=1e-5
                )


@pytest.mark.parametrize("executor", ["layerwise", "unroll"])
def test_gradients_survive_rematerialization(executor: str, clocked: VideoNetwork) -> None:
    network = VideoNetwork(clocked.frame_model, clocked.plan, executor)
    clip, gradients = random_clip(), []
    for rematerialize in (False, True):
        network.rematerialize = rematerialize
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(network(clip, training=True) ** 2)
        gradients.append(tape.gradient(loss, network.trainable_variables))
    assert all(np.any(gradient) for gradient in gradients[0] if len(gradient.shape) > 1)
    for kept, again in zip(*gradients, strict=True):
        np.testing.assert_allclose(kept, again, rtol=1e-4, atol=1e-5)


def test_gpipe_equals_keras_per_frame() -> None:
    network, clip = network_of(windows, [1, 1, 1]), random_clip(2)
    (outputs,) = gpipe(network.plan, [tf.constant(clip)])
    for step in range(2):
        right = network.frame_model(clip[:, step])
        np.testing.assert_allclose(outputs[:, step], right, rtol=1e-4, atol=1e-5)


def test_layers_in_a_region_add_losses_and_learn_statistics() -> None:
    def learning(x):
        pixels = layers.Dense(4, activity_regularizer="l2")(ops.reshape(x, (-1, 4)))
        pixels = layers.BatchNormalization(name="norm")(pixels)
        return ops.reshape(pixels, (-1, 4, 4, 4))

    results = []
    for rematerialize in (False, True):
        network = network_of(learning, [1, 1, 1])
        network.rematerialize = rematerialize
        mean = network.frame_model.get_layer("norm").moving_mean
        before = mean.numpy()
        with tf.GradientTape():
            network(random_clip(4), training=True)
        results.append([*(mean.numpy() - before), np.sum(network.losses)])
    assert np.all(results[0])
    np.testing.assert_allclose(*results, rtol=1e-4)


def test_exported_region_streams(clocked: VideoNetwork, tmp_path: pathlib.Path) -> None:
    clocked.export(str(tmp_path / "exported"))
    served = tf.saved_model.load(str(tmp_path / "exported")).signatures["step"]
    frame, state = random_clip()[:, 0], clocked.initial_state(BATCH)
    outputs, _ = clocked.step(frame, state)
    values = served(frame=tf.constant(frame), **state)
    assert any(
        value.shape == outputs.shape and np.allclose(value, outputs, atol=1e-5)
        for value in values.values()
    )


def fixed(function: Callable, batch_size: int) -> keras.Model:
    frame = keras.Input(batch_shape=(batch_size, 4, 4, 2), name="frame")
    x = function(layers.Conv2D(4, 1, name="before")(frame))
    return keras.Model(frame, layers.Conv2D(3, 1, name="after")(x), name="fixed")


@pytest.mark.parametrize(
    "function",
    [windows, lambda x: ops.reshape(ops.reshape(x, (BATCH, 16, 4)), (BATCH, 4, 4, 4))],
    ids=["windows", "reshape"],
)
def test_fixed_batch_size_runs_step_by_step(function: Callable) -> None:
    model = fixed(function, BATCH)
    network = VideoNetwork(model, Plan(model, boundaries=["after"], phases="aligned"))
    clip = random_clip(3)
    outputs = network(clip)
    for step in range(1, 3):
        np.testing.assert_allclose(outputs[:, step], model(clip[:, step - 1]), atol=1e-5)
    with pytest.raises(ValueError, match="Expected a batch of 3 .* Received: a clip of shape"):
        network(clip[:2])
    for settings in ({"executor": "layerwise"}, {"gradient": "sideways"}):
        with pytest.raises(ValueError, match="takes batches of 3 only"):
            VideoNetwork(model, network.plan, **settings)

"""The Sideways layer equals an independent NumPy implementation, and networks with boundaries."""

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
    dense_modules,
    identical_frames,
    sideways_layer,
)

from keras_layers import Boundary, Sideways
from keras_layers.sideways_rules import first_learning_steps
from mpvn import Plan, VideoNetwork


def gradients(
    layer: Any, clip: np.ndarray, targets: np.ndarray
) -> tuple[list[tf.Tensor], tf.Tensor, tf.Tensor]:
    """Return the gradients of weights and clip under mean squared error, and the outputs."""
    weights = [variable.value for variable in layer.trainable_variables]

    @tf.function(autograph=False)
    def compiled(clip):
        with tf.GradientTape() as tape:
            tape.watch(clip)
            outputs = layer(clip, training=True)
            loss = tf.reduce_mean((outputs - targets) ** 2)
        *of_weights, of_clip = tape.gradient(loss, [*weights, clip])
        return of_weights, of_clip, outputs

    return compiled(tf.constant(clip))


@pytest.fixture
def moving(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A clip and targets that change at every step."""
    return rng.normal(size=(2, 13, WIDTH)), rng.normal(size=(2, 13, WIDTH))


# --- the index rules ----------------------------------------------------------------------------


@pytest.mark.parametrize("depth, shortcuts", CHAINS, ids=str)
def test_on_a_clip_of_identical_frames_it_is_back_propagation(
    depth: int, shortcuts: tuple, rng: np.random.Generator
) -> None:
    modules = dense_modules(depth, rng)
    frame, target, clip, targets = identical_frames(depth, rng)
    of_weights, _, _ = gradients(sideways_layer(modules, shortcuts), clip, targets)
    expected = reference.back_propagation(modules, frame, target, shortcuts)
    assert_close(of_weights, sum(expected, ()))


@pytest.mark.parametrize(
    "depth, shortcuts, merge",
    [
        (2, (), "add"),
        *((5, shortcuts, "add") for shortcuts in SHORTCUTS),
        (5, (2,), "concatenate"),
        (5, (2, 3), "concatenate"),
    ],
    ids=str,
)
def test_on_a_moving_clip_it_is_the_reference(
    depth: int, shortcuts: tuple, merge: str, moving: tuple, rng: np.random.Generator
) -> None:
    """Compare outputs, gradients by module, and the gradient of the clip at each step."""
    concatenate = merge == "concatenate"
    modules = dense_modules(depth, rng, shortcuts, concatenate)
    of_weights, of_clip, outputs = gradients(sideways_layer(modules, shortcuts, merge), *moving)
    expected = reference.sideways(modules, *moving, shortcuts, concatenate)
    assert_close(outputs, expected.outputs)
    assert_close(of_weights, sum((expected.mean(index) for index in range(depth)), ()))
    learned = sum(sent is not None for sent in expected.inputs)
    for step, sent in enumerate(expected.inputs):
        assert_close(of_clip[:, step], np.zeros((2, WIDTH)) if sent is None else sent / learned)


def test_the_shortest_clip_gives_the_first_module_one_step(rng: np.random.Generator) -> None:
    modules = dense_modules(3, rng)
    clip, targets = rng.normal(size=(2, 2, 5, WIDTH))
    of_weights, _, _ = gradients(sideways_layer(modules), clip, targets)
    expected = reference.sideways(modules, clip, targets)
    assert [products is not None for products in expected.steps[0]] == [False] * 4 + [True]
    assert_close(of_weights[0], expected.mean(0)[0])


def test_frozen_modules_pass_gradients_on(moving: tuple, rng: np.random.Generator) -> None:
    modules = dense_modules(3, rng)
    layer = sideways_layer(modules)
    layer.modules[1].trainable = False
    expected = reference.sideways(modules, *moving)
    of_weights, _, _ = gradients(layer, *moving)
    assert_close(of_weights, [*expected.mean(0), *expected.mean(2)])


def image_modules() -> list[keras.layers.Layer]:
    return [
        layers.Conv2D(2, 3, padding="same", activation="tanh", dtype="float64"),
        keras.Sequential(
            [
                keras.Input((4, 4, 2), dtype="float64"),
                layers.Conv2D(2, 3, padding="same", dtype="float64"),
                layers.LayerNormalization(dtype="float64"),
                layers.Activation("tanh", dtype="float64"),
            ]
        ),
        layers.Conv2D(2, 1, dtype="float64"),
    ]


def test_layer_network_and_boundaries_agree(rng: np.random.Generator) -> None:
    """Boundaries alone give sums, if the loss leaves out steps that no frame has reached."""
    clip, targets = rng.normal(size=(2, 2, 9, 4, 4, 2))
    modules = image_modules()
    layer = Sideways(modules, dtype="float64")
    layer.build((2, 9, 4, 4, 2))
    randomize(layer, rng)
    frame = keras.Input((4, 4, 2), dtype="float64")
    model = keras.Model(frame, modules[2](modules[1](modules[0](frame))))
    nodes = Plan(model).nodes
    plan = Plan(model, boundaries=[nodes[1], nodes[4]])
    network = VideoNetwork(model, plan, gradient="sideways", dtype="float64")
    with tf.GradientTape() as tape:
        x = tf.constant(clip)
        for index, module in enumerate(modules):
            x = Boundary("sideways", dtype="float64")(x) if index else x
            x = layers.TimeDistributed(module, dtype="float64")(x)
        loss = tf.reduce_sum(tf.reduce_mean((x - targets)[:, 2:] ** 2, axis=(0, 2, 3, 4)))
    sums = tape.gradient(loss, [[v.value for v in m.trainable_variables] for m in modules])
    means = [
        total / (9 - first)
        for first, of_module in zip(first_learning_steps(3), sums, strict=True)
        for total in of_module
    ]
    of_weights, of_clip, outputs = gradients(layer, clip, targets)
    network_gradients = gradients(network, clip, targets)
    for results in (of_weights, network_gradients[0]):
        assert_close(results, means)
    for results in (outputs, network_gradients[2]):
        assert_close(results, x)
    assert_close(network_gradients[1], of_clip)


# --- two clips that alternate -------------------------------------------------------------------


def steps_of_one_clip(x: np.ndarray, parity: int) -> np.ndarray:
    """Return the steps of `x`, from where every module learns, that belong to one clip."""
    return x[:, 12:][:, (parity - 12) % 2 :: 2]


@pytest.mark.parametrize("shortcuts, leaks", [((3,), False), ((5, 3), False), ((2,), True)])
def test_two_interleaved_clips(shortcuts: tuple, leaks: bool, rng: np.random.Generator) -> None:
    """Offset 3 keeps them apart: a change in one does not reach the other, either way."""
    depth, steps = 6, 24
    layer = sideways_layer(dense_modules(depth, rng), shortcuts)
    clip = rng.normal(size=(1, steps, WIDTH))
    changed = clip.copy()
    changed[:, 1::2] += 1.0
    upstream = tf.constant(rng.normal(size=(1, steps, WIDTH)))

    @tf.function(autograph=False)
    def run(clip):
        with tf.GradientTape() as tape:
            tape.watch(clip)
            outputs = layer(clip)
        return outputs, tape.gradient(outputs, clip, upstream)

    first, second = (run(tf.constant(frames)) for frames in (clip, changed))
    # The output at step s belongs to frame s - (D - 1); the gradient of a frame at step s to s.
    for before, after, parity in zip(first, second, ((depth - 1) % 2, 0), strict=True):
        moved = np.abs(steps_of_one_clip(before, parity) - steps_of_one_clip(after, parity)).max()
        assert (moved > 1e-6) == leaks
        other = 1 - parity
        assert (
            np.abs(steps_of_one_clip(before, other) - steps_of_one_clip(after, other)).max() > 1e-6
        )


# --- merges -------------------------------------------------------------------------------------


def shrinking_modules() -> list[keras.layers.Layer]:
    """7x7 -> 4x4 (same) -> 2x2 (same) -> a vector."""
    return [
        layers.Conv2D(4, 3, padding="same", activation="tanh", name="a"),
        layers.Conv2D(5, 3, 2, padding="same", activation="tanh", name="b"),
        layers.Conv2D(6, 3, 2, padding="same", activation="tanh", name="c"),
        layers.GlobalAveragePooling2D(name="d"),
        layers.Dense(2, name="e"),
    ]


@pytest.mark.parametrize("merge", ["concatenate", "project"])
def test_shortcuts_are_averaged_to_the_size_of_the_chain(
    merge: str, rng: np.random.Generator
) -> None:
    """On a clip of identical frames the last output is that of the frame, computed by hand."""
    layer = Sideways(shrinking_modules(), [2, 3], merge)
    clip = rng.normal(size=(2, 9, 7, 7, 2)).astype("float32")
    layer.build(clip.shape)
    randomize(layer, rng)
    frame = clip[:, 0]
    outputs: list = []
    for index, unit in enumerate(layer.units):
        chain, *shortcuts = [outputs[index - k] for k in (1, 2, 3) if k <= index] or [frame]
        for number, x in enumerate(shortcuts):
            shape = [chain.shape[0], *chain.shape[1:-1], x.shape[-1]]
            if len(x.shape) > len(chain.shape):
                x = np.mean(x, axis=(1, 2))
            elif x.shape[1:3] != chain.shape[1:3]:
                size = -(-x.shape[1] // chain.shape[1])
                x = layers.AveragePooling2D(size, padding="same")(x)
            assert x.shape == tuple(shape)
            if merge == "project":
                chain = chain + x @ unit.merge.projections[number].kernel.numpy()
            else:
                chain = np.concatenate([chain, x], axis=-1)
        outputs.append(unit.module(chain).numpy())
    of_weights, _, _ = gradients(layer, clip, np.zeros((2, 9, 2), "float32"))
    assert all(np.abs(gradient).max() > 0 for gradient in of_weights)
    results = layer(np.repeat(frame[:, None], 9, axis=1))
    assert results.shape == (2, 9, 2)
    assert_close(results[:, -1], outputs[-1], rtol=1e-4, atol=1e-5)


def test_a_projection_learns_as_by_back_propagation(rng: np.random.Generator) -> None:
    dense = [layers.Dense(width, "tanh", dtype="float64") for width in (4, 3, 5, 2)]
    layer = Sideways(dense, [2], "project", dtype="float64")
    frame, target = rng.normal(size=(2, 3)), rng.normal(size=(2, 2))
    clip, targets = (np.repeat(x[:, None], 9, axis=1) for x in (frame, target))
    layer.build(clip.shape)
    randomize(layer, rng)
    of_weights, _, _ = gradients(layer, clip, targets)
    with tf.GradientTape() as tape:
        outputs: list = []
        for index, unit in enumerate(layer.units):
            inputs = [outputs[index - k] for k in (1, 2) if k <= index] or [tf.constant(frame)]
            outputs.append(unit(inputs))
        loss = tf.reduce_mean((outputs[-1] - target) ** 2)
    weights = [variable.value for variable in layer.trainable_variables]
    assert len(weights) == 8 + 2
    assert_close(of_weights, tape.gradient(loss, weights))

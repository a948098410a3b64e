"""Chains of dense modules, with shortcuts: in NumPy, as a layer, and as networks."""

from typing import Any

import keras
import numpy as np
import reference_sideways as reference
import tensorflow as tf
from keras import layers

from keras_layers import Sideways
from mpvn import Plan, VideoNetwork

WIDTH = 3

SHORTCUTS = [(), (2,), (3,), (2, 3)]

CHAINS = [(1, ()), (2, ()), (3, (2,)), (4, (3,)), (6, ()), (6, (2, 3))]
"""Depths with shortcuts: one module, chains, and one or two shortcuts that overlap."""


def dense_modules(
    depth: int, rng: np.random.Generator, shortcuts: tuple = (), concatenate: bool = False
) -> list[reference.Dense]:
    modules = []
    for index in range(depth):
        inputs = max(1, sum(k <= index for k in (1, *shortcuts))) if concatenate else 1
        shape = (WIDTH * inputs, WIDTH)
        modules.append(reference.Dense(rng.normal(0, 0.6, shape), rng.normal(0, 0.3, WIDTH)))
    return modules


def identical_frames(depth: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Return a frame and a target `[2, WIDTH]`, and clips of them, long enough to learn."""
    pair = rng.normal(size=(2, 2, WIDTH))
    return [*pair, *np.repeat(pair[:, :, None], 2 * depth + 2, axis=2)]


def dense_layer(index: int) -> keras.layers.Layer:
    return layers.Dense(WIDTH, "tanh", dtype="float64", name=f"module{index}")


def set_modules(model: Any, modules: list[reference.Dense]) -> None:
    for index, module in enumerate(modules):
        model.get_layer(f"module{index}").set_weights([module.kernel, module.bias])


def sideways_layer(
    modules: list[reference.Dense], shortcuts: tuple = (), merge: str = "add"
) -> Sideways:
    dense = [layers.Dense(WIDTH, "tanh", dtype="float64") for _ in modules]
    layer = Sideways(dense, shortcuts, merge, dtype="float64")
    layer.build((None, None, WIDTH))
    for keras_module, module in zip(dense, modules, strict=True):
        keras_module.set_weights([module.kernel, module.bias])
    return layer


def network(modules: list[reference.Dense], shortcuts: tuple = (), **options: Any) -> VideoNetwork:
    """Return a network with a subnetwork for each module, and skips for shortcuts."""
    frame = keras.Input((WIDTH,), dtype="float64")
    outputs: list = []
    boundaries = []
    for index in range(len(modules)):
        inputs = [outputs[index - k] for k in (1, *shortcuts) if k <= index] or [frame]
        if len(inputs) > 1:
            inputs = [layers.Add(dtype="float64", name=f"merge{index}")(inputs)]
            boundaries.append(f"merge{index}")
        elif index:
            boundaries.append(f"module{index}")
        outputs.append(dense_layer(index)(inputs[0]))
    model = keras.Model(frame, outputs[-1])
    set_modules(model, modules)
    return VideoNetwork(model, Plan(model, boundaries=boundaries), dtype="float64", **options)


def module_weights(net: VideoNetwork, depth: int) -> list[np.ndarray]:
    """Return kernel and bias of each module in turn."""
    weights = [net.frame_model.get_layer(f"module{index}").get_weights() for index in range(depth)]
    return [array for of_module in weights for array in of_module]


def fit(model: Any, *arrays: Any, epochs: int = 1) -> dict[str, list[float]]:
    """Fit `model` to one batch, in the dtypes of the arrays; return its history."""
    dataset = tf.data.Dataset.from_tensors(arrays)
    return model.fit(dataset, epochs=epochs, verbose=0, shuffle=False).history


def assert_close(results: Any, expected: Any, rtol: float = 1e-10, atol: float = 1e-14) -> None:
    """Assert that arrays, or lists of arrays of the same length, are close."""
    if not isinstance(expected, (list, tuple)):
        results, expected = [results], [expected]
    for ours, theirs in zip(results, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=atol)

"""What Keras computes, frame by frame, and the same from a network."""

from typing import Any

import keras
import numpy as np
from random_weights import randomize

from mpvn import Plan, VideoNetwork

EXECUTORS = ("unroll", "layerwise", "step")


def per_frame(model: keras.Model, clip: Any, training: bool | None = None) -> list[np.ndarray]:
    """Return the outputs of `model` for each frame of `clip` `[B, T, ...]`, along time."""
    steps = keras.tree.flatten(clip)[0].shape[1]
    results = []
    for t in range(steps):
        frame = keras.tree.map_structure(lambda x, t=t: x[:, t], clip)
        results.append(as_arrays(model(frame, training=training)))
    return [np.stack(values, axis=1) for values in zip(*results, strict=True)]


def run_clip(network: VideoNetwork, clip: Any, how: str) -> Any:
    """Return the outputs of `network` for `clip`, by an executor or `"step"` by step."""
    if how != "step":
        network.executor = how
        return network(clip, training=False)
    batch, steps = keras.tree.flatten(clip)[0].shape[:2]
    state, results = network.initial_state(batch), []
    for t in range(steps):
        frame = keras.tree.map_structure(lambda x, t=t: x[:, t], clip)
        outputs, state = network.step(frame, state)
        results.append(outputs)
    return keras.tree.map_structure(lambda *values: np.stack(values, axis=1), *results)


def assert_as_keras(model: keras.Model, clip: Any, rng: np.random.Generator) -> VideoNetwork:
    """Compare a sequential network of `model` with Keras, by every executor; return it."""
    randomize(model, rng)
    expected = per_frame(model, clip, training=False)
    network = VideoNetwork(model, Plan(model))
    for how in EXECUTORS:
        outputs = as_arrays(run_clip(network, clip, how))
        assert len(outputs) == len(expected)
        for value, keras_value in zip(outputs, expected, strict=True):
            np.testing.assert_allclose(value, keras_value, rtol=1e-4, atol=1e-4, err_msg=how)
    return network


def as_arrays(structure: Any) -> list[np.ndarray]:
    """Return the tensors of `structure` as float32 arrays."""
    return [np.asarray(keras.ops.cast(x, "float32")) for x in keras.tree.flatten(structure)]

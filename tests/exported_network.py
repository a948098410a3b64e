"""A small network for exports, with all that streams may have, and its clips."""

import keras
import numpy as np
from random_weights import randomize
from rounds import Values

import keras_layers
import mpvn

STREAMS, FRAMES = 4, 9


def create_network(start: str = "zeros", **arguments: object) -> mpvn.VideoNetwork:
    """Return a network with temporal layers, strides, skips, clocks, feedback and two outputs."""
    keras.utils.set_random_seed(3)
    inputs = keras.Input((4, 4, 3), name="video")
    back = keras_layers.Feedback("scores", (5,), name="back")(inputs)
    x = keras_layers.TemporalConv3D(6, (2, 3, 3), activation="relu", name="first")(inputs)
    y = keras_layers.TemporalMaxPooling3D((2, 2, 2), (2, 2, 2), name="pool")(x)
    y = keras.layers.Conv2D(6, 3, padding="same", name="second")(y)
    y = keras.layers.BatchNormalization(name="norm")(y)
    up = keras.layers.UpSampling2D(2, name="up")(y)
    merged = keras.layers.Add(name="merge")([x, up])
    pooled = keras.layers.GlobalAveragePooling2D(name="mean")(merged)
    scores = keras.layers.Dense(5, name="scores")(keras.layers.Concatenate()([pooled, back]))
    model = keras.Model(inputs, {"scores": scores, "map": merged})
    randomize(model, np.random.default_rng(5))
    plan = mpvn.Plan(model, boundaries=["pool", "up", "merge"], clocks="auto")
    return mpvn.VideoNetwork(model, plan, start=start, **arguments)


def create_clips() -> np.ndarray:
    """Return a clip `[S, T, ...]` of each stream."""
    return np.random.default_rng(0).normal(size=(STREAMS, FRAMES, 4, 4, 3)).astype("float32")


def streams_alone(network: mpvn.VideoNetwork, clips: np.ndarray) -> Values:
    """Return the outputs `[S, T, ...]` of each stream alone."""
    alone = [network(clips[s : s + 1]) for s in range(STREAMS)]
    return {name: np.concatenate([y[name] for y in alone]) for name in alone[0]}

"""A small network that has everything that a stream can have, for tests of runtimes."""

from typing import Any

import keras
import numpy as np
from keras import layers, ops
from random_weights import randomize

import keras_layers
from mpvn import Plan, VideoNetwork

INPUTS = {"image": (5, 5, 2), "flow": (5, 5, 1)}


def everything(start: str = "zeros", **plan: Any) -> VideoNetwork:
    """Build two inputs and outputs, a window, a shift, a memory, feedback, and a norm.

    Three subnetworks on clocks 1, 2 and 4 skip over each other. The third one divides by a norm,
    which no frame has reached at its first tick.
    """
    image, flow = (keras.Input(shape, name=name) for name, shape in INPUTS.items())
    opinion = keras_layers.Feedback("opinion", (5, 5, 3))(image)
    x = layers.Conv2D(4, 3, padding="same", name="first")(layers.Concatenate()([image, opinion]))
    x = skip = layers.ReLU()(layers.BatchNormalization()(x))
    x = keras_layers.TemporalConv3D(4, 3, activation="tanh", name="second")(x)
    y = keras_layers.TemporalConvLSTM2D(4, 1)(layers.Conv2D(2, 1)(flow))
    x = layers.Add()([keras_layers.TemporalShift("causal", 2)(x), y])
    z = layers.Conv2D(4, 1, use_bias=False, name="third")(layers.Add()([x, skip]))
    z = z / ops.norm(z, axis=-1, keepdims=True)
    mask = layers.Conv2D(3, 1, activation="tanh", name="opinion")(layers.Concatenate()([z, flow]))
    score = layers.Dense(2, name="score")(layers.GlobalAveragePooling2D()(z))
    model = keras.Model({"image": image, "flow": flow}, {"mask": mask, "score": score})
    randomize(model, np.random.default_rng(3))
    options = {"boundaries": ["second", "third"], "clocks": [1, 2, 4], "phases": "aligned", **plan}
    return VideoNetwork(model, Plan(model, **options), start=start)


def frames(streams: int, steps: int, seed: int = 5) -> list[dict[str, np.ndarray]]:
    """Return random frames of each step."""
    rng = np.random.default_rng(seed)
    return [
        {
            name: rng.normal(size=(streams, *shape)).astype("float32")
            for name, shape in INPUTS.items()
        }
        for _ in range(steps)
    ]

"""Image models of one's own: small, with the ends that people give them.

`ENDS` holds a function for each, by name: from features `[B, 8]` or a map `[B, 6, 6, 8]` to
outputs. Where they give probabilities, these are those of `classes` classes.
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import layers, ops
from random_weights import randomize

FEATURES = 8
End = Callable[[keras.KerasTensor, int], Any]

PROBABILITIES: dict[str, End] = {
    "dense": lambda x, n: layers.Dense(n, activation="softmax", name="scores")(x),
    "sigmoid": lambda x, n: layers.Dense(n, activation="sigmoid", name="scores")(x),
    "layer": lambda x, n: layers.Softmax()(layers.Dense(n, name="scores")(x)),
    "activation layer": lambda x, n: layers.Activation("softmax")(layers.Dense(n)(x)),
    "operation": lambda x, n: ops.softmax(layers.Dense(n)(x)),
    "function": lambda x, n: keras.activations.softmax(layers.Dense(n)(x)),
    "logarithm": lambda x, n: ops.log_softmax(layers.Dense(n)(x)),
    "twice": lambda x, n: layers.Softmax()(layers.Dense(n, activation="softmax")(x)),
    "cast": lambda x, n: ops.cast(ops.softmax(layers.Dense(n)(x)), "float32"),
    "mixed precision": lambda x, n: layers.Activation("linear", dtype="float32")(
        layers.Activation("softmax", dtype="mixed_bfloat16")(layers.Dense(n)(x))
    ),
    "nested": lambda x, n: keras.Sequential(
        [keras.Input((FEATURES,)), layers.Dropout(0.5), layers.Dense(n, activation="softmax")]
    )(x),
}
"""Classifiers of features that end in probabilities."""

LOGITS: dict[str, End] = {
    "dense": lambda x, n: layers.Dense(n, name="scores")(x),
    "named": lambda x, n: layers.Identity(name="out")(layers.Dense(n, name="scores")(x)),
}
"""Classifiers of features that end in logits."""


def body(size: int | None = 8, pooled: bool = True, **scaling: Any) -> tuple[Any, Any]:
    """Return the input and the features, or the map, of a model that scales its pixels."""
    frame = keras.Input((size, size, 3), name="image")
    x = layers.Rescaling(**(scaling or {"scale": 1 / 127.5, "offset": -1}))(frame)
    x = layers.Conv2D(FEATURES, 3, activation="relu", name="first")(x)
    y = layers.Conv2D(FEATURES, 3, padding="same", name="second")(x)
    x = layers.ReLU(name="joined")(layers.Add()([x, y]))
    return frame, layers.GlobalAveragePooling2D(name="mean")(x) if pooled else x


def own_model(end: End | None = None, classes: int = 4, **options: Any) -> keras.Model:
    """Build a model with random weights. Without an end, its output is the features or the map."""
    frame, x = body(**options)
    model = keras.Model(frame, end(x, classes) if end else x, name="own")
    randomize(model, np.random.default_rng(5))
    return model

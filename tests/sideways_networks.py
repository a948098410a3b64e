"""Chains of dense modules, with shortcuts, as NumPy modules of the reference and as networks."""

from typing import Any

import keras
import numpy as np
import reference_sideways as reference
from keras import layers

from mpvn import Plan, VideoNetwork

WIDTH = 3
SHORTCUTS = [(), (2,), (3,), (2, 3)]


def dense_modules(depth: int, rng: np.random.Generator) -> list[reference.Dense]:
    return [
        reference.Dense(rng.normal(0, 0.6, (WIDTH, WIDTH)), rng.normal(0, 0.3, WIDTH))
        for _ in range(depth)
    ]


def dense_layer(index: int) -> keras.layers.Layer:
    return layers.Dense(WIDTH, "tanh", dtype="float64", name=f"module{index}")


def set_modules(model: Any, modules: list[reference.Dense]) -> None:
    for index, module in enumerate(modules):
        model.get_layer(f"module{index}").set_weights([module.kernel, module.bias])


def network(modules: list[reference.Dense], shortcuts: tuple = (), **options: Any) -> VideoNetwork:
    """A subnetwork for each module, shortcuts as skips across boundaries."""
    frame = keras.Input((WIDTH,), dtype="float64")
    made: list = []
    starts = []
    for index in range(len(modules)):
        read = [made[index - k] for k in (1, *shortcuts) if k <= index] or [frame]
        if len(read) > 1:
            read = [layers.Add(dtype="float64", name=f"merge{index}")(read)]
            starts.append(f"merge{index}")
        elif index:
            starts.append(f"module{index}")
        made.append(dense_layer(index)(read[0]))
    model = keras.Model(frame, made[-1])
    set_modules(model, modules)
    plan = Plan(model, boundaries=starts)
    return VideoNetwork(model, plan, dtype="float64", **options)

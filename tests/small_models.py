"""Small frame models that several tests share."""

import keras
import numpy as np
from keras import layers
from random_weights import randomize

import keras_layers
from mpvn import Plan, VideoNetwork


def chain(*filters: int, size: int = 8, channels: int = 2) -> keras.Model:
    """1x1 convolutions c0, c1, ... in a row, of `size * size * in * out` multiply-adds each."""
    x = frame = keras.Input((size, size, channels), name="frame")
    for index, count in enumerate(filters):
        x = layers.Conv2D(count, 1, name=f"c{index}")(x)
    return keras.Model(frame, x, name="chain")


def skipping() -> keras.Model:
    """c0 -> c1 -> c2 -> sum, and a skip connection c0 -> sum."""
    frame = keras.Input((8, 8, 2), name="frame")
    first = x = layers.Conv2D(2, 1, name="c0")(frame)
    for name in ("c1", "c2"):
        x = layers.Conv2D(2, 1, activation="relu", name=name)(x)
    return keras.Model(frame, layers.Add(name="sum")([first, x]), name="skipping")


def unit_model(*names: str) -> keras.Model:
    """1x1 convolutions in a row, with the given names."""
    x = frame = keras.Input((4, 4, 2))
    for name in names:
        x = layers.Conv2D(2, 1, name=name)(x)
    return keras.Model(frame, x, name="unit_model")


def causal(*temporal: tuple[int, int]) -> keras.Model:
    """Temporal convolutions t0, t1, ... in a row, of the given (kernel, stride), with 1 filter."""
    x = frame = keras.Input((4, 4, 1), name="frame")
    for index, (kernel, stride) in enumerate(temporal):
        x = keras_layers.TemporalConv3D(1, (kernel, 1, 1), (stride, 1, 1), name=f"t{index}")(x)
    return keras.Model(frame, x, name="causal")


def looping(shape: tuple[int, ...] = (8, 8, 3), source: str = "opinion") -> keras.Model:
    """Feeds the output of the node `source` back to the entry, one step late."""
    frame = keras.Input((8, 8, 3), name="frame")
    feedback = keras_layers.Feedback(source, shape, name="loop")(frame)
    x = layers.Conv2D(3, 1, name="entry")(frame)
    if shape == (8, 8, 3):
        x = layers.Add(name="merge")([x, feedback])
    else:
        x = layers.Add(name="merge")([x, layers.Conv2D(3, 1, name="fit")(feedback)])
    opinion = layers.Conv2D(3, 1, activation="tanh", name="opinion")(x)
    return keras.Model(frame, opinion, name="looping")


def causal_row(*temporal: tuple[int, int]) -> keras.Model:
    """Temporal convolutions t0, t1, ... in a row, of the given (kernel, stride), with 2 filters."""
    x = frame = keras.Input((4, 4, 2))
    for index, (kernel, stride) in enumerate(temporal):
        x = keras_layers.TemporalConv3D(2, (kernel, 1, 1), (stride, 1, 1), name=f"t{index}")(x)
    return keras.Model(frame, x)


def clocked_network() -> VideoNetwork:
    """Three subnetworks with a skip connection, a period of 4 and a window of 3 ticks."""
    frame = keras.Input((6, 6, 2), name="frame")
    first = x = layers.Conv2D(2, 3, padding="same", name="c0")(frame)
    x = layers.Conv2D(2, 1, activation="tanh", name="c1")(x)
    x = keras_layers.TemporalConv3D(2, (3, 1, 1), name="t2")(x)
    x = layers.Add(name="sum")([first, x])
    model = keras.Model(frame, layers.GlobalAveragePooling2D(name="pool")(x), name="small")
    network = VideoNetwork(model, Plan(model, boundaries=["c1", "t2"], clocks=[1, 2, 4]))
    randomize(network, np.random.default_rng(0))
    return network

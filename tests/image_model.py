"""A small image model with many kinds of layers, to inflate and to transfer weights from."""

import keras
import numpy as np
from keras import layers
from random_weights import randomize


def image_model() -> keras.Model:
    """Build a model with several kinds of convolutions, a nested model, and random weights."""
    inner_in = keras.Input((8, 8, 4))
    inner = layers.Conv2D(4, 3, padding="same", name="deep")(inner_in)
    block = keras.Model(inner_in, layers.BatchNormalization(name="norm")(inner), name="block")
    frame = keras.Input((16, 16, 3))
    x = layers.Conv2D(4, 3, 2, padding="same", activation="relu", name="first")(frame)
    x = layers.Conv2D(4, (3, 2), dilation_rate=2, padding="same", use_bias=False, name="wide")(x)
    x = block(x)
    x = layers.DepthwiseConv2D(3, padding="same", name="depthwise")(x)
    x = layers.Conv2D(4, 3, padding="same", groups=2, name="grouped")(x)
    x = layers.Conv2D(5, 1, name="pointwise")(x)
    model = keras.Model(frame, layers.Dense(3, name="scores")(layers.Flatten()(x)), name="images")
    randomize(model, np.random.default_rng(3))
    return model

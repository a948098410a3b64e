"""The network of the soak, and what it computes for one stream alone.

It has clocks, a window, and a recurrent layer, which forgets nothing: a frame that came twice, got
lost, or came from another stream shows in all answers after it.
"""

import io

import keras
import numpy as np
from PIL import Image
from random_weights import randomize

import keras_layers
import mpvn

SIZE = 16
NAMES = ("jump", "run", "sit", "walk", "wave")
LONGEST = 64  # frames of a life


def create() -> mpvn.VideoNetwork:
    frame = keras.Input((SIZE, SIZE, 3), name="frame")
    first = x = keras.layers.Conv2D(6, 3, strides=2, activation="relu", name="first")(frame)
    x = keras_layers.TemporalConv3D(6, (2, 3, 3), activation="relu", name="window")(x)
    x = keras_layers.TemporalConvGRU2D(6, 3, strides=2, name="memory")(x)
    pooled = [keras.layers.GlobalMaxPooling2D()(each) for each in (first, x)]
    scores = keras.layers.Dense(len(NAMES), name="scores")(keras.layers.Concatenate()(pooled))
    model = keras.Model(frame, scores, name="soaked")
    plan = mpvn.Plan(model, boundaries=["window", "memory"], clocks=[1, 1, 2])
    known = mpvn.Metadata(task="action", names={"classes": NAMES}, fps=10, pixels="-1..1")
    network = mpvn.VideoNetwork(model, plan, metadata=known)
    randomize(network, np.random.default_rng(7))
    return network


def pixels(voice: int, number: int) -> np.ndarray:
    """Return a frame, uint8. Each voice has its own frames."""
    rng = np.random.default_rng([voice, number])
    coarse = rng.integers(0, 256, (SIZE // 4, SIZE // 4, 3), np.uint8)
    return coarse.repeat(4, axis=0).repeat(4, axis=1)


def frame(voice: int, number: int) -> np.ndarray:
    """Return a frame as the network takes it."""
    return pixels(voice, number).astype("float32") / 127.5 - 1


def picture(voice: int, number: int) -> bytes:
    """Return a frame as a PNG file."""
    file = io.BytesIO()
    Image.fromarray(pixels(voice, number)).save(file, "PNG", compress_level=1)
    return file.getvalue()


def alone(network: mpvn.VideoNetwork, clips: list[list[np.ndarray]]) -> list[np.ndarray]:
    """Return the outputs of clips of several lengths, each computed without the others."""
    padded = np.zeros((len(clips), LONGEST, SIZE, SIZE, 3), "float32")
    for row, clip in zip(padded, clips, strict=True):
        row[: len(clip)] = clip
    return [out[: len(clip)] for out, clip in zip(np.asarray(network(padded)), clips, strict=True)]

"""Functions of maps `[B, 4, 4, 4]` that regroup the batch axis and restore it.

Each is what people write by hand: windows of Swin transformers, axes in another order, groups of
channels or blocks of pixels in the batch.
"""

import keras
from keras import layers, ops


def partition(x):
    """[B, 4, 4, 4] -> windows [B*4, 2, 2, 4]."""
    x = ops.transpose(ops.reshape(x, (-1, 2, 2, 2, 2, 4)), (0, 1, 3, 2, 4, 5))
    return ops.reshape(x, (-1, 2, 2, 4))


def reverse(windows):
    """Windows [B*4, 2, 2, 4] -> [B, 4, 4, 4]."""
    x = ops.transpose(ops.reshape(windows, (-1, 2, 2, 2, 2, 4)), (0, 1, 3, 2, 4, 5))
    return ops.reshape(x, (-1, 4, 4, 4))


def windows(x):
    """A function of each window."""
    return reverse(layers.Dense(4, activation="tanh")(partition(x)))


def swin(x):
    """Attention within shifted windows, and a residual connection."""
    tokens = ops.reshape(partition(ops.roll(x, (-1, -1), axis=(1, 2))), (-1, 4, 4))
    tokens = layers.MultiHeadAttention(2, 2)(tokens, tokens)
    return x + ops.roll(reverse(ops.reshape(tokens, (-1, 2, 2, 4))), (1, 1), axis=(1, 2))


def time_major(x):
    """[B, T, C] -> [T, B, C] and back, as recurrent code does."""
    rows = ops.transpose(ops.reshape(x, (-1, 16, 4)), (1, 0, 2))
    rows = layers.Dense(4, activation="tanh")(rows)
    return ops.reshape(ops.transpose(rows, (1, 0, 2)), (-1, 4, 4, 4))


def pixels(x):
    """A function of each pixel."""
    return ops.reshape(layers.Dense(4, activation="tanh")(ops.reshape(x, (-1, 4))), (-1, 4, 4, 4))


def group_convolution(x):
    """A convolution of each half of the channels, by the same kernel."""
    halves = ops.transpose(ops.reshape(x, (-1, 4, 4, 2, 2)), (0, 3, 1, 2, 4))
    halves = layers.Conv2D(2, 3, padding="same")(ops.reshape(halves, (-1, 4, 4, 2)))
    halves = ops.transpose(ops.reshape(halves, (-1, 2, 4, 4, 2)), (0, 2, 3, 1, 4))
    return ops.reshape(halves, (-1, 4, 4, 4))


def space_to_batch(x):
    """A dilated convolution by shifted grids, which come before the batch, as in `tf.nn`."""
    grids = ops.transpose(ops.reshape(x, (-1, 2, 2, 2, 2, 4)), (2, 4, 0, 1, 3, 5))
    grids = layers.Conv2D(4, 2, padding="same")(ops.reshape(grids, (-1, 2, 2, 4)))
    grids = ops.transpose(ops.reshape(grids, (2, 2, -1, 2, 2, 4)), (2, 3, 0, 4, 1, 5))
    return ops.reshape(grids, (-1, 4, 4, 4))


def repeated(x):
    """The mean over two copies of each map."""
    copies = layers.Conv2D(4, 3, padding="same")(ops.repeat(x, 2, axis=0))
    return ops.mean(ops.reshape(copies, (-1, 2, 4, 4, 4)), axis=1)


def tiled(x):
    """The mean over two copies of the batch."""
    copies = layers.Conv2D(4, 3, padding="same")(ops.tile(x, (2, 1, 1, 1)))
    return ops.mean(ops.reshape(copies, (2, -1, 4, 4, 4)), axis=0)


def flipped(x):
    """The batch in reverse order, and back."""
    return ops.flip(layers.Dense(4, activation="tanh")(ops.flip(x, axis=0)), axis=0)


def in_a_row(x):
    """Two regions in a row; the output of the first has two readers."""
    first = windows(x)
    return first + windows(first)


def branching(x):
    """A path leaves the windows and comes back: all of it must be one region."""
    tokens = partition(x)
    side = layers.Dense(4, activation="tanh")(reverse(layers.Dense(4)(tokens)))
    return reverse(layers.Dense(4)(tokens) + partition(side))


REGROUPING = (
    swin,
    time_major,
    pixels,
    group_convolution,
    space_to_batch,
    repeated,
    tiled,
    flipped,
    in_a_row,
    branching,
)


def wrapped(function) -> keras.Model:
    """Return a frame model: a convolution `before`, `function`, a convolution `after`."""
    frame = keras.Input((4, 4, 2), name="frame")
    x = layers.Conv2D(4, 1, name="before")(frame)
    x = layers.Conv2D(3, 1, name="after")(function(x))
    return keras.Model(frame, x, name="wrapped")

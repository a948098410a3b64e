"""Seeds for random layers of Keras that depend on the example alone."""

import keras
import tensorflow as tf


class StatelessSeeds(keras.random.SeedGenerator):
    """Seeds for random layers of Keras, all from one seed that may be a tensor.

    Keras's own generators count in a variable how often they were asked. So what they return
    depends on what was asked before, and not on the example.

    Args:
        seed: int64 `[2]`.
    """

    def __init__(self, seed: tf.Tensor) -> None:
        # Not super().__init__(), which creates the variable.
        self._seed = seed
        self._count = 0

    def next(self, ordered: bool = True) -> tf.Tensor:
        """Return the next seed, int64 `[2]`."""
        self._count += 1
        return fold(self._seed, self._count)


def fold(seed: tf.Tensor, number: int) -> tf.Tensor:
    """Return the seed of one of several streams of random numbers, int64 `[2]`."""
    return tf.random.fold_in(seed, tf.constant(number, tf.int64))

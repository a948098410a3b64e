"""What takes turns: our runtimes, plain Keras, and the matrix product that is the ceiling."""

from typing import Any

import numpy as np
import tensorflow as tf

import mpvn
from mpvn.streaming import Batch, TimedStream


class Ours(Batch):
    """A compiled network, on one stream.

    Args:
        network: the network.
        **settings: see `Batch`.
    """

    def __init__(self, network: mpvn.VideoNetwork, **settings: Any) -> None:
        super().__init__(network, **settings)
        self.compiled = self._network


class Product(TimedStream):
    """Multiplies two matrices in TensorFlow, float32: what the machine can do at most.

    Args:
        size: rows and columns of the matrices.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self._matrix = tf.random.normal((size, size))

    def forget(self) -> None:
        """Do nothing: there is no memory."""

    def run_step(self, frame: np.ndarray) -> Any:
        return tf.matmul(self._matrix, self._matrix).numpy()


def step_seconds(stream: TimedStream) -> np.ndarray:
    """Return the seconds of each step of a period: the medians over the periods.

    A step of a buffer has its share of the seconds of the call.
    """
    latencies = np.array(stream.statistics.latencies) / stream.buffer
    return np.array([np.median(latencies[step :: stream.period]) for step in range(stream.period)])


def flops(product: Product) -> float:
    """Return the multiplications and additions of a measured product in one second."""
    return 2 * product.size**3 / step_seconds(product).mean()

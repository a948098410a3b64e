"""What takes turns: our runtimes, plain Keras, and the matrix product that is the ceiling."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

import mpvn
from mpvn.streaming import TimedStream, warm_up


class Ours(TimedStream):
    """A compiled network.

    Args:
        network: the network.
        **settings: of `compile_inference`.
    """

    def __init__(self, network: mpvn.VideoNetwork, **settings: Any) -> None:
        super().__init__()
        self.compiled = network.compile_inference(**settings)
        self.period = network.plan.period
        warm_up(self.compiled)
        self.restart()

    def forget(self) -> None:
        self._state = self.compiled.initial_state(1)

    def run_step(self, frame: np.ndarray) -> Any:
        outputs, self._state = self.compiled.step(frame, self._state)
        return keras.tree.map_structure(np.asarray, outputs)


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
    """Return the seconds of each step of a period: the medians over the periods."""
    latencies = np.array(stream.statistics.latencies)
    return np.array([np.median(latencies[step :: stream.period]) for step in range(stream.period)])


def flops(product: Product) -> float:
    """Return the multiplications and additions of a measured product in one second."""
    return 2 * product.size**3 / step_seconds(product).mean()

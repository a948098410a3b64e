"""What tests of servers share: a tiny network, frames for it, and a clock that they set."""

import functools
from typing import Any

import keras
import numpy as np
from small_models import clocked_network

from mpvn.runtime import CompiledNetwork

SHAPE = (6, 6, 2)


@functools.cache
def compiled() -> CompiledNetwork:
    """Three subnetworks with clocks 1, 2 and 4 and a window, compiled."""
    return clocked_network().compile_inference(units="block", batch=4)


def frame(stream: int, number: int) -> np.ndarray:
    """Return a random frame of a stream; no two are alike."""
    rng = np.random.default_rng([abs(stream), number])
    return rng.normal(size=SHAPE).astype("float32")


def alone(network: Any, frames: list[np.ndarray]) -> list[np.ndarray]:
    """Return the outputs of each step of a stream that has the network for itself."""
    state, outputs = network.initial_state(1), []
    for each in frames:
        output, state = network.step(each[None], state)
        outputs.append(keras.tree.map_structure(lambda value: np.array(value)[0], output))
    return outputs


class Clock:
    """A clock that stands until a test sets it.

    Attributes:
        now: the time in seconds.
    """

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

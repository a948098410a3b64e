"""Runs a network before it serves: what happens at first steps only is over then."""

import time

import keras
import numpy as np

from mpvn.serving.engine import Engine

_MOST_STEPS = 64


def warm_up(engine: Engine) -> float:
    """Run streams of zeros that are not kept, alone and in the largest batch.

    Returns:
        Seconds of the slowest step of the last period.
    """
    frames = [np.zeros(spec.shape, spec.dtype.as_numpy_dtype) for spec in engine.frames.specs]
    network, period, slowest = engine.network, engine.network.plan.period, 0.0
    for size in sorted({1, engine.batch}):
        state, times = network.initial_state(size), []
        for _ in range(min(network.settled_step + 2 * period, _MOST_STEPS)):
            start = time.perf_counter()
            outputs, state = engine.step_apart(engine.frames.batch([frames] * size), state)
            keras.tree.map_structure(np.asarray, outputs)
            times.append(time.perf_counter() - start)
        slowest = max(times[-period:])
    return slowest

"""Frames per second of several networks."""

import itertools
import statistics
import time
from collections.abc import Sequence

import numpy as np
import tqdm

from mpvn.network import VideoNetwork
from mpvn.streaming.stream import warm_up


def stream_speeds(networks: Sequence[VideoNetwork], rounds: int = 5) -> list[float]:
    """Return the frames per second of each network on one stream.

    Measures the networks in turns, `rounds` times, and takes the median.
    """
    seconds: list[list[float]] = [[] for _ in networks]
    for network in networks:
        warm_up(network)
    with tqdm.tqdm(total=rounds * len(networks), desc="streaming", unit="turn") as bar:
        for _, (network, measured) in itertools.product(
            range(rounds), zip(networks, seconds, strict=True)
        ):
            measured.append(_seconds_per_frame(network))
            bar.update()
    return [1 / statistics.median(measured) for measured in seconds]


def _seconds_per_frame(network: VideoNetwork, min_frames: int = 32) -> float:
    """Return the mean time of a step over whole periods of the clocks."""
    count = -(-min_frames // network.plan.period) * network.plan.period
    (index,) = network.graph.inputs
    tensor = network.graph.tensors[index]
    frame = np.zeros((1, *tensor.shape), tensor.dtype)
    state = network.initial_state(batch_size=1)
    start = time.perf_counter()
    for _ in range(count):
        outputs, state = network.step(frame, state)
    _ = np.asarray(outputs)  # steps run asynchronously on a GPU: wait for the last one
    return (time.perf_counter() - start) / count

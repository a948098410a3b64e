"""Runs a network over the frames of a source, one step per frame, and measures the time."""

import abc
import collections
import dataclasses
import itertools
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tqdm

from mpvn.network import VideoNetwork

MAX_LATENCIES = 100_000
"""Number of latencies to keep: more than an hour of video, in bounded memory."""


@dataclasses.dataclass
class StreamStatistics:
    """Time that the steps of a stream took.

    Attributes:
        frames: number of steps.
        seconds: wall-clock time from the first step to the last, with reading and drawing between.
        busy: seconds spent in steps.
        latencies: seconds of each of the last `MAX_LATENCIES` steps, from a frame to its outputs in
            memory.
    """

    frames: int = 0
    seconds: float = 0.0
    busy: float = 0.0
    latencies: collections.deque = dataclasses.field(
        default_factory=lambda: collections.deque(maxlen=MAX_LATENCIES)
    )
    _began: float | None = None

    def add(self, start: float, end: float) -> None:
        """Count a step, from one time to another, in seconds of the same clock."""
        self.frames += 1
        self.busy += end - start
        self.latencies.append(end - start)
        self._began = start if self._began is None else self._began
        self.seconds = end - self._began

    @property
    def frames_per_second(self) -> float:
        """Frames per second of the network alone, without reading and drawing."""
        return self.frames / self.busy if self.busy else 0.0

    def percentile(self, percent: float) -> float:
        """Return the latency in milliseconds that `percent` % of the steps do not exceed."""
        return 1000 * float(np.percentile(self.latencies, percent)) if self.latencies else 0.0


class TimedStream(abc.ABC):
    """One stream: its steps, and the time that they take.

    Attributes:
        statistics: the time of the steps so far.
    """

    def __init__(self) -> None:
        self.statistics = StreamStatistics()

    @abc.abstractmethod
    def restart(self) -> None:
        """Forget all frames."""

    @abc.abstractmethod
    def run_step(self, frame: np.ndarray) -> Any:
        """Run one step; see `step`."""

    def step(self, frame: np.ndarray) -> Any:
        """Run one step, and measure its time.

        Args:
            frame: uint8 `[H, W, 3]`.

        Returns:
            The outputs of the step in the model's structure: NumPy arrays without a batch axis.
        """
        start = time.perf_counter()
        values = self.run_step(frame)
        self.statistics.add(start, time.perf_counter())
        return values


class Stream(TimedStream):
    """One stream through a network. Traces all functions at the start, so that no step waits.

    Args:
        network: a causal `VideoNetwork` with one input.
        prepare: converts a frame, uint8 `[H, W, 3]`, to the network's input.
    """

    def __init__(
        self, network: VideoNetwork, prepare: Callable[[np.ndarray], np.ndarray] | None = None
    ) -> None:
        super().__init__()
        self._network = network
        self._prepare = prepare or (lambda frame: frame)
        warm_up(network)
        self.restart()

    def restart(self) -> None:
        self._state = self._network.initial_state(batch_size=1)

    def run_step(self, frame: np.ndarray) -> Any:
        outputs, self._state = self._network.step(self._prepare(frame)[None], self._state)
        return keras.tree.map_structure(lambda value: np.asarray(value)[0], outputs)


def warm_up(network: VideoNetwork, batch_size: int = 1) -> None:
    """Run a period of zero frames from a new state, to trace every pattern of clocks."""
    state = network.initial_state(batch_size)
    tensors = [network.graph.tensors[index] for index in network.graph.inputs]
    frames = [np.zeros((batch_size, *tensor.shape), tensor.dtype) for tensor in tensors]
    for _ in range(network.plan.period):
        _, state = network.step(frames, state)


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

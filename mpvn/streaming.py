"""Runs a network over the frames of a source, one step a frame, and times it."""

import collections
import dataclasses
import itertools
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tqdm

from mpvn.network import VideoNetwork

KEPT = 100_000
"""Latencies kept: enough for an hour, and flat in memory for ever."""


@dataclasses.dataclass
class StreamStatistics:
    """What streaming cost.

    Attributes:
        frames: steps taken.
        seconds: wall-clock time from the first step to the last, reading and drawing included.
        latencies: seconds of each of the last `KEPT` steps: frame in, outputs in memory.
        busy: seconds spent in all steps.
    """

    frames: int = 0
    seconds: float = 0.0
    busy: float = 0.0
    latencies: collections.deque = dataclasses.field(
        default_factory=lambda: collections.deque(maxlen=KEPT)
    )

    def add(self, latency: float) -> None:
        """Counts a step of `latency` seconds."""
        self.frames += 1
        self.busy += latency
        self.latencies.append(latency)

    @property
    def frames_per_second(self) -> float:
        """Frames per second of the network alone, without reading and drawing."""
        return self.frames / self.busy if self.busy else 0.0

    def percentile(self, percent: float) -> float:
        """Latency in milliseconds that `percent` % of the steps stay within."""
        return 1000 * float(np.percentile(self.latencies, percent)) if self.latencies else 0.0


class Stream:
    """One stream through `network`: a frame in, the outputs of this step out.

    Every pattern of ticking clocks is traced at the start, so that no step waits for it.

    Args:
        network: a causal `VideoNetwork` with one input.
        prepare: from a frame uint8 `[H, W, 3]` to the network's input.

    Attributes:
        statistics: of the steps so far.
    """

    def __init__(
        self, network: VideoNetwork, prepare: Callable[[np.ndarray], np.ndarray] | None = None
    ) -> None:
        self._network = network
        self._prepare = prepare or (lambda frame: frame)
        self.statistics = StreamStatistics()
        warm_up(network)
        self._state = network.initial_state(batch_size=1)

    def step(self, frame: np.ndarray) -> Any:
        """Outputs of the step, NumPy arrays without the batch axis, in the model's structure."""
        start = time.perf_counter()
        outputs, self._state = self._network.step(self._prepare(frame)[None], self._state)
        values = _to_numpy(outputs)
        self.statistics.add(time.perf_counter() - start)
        return values


def warm_up(network: VideoNetwork, batch_size: int = 1) -> None:
    """Runs a period of zeros from a fresh state, so that every pattern of clocks is traced."""
    state = network.initial_state(batch_size)
    tensors = [network.graph.tensors[index] for index in network.graph.inputs]
    frames = [np.zeros((batch_size, *tensor.shape), tensor.dtype) for tensor in tensors]
    for _ in range(network.plan.period):
        _, state = network.step(frames, state)


def stream_frames(stream: Stream, frames: Iterable[np.ndarray]) -> Iterator[tuple[np.ndarray, Any]]:
    """Each of `frames` with the outputs of its step."""
    begun = time.perf_counter()
    for frame in frames:
        outputs = stream.step(frame)
        stream.statistics.seconds = time.perf_counter() - begun
        yield frame, outputs


def stream_speeds(networks: Sequence[VideoNetwork], rounds: int = 5) -> list[float]:
    """Frames per second of each network, one stream, the median over rounds in turns."""
    seconds: list[list[float]] = [[] for _ in networks]
    for network in networks:
        warm_up(network)
    with tqdm.tqdm(total=rounds * len(networks), desc="streaming", unit="turn") as bar:
        for _, (network, taken) in itertools.product(
            range(rounds), zip(networks, seconds, strict=True)
        ):
            taken.append(_seconds_a_frame(network))
            bar.update()
    return [1 / statistics.median(taken) for taken in seconds]


def _seconds_a_frame(network: VideoNetwork, least: int = 32) -> float:
    """Over at least so many frames, in whole periods of the clocks."""
    count = -(-least // network.plan.period) * network.plan.period
    (index,) = network.graph.inputs
    tensor = network.graph.tensors[index]
    frame = np.zeros((1, *tensor.shape), tensor.dtype)
    state = network.initial_state(batch_size=1)
    began = time.perf_counter()
    for _ in range(count):
        outputs, state = network.step(frame, state)
    _ = np.asarray(outputs)  # waits for the last of them
    return (time.perf_counter() - began) / count


def _to_numpy(outputs: Any) -> Any:
    return keras.tree.map_structure(lambda value: np.asarray(value)[0], outputs)

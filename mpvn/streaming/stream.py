"""Runs a network over frames, one step per frame, and measures the time."""

import abc
import collections
import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from mpvn.network import VideoNetwork
from mpvn.plan import Plan
from mpvn.runtime import CompiledNetwork
from mpvn.runtime.quantization import Quantization
from mpvn.streaming.choice import RuntimeChoice
from mpvn.streaming.statistics import StreamStatistics


class TimedStream(abc.ABC):
    """One stream: its steps, and the time that they take.

    Attributes:
        statistics: the time of the steps so far.
        streams: number of streams that a step computes.
        buffer: number of steps that are computed in one call of `steps`.
        period: after how many steps the same subnetworks tick again.
        oldest: how many steps before an output the oldest frame came that it depends on, for each
            step of a period; empty if it is not known.
        state_bytes: bytes that are kept from one step to the next, for one stream.
        runtime: what runs the steps, as text.
        remark: why that is not what is usually faster; empty if there is nothing to say.
        quantization: what int8 has changed; None for other precisions.
    """

    streams: int = 1
    buffer: int = 1
    period: int = 1
    oldest: tuple[int, ...] = ()
    state_bytes: int = 0
    runtime: str = ""
    remark: str = ""
    quantization: Quantization | None = None

    def __init__(self) -> None:
        self.statistics = StreamStatistics()
        self._steps = 0  # since the last start
        self._ended: float | None = None  # the last step
        self._arrivals: collections.deque[float] = collections.deque(maxlen=1)

    def restart(self) -> None:
        """Forget all frames and their times."""
        self.statistics = StreamStatistics()
        self._steps, self._ended = 0, None
        self.forget()
        most = self.buffer + max(self.oldest, default=0)
        self._arrivals = collections.deque(maxlen=most)

    def resume(self) -> None:
        """Go on after a pause that does not make information older."""
        if self._ended is not None:
            pause = time.perf_counter() - self._ended
            arrivals = (arrived + pause for arrived in self._arrivals)
            self._arrivals = collections.deque(arrivals, self._arrivals.maxlen)
            self._ended += pause

    @abc.abstractmethod
    def forget(self) -> None:
        """Forget all frames; see `restart`."""

    @abc.abstractmethod
    def run_step(self, frame: np.ndarray) -> Any:
        """Run one step; see `step`."""

    def step(self, frame: np.ndarray, arrived: float | None = None) -> Any:
        """Run one step, and measure its time.

        Args:
            frame: uint8 `[H, W, 3]`.
            arrived: when the frame arrived, in seconds of `time.perf_counter`; None for now.

        Returns:
            The outputs of the step in the model's structure: NumPy arrays without a batch axis.
        """
        start = time.perf_counter()
        values = self.run_step(frame)
        self._count(start, [start if arrived is None else arrived])
        return values

    @property
    def ages(self) -> tuple[int, ...]:
        """As `oldest`, but how many steps before its output was there: at the end of its call."""
        return self.oldest

    def run_steps(self, frames: Sequence[np.ndarray]) -> list[Any]:
        """Run steps in one call; see `steps`."""
        return [self.run_step(frame) for frame in frames]

    def steps(self, frames: Sequence[np.ndarray]) -> list[Any]:
        """Run steps in one call, and measure its time.

        Args:
            frames: as for `step`: `buffer` of them, or fewer at the end.

        Returns:
            What `step` returns, for each frame.
        """
        if self.buffer == 1:
            return [self.step(frame) for frame in frames]
        start = time.perf_counter()
        values = self.run_steps(frames)
        self._count(start, [start] * len(frames))
        return values

    def _count(self, start: float, arrived: Sequence[float]) -> None:
        """Count steps that began at `start` in one call and have just ended."""
        self._ended = end = time.perf_counter()
        self._arrivals.extend(arrived)
        later = reversed(range(len(arrived)))
        oldest = [self._oldest_arrival(self._steps + n, wait) for n, wait in enumerate(later)]
        self.statistics.add_call(start, end, oldest)
        self._steps += len(arrived)

    def _oldest_arrival(self, step: int, later: int) -> float | None:
        """Return when the oldest frame arrived that the outputs of a step depend on.

        Args:
            step: its number.
            later: how many frames have arrived after its own.
        """
        if not self.oldest:
            return None
        age = self.oldest[step % len(self.oldest)]
        return self._arrivals[-1 - later - age] if age <= step else None


class Batch(TimedStream):
    """Streams that are computed together. Runs a period at the start, so that no step waits.

    Its frames are `[B, ...]`, as the network takes them, and its outputs have the batch axis.

    Args:
        network: a causal `VideoNetwork` with one input.
        streams: number of streams.
        **running: what runs the steps: `runtime`, `precision` and others; see `RuntimeChoice`.
            Compiled runtimes have the weights of the network at this moment.

    Raises:
        ImportError: the runtime is not installed.
        ValueError: the runtime cannot run the network.
    """

    def __init__(self, network: VideoNetwork, streams: int = 1, **running: Any) -> None:
        super().__init__()
        choice = RuntimeChoice(**running)
        self.streams, self.buffer = streams, choice.buffer or 1
        self._network, self.runtime, self.remark = choice.run(network, streams)
        self.quantization = getattr(self._network, "quantization", None)
        self.period = network.plan.period
        self.oldest = _oldest(network.plan)
        warm_up(self._network, streams)
        self.restart()
        if self.buffer > 1:
            self._warm_up_call()
        self.state_bytes = sum(np.asarray(x).nbytes for x in self._state.values()) // streams

    def forget(self) -> None:
        self._state = self._network.initial_state(batch_size=self.streams)

    def run_step(self, frame: np.ndarray) -> Any:
        outputs, self._state = self._network.step(frame, self._state)
        return keras.tree.map_structure(np.asarray, outputs)

    @property
    def ages(self) -> tuple[int, ...]:
        if self.buffer == 1 or not self.oldest:
            return self.oldest
        steps = range(math.lcm(self.period, self.buffer))
        return tuple(self.oldest[n % self.period] + (-1 - n) % self.buffer for n in steps)

    def run_steps(self, frames: Sequence[np.ndarray]) -> list[Any]:
        outputs, self._state = self._network.run(np.stack(frames, axis=1), self._state)
        values = keras.tree.map_structure(np.asarray, outputs)
        # One structure of arrays [B, T, ...] -> T structures of arrays [B, ...]
        return [
            keras.tree.map_structure(lambda value, step=step: value[:, step], values)
            for step in range(len(frames))
        ]

    def _warm_up_call(self) -> None:
        """Run zero frames in one call."""
        (tensor,) = (self._network.graph.tensors[i] for i in self._network.graph.inputs)
        frames = np.zeros((self.streams, self.buffer, *tensor.shape), tensor.dtype)
        self._network.run(frames, self._state)


class Stream(Batch):
    """One stream through a network.

    Args:
        network: a causal `VideoNetwork` with one input.
        prepare: converts a frame, uint8 `[H, W, 3]`, to the network's input.
        **running: as in `Batch`.
    """

    def __init__(
        self,
        network: VideoNetwork,
        prepare: Callable[[np.ndarray], np.ndarray] | None = None,
        **running: Any,
    ) -> None:
        super().__init__(network, **running)
        self._prepare = prepare or (lambda frame: frame)

    def run_step(self, frame: np.ndarray) -> Any:
        return _first(super().run_step(self._prepare(frame)[None]))

    def run_steps(self, frames: Sequence[np.ndarray]) -> list[Any]:
        return [*map(_first, super().run_steps([self._prepare(frame)[None] for frame in frames]))]


def _first(outputs: Any) -> Any:
    return keras.tree.map_structure(lambda value: value[0], outputs)


def warm_up(network: VideoNetwork | CompiledNetwork, batch_size: int = 1) -> None:
    """Run zero frames from a new state, until every kind of step has run once."""
    state = network.initial_state(batch_size)
    tensors = [network.graph.tensors[index] for index in network.graph.inputs]
    frames = [np.zeros((batch_size, *tensor.shape), tensor.dtype) for tensor in tensors]
    first = 1 + network.plan.settled_step  # steps unlike later ones, also if the start is primed
    for _ in range(first + network.plan.period):
        _, state = network.step(frames, state)


def _oldest(plan: Plan) -> tuple[int, ...]:
    """Return the ages of the oldest output on its slowest path, in steps; empty without frames."""
    ages = [each.oldest for each in plan.ages.values()]
    steps = range(plan.period if ages else 0)
    return tuple(max(each[step % len(each)] for each in ages) for step in steps)

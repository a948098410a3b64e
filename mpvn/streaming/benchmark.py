"""Measures several streams side by side, without the moments when other processes were busy.

    for each turn:                             all streams face the same moods of the machine
        for each stream:
            run whole periods for half a second
            keep the times of its steps, unless other processes used the cores meanwhile

Other processes are noticed by the time that they had on the cores, which the kernel counts in
hundredths of a second. So what is kept or dropped is a turn, not a step. What this does not notice:
processes that fill the memory bus from cores that this process may not use, and a processor that
slows down because it is hot.
"""

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import keras
import numpy as np
import tensorflow as tf

from mpvn.machine import QUIET, OtherProcesses
from mpvn.streaming.statistics import StreamStatistics
from mpvn.streaming.stream import TimedStream

TURN = 0.5
"""Seconds of a turn, at least."""

PATIENCE = 3
"""How many times longer to measure than asked, at most, if turns are dropped."""


class PlainKeras(TimedStream):
    """A frame model as Keras runs it, in a `tf.function`: one frame at a time, without memory.

    Layers with a memory compute what they do in a stream, on zeros in place of earlier frames.

    Args:
        model: the frame model.
        streams: number of frames in a batch.
    """

    oldest = (0,)
    runtime = "plain Keras, tf.function"

    def __init__(self, model: keras.Model, streams: int = 1) -> None:
        super().__init__()
        self.streams = streams
        self._run = tf.function(lambda frames: model(frames, training=False), autograph=False)
        self.restart()

    def forget(self) -> None:
        """Do nothing: there is no memory."""

    def run_step(self, frame: np.ndarray) -> object:
        return keras.tree.map_structure(np.asarray, self._run(frame))


@dataclasses.dataclass
class Measured:
    """The times of a stream.

    Attributes:
        statistics: the times of the steps of all turns that were kept.
        disturbed: those of the turns that were dropped.
    """

    statistics: StreamStatistics = dataclasses.field(default_factory=StreamStatistics)
    disturbed: StreamStatistics = dataclasses.field(default_factory=StreamStatistics)

    @property
    def was_quiet(self) -> bool:
        """Whether the statistics are without the work of others."""
        return self.statistics.frames > 0


def measure(
    streams: Mapping[str, TimedStream],
    frames: Sequence[np.ndarray],
    seconds: float,
    show: Callable[[float], object] = lambda share: None,
) -> dict[str, Measured]:
    """Measure streams in turns; leave their statistics as those of the turns that were kept.

    If all turns of a stream were disturbed, its statistics are those of all of them. Ctrl-C ends
    the measurement early.

    Args:
        streams: the streams, by name.
        frames: what they are shown, over and over.
        seconds: of undisturbed steps, for each stream.
        show: called after each turn with the share of the work that is done.

    Raises:
        KeyboardInterrupt: Ctrl-C, before each stream had a turn.
    """
    measured = {name: Measured() for name in streams}
    shown = {name: itertools.cycle(frames) for name in streams}
    others = OtherProcesses()
    for name, stream in streams.items():
        _turn(stream, shown[name])  # warm caches, and memory that is there
    done = 0.0
    try:
        while done < 1:
            for name, stream in streams.items():
                each = measured[name]
                others.start()
                statistics = _turn(stream, shown[name])
                kept = each.statistics if others.share() <= QUIET else each.disturbed
                kept.merge(statistics)
            done = min(_done(each, seconds) for each in measured.values())
            show(done)
    except KeyboardInterrupt:
        if not all(each.statistics.frames or each.disturbed.frames for each in measured.values()):
            raise
    for name, stream in streams.items():
        each = measured[name]
        stream.statistics = each.statistics if each.was_quiet else each.disturbed
    return measured


def _turn(stream: TimedStream, frames: Iterator[np.ndarray]) -> StreamStatistics:
    """Run whole periods, and return the times of their steps."""
    stream.resume()
    whole = math.lcm(stream.period, stream.buffer)
    statistics = stream.statistics = StreamStatistics()
    while statistics.busy < TURN:
        for _ in range(whole // stream.buffer):
            stream.steps([*itertools.islice(frames, stream.buffer)])
    return statistics


def _done(measured: Measured, seconds: float) -> float:
    kept, dropped = measured.statistics.busy, measured.disturbed.busy
    return max(kept / seconds, (kept + dropped) / (PATIENCE * seconds))


def batches(frames: Iterable[np.ndarray], streams: int) -> list[np.ndarray]:
    """Return frames `[H, W, C]` as batches `[streams, H, W, C]` of successive frames."""
    kept = [*frames]
    count = len(kept)
    return [np.stack([kept[(i + s) % count] for s in range(streams)]) for i in range(count)]

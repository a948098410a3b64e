"""Streams that join, pause and leave at random, each actor one after the other."""

import dataclasses
import itertools
import random
import time
from collections.abc import Iterator
from typing import Any

from soak.lives import Life, Record, Told
from soak.network import LONGEST
from soak.streams import Connection, GroupConnection, SocketConnection
from soak.target import Counts, Target

_VOICES = 10_000
_GROUP = 3


@dataclasses.dataclass(frozen=True)
class Pace:
    """How fast a stream shows frames.

    Attributes:
        interval: mean seconds between two calls.
        pause: seconds of a long pause.
        pauses: how often a call is followed by one.
        calls: most frames of a call, one after the other.
        steps: most frames of a stream.
    """

    interval: float
    pause: float
    pauses: float = 0.03
    calls: int = 4
    steps: int = LONGEST - 16  # a frame may count more than once


class Actor:
    """Plays streams, one after the other.

    Args:
        target: the server.
        counts: counts what happens.
        seed: of what it does.
        pace: how fast.

    Attributes:
        lives, told: what became of its streams.
    """

    def __init__(self, target: Target, counts: Counts, seed: int, pace: Pace) -> None:
        self.lives: list[Life] = []
        self.told: list[Told] = []
        self._target, self._counts, self._pace = target, counts, pace
        self._rng = random.Random(seed)

    def play(self, until: float, streams: int | None = None) -> None:
        """Play streams until a time, or a number of streams."""
        kinds = itertools.cycle([*self._target.protocols, "group"])
        for kind in itertools.islice(kinds, self._rng.randrange(4), None):
            if time.time() > until or streams == 0:
                return
            streams = None if streams is None else streams - 1
            try:
                self._play_one(kind, until)
            except Exception as error:  # of any kind: it is a fault of the server, or of the test
                self._counts.fault(f"{type(error).__name__}: {error}")
                time.sleep(1)

    def _play_one(self, kind: str, until: float) -> None:
        records = [self._record(kind) for _ in range(_GROUP if kind == "group" else 1)]
        self._counts.add(f"{kind} streams", len(records))
        try:
            connection = self._connect(kind, records)
            for numbers in self._calls():
                if time.time() > until:
                    break
                connection.show(numbers)
                self._rest()
            (connection.leave if self._rng.random() < 0.7 else connection.vanish)()
        finally:
            for record in records:
                record.end()
                self.lives += record.lives
                self.told += record.told
                for fault in record.faults:
                    self._counts.fault(fault)

    def _record(self, kind: str) -> Record:
        ids = (-(2**63), 2**63 - 1) if kind != "websocket" else (0, 2**53)
        return Record(self._rng.randint(*ids), self._rng.randrange(_VOICES), kind)

    def _connect(self, kind: str, records: list[Record]) -> Any:
        if kind == "group":
            return GroupConnection(self._target, records, self._counts)
        connect = SocketConnection if kind == "websocket" else Connection
        return connect(self._target, kind, records[0], self._counts)

    def _calls(self) -> Iterator[list[int]]:
        steps, done = self._rng.randint(1, self._pace.steps), 0
        while done < steps:
            count = min(self._rng.randint(1, self._pace.calls), steps - done)
            yield [*range(done, done + count)]
            done += count

    def _rest(self) -> None:
        pace = self._pace
        if self._rng.random() < pace.pauses:
            time.sleep(pace.pause)
        else:
            time.sleep(self._rng.uniform(0, 2 * pace.interval))

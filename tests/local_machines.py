"""Directory, replicas and fronts in one process, whose messages take turns at random.

The network of the replicas is a stand-in whose output tells every frame that the stream has seen,
in order: `seen` is a hash of them.
"""

import asyncio
import random
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from mpvn.serving.errors import InvalidRequest, ServingError
from mpvn.serving.machines.directory import BEAT, Directory, Pin, Ticket
from mpvn.serving.machines.front import Front, Gone
from mpvn.serving.machines.settings import Settings
from mpvn.serving.machines.worker import Worker
from mpvn.serving.server.signatures import Arrays, Signature

COUNTER = tf.TensorSpec((None,), tf.int64)
STEP = Signature(
    "step", {"stream_id": COUNTER, "frame": COUNTER}, {"seen": COUNTER, "step": COUNTER}
)
RESET = Signature("reset", {"stream_id": COUNTER}, {"steps": COUNTER})
CLIP = Signature(
    "clip", {"frame": tf.TensorSpec((None, None), tf.int64)}, {"seen": tf.TensorSpec((None, None))}
)
SIGNATURES = {"step": STEP, "serving_default": STEP, "reset": RESET, "clip": CLIP}
REFUSED = -1
"""A frame that the network refuses."""


def seen(frames: Sequence[int]) -> int:
    """Return the hash of frames in order."""
    value = 7
    for each in frames:
        value = (value * 1_000_003 + each + 1) % (1 << 61)
    return value


class StandInService:
    """A service that keeps the frames of each stream, and is its own engine."""

    def __init__(self, capacity: int, chance: random.Random) -> None:
        self.engine = self
        self.capacity = capacity
        self.histories: dict[int, list[int]] = {}
        self._chance = chance

    def reset(self, stream_id: int) -> int:
        return len(self.histories.pop(stream_id, []))

    async def predict(
        self, signature: str, inputs: Mapping[str, np.ndarray], client: str, deadline: float | None
    ) -> Arrays:
        await dawdle(self._chance)
        if signature == "clip":
            return {"seen": np.array([[seen(row)] for row in inputs["frame"]])}
        ids = inputs["stream_id"].tolist()
        if signature == "reset":
            if not self.histories.keys() >= {*ids}:
                raise InvalidRequest("Unknown stream_id.")
            return {"steps": np.array([self.reset(each) for each in ids])}
        frames = inputs["frame"].tolist()
        if REFUSED in frames:
            raise InvalidRequest("A frame is wrong.")
        steps = [
            len(self._history(each, frame)) - 1 for each, frame in zip(ids, frames, strict=True)
        ]
        values = np.array([seen(self.histories[each]) for each in ids])
        await dawdle(self._chance)
        return {"seen": values, "step": np.array(steps)}

    def _history(self, stream_id: int, frame: int) -> list[int]:
        """Add a frame to a stream, in place of the least recently used one if there are many."""
        history = self.histories.pop(stream_id, [])
        if len(self.histories) >= self.capacity:
            self.histories.pop(next(iter(self.histories)))
        self.histories[stream_id] = [*history, frame]
        return self.histories[stream_id]


async def dawdle(chance: random.Random) -> None:
    """Let others run for a random number of turns."""
    for _ in range(chance.randrange(4)):
        await asyncio.sleep(0)


class LocalMachines:
    """The machines of fronts.

    Attributes:
        now: the time in seconds; a test sets it.
        workers: by the name of their replica.
        directory: the directory that lives.
    """

    def __init__(self, replicas: int, capacity: int = 4, seed: int = 0, idle: float = 60.0) -> None:
        self.now = 100.0
        self.workers: dict[str, Worker] = {}
        self._capacity, self._idle = capacity, idle
        self._chance = random.Random(seed)
        self._count = 0
        self.directory = Directory(idle, lambda: self.now)
        for _ in range(replicas):
            self.add()

    def front(self, **settings: Any) -> Front:
        """Return a new front."""
        return Front(self, "m", SIGNATURES, Settings("m", **settings))

    def add(self) -> str:
        """Add a replica."""
        name = f"replica {self._count}"
        self._count += 1
        service: Any = StandInService(self._capacity, self._chance)
        self.workers[name] = Worker(service)
        return name

    def kill(self, name: str) -> None:
        """End a replica, in the middle of whatever it does."""
        del self.workers[name]

    def lose_directory(self) -> None:
        """Replace the directory by a new one."""
        self.directory = Directory(self._idle, lambda: self.now)

    async def beat(self, beats: int = 1) -> None:
        """Let all replicas beat."""
        for _ in range(beats):
            for name, worker in list(self.workers.items()):
                ended = self.directory.beat(name, self._capacity, worker.tickets)
                await worker.forget(ended)
            self.now += BEAT

    async def place(self, stream_ids: Sequence[int]) -> list[Pin]:
        await dawdle(self._chance)
        return self.directory.place(stream_ids)

    async def find(self, stream_ids: Sequence[int]) -> list[Pin | None]:
        await dawdle(self._chance)
        return self.directory.find(stream_ids)

    async def free(self, tickets: Mapping[int, Ticket]) -> None:
        self.directory.free(tickets)

    async def lost(self, replica: str) -> None:
        self.directory.lost(replica)

    async def run(
        self,
        replica: str,
        signature: str,
        inputs: Arrays,
        tickets: Sequence[Ticket],
        deadline: float | None,
    ) -> Arrays:
        await dawdle(self._chance)
        worker = self.workers.get(replica or next(iter(self.workers)))
        if worker is None:
            raise Gone(replica)
        answer = await worker.run(signature, inputs, tickets, deadline)
        await dawdle(self._chance)
        if replica and replica not in self.workers:
            raise Gone(replica)  # it died before it could answer
        return answer


class Watcher:
    """A client that believes an answer only if it is that of the frames it knows of.

    Attributes:
        restarts: how often it was told that a stream began anew.
    """

    def __init__(self) -> None:
        self.restarts: list[int] = []
        self._sent: dict[int, list[int] | None] = {}
        self._count = 0

    async def step(self, front: Front, *ids: int) -> np.ndarray:
        """Send new frames of streams; return the numbers of their steps."""
        frames = [self._count + number for number in range(len(ids))]
        self._count += len(ids)
        inputs = {"stream_id": np.array(ids), "frame": np.array(frames)}
        try:
            answer = await front.predict("step", inputs)
        except ServingError as error:
            for each in ids:
                if f"{each}" in str(error).partition("run their step: ")[2]:
                    self._sent[each] = None  # it is not told which step that was
            raise
        rows = zip(ids, frames, answer["step"], answer["seen"], strict=True)
        for each, frame, step, value in rows:
            self._take(each, frame, int(step), int(value))
        return answer["step"]

    async def reset(self, front: Front, stream_id: int) -> int:
        answer = await front.predict("reset", {"stream_id": np.array([stream_id])})
        self._sent.pop(stream_id, None)
        return int(answer["steps"][0])

    def _take(self, stream_id: int, frame: int, step: int, value: int) -> None:
        history = self._sent.setdefault(stream_id, [])
        if history is None:
            if step > 0:
                return
            history = self._sent[stream_id] = []
        if step == 0 and history:
            self.restarts.append(stream_id)
            history.clear()
        assert step == len(history), f"stream {stream_id} is not told: {step} != {len(history)}"
        history.append(frame)
        assert value == seen(history), f"stream {stream_id} saw other frames"

"""The frames that wait for their step, and which of them run next.

    waiting       a1  b1  b2  c1  d1        frames of streams a, b, c and d, in order of arrival
    last turn     7   5       6   7         batch 5 had a frame of b
    next step     9   4       8   5         of a period of 4
    next batch        b1      c1            b's turn; and who ticks together with it, in turn

Streams take turns: the one whose last turn was first is next, with its oldest frame. So each has
its share if there is too much to do. Others join it if they tick together with it: then units of a
step run on all streams of the batch, and nothing is gathered from, or scattered into, a part of
its rows.
"""

import collections
import concurrent.futures
import dataclasses
from collections.abc import Callable
from typing import Any

from mpvn.serving.errors import FrameDropped, ServingError
from mpvn.serving.slots import Slot


@dataclasses.dataclass(eq=False, slots=True)
class Waiting:
    """A frame that waits.

    Attributes:
        slot: its stream.
        frames: `[...]` for each input of the network.
        arrived: when it came, in seconds.
        expires: when its answer is due.
        units: whether its answer tells when units ran.
        future: where its answer goes.
    """

    slot: Slot
    frames: list[Any]
    arrived: float
    expires: float
    units: bool
    future: concurrent.futures.Future

    def fail(self, error: ServingError) -> None:
        """Tell who waits for the answer that there is none."""
        if self.future.running() or self.future.set_running_or_notify_cancel():
            self.future.set_exception(error)


def tell_dropped(frames: list[Waiting], reason: str, why: str) -> None:
    """Tell those who wait for frames that the network does not see them."""
    for frame in frames:
        message = f"Stream {frame.slot.stream_id}: a frame was dropped, because {why}."
        frame.fail(FrameDropped(message, reason))


class Queue:
    """Waiting frames, in the order of arrival.

    Args:
        batch: most streams of a batch.
        wait: seconds that a frame waits for others to join it, at most.
        depth: most frames of a stream that wait.
        alike: returns the first step that is computed like a step, given its number.
    """

    def __init__(self, batch: int, wait: float, depth: int, alike: Callable[[int], int]) -> None:
        self._batch = batch
        self._wait = wait
        self._depth = depth
        self._alike = alike
        self._frames: collections.deque[Waiting] = collections.deque()
        self._turn = 0

    def __len__(self) -> int:
        return len(self._frames)

    def add(self, frame: Waiting) -> Waiting | None:
        """Add a frame; return the oldest one of its stream if that has to go for it."""
        own = [each for each in self._frames if each.slot is frame.slot]
        if frame.slot.turn is None:
            frame.slot.turn = self._turn
        self._frames.append(frame)
        if len(own) < self._depth:
            return None
        self._frames.remove(own[0])
        return own[0]

    def remove_late(self, now: float, pace: float) -> list[Waiting]:
        """Remove and return frames that cannot be answered in time.

        If a frame takes longer than its deadline allows, the newest one may try: what once took too
        long is measured again.

        Args:
            now: the time in seconds.
            pace: seconds that a frame takes.
        """
        newest = self._frames[-1] if self._frames else None
        if newest is not None and pace <= newest.expires - newest.arrived:
            newest = None
        late = [f for f in self._frames if f.expires < now + pace * (f is not newest)]
        for frame in late:
            self._frames.remove(frame)
        return late

    def remove_of(self, slot: Slot | None = None) -> list[Waiting]:
        """Remove and return the frames of a stream; of all streams, if None is given."""
        gone = [frame for frame in self._frames if slot is None or frame.slot is slot]
        for frame in gone:
            self._frames.remove(frame)
        return gone

    def take(self, now: float, others: int) -> list[Waiting]:
        """Remove and return the frames of the next batch; none if it is not time yet.

        Args:
            now: the time in seconds.
            others: number of streams that send frames, those of waiting frames included.
        """
        ready = self._ready()
        if not ready:
            return []
        batch = self._alike_first(ready)
        may_come = len(batch) < self._batch and len(ready) < others
        if may_come and now < self._frames[0].arrived + self._wait:
            return []
        self._turn += 1
        for frame in batch:
            frame.slot.turn = self._turn
            self._frames.remove(frame)
        return batch

    def due(self) -> float | None:
        """Return when `take` returns frames even if no others come; None without frames."""
        return self._frames[0].arrived + self._wait if self._frames else None

    def _ready(self) -> list[Waiting]:
        """Return the oldest frame of each stream, in the order of their turns."""
        oldest: dict[Slot, Waiting] = {}
        for frame in self._frames:
            oldest.setdefault(frame.slot, frame)
        return sorted(oldest.values(), key=lambda frame: frame.slot.turn or 0)

    def _alike_first(self, ready: list[Waiting]) -> list[Waiting]:
        """Return the first frame, and those whose streams tick together with its own."""
        numbers = [self._alike(frame.slot.steps) for frame in ready]
        alike = [f for f, number in zip(ready, numbers, strict=True) if number == numbers[0]]
        return alike[: self._batch]

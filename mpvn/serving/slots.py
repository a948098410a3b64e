"""The slots of an engine: which streams it holds, and which one it gives up for another.

A slot belongs to a stream from its first frame on. It becomes free by a reset; or, only when a slot
is needed, because its stream is the least recently used one and has been idle for long enough.
"""

import collections
from collections.abc import Collection
from typing import Any

from mpvn.serving.errors import NoFreeSlot


class Slot:
    """A stream.

    Attributes:
        stream_id: its id.
        state: its state `[1, ...]`; None before its first step.
        steps: number of steps that it has run.
        used: when it was used last, in seconds.
        busy: number of its frames that wait or run.
        dropped: number of its frames that were dropped since its last answer.
        turn: the number of the last batch when it got in line, or was in a batch; None before.
    """

    __slots__ = ("busy", "dropped", "state", "steps", "stream_id", "turn", "used")

    def __init__(self, stream_id: int) -> None:
        self.stream_id = stream_id
        self.state: dict[str, Any] | None = None
        self.steps = 0
        self.used = 0.0
        self.busy = 0
        self.dropped = 0
        self.turn: int | None = None


class Slots:
    """At most `count` slots, by the ids of their streams.

    Args:
        count: number of slots.
        idle: seconds without a frame after which a slot may be given to another stream.

    Attributes:
        count: the argument.
        reclaimed: number of slots that were given to another stream so far.
    """

    def __init__(self, count: int, idle: float) -> None:
        self.count = count
        self.reclaimed = 0
        self._idle = idle
        self._slots: collections.OrderedDict[int, Slot] = collections.OrderedDict()  # by last use

    def __len__(self) -> int:
        return len(self._slots)

    def has(self, stream_id: int) -> bool:
        """Return whether a stream has a slot."""
        return stream_id in self._slots

    def used_since(self, start: float) -> int:
        """Return how many streams were used since a time, as far as to the first that was not."""
        count = 0
        for slot in reversed(self._slots.values()):
            if slot.used < start:
                break
            count += 1
        return count

    def take(self, stream_ids: list[int], now: float) -> list[Slot]:
        """Return the slots of streams, new ones for those that have none: all, or none.

        Raises:
            NoFreeSlot: there are not enough slots that are free or idle.
        """
        for stream_id in self.given_up(stream_ids, now):
            del self._slots[stream_id]
            self.reclaimed += 1
        slots = [self._slots.setdefault(each, Slot(each)) for each in stream_ids]
        for slot in slots:
            slot.used = now
            self._slots.move_to_end(slot.stream_id)
        return slots

    def free(self, stream_id: int) -> Slot | None:
        """Free the slot of a stream and return it; None if the stream has none."""
        return self._slots.pop(stream_id, None)

    def given_up(self, stream_ids: Collection[int], now: float) -> list[int]:
        """Return the idle streams that give up their slots for others, the longest idle ones first.

        Raises:
            NoFreeSlot: as in `take`.
        """
        known = {stream_id for stream_id in stream_ids if stream_id in self._slots}
        count = len(stream_ids) - len(known) - (self.count - len(self._slots))
        if count <= 0:
            return []
        found: list[int] = []
        for stream_id, slot in self._slots.items():
            if slot.used > now - self._idle:
                break
            if not slot.busy and stream_id not in known:
                found.append(stream_id)
                if len(found) == count:
                    return found
        raise NoFreeSlot(
            f"No free slot. Expected at most {self.count} streams at a time. Received: {count} "
            f"more, while fewer than {count} of the others have been idle for {self._idle:g} s. "
            "Reset streams that have ended, or start the server with more streams."
        )

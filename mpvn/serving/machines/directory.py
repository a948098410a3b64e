"""Which replica has which stream: one table for all machines.

    place(stream)  its replica, as long as that lives; for a new stream, the one with most room
    beat(replica)  it lives, and has these streams
    lost(replica)  it is gone: its streams are placed anew when their next frames come

A replica that is added gets new streams only, so no stream moves as long as its replica stays.

Each stream has a ticket for its life from step 0 on, which goes with every frame. A replica goes on
with a stream only under the ticket that it began it with. So an old state that was left somewhere
is never taken for a new one: a stream that is placed anew begins at step 0.

A directory that is lost loses nothing: replicas tell the next one what they have. Tickets rise, so
if two of them have a stream, the later one is known.
"""

import collections
import dataclasses
import secrets
import time
from collections.abc import Callable, Mapping, Sequence

from mpvn.serving.errors import NoFreeSlot, Unreachable

BEAT = 1.0
"""Seconds between two beats of a replica."""

Ticket = tuple[int, int]
"""A number that rises, and a random one: no two directories give the same ticket."""

_SILENT = 15.0  # seconds without a beat after which a replica counts as lost
_SETTLE = 2.5 * BEAT  # seconds in which all replicas tell a new directory what they have
_BANNED = 60.0  # seconds in which a lost replica may still beat: one that stops, for example


@dataclasses.dataclass(slots=True)
class Pin:
    """Where a stream is.

    Attributes:
        replica: name of its replica.
        ticket: that of this life of the stream.
        used: when it was asked for last, in seconds.
        is_new: whether this is its first frame.
    """

    replica: str
    ticket: Ticket
    used: float
    is_new: bool = False


@dataclasses.dataclass(slots=True)
class _Replica:
    capacity: int
    beat: float
    streams: int = 0


class Directory:
    """A table of streams and their replicas.

    Args:
        idle: seconds without a frame after which a stream gives its place to one that needs it.
        clock: returns the time in seconds.
    """

    def __init__(self, idle: float = 60.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._idle = idle
        self._clock = clock
        self._begun = clock()
        self._pins: collections.OrderedDict[int, Pin] = collections.OrderedDict()  # by last use
        self._replicas: dict[str, _Replica] = {}
        self._banned: dict[str, float] = {}
        self._newest = 0
        self._latest: dict[int, Ticket] = {}  # of streams that replicas tell a new directory of

    def beat(self, replica: str, capacity: int, tickets: Mapping[int, Ticket]) -> dict[int, Ticket]:
        """Note that a replica lives.

        Args:
            replica: its name, which no other one ever has.
            capacity: most streams that it holds.
            tickets: the tickets of the streams that it has.

        Returns:
            Those that have ended: the replica forgets them.
        """
        now = self._clock()
        if self._banned.get(replica, now) > now:
            return {**tickets}
        self._newest = max([self._newest, *(number for number, _ in tickets.values())])
        self._replicas.setdefault(replica, _Replica(capacity, now)).beat = now
        if not self._is_settled():
            for stream_id, ticket in tickets.items():
                self._take_over(stream_id, replica, ticket, now)
            return {}
        self._latest.clear()
        ours = {each: pin.ticket for each, pin in self._pins.items() if pin.replica == replica}
        return {each: t for each, t in tickets.items() if ours.get(each) != t}

    def place(self, stream_ids: Sequence[int]) -> list[Pin]:
        """Return where streams are: new ones get a place, all or none.

        Raises:
            NoFreeSlot: there is no room for all.
            Unreachable: there are no replicas yet.
        """
        self._drop_silent()
        now = self._clock()
        new = [each for each in dict.fromkeys(stream_ids) if each not in self._pins]
        if new:
            self._check_ready()
            self._make_room(len(new), {*stream_ids}, now)
        for stream_id in new:
            self._newest += 1
            replica = max(self._replicas, key=self._room)
            self._pin(stream_id, replica, (self._newest, secrets.randbits(64)), now)
        for stream_id in stream_ids:
            self._pins[stream_id].used = now
            self._pins.move_to_end(stream_id)
        return [
            dataclasses.replace(self._pins[stream_id], is_new=stream_id in new)
            for stream_id in stream_ids
        ]

    def find(self, stream_ids: Sequence[int]) -> list[Pin | None]:
        """Return where streams are; None for those that have no place.

        Raises:
            Unreachable: there are no replicas yet.
        """
        pins = [self._pins.get(stream_id) for stream_id in stream_ids]
        if None in pins:
            self._check_ready()
        return [pin and dataclasses.replace(pin) for pin in pins]

    def free(self, tickets: Mapping[int, Ticket]) -> None:
        """Free the places of streams that have ended, given their tickets."""
        for stream_id, ticket in tickets.items():
            if stream_id in self._pins and self._pins[stream_id].ticket == ticket:
                self._unpin(stream_id)

    def lost(self, replica: str) -> None:
        """Note that a replica is gone, or stops. Its streams begin anew elsewhere."""
        self._banned[replica] = self._clock() + _BANNED
        if self._replicas.pop(replica, None) is not None:
            gone = [each for each, pin in self._pins.items() if pin.replica == replica]
            for stream_id in gone:
                del self._pins[stream_id]

    def streams(self) -> dict[str, int]:
        """Return the number of streams of each replica."""
        self._drop_silent()
        return {name: replica.streams for name, replica in self._replicas.items()}

    def _is_settled(self) -> bool:
        return self._clock() >= self._begun + _SETTLE

    def _check_ready(self) -> None:
        if not self._replicas or not self._is_settled():
            raise Unreachable("No replica is ready yet. Expected one. Ask again in some seconds.")

    def _take_over(self, stream_id: int, replica: str, ticket: Ticket, now: float) -> None:
        """Take over a stream that a replica has, unless another one has told of a later life."""
        if self._latest.get(stream_id, ticket) > ticket:
            return
        self._latest[stream_id] = ticket
        if stream_id in self._pins:
            self._unpin(stream_id)
        self._pin(stream_id, replica, ticket, now)

    def _drop_silent(self) -> None:
        now = self._clock()
        silent = [name for name, each in self._replicas.items() if each.beat < now - _SILENT]
        for name in silent:
            self.lost(name)
        self._banned = {name: end for name, end in self._banned.items() if end > now}

    def _make_room(self, count: int, kept: set[int], now: float) -> None:
        """End idle streams, the least recently used ones first, until there is room for `count`."""
        missing = count - sum(map(self._room, self._replicas))
        idle: list[int] = []
        for stream_id, pin in self._pins.items():
            if len(idle) >= missing or pin.used > now - self._idle:
                break
            if stream_id not in kept:
                idle.append(stream_id)
        if len(idle) < missing:
            capacity = sum(replica.capacity for replica in self._replicas.values())
            raise NoFreeSlot(
                f"No free slot. Expected at most {capacity} streams at a time on "
                f"{len(self._replicas)} replicas. Received: {count} more, while fewer than "
                f"{missing} of the others have been idle for {self._idle:g} s. Reset streams that "
                "have ended, or add replicas."
            )
        for stream_id in idle:
            self._unpin(stream_id)

    def _room(self, name: str) -> int:
        replica = self._replicas[name]
        return replica.capacity - replica.streams

    def _pin(self, stream_id: int, replica: str, ticket: Ticket, now: float) -> None:
        self._pins[stream_id] = Pin(replica, ticket, now)
        self._replicas[replica].streams += 1

    def _unpin(self, stream_id: int) -> None:
        pin = self._pins.pop(stream_id)
        self._replicas[pin.replica].streams -= 1

"""Looks at the servers of a cluster again and again, and tells which are lost."""

import time
from collections.abc import Collection, Iterable
from concurrent.futures import ThreadPoolExecutor

from mpvn.cluster.ping import Ping

INTERVAL = 0.25
"""Seconds between two looks, and those in which a server answers unless it is busy or hangs."""

DEADLINE = 10.0
"""Seconds without an answer after which a process is considered hung."""

_REFUSALS = 2  # in a row, because a connection may break by accident


class Watch:
    """Asks servers, all at the same time, so that one that hangs delays no other.

    Use it in a `with` block.

    Args:
        addresses: the servers.
        deadline: seconds after which one that is there and does not answer hangs.
    """

    def __init__(self, addresses: Iterable[str], deadline: float = DEADLINE) -> None:
        self._servers = {address: _Server(address) for address in addresses}
        self._deadline = deadline
        self._threads = ThreadPoolExecutor(len(self._servers), "watch")

    def __enter__(self) -> "Watch":
        return self

    def __exit__(self, *raised: object) -> None:
        self._threads.shutdown()
        for server in self._servers.values():
            server.ping.close()

    def look(self, addresses: Collection[str]) -> None:
        """Ask servers once. Takes up to `INTERVAL`."""
        [*self._threads.map(_Server.look, [self._servers[address] for address in addresses])]

    def answering(self, addresses: Iterable[str]) -> list[str]:
        """Return the servers that answered when they were asked last."""
        return [each for each in addresses if self._servers[each].answers]

    def begin(self, addresses: Iterable[str]) -> None:
        """Begin to count the seconds without an answer."""
        for address in addresses:
            self._servers[address].begin()

    def lost(self, addresses: Iterable[str]) -> str | None:
        """Return which server is lost, and how that was noticed; None if none is."""
        for task, address in enumerate(addresses):
            server = self._servers[address]
            silent = time.monotonic() - server.answered
            if server.refusals >= _REFUSALS:
                return f"worker {task} at {address} is gone (noticed after {silent:.2f} s)"
            if silent > self._deadline:
                return f"worker {task} at {address} has not answered for {silent:.1f} s"
        return None


class _Server:
    """What is known of a server."""

    def __init__(self, address: str) -> None:
        self.ping = Ping(address)
        self.begin()

    def begin(self) -> None:
        self.answers = False
        self.answered = time.monotonic()
        self.refusals = 0

    def look(self) -> None:
        asked = time.monotonic()
        self.answers = self.ping.answers(INTERVAL)
        if self.answers:
            self.answered, self.refusals = asked, 0
        else:
            self.refusals = self.refusals + 1 if self.ping.refused else 0

"""A server under test, as those see it who speak to it."""

import collections
import dataclasses
import threading
import time
from typing import NamedTuple


@dataclasses.dataclass(frozen=True)
class Target:
    """A server under test.

    Attributes:
        http_port, grpc_port: its ports on 127.0.0.1.
        model: name of the model.
        token: the token that it wants, if any.
        streams: its slots.
        idle: seconds without a frame after which a slot may be given to another stream.
        is_ours: whether it is `mpvn serve`. Otherwise, the model on it is under test alone.
    """

    http_port: int
    grpc_port: int
    model: str
    token: str | None
    streams: int
    idle: float
    is_ours: bool

    @property
    def protocols(self) -> list[str]:
        return ["http", "grpc", "websocket"] if self.is_ours else ["http", "grpc"]

    def address(self, protocol: str) -> str:
        port = self.grpc_port if protocol == "grpc" else self.http_port
        return f"{protocol}://127.0.0.1:{port}"


class Fault(NamedTuple):
    """What must not happen.

    Attributes:
        text: what happened.
        end: when.
        since: when it began, if a server that is away is an excuse for it.
    """

    text: str
    end: float
    since: float | None


class Counts:
    """What happened, counted by threads."""

    def __init__(self) -> None:
        self.events: collections.Counter[str] = collections.Counter()
        self.faults: list[Fault] = []
        self._lock = threading.Lock()

    def add(self, event: str, count: int = 1) -> None:
        with self._lock:
            self.events[event] += count

    def fault(self, text: str, since: float | None = None) -> None:
        with self._lock:
            self.faults.append(Fault(text, time.time(), since))

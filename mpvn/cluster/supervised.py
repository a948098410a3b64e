"""The side of a supervised process: it says that it is alive, and ends with its supervisor.

With `--cluster`, a command does its work in a process of its own; see `supervise.py`. Both ends of
a pair of sockets tell whether the other process is there. In any other process the functions of
this module do nothing.
"""

import contextlib
import ctypes
import dataclasses
import json
import os
import signal
import socket
import sys
import threading
import time
from typing import Any, NoReturn

VARIABLE = "MPVN_SUPERVISED"
"""The environment variable by which a supervisor gives a process its orders."""

_AFTER_FAULT = 10.0  # seconds
_PR_SET_PDEATHSIG = 1


@dataclasses.dataclass(frozen=True)
class Orders:
    """What a supervisor tells its process.

    Attributes:
        socket: number of the open socket to the supervisor.
        supervisor: number of its process.
        workers: addresses of the servers to use, in the order of tasks.
        kept: the last number that a process before this one has passed to `kept`; None if this is
            the first one.
        restarts: how many processes were before this one.
    """

    socket: int
    supervisor: int
    workers: tuple[str, ...]
    kept: int | None = None
    restarts: int = 0

    def to_json(self) -> str:
        """Return the orders as the value of `VARIABLE`."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Orders":
        """Return the orders that `to_json` has written."""
        values = json.loads(text)
        return cls(**{**values, "workers": tuple(values["workers"])})


class _Line:
    """The connection to the supervisor."""

    def __init__(self, orders: Orders) -> None:
        self.orders = orders
        self._socket = socket.socket(fileno=orders.socket)
        _end_with(orders.supervisor)
        threading.Thread(target=self._end_with_supervisor, daemon=True).start()

    def say(self, kind: str, value: Any = None) -> None:
        """Send a line. It is lost if the supervisor does not read for long."""
        line = json.dumps([kind, value]).encode() + b"\n"
        with contextlib.suppress(OSError):
            if kind in ("beat", "waits", "kept"):  # the next one says more
                self._socket.send(line, socket.MSG_DONTWAIT)
            else:
                self._socket.sendall(line)

    def _end_with_supervisor(self) -> None:
        with contextlib.suppress(OSError):
            while self._socket.recv(1):  # the supervisor sends nothing
                pass
        os._exit(1)  # a run resumes from its last checkpoint


_line: _Line | None = None


def attend() -> bool:
    """Connect to the supervisor of this process. Return whether it has one."""
    global _line
    orders = os.environ.pop(VARIABLE, None)  # processes that this one starts have none
    if orders is not None:
        _line = _Line(Orders.from_json(orders))
        _line.say("here")
    return _line is not None


def orders() -> Orders | None:
    """Return what the supervisor of this process wants; None without a supervisor."""
    return None if _line is None else _line.orders


def connected() -> None:
    """Say that this process uses the workers from now on: without one, it cannot go on."""
    _say("connected")


def beat() -> None:
    """Say that a batch or frame is done, so that the next is expected within the deadline."""
    _say("beat")


def waits() -> None:
    """Say that the next beat may come at any time: a camera is silent, for example."""
    _say("waits")


def takes_long() -> None:
    """Say that the next beat may be late, because functions are traced or files written first."""
    _say("long")


def kept(number: int) -> None:
    """Say how many batches or frames are done and need not be done again."""
    _say("kept", number)


def fault(text: str) -> NoReturn:
    """Say which error ends this process, and wait to be ended.

    Until then the workers have their chief, so that the supervisor sees whether one is gone. Python
    does not end by itself: TensorFlow may wait for ever for a worker that is gone.
    """
    _say("fault", text)
    time.sleep(_AFTER_FAULT)
    os._exit(1)


def _say(kind: str, value: Any = None) -> None:
    if _line is not None:
        _line.say(kind, value)


def _end_with(supervisor: int) -> None:
    """Let the system end this process with its supervisor, also while it is stopped (Linux)."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != supervisor:
            os._exit(1)

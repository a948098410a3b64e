"""Callers that send what no server should take: each must get one clear error, and soon.

An error is judged by its code and message. A server that stops or is away is excused, for a while.
"""

import random
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from soak.target import Counts, Target

Code = int | str


class Outcome(NamedTuple):
    """How a server answered.

    Attributes:
        code: the status of HTTP, the name of that of gRPC, or the code of a closed WebSocket.
        message: its words.
    """

    code: Code
    message: str


class Case(NamedTuple):
    """Something wrong.

    Attributes:
        run: sends it and returns the answer; None if it is right that there is none.
        expected: the codes that the server may answer with.
        seconds: the time that this may take.
    """

    run: Callable[[Target, random.Random], Outcome | None]
    expected: Iterable[Code] = ()
    seconds: float = 20.0


Cases = Mapping[str, Case]

_AWAY = {"UNAVAILABLE", "CANCELLED", 503, 1001, 1006, 0}
"""Codes of a server that is away."""


class Abuser:
    """Sends garbage, one piece after the other.

    Args:
        target: the server.
        counts: counts what happens.
        seed: of the choices.
        interval: mean seconds between two pieces.

    Attributes:
        cases: what it can send, by name.
    """

    def __init__(self, target: Target, counts: Counts, seed: int, interval: float = 0.2) -> None:
        self._target, self._counts = target, counts
        self._rng = random.Random(seed)
        self.cases = cases(target)
        self._interval = interval

    def play(self, until: float, stop: threading.Event) -> None:
        """Send garbage until a time, or an event."""
        while time.time() < until and not stop.wait(self._rng.uniform(0, 2 * self._interval)):
            self.abuse(self._rng.choice([*self.cases]))

    def abuse(self, name: str) -> None:
        """Send one piece, and judge the answer."""
        case, begin = self.cases[name], time.time()
        try:
            outcome = case.run(self._target, self._rng)
        except OSError as error:
            self._counts.fault(f"garbage {name!r}: {type(error).__name__}: {error}", begin)
            return
        self._counts.add(f"garbage: {name}: {outcome and outcome.code}")
        for text in _faults(case, outcome, time.time() - begin, self._target.is_ours):
            is_away = outcome is not None and outcome.code in _AWAY
            since = begin if is_away else None
            self._counts.fault(f"garbage {name!r}: {text}", since)


def _faults(case: Case, outcome: Outcome | None, seconds: float, is_ours: bool) -> Iterable[str]:
    if seconds > case.seconds:
        yield f"took {seconds:.1f} s"
    if outcome is None or is_full(outcome.message):
        return
    code, message = outcome
    unclear = not message.strip() or (
        is_ours and ("Traceback" in message or "\n" in message.strip())
    )
    if code not in set(case.expected):
        yield f"answered {code} {message[:300]!r} instead of {set(case.expected)}"
    elif unclear:
        yield f"no clear message: {code} {message[:500]!r}"


def is_full(message: str) -> bool:
    """Return whether a server has no place for a new stream, which it may say before all else."""
    return "No free slot" in message or "Too many streams" in message


def cases(target: Target) -> dict[str, Case]:
    """Return what can be sent to a server."""
    from soak import garbage_grpc, garbage_http, garbage_lines, garbage_socket

    found: dict[str, Case] = {**garbage_http.OF_MODELS, **garbage_grpc.OF_MODELS}
    if target.is_ours:
        for module in (garbage_http, garbage_grpc, garbage_lines, garbage_socket):
            found |= module.OF_SERVERS
    return found


def stream_id(rng: random.Random) -> int:
    """Return an id that no stream has but by chance."""
    return rng.randint(-(2**62), 2**62)


def nested(value: Any, depth: int) -> Any:
    """Return a value in lists in lists."""
    for _ in range(depth):
        value = [value]
    return value

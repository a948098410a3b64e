"""Repeats a request while a server is unavailable, with growing pauses, for a limited time."""

import itertools
import random
import time
from collections.abc import Callable
from typing import TypeVar

from mpvn.serving.client_errors import UnavailableError

Answer = TypeVar("Answer")

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
"""Seconds between the first and the second attempt; the longest time between two."""


def repeat(
    attempt: Callable[[float], Answer],
    timeout: float,
    seconds: float,
    failed: Callable[[UnavailableError], None],
) -> Answer:
    """Return the answer of the first attempt that gets one.

    The pauses double. They are random between a half and the whole, so that the clients of a server
    that comes back do not all come at once.

    Args:
        attempt: asks the server, and waits for the seconds that it is given.
        timeout: the longest time that one attempt may take, in seconds.
        seconds: the time in which attempts may start; 0: one attempt.
        failed: is called with the error of each attempt that fails.

    Raises:
        UnavailableError: the last attempt failed, too.
    """
    begin, pause = time.monotonic(), FIRST_PAUSE
    for number in itertools.count(1):
        try:
            return attempt(timeout)
        except UnavailableError as error:
            failed(error)
            wait = pause * random.uniform(0.5, 1)
            passed = time.monotonic() - begin
            if passed + wait >= seconds:
                if number > 1:
                    error.args = (f"{error} ({number} attempts in {passed:.1f} s)",)
                raise
            time.sleep(wait)
            pause = min(2 * pause, LONGEST_PAUSE)
    raise AssertionError("unreachable")

"""The signals that ask a process to stop: Ctrl-C, `kill`, and a terminal that is closed."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

_STOPS = tuple(
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP")
    if hasattr(signal, name)  # Windows has no SIGHUP.
)


@contextlib.contextmanager
def on_stop(handler: Callable[[int, Any], Any]) -> Iterator[dict[int, Any]]:
    """Handle the signals that ask to stop inside the block, and restore their handlers after it.

    A signal that is ignored, as SIGHUP is under `nohup`, stays ignored. Threads other than the main
    one cannot handle signals: there, nothing changes.

    Args:
        handler: Called with the number of the signal and the interrupted frame.

    Yields:
        The handlers before the block, by signal.
    """
    before: dict[int, Any] = {}
    try:
        if threading.current_thread() is threading.main_thread():
            for number in _STOPS:
                if signal.getsignal(number) != signal.SIG_IGN:
                    before[number] = signal.signal(number, handler)
        yield before
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)

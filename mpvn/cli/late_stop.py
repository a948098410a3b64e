"""Ctrl-C that waits until the next frame is read, so that all frames before it are answered."""

import contextlib
from collections.abc import Callable, Iterator

from mpvn.signals import on_stop


@contextlib.contextmanager
def late_stop() -> Iterator[Callable[[], None]]:
    """Let Ctrl-C wait inside the block. The second one does not wait.

    Yields:
        A function to call before a frame is read. It raises KeyboardInterrupt after Ctrl-C.

    Raises:
        KeyboardInterrupt: at the end of the block, after a Ctrl-C that no frame was read after.
    """
    asked = raised = False

    def ask(*_: object) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True

    def before_read() -> None:
        nonlocal raised
        if asked:
            raised = True
            raise KeyboardInterrupt

    with on_stop(ask):
        yield before_read
        if not raised:
            before_read()

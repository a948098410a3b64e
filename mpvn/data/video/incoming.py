"""Bytes that arrive from a pipe or a server, for FFmpeg to read.

FFmpeg cannot be interrupted while it reads a pipe. Over HTTP, it mistakes a cut transfer for a
whole file, or the end of a file for an error, depending on the headers of the server. Here, the end
of the data is either known to be their end, or recorded in the link as a failure.
"""

from __future__ import annotations

import abc
import os
import select
import sys
import tempfile
import time
from typing import IO

from mpvn.data.video.link import Link, error_reason

_BLOCK = 1 << 20  # bytes
_POLL = 0.1  # seconds between checks whether the wait was stopped


class Incoming(abc.ABC):
    """A file object for PyAV. Errors end it, and are kept in its link.

    Attributes:
        link: The connection.
    """

    def __init__(self, link: Link) -> None:
        self.link = link
        self._ahead = b""
        self.name = link.name  # PyAV guesses some formats by the name
        link.disconnect = self.close

    def start(self, count: int) -> bytes:
        """Return the first bytes, which `read` will return again: `count`, unless they end."""
        while len(self._ahead) < count and (data := self._checked(count)):
            self._ahead += data
        return self._ahead[:count]

    def read(self, count: int) -> bytes:
        """Return the bytes that have arrived, at most `count`; none at the end."""
        if self._ahead:
            data, self._ahead = self._ahead[:count], self._ahead[count:]
            return data
        return self._checked(count)

    def saved(self) -> IO[bytes]:
        """Wait for all data, and return them as a temporary file. It is closed with the link."""
        file = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the link)
        disconnect = self.link.disconnect

        def close() -> None:
            disconnect()
            file.close()

        self.link.disconnect = close
        while data := self.read(_BLOCK):
            file.write(data)
        file.seek(0)
        return file

    def seekable(self) -> bool:
        """Return whether any part can be read, in any order."""
        return False

    @abc.abstractmethod
    def close(self) -> None:
        """Close the connection."""

    @abc.abstractmethod
    def _fetch(self, count: int) -> bytes:
        """Wait for bytes and return them; none at the end. May raise `OSError`."""

    def _checked(self, count: int) -> bytes:
        if self.link.failure or self.link.stop.is_set():
            return b""
        try:
            return self._fetch(count)
        except OSError as error:
            self.link.failure = error_reason(error)
            return b""


class Pipe(Incoming):
    """A pipe: standard input, a named pipe, or a device.

    Args:
        link: The connection.
        path: Its path; None for standard input.
        timeout: Seconds to wait for the next data; None waits until they come.

    Raises:
        OSError: It cannot be opened, or is a terminal.
    """

    def __init__(self, link: Link, path: str | None, timeout: float | None) -> None:
        super().__init__(link)
        self._timeout = timeout
        self._file = os.dup(0) if path is None else os.open(path, _open_flags())
        if os.isatty(self._file):
            self.close()
            raise OSError("a terminal, where no video arrives")

    def close(self) -> None:
        """Close the pipe."""
        file, self._file = self._file, -1
        if file >= 0:
            os.close(file)

    def _fetch(self, count: int) -> bytes:
        started = time.monotonic()
        while not self._has_data():
            if self.link.stop.is_set():
                return b""
            if self._timeout is not None and time.monotonic() > started + self._timeout:
                raise TimeoutError
        data = os.read(self._file, count)
        self.link.complete = not data
        return data

    def _has_data(self) -> bool:
        """Wait for data or the end, for a short time. Windows can only wait in `read`."""
        return sys.platform == "win32" or bool(select.select([self._file], [], [], _POLL)[0])


def _open_flags() -> int:
    """Return flags to open a pipe, which on Linux do not wait until somebody writes to it."""
    if sys.platform == "win32":
        return os.O_RDONLY | os.O_BINARY
    return os.O_RDONLY | (os.O_NONBLOCK if sys.platform == "linux" else 0)

"""The state of the connection to a camera, server or pipe while its data arrive."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterable, Iterator

import av
from av.packet import Packet

from mpvn.data.video.errors import ConnectionLost


@dataclasses.dataclass
class Link:
    """The connection of one open source.

    Attributes:
        name: Name of the source, for messages.
        stop: Set when the data are no longer needed.
        failure: Why the data stopped before their end; empty if they did not.
        complete: Whether the data ended where the sender had announced their end.
        disconnect: Closes the connection.
    """

    name: str
    stop: threading.Event
    failure: str = ""
    complete: bool = False
    disconnect: Callable[[], None] = lambda: None

    def whole(self, packets: Iterable[Packet]) -> Iterator[Packet]:
        """Yield the packets that arrived whole, then an empty one that flushes the decoder.

        FFmpeg reads ahead. Once the data have stopped early, the last packet may be cut short.

        Raises:
            ConnectionLost: After the last packet, if the data stopped before their end.
        """
        held: Packet | None = None
        try:
            for packet in packets:
                if held is not None and packet.size:
                    yield held
                held = packet if self.failure and packet.size else None
                if held is None:
                    yield packet
        except av.FFmpegError as error:
            yield Packet()
            raise lost(self.name, error_reason(error)) from error
        if self.failure:
            raise lost(self.name, self.failure)


def lost(name: str, reason: str) -> ConnectionLost:
    """Return the error that the data of a source stopped early."""
    return ConnectionLost(
        f"{name}: expected more frames. Received: none ({reason}). The sender stopped or the "
        "connection was lost: read it again, or increase `timeout=` if it pauses."
    )


def error_reason(error: BaseException) -> str:
    """Return an error of the system, of FFmpeg, or of a download in few words."""
    if isinstance(error, av.error.ExitError | TimeoutError):
        return "no answer in time"
    cause = getattr(error, "reason", None)
    if isinstance(cause, BaseException):
        return error_reason(cause)
    return getattr(error, "strerror", None) or str(error) or type(error).__name__

"""A WebSocket of our own, so that a test can also do what no library would."""

import base64
import json
import os
import socket
import struct
from typing import Any

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


class Gone(ConnectionError):
    """The connection was refused or closed.

    Attributes:
        code: of the close frame, or the status of HTTP.
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code} {message}")
        self.code = code


class WebSocket:
    """A connection.

    Args:
        address: host and port.
        path: path and query.
        headers: further ones.
        timeout: seconds that a message may take.
    """

    def __init__(
        self,
        address: tuple[str, int],
        path: str,
        headers: dict[str, str] | None = None,
        timeout: float = 20.0,
    ) -> None:
        self.socket = socket.create_connection(address, timeout)
        self._buffer = b""
        try:
            self._shake_hands(address, path, headers or {})
        except BaseException:
            self.close()
            raise

    def send(self, kind: int, content: bytes, final: bool = True) -> None:
        """Send a frame."""
        size, mask = len(content), os.urandom(4)
        head = bytes([kind | (0x80 if final else 0)])
        if size < 126:
            head += bytes([0x80 | size])
        elif size < 1 << 16:
            head += struct.pack(">BH", 0x80 | 126, size)
        else:
            head += struct.pack(">BQ", 0x80 | 127, size)
        repeated = (mask * (size // 4 + 1))[:size]
        masked = int.from_bytes(content, "big") ^ int.from_bytes(repeated, "big")
        self.socket.sendall(head + mask + masked.to_bytes(size, "big"))

    def message(self) -> dict[str, Any]:
        """Return the next message, JSON.

        Raises:
            Gone: the server has closed the connection.
        """
        while True:
            kind, content = self._frame()
            if kind == PING:
                self.send(PONG, content)
            elif kind == CLOSE:
                code = int.from_bytes(content[:2], "big")
                raise Gone(code, content[2:].decode("utf-8", "replace"))
            elif kind == TEXT:
                return json.loads(content)

    def close(self) -> None:
        """Leave without a word."""
        self.socket.close()

    def _shake_hands(self, address: tuple[str, int], path: str, headers: dict[str, str]) -> None:
        lines = {
            "Host": f"{address[0]}:{address[1]}",
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
            "Sec-WebSocket-Version": "13",
            **headers,
        }
        text = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        self.socket.sendall(f"GET {path} HTTP/1.1\r\n{text}\r\n".encode())
        while b"\r\n\r\n" not in self._buffer:
            self._receive()
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        status = int(head.split(b" ", 2)[1])
        if status != 101:
            raise Gone(status, self._buffer.decode("utf-8", "replace"))

    def _frame(self) -> tuple[int, bytes]:
        first, size = self._take(2)
        if size >= 126:
            size = int.from_bytes(self._take(2 if size == 126 else 8), "big")
        return first & 15, self._take(size)

    def _take(self, size: int) -> bytes:
        while len(self._buffer) < size:
            self._receive()
        content, self._buffer = self._buffer[:size], self._buffer[size:]
        return content

    def _receive(self) -> None:
        received = self.socket.recv(1 << 16)
        if not received:
            raise Gone(0, "without a word")
        self._buffer += received

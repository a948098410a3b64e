"""Small servers on this machine: of a folder, and of bytes that stop in the middle or come back."""

from __future__ import annotations

import dataclasses
import functools
import http.server
import re
import socket
import struct
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


@dataclasses.dataclass
class Answer:
    """What the server sends on one connection.

    Attributes:
        content: The whole content.
        sent: Number of bytes of it that are sent; None for all.
        kind: Of HTTP: "length", "chunked", "close" (until the connection is closed), "ranges",
            "parts" (a range, but at most a third of the content), or "whole", where the content has
            the head of the answer; or "raw", without a request.
        content_type: Content-Type of HTTP.
        reset: Whether the connection is reset, not closed.
        hold: If set, the connection stays open until this event, after the content.
    """

    content: bytes
    sent: int | None = None
    kind: str = "length"
    content_type: str = "video/unknown"
    reset: bool = False
    hold: threading.Event | None = None

    def head_and_body(self, request: str) -> tuple[str, bytes]:
        """Return the head of the answer, and the part of the content that was asked for."""
        start = re.search(r"Range: bytes=(\d+)-", request)
        first = int(start[1]) if start and self.kind in {"ranges", "parts"} else 0
        size = len(self.content)
        end = min(size, first + size // 3) if self.kind == "parts" else size
        partial = f"206 Partial Content\r\nContent-Length: {end - first}\r\n"
        partial += f"Content-Range: bytes {first}-{end - 1}/{size}"
        lines = {
            "length": f"200 OK\r\nContent-Length: {size}",
            "chunked": "200 OK\r\nTransfer-Encoding: chunked",
            "close": "200 OK",
            "whole": "",
            "ranges": partial,
            "parts": partial,
        }[self.kind]
        head = f"HTTP/1.1 {lines}\r\nConnection: close\r\nContent-Type: {self.content_type}\r\n\r\n"
        return head, self.content[first:end]


class Server:
    """Send one answer after the other, and the last one again and again.

    Attributes:
        port: The port.
        requests: The requests of HTTP so far.
    """

    def __init__(self, answers: Sequence[Answer]) -> None:
        self._answers = list(answers)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.requests: list[str] = []
        self.connections = 0
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def url(self, scheme: str = "http", path: str = "") -> str:
        return f"{scheme}://127.0.0.1:{self.port}{path}"

    def close(self) -> None:
        """Answer no more connections."""
        if not self._thread.is_alive():
            return
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                self.connections += 1
                answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
                try:
                    self._answer(connection, answer)
                except OSError:  # the client went away
                    continue

    def _answer(self, connection: socket.socket, answer: Answer) -> None:
        body = answer.content
        if answer.kind != "raw":
            request = connection.recv(4096).decode()
            self.requests.append(request)
            head, body = answer.head_and_body(request)
            connection.sendall(b"" if answer.kind == "whole" else head.encode())
        cut = body[: answer.sent]
        if answer.kind == "chunked":
            missing = len(body) - len(cut)
            connection.sendall(f"{len(cut) + missing:x}\r\n".encode() + cut)
            connection.sendall(b"" if missing else b"\r\n0\r\n\r\n")
        else:
            connection.sendall(cut)
        if answer.hold is not None:
            answer.hold.wait(30)
        if answer.reset:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        else:
            connection.shutdown(socket.SHUT_WR)


@contextmanager
def serving(*answers: Answer) -> Iterator[Server]:
    """Serve in the block."""
    server = Server(answers)
    try:
        yield server
    finally:
        for answer in answers:
            if answer.hold is not None:
                answer.hold.set()
        server.close()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""


@contextmanager
def serving_folder(folder: Path) -> Iterator[str]:
    """Serve the files of a folder in the block. Yields its address."""
    handler = functools.partial(_Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()

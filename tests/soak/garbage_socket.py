"""WebSockets that send what is no frame, and those that do not read."""

import contextlib
import io
import random
import struct
import time
import zlib
from collections.abc import Callable

import numpy as np
from PIL import Image
from soak.garbage import Case, Outcome, is_full
from soak.network import picture
from soak.servers import MOST_BYTES
from soak.target import Target
from soak.websocket import BINARY, CLOSE, PING, TEXT, Gone, WebSocket

ERROR = "error"
"""The code of a message of the type error."""

_NOISE = np.random.default_rng(4).bytes(3000)


def path(target: Target, query: str = "") -> str:
    return f"/v1/models/{target.model}/stream{query}"


def opened(target: Target, query: str = "", **headers: str) -> WebSocket:
    """Return a connection of a new stream, without its greeting."""
    token = {"Authorization": f"Bearer {target.token}"} if target.token else {}
    address = ("127.0.0.1", target.http_port)
    return WebSocket(address, path(target, query), token | headers)


def refused(run: Callable[[Target], WebSocket], *codes: int) -> Case:
    """Return the case of a connection that is refused: by HTTP, or by words and a close."""

    def outcome(target: Target, _: random.Random) -> Outcome:
        words = ""
        try:
            with contextlib.closing(run(target)) as connection:
                while True:
                    words += connection.message().get("message", "")
        except Gone as gone:
            return Outcome(gone.code, words or str(gone))

    return Case(outcome, codes)


def message(content: bytes, kind: int = BINARY, *codes: int | str) -> Case:
    """Return the case of a message; the connection goes on after an error."""

    def run(target: Target, _: random.Random) -> Outcome:
        with contextlib.closing(opened(target)) as connection:
            assert connection.message()["type"] == "hello"
            try:
                connection.send(kind, content)
                found = connection.message()
                if found["type"] != "error":
                    return Outcome(found["type"], str(found))
                return _after(connection, found, kind == BINARY)
            except Gone as gone:
                return Outcome(gone.code, str(gone))

    return Case(run, codes or (ERROR,))


def _after(connection: WebSocket, error: dict, counts: bool) -> Outcome:
    """Return an error, if a good frame after it is answered as the first of its stream."""
    connection.send(BINARY, picture(1, 2))
    found = connection.message()
    while found["type"] == "dropped":
        connection.send(BINARY, picture(1, 2))
        found = connection.message()
    if found["type"] == "error" and is_full(found["message"]):
        return Outcome(ERROR, error["message"])
    if found["type"] != "answer" or found["step"] != 0 or found["frame"] < counts:
        return Outcome("after an error", str(found))
    return Outcome(ERROR, error["message"])


def bomb(width: int, height: int) -> bytes:
    """Return a PNG file of a few bytes that says that it is large."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    data = chunk(b"IDAT", zlib.compress(b"\0" * 10_000))
    return b"\x89PNG\r\n\x1a\n" + head + data + chunk(b"IEND", b"")


def image(kind: str, *size: int, mode: str = "RGB") -> bytes:
    file = io.BytesIO()
    Image.new(mode, size).save(file, kind)
    return file.getvalue()


def _broken_jpeg(target: Target, rng: random.Random) -> Outcome:
    """A JPEG with flipped bytes, or cut off: an error, or an answer about what is left of it."""
    content = bytearray(image("JPEG", 64, 48))
    for _ in range(rng.randint(1, 20)):
        content[rng.randrange(2, len(content))] = rng.randrange(256)
    content = content[: rng.randint(len(content) // 2, len(content))]
    with contextlib.closing(opened(target)) as connection:
        connection.message()
        connection.send(BINARY, bytes(content))
        found = connection.message()
        return Outcome(found["type"], found.get("message") or str(found["type"]))


def _twins(target: Target, rng: random.Random) -> Outcome:
    """Two connections of one stream: the second takes it over, and the first is closed."""
    query = f"?stream_id={rng.randrange(2**53)}"
    with contextlib.closing(opened(target, query)) as first:
        first.message()
        with contextlib.closing(opened(target, query)) as second:
            second.message()
            try:
                return Outcome("not closed", str(first.message()))
            except Gone as gone:
                return Outcome(gone.code, str(gone))


def _in_parts(target: Target, rng: random.Random) -> Outcome:
    """A message that is longer than allowed, in many parts."""
    with contextlib.closing(opened(target)) as connection:
        connection.message()
        try:
            connection.send(BINARY, b"x", final=False)
            for _ in range(MOST_BYTES // 4096 + 64):
                connection.send(0, b"x" * 4096, final=False)
            connection.message()
        except Gone as gone:
            return Outcome(gone.code, str(gone))
        except OSError:  # it was closed while we sent
            return Outcome(1009, "closed")
    return Outcome("taken", "")


def _deaf(target: Target, rng: random.Random) -> None:
    """Send frames and pings, and read nothing."""
    with contextlib.closing(opened(target)) as connection:
        connection.socket.settimeout(1.0)
        with contextlib.suppress(OSError):
            for number in range(300):
                connection.send(BINARY, picture(1, number))
                connection.send(PING, b"x" * 125)
        time.sleep(rng.uniform(0.1, 1))


def _vanish(target: Target, rng: random.Random) -> None:
    """Leave in the middle of a message, or while frames wait."""
    with contextlib.closing(opened(target)) as connection:
        for number in range(rng.randint(0, 5)):
            connection.send(BINARY, picture(1, number))
        connection.socket.sendall(b"\x82\xfe\x10\x00" + b"1234" + b"x" * rng.randrange(100))


OF_SERVERS = {
    "WebSocket: noise": message(_NOISE),
    "WebSocket: nothing": message(b""),
    "WebSocket: half a PNG": message(picture(1, 2)[:150]),
    "WebSocket: a broken JPEG": Case(_broken_jpeg, (ERROR, "answer", "dropped")),
    "WebSocket: GIF": message(image("GIF", 32, 32)),
    "WebSocket: SVG": message(b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'),
    "WebSocket: a playlist": message(b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n"),
    "WebSocket: a picture beyond the limit": message(bomb(30_000, 30_000)),
    "WebSocket: a picture without pixels": message(bomb(0, 5)),
    "WebSocket: words": message(b"hello", TEXT),
    "WebSocket: another object": message(b'{"type": "shutdown"}', TEXT),
    "WebSocket: a list": message(b"[1]", TEXT),
    "WebSocket: deep lists": message(b"[" * 100_000, TEXT),
    "WebSocket: words that are no UTF-8": message(b"\xff\xfe", TEXT, 1007, ERROR),
    "WebSocket: too large": message(b"x" * (MOST_BYTES + 10), BINARY, 1009),
    "WebSocket: too large, in parts": Case(_in_parts, (1009,)),
    "WebSocket: a kind that nobody knows": message(b"x", 5, 1002),
    "WebSocket: a close without sense": message(b"\x00\x01", CLOSE, 1002, 1000),
    "WebSocket: two of one stream": Case(_twins, (1000, 1008, 4409)),
    "WebSocket: an id that is none": refused(lambda x: opened(x, "?stream_id=a"), 4400),
    "WebSocket: an id beyond int64": refused(lambda x: opened(x, f"?stream_id={2**64}"), 4400),
    "WebSocket: a wrong token": refused(
        lambda x: opened(x, "?token=x", Authorization=""), 401, 4401
    ),
    "WebSocket: another model": refused(
        lambda x: WebSocket(
            ("127.0.0.1", x.http_port), f"/v1/models/nobody/stream?token={x.token}"
        ),
        404,
        4404,
    ),
    "WebSocket: a page of another origin": refused(
        lambda x: opened(x, Origin="http://evil.example"), 403
    ),
    "WebSocket: another version": refused(
        lambda x: opened(x, **{"Sec-WebSocket-Version": "3"}), 400, 426
    ),
    "WebSocket: who does not read": Case(_deaf, (), 15.0),
    "WebSocket: who leaves in the middle": Case(_vanish),
}

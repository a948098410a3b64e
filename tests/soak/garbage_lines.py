"""Connections that behave badly, on both ports: halves, noise, and whoever takes his time.

What is no request needs no answer. But the server must not wait for it for ever, nor suffer.
"""

import random
import socket
import struct
import time

import numpy as np
from soak.garbage import Case, Outcome
from soak.target import Target

_QUIET = 5.0  # seconds without an answer

_HALF = b"POST /v1/models/%s:predict HTTP/1.1\r\nHost: 127.0.0.1\r\n"


def lines(
    content: bytes, *, grpc: bool = False, half_close: bool = False, reset: bool = False
) -> Case:
    """Return the case of bytes on a new connection, in which MODEL is the model.

    Args:
        content: the bytes.
        grpc: whether on the port of gRPC.
        half_close: whether nothing more will come, while the answer is waited for.
        reset: whether to end the connection as if the machine had died.
    """

    def run(target: Target, _: random.Random) -> Outcome | None:
        port = target.grpc_port if grpc else target.http_port
        with socket.create_connection(("127.0.0.1", port), _QUIET) as line:
            line.sendall(content.replace(b"MODEL", target.model.encode()))
            if reset:
                line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return None
            if half_close:
                line.shutdown(socket.SHUT_WR)
            return _answer(line)

    return Case(run, (*range(400, 432),), _QUIET + 10)


def _answer(line: socket.socket) -> Outcome | None:
    """Return an answer of HTTP, if there is one."""
    received, end = b"", time.monotonic() + _QUIET
    while time.monotonic() < end and len(received) < 1 << 20:
        line.settimeout(max(0.01, end - time.monotonic()))
        try:
            more = line.recv(1 << 16)
        except (TimeoutError, ConnectionError):
            break
        if not more:
            break
        received += more
    if not received.startswith(b"HTTP/1."):
        return None
    head, _, body = received.partition(b"\r\n\r\n")
    message = " ".join(body.decode("utf-8", "replace").split())
    return Outcome(int(head.split()[1]), message)


def _drip(target: Target, rng: random.Random) -> Outcome | None:
    """Send a request letter by letter, and give up before its end."""
    content = _HALF % target.model.encode() + b"Content-Length: 50\r\n\r\n"
    with socket.create_connection(("127.0.0.1", target.http_port), _QUIET) as line:
        for letter in content[: rng.randint(5, len(content))]:
            line.sendall(bytes([letter]))
            time.sleep(0.03)
    return None


def _hold(target: Target, rng: random.Random) -> Outcome | None:
    """Connect to a port, and say nothing for a while."""
    port = rng.choice([target.http_port, target.grpc_port])
    with socket.create_connection(("127.0.0.1", port), _QUIET):
        time.sleep(rng.uniform(0.1, 5))
    return None


def _abandon(target: Target, rng: random.Random) -> Outcome | None:
    """Ask much, and read nothing."""
    path = b"GET /v1/models/%s/metadata HTTP/1.1\r\n" % target.model.encode()
    token = f"Authorization: Bearer {target.token}\r\n".encode()
    with socket.create_connection(("127.0.0.1", target.http_port), _QUIET) as line:
        line.settimeout(1.0)
        try:
            for _ in range(2000):
                line.sendall(path + b"Host: 127.0.0.1\r\n" + token + b"\r\n")
        except (TimeoutError, ConnectionError):
            pass
        time.sleep(rng.uniform(0.1, 1))
    return None


_NOISE = np.random.default_rng(3).bytes(4000)
_POST = _HALF + b"Authorization: Bearer let-me-in\r\n"
_H2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

OF_SERVERS = {
    "lines: noise": lines(_NOISE),
    "lines: noise, and no more": lines(_NOISE, half_close=True),
    "lines: noise at gRPC": lines(_NOISE, grpc=True),
    "lines: HTTP at gRPC": lines(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", grpc=True, half_close=True),
    "lines: gRPC at HTTP": lines(_H2 + b"\0\0\0\4\0\0\0\0\0", half_close=True),
    "lines: frames of HTTP/2 that are none": lines(_H2 + _NOISE, grpc=True, half_close=True),
    "lines: nothing, and no more": lines(b"", half_close=True),
    "lines: half a head": lines(_HALF.replace(b"%s", b"MODEL"), half_close=True),
    "lines: half a body": lines(
        _POST.replace(b"%s", b"MODEL") + b"Content-Length: 100\r\n\r\n{", half_close=True
    ),
    "lines: half a body, and gone": lines(
        _POST.replace(b"%s", b"MODEL") + b"Content-Length: 100\r\n\r\n{", reset=True
    ),
    "lines: a length below 0": lines(
        _POST.replace(b"%s", b"MODEL") + b"Content-Length: -5\r\n\r\n{}", half_close=True
    ),
    "lines: two lengths": lines(
        _POST.replace(b"%s", b"MODEL") + b"Content-Length: 2\r\nContent-Length: 9\r\n\r\n{}",
        half_close=True,
    ),
    "lines: a length and pieces": lines(
        _POST.replace(b"%s", b"MODEL")
        + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
        half_close=True,
    ),
    "lines: pieces that are none": lines(
        _POST.replace(b"%s", b"MODEL") + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n",
        half_close=True,
    ),
    "lines: no host": lines(b"GET /v1/models/MODEL HTTP/1.1\r\n\r\n", half_close=True),
    "lines: a host of a stranger": lines(
        b"GET /v1/models/MODEL HTTP/1.1\r\nHost: evil.example\r\n\r\n", half_close=True
    ),
    "lines: another HTTP": lines(b"GET / HTTP/9.9\r\nHost: a\r\n\r\n", half_close=True),
    "lines: letter by letter": Case(_drip),
    "lines: silence": Case(_hold),
    "lines: who reads nothing": Case(_abandon, (), 15.0),
}

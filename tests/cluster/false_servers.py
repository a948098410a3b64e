"""Servers that answer as workers do, without TensorFlow; and commands that do as they are told."""

import contextlib
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
from bare_package import BARE

METHOD = "/tensorflow.WorkerService/GetStatus"


class FalseServer:
    """A server at an address, which can be ended, begun again, and made to hang."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._goes_on = threading.Event()
        self._goes_on.set()
        self._server: grpc.Server | None = None
        self.begin()

    def begin(self) -> None:
        handler = grpc.unary_unary_rpc_method_handler(self._answer)
        handlers = grpc.method_handlers_generic_handler(
            METHOD.split("/")[1], {METHOD.split("/")[2]: handler}
        )
        self._server = grpc.server(ThreadPoolExecutor(4), handlers=[handlers])
        assert self._server.add_insecure_port(self.address)
        self._server.start()

    def end(self) -> None:
        if self._server is not None:
            self._goes_on.set()
            self._server.stop(None).wait()
            self._server = None

    def hang(self) -> None:
        self._goes_on.clear()

    def _answer(self, request: bytes, context: object) -> bytes:
        self._goes_on.wait(60)
        return b""


@contextlib.contextmanager
def false_servers(addresses: list[str]) -> Iterator[list[FalseServer]]:
    """Run servers in the block."""
    servers = [FalseServer(address) for address in addresses]
    try:
        yield servers
    finally:
        for server in servers:
            server.end()


def command(program: str) -> list[str]:
    """Return a command that attends to its supervisor, and then runs a program.

    The program knows `supervised` and its `orders`.
    """
    first = "import json, os, signal, sys, time\nfrom mpvn.cluster import supervised\n"
    attends = "supervised.attend()\norders = supervised.orders()\n"
    return [sys.executable, "-c", f"{BARE}\n{first}{attends}{program}"]

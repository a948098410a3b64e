"""The life of a server: it listens, serves, drains and stops."""

import asyncio
import logging
from typing import Any

from aiohttp import web

from mpvn.serving.server.http import HTTPServer
from mpvn.serving.server.service import Service

_KEEP_ALIVE = 75.0  # seconds until a connection without a whole request is closed

# aiohttp tells bytes that are no HTTP with a stack trace: a stranger could fill the log.
_QUIET = logging.getLogger(f"{__name__}.requests")
_QUIET.setLevel(logging.CRITICAL)


class Server:
    """A service on ports of this machine.

    Args:
        service: the service.
        host: the address to listen at.
        port: port of HTTP; 0 for any.
        grpc_port: port of gRPC; 0 for any, None for no gRPC.

    Attributes:
        port: the port of HTTP, once it listens.
        grpc_port: the port of gRPC; None without gRPC.
        host, service: the arguments.
    """

    def __init__(
        self, service: Service, host: str = "127.0.0.1", port: int = 0, grpc_port: int | None = None
    ) -> None:
        self.service = service
        self.port, self.grpc_port = port, grpc_port
        self.host = host
        self._http = HTTPServer(service)
        self._runner: web.AppRunner | None = None
        self._rpc: Any = None

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: a port cannot be had.
            ImportError: gRPC is wanted, and not installed.
        """
        if self.grpc_port is not None:
            from mpvn.serving.server.rpc import create_rpc_server

            bracketed = f"[{self.host}]" if ":" in self.host else self.host
            address = f"{bracketed}:{self.grpc_port}"
            self._rpc, self.grpc_port = create_rpc_server(self.service, address)
        self._runner = web.AppRunner(
            self._http.application(),
            access_log=None,
            logger=_QUIET,
            handle_signals=False,
            keepalive_timeout=_KEEP_ALIVE,
            shutdown_timeout=1.0,
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, self.host, self.port, reuse_port=False)
        try:
            await site.start()
        except OSError:
            await self._runner.cleanup()
            raise
        self.port = self._runner.addresses[0][1]
        if self._rpc is not None:
            await self._rpc.start()

    async def stop(self, grace: float = 10.0) -> None:
        """Take no more requests, finish those that run in `grace` seconds, and close all sockets.

        Meanwhile `/readyz` says that the server stops.
        """
        await self.service.drain(grace)
        await self._http.sockets.close()
        if self._rpc is not None:
            await self._rpc.stop(1.0)
        if self._runner is not None:
            await self._runner.cleanup()
        self.service.close()

    async def serve_until(self, stop: asyncio.Event, grace: float) -> None:
        """Serve until an event is set, and stop."""
        try:
            await stop.wait()
        finally:
            await self.stop(grace)

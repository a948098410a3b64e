"""HTTP: TensorFlow Serving's REST API, the state of the server, and its page.

POST /v1/models/NAME[/versions/1]:predict       GET /healthz   whether it lives
GET  /v1/models/NAME[/versions/1]               GET /readyz    whether it takes requests
GET  /v1/models/NAME[/versions/1]/metadata      GET /metrics   for Prometheus
GET  /v1/models/NAME/stream   (a WebSocket)     GET /          the page
GET  /v1/models
"""

import asyncio
import logging
import pathlib
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from mpvn.serving.errors import (
    Closed,
    InvalidRequest,
    NotFound,
    ServingError,
    TooLarge,
    TooSlow,
    codes_of,
)
from mpvn.serving.server.json_tensors import read_request, write_answer
from mpvn.serving.server.metrics import CONTENT_TYPE
from mpvn.serving.server.service import Service
from mpvn.serving.server.websocket import Sockets

PAGE = pathlib.Path(__file__).parents[1] / "page"
"""The files of the page."""

_TYPES = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "media-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
_HEADERS = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}

_MODEL = r"/v1/models/{name:[^/:]+}"
_VERSIONED = _MODEL + r"{version:(?:/versions/[0-9]{1,19})?}"

_LOG = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class HTTPServer:
    """The routes of a service.

    Args:
        service: the service.
        page: folder of the page.
    """

    def __init__(self, service: Service, page: pathlib.Path = PAGE) -> None:
        self._service = service
        self._page = page
        self.sockets = Sockets(service)

    def application(self) -> web.Application:
        """Return the application."""
        app = web.Application(
            client_max_size=self._service.limits.body, middlewares=[self._answer_errors]
        )
        app.router.add_post(f"{_VERSIONED}:predict", self._predict)
        app.router.add_get("/v1/models", self._models)
        app.router.add_get(_VERSIONED, self._status)
        app.router.add_get(f"{_VERSIONED}/metadata", self._metadata)
        app.router.add_get(f"{_MODEL}/stream", self._stream)
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get(r"/{file:[\w.-]*}", self._file)
        return app

    # --- the REST API -----------------------------------------------------------------------

    async def _predict(self, request: web.Request) -> web.Response:
        service = self._service
        self._check(request)
        size = request.content_length
        if (size or 0) > service.limits.body:
            raise self._too_large()
        async with service.working(service.limits.body if size is None else size):
            body = await self._body(request)
            asked = await service.in_thread(read_request, body, service.signatures)
            client = request.remote or ""
            outputs = await service.predict(asked.signature.name, asked.inputs, client)
            answer = await service.in_thread(write_answer, outputs, asked.by_rows)
        return web.Response(body=answer, content_type="application/json")

    async def _models(self, _: web.Request) -> web.Response:
        return web.json_response(self._service.models())

    async def _status(self, request: web.Request) -> web.Response:
        self._check(request)
        return web.json_response(self._service.status())

    async def _metadata(self, request: web.Request) -> web.Response:
        self._check(request)
        return web.json_response(self._service.metadata())

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        return await self.sockets.handle(request)

    # --- the server -------------------------------------------------------------------------

    async def _healthz(self, _: web.Request) -> web.Response:
        if not self._service.engine.is_running and self._service.is_ready:
            return web.Response(text="the engine has ended\n", status=503)
        return web.Response(text="alive\n")

    async def _readyz(self, _: web.Request) -> web.Response:
        if not self._service.is_ready:
            return web.Response(text="stopping\n", status=503)
        return web.Response(text="ready\n")

    async def _metrics(self, request: web.Request) -> web.Response:
        self._service.access.check_token(request.headers.get("Authorization"))
        return web.Response(
            body=self._service.metrics.text(), headers={"Content-Type": CONTENT_TYPE}
        )

    async def _file(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["file"] or "index.html"
        path = self._page / name
        if path.suffix not in _TYPES or not path.is_file():
            raise NotFound(f"There is nothing at {request.path}.")
        headers = {
            **_HEADERS,
            "Content-Security-Policy": _POLICY,
            "Cache-Control": "no-cache",
        }
        content = await self._service.in_thread(path.read_bytes)
        kind = _TYPES[path.suffix]
        charset = None if path.suffix in (".png", ".ico") else "utf-8"
        return web.Response(body=content, content_type=kind, charset=charset, headers=headers)

    # --- all routes -------------------------------------------------------------------------

    @web.middleware
    async def _answer_errors(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer errors as TensorFlow Serving does: an object with one message."""
        try:
            headers = request.headers
            self._service.access.check_origin(headers.get("Host"), headers.get("Origin"))
            return await handler(request)
        except ServingError as error:
            return self._refusal(error)
        except web.HTTPException as error:
            if error.status < 400:
                raise
            refusal = NotFound(f"{error.reason}: {request.method} {request.path}.")
            allowed = {key: error.headers[key] for key in ("Allow",) if key in error.headers}
            return self._refusal(refusal, error.status, allowed)
        except Exception:
            _LOG.exception("%s %s failed", request.method, request.path)
            return self._refusal(ServingError("The server failed. Its log tells why."))

    def _refusal(
        self, error: ServingError, status: int | None = None, headers: Any = None
    ) -> web.Response:
        codes = codes_of(error)
        self._service.metrics.add_error("rest", codes.grpc)
        extra = {**_HEADERS, **(headers or {})}
        if codes.http == 401:
            extra["WWW-Authenticate"] = "Bearer"
        if isinstance(error, Closed):
            extra["Connection"] = "close"
        return web.json_response({"error": str(error)}, status=status or codes.http, headers=extra)

    def _check(self, request: web.Request) -> None:
        """Check the token and the model of a request."""
        self._service.access.check_token(request.headers.get("Authorization"))
        version = request.match_info.get("version", "").removeprefix("/versions/")
        self._service.check_model(request.match_info["name"], int(version) if version else None)

    def _too_large(self) -> TooLarge:
        most = self._service.limits.body
        return TooLarge(f"Expected a body of at most {most} bytes. Received: more.")

    async def _body(self, request: web.Request) -> bytes:
        limits = self._service.limits
        try:
            return await asyncio.wait_for(request.read(), limits.seconds)
        except web.HTTPRequestEntityTooLarge as error:
            raise self._too_large() from error
        except (web.RequestPayloadError, ConnectionError) as error:
            raise InvalidRequest(
                f"The body cannot be read. Expected all of it. Received: {_one_line(error)}."
            ) from error
        except TimeoutError as error:
            raise TooSlow(
                f"Expected the body in {limits.seconds:g} s. Received: a part."
            ) from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())

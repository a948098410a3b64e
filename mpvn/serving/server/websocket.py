"""WebSockets: image files in, answers out, a stream for each connection.

    reader    message -> the mailbox       a newer image takes the place of one that waits there
    decoder   the mailbox -> the engine
    writer    answers, in the order of frames

So images of a client that sends faster than they are decoded do not pile up, and one that does not
read what it gets is closed before much waits for it.

    server    hello | answer | dropped | error (text, JSON)
    client    an image (binary) | {"type": "reset"} (text)
"""

import asyncio
import contextlib
import json
import logging
import secrets
import time
from typing import Any, NamedTuple

from aiohttp import WSCloseCode, WSMsgType, web

from mpvn.serving.answer import Answer
from mpvn.serving.engine import check_stream_id
from mpvn.serving.errors import (
    Closed,
    FrameDropped,
    InvalidRequest,
    NoFreeSlot,
    NotFound,
    ServingError,
    TooOften,
    Unauthorized,
    codes_of,
)
from mpvn.serving.server.service import Service
from mpvn.serving.server.words import Message, hello, say, strict_json, unit_rows

_LOG = logging.getLogger(__name__)

HEARTBEAT = 20.0
"""Seconds after which a silent client is asked whether it is there."""

TAKEN_OVER = 4409
"""Code with which a connection is closed if another one comes for its stream."""

_MOST_UNSENT = 128  # messages that wait for a client to read
_SOCKETS_PER_STREAM = 4
_ID_BITS = 53  # of ids that the server chooses: JavaScript's numbers have no more

_CLOSE_CODES: dict[type[ServingError], int] = {
    InvalidRequest: 4400,
    Unauthorized: 4401,
    NotFound: 4404,
    NoFreeSlot: WSCloseCode.TRY_AGAIN_LATER,
    Closed: WSCloseCode.GOING_AWAY,
}


class Sockets:
    """The open WebSockets of a service.

    Args:
        service: the service.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._open: dict[_Connection, web.WebSocketResponse] = {}

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Serve a connection until it is closed.

        A browser does not tell a page why a connection was refused, but why it was closed. So
        refusals are closed connections.
        """
        service = self._service
        size = service.limits.body
        socket = web.WebSocketResponse(heartbeat=HEARTBEAT, max_msg_size=size, compress=False)
        if not socket.can_prepare(request):
            raise InvalidRequest(f"{request.path}. Expected a WebSocket. Received: a request.")
        await socket.prepare(request)
        try:
            connection = self._connection(request, socket)
        except ServingError as error:
            await self._refuse(socket, error)
            return socket
        await self._take_over(connection.stream_id)
        self._open[connection] = socket
        service.metrics.sockets.set(len(self._open))
        try:
            await connection.run()
        finally:
            del self._open[connection]
            service.metrics.sockets.set(len(self._open))
        return socket

    async def _take_over(self, stream_id: int) -> None:
        """Close the connection that has a stream: its client may have lost it without a word."""
        for connection, socket in [*self._open.items()]:
            if connection.stream_id == stream_id:
                await socket.close(code=TAKEN_OVER, message=b"Another connection has this stream")

    async def close(self) -> None:
        """Close all connections: the server stops."""
        closing = [
            socket.close(code=WSCloseCode.GOING_AWAY, message=b"The server stops")
            for socket in self._open.values()
        ]
        await asyncio.gather(*closing, return_exceptions=True)

    def _connection(self, request: web.Request, socket: web.WebSocketResponse) -> "_Connection":
        service, query = self._service, request.query
        service.access.check_token(request.headers.get("Authorization"), query.get("token"))
        service.check_model(request.match_info["name"], None)
        if not service.is_ready:
            raise Closed("The server stops. Expected a running one.")
        if len(self._open) >= _SOCKETS_PER_STREAM * service.engine.capacity:
            raise NoFreeSlot("Expected fewer connections. Received: one more. Try again later.")
        given = query.get("stream_id")
        stream_id = secrets.randbits(_ID_BITS) if given is None else _parsed(given)
        return _Connection(service, socket, stream_id, given is not None, request.remote or "")

    async def _refuse(self, socket: web.WebSocketResponse, error: ServingError) -> None:
        self._service.metrics.add_error("websocket", codes_of(error).grpc)
        await socket.send_str(strict_json(_error_message(None, error)))
        code = _CLOSE_CODES.get(type(error), WSCloseCode.POLICY_VIOLATION)
        await socket.close(code=code, message=error.reason.encode())


class _Frame(NamedTuple):
    """A frame of a connection.

    Attributes:
        number: its number in the connection.
        life: how often the stream was reset before it.
        arrived: when it arrived, in seconds.
        answer: its answer, with the seconds until it was submitted.
    """

    number: int
    life: int
    arrived: float
    answer: "asyncio.Future[tuple[Answer, float]]"

    def refuse(self, error: BaseException) -> None:
        """Answer with an error."""
        self.answer.set_exception(error)
        self.answer.exception()  # so that asyncio does not log it if the client has left


class _Connection:
    """One connection: one stream.

    Args:
        service: the service.
        socket: the connection.
        stream_id: the stream.
        keeps: whether the stream outlives the connection.
        client: address of the client.
    """

    def __init__(
        self,
        service: Service,
        socket: web.WebSocketResponse,
        stream_id: int,
        keeps: bool,
        client: str,
    ) -> None:
        self.stream_id = stream_id
        self._service, self._socket = service, socket
        self._keeps, self._client = keeps, client
        self._count = self._life = 0
        self._mail: tuple[_Frame, bytes] | None = None
        self._has_mail = asyncio.Event()
        self._unsent: asyncio.Queue[_Frame | Message] = asyncio.Queue()
        self._last: tuple[int, int] | None = None  # life and step of the last answer
        self._futures: set[Any] = set()

    async def run(self) -> None:
        """Serve until the client leaves, or does not read any more."""
        service = self._service
        self._say(hello(service.model, service.name, self.stream_id))
        workers = [asyncio.create_task(each()) for each in (self._decode, self._write)]
        try:
            with contextlib.suppress(ConnectionError):  # the client left while it was answered
                await self._read()
        finally:
            for task in workers:
                task.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
            for future in self._futures:
                future.cancel()
            if not self._keeps:
                service.engine.reset(self.stream_id)

    # --- reader -----------------------------------------------------------------------------

    async def _read(self) -> None:
        async for message in self._socket:
            if message.type == WSMsgType.BINARY:
                self._take(message.data)
            elif message.type == WSMsgType.TEXT:
                self._obey(message.data)
            if self._unsent.qsize() > _MOST_UNSENT:
                await self._socket.close(
                    code=WSCloseCode.POLICY_VIOLATION, message=b"The client does not read"
                )

    def _take(self, content: bytes) -> None:
        answer = asyncio.get_running_loop().create_future()
        frame = _Frame(self._count, self._life, time.monotonic(), answer)
        self._count += 1
        self._unsent.put_nowait(frame)
        try:
            self._service.access.admit(self._client)
        except TooOften as error:
            self._drop(frame, error.reason)
            return
        self._empty_mailbox("queue")
        self._mail = frame, content
        self._has_mail.set()

    def _obey(self, text: str) -> None:
        try:
            message = json.loads(text)
            if not isinstance(message, dict) or message.get("type") != "reset":
                raise ValueError(f"Received: {text[:80]}")
        except (ValueError, RecursionError) as error:
            self._fail(None, InvalidRequest(f'Expected an image, or {{"type": "reset"}}. {error}.'))
            return
        self._life += 1
        self._empty_mailbox("reset")
        self._service.engine.reset(self.stream_id)

    def _empty_mailbox(self, reason: str) -> None:
        if self._mail is not None:
            self._drop(self._mail[0], reason)
            self._mail = None

    def _drop(self, frame: _Frame, reason: str) -> None:
        self._service.engine.note_dropped(reason)
        frame.refuse(FrameDropped("", reason))

    # --- decoder ----------------------------------------------------------------------------

    async def _decode(self) -> None:
        while True:
            await self._has_mail.wait()
            self._has_mail.clear()
            if self._mail is None:
                continue
            (frame, content), self._mail = self._mail, None
            try:
                await self._submit(frame, content)
            except ServingError as error:
                frame.refuse(error)
            except Exception:  # of any kind: the connection goes on
                frame.refuse(_failed("decode a frame"))

    async def _submit(self, frame: _Frame, content: bytes) -> None:
        service, engine = self._service, self._service.engine
        engine.check_room([self.stream_id])
        pixels = await service.in_thread(lambda: service.prepared(service.images.decode(content)))
        before = time.monotonic() - frame.arrived
        if frame.life != self._life or before > engine.deadline:
            self._drop(frame, "reset" if frame.life != self._life else "deadline")
            return
        future = engine.submit(self.stream_id, pixels, engine.deadline - before, units=True)
        self._futures.add(future)
        loop = asyncio.get_running_loop()
        future.add_done_callback(
            lambda done: loop.call_soon_threadsafe(self._finish, frame, done, before)
        )

    def _finish(self, frame: _Frame, future: Any, before: float) -> None:
        self._futures.discard(future)
        if future.cancelled() or frame.answer.done():
            return
        error = future.exception()
        if error is None:
            frame.answer.set_result((future.result(), before))
        else:
            frame.refuse(error)

    # --- writer -----------------------------------------------------------------------------

    async def _write(self) -> None:
        while True:
            unsent = await self._unsent.get()
            message = await self._message(unsent) if isinstance(unsent, _Frame) else unsent
            try:
                sending = self._socket.send_str(strict_json(message))
                await asyncio.wait_for(sending, self._service.limits.seconds)
            except (TimeoutError, ConnectionError):
                await self._socket.close(
                    code=WSCloseCode.POLICY_VIOLATION, message=b"The client does not read"
                )
                return

    async def _message(self, frame: _Frame) -> Message:
        try:
            answer, before = await frame.answer
        except FrameDropped as dropped:
            return {"type": "dropped", "frame": frame.number, "reason": dropped.reason}
        except ServingError as error:
            return self._error(frame.number, error)
        service = self._service
        try:
            named = service.named(answer)
            said = await service.in_thread(say, service.model, answer.outputs, named)
        except Exception:  # of any kind: the connection goes on
            return self._error(frame.number, _failed("say an answer"))
        was_running = self._last is not None and self._last[0] == frame.life
        self._last = frame.life, answer.step
        return {
            "type": "answer",
            "frame": frame.number,
            "step": answer.step,
            "restarted": answer.step == 0 and was_running,
            "wait_ms": round(1e3 * (before + answer.wait), 3),
            "compute_ms": round(1e3 * answer.compute, 3),
            "answer": said,
            "units": unit_rows(answer.units),
        }

    def _say(self, message: Message) -> None:
        self._unsent.put_nowait(message)

    def _fail(self, frame: int | None, error: ServingError) -> None:
        self._say(self._error(frame, error))

    def _error(self, frame: int | None, error: ServingError) -> Message:
        self._service.metrics.add_error("websocket", codes_of(error).grpc)
        return _error_message(frame, error)


def _error_message(frame: int | None, error: ServingError) -> Message:
    return {"type": "error", "frame": frame, "reason": error.reason, "message": str(error)}


def _failed(what: str) -> ServingError:
    """Log the error that is handled, and return one that does not tell more than that."""
    _LOG.exception("A WebSocket could not %s", what)
    return ServingError("The server failed. Its log tells why.")


def _parsed(text: str) -> int:
    try:
        return check_stream_id(int(text))
    except ValueError as error:
        raise InvalidRequest(
            f"stream_id. Expected an integer of 64 bits. Received: {text[:40]!r}."
        ) from error

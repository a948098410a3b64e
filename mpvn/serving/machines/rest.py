"""TensorFlow Serving's REST API of a front, for any HTTP server."""

import asyncio
import concurrent.futures
import json
import logging
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from mpvn.serving.errors import NotFound, ServingError, codes_of
from mpvn.serving.machines.front import Front
from mpvn.serving.server.json_tensors import read_request, write_answer

_PATH = re.compile(r"/v1/models/([^/:]+)(?:/versions/(\d+))?(:predict|/metadata|)")
_METHODS = {":predict": "POST", "/metadata": "GET", "": "GET"}

_LOG = logging.getLogger(__name__)


class Answered(NamedTuple):
    """An answer.

    Attributes:
        status: of HTTP.
        body: JSON.
    """

    status: int
    body: bytes


class Rest:
    """Answers requests of HTTP.

    Args:
        front: what they ask.

    Attributes:
        front: the argument.
    """

    def __init__(self, front: Front) -> None:
        self.front = front
        # One thread each: requests are read in the order in which they came.
        self._reader = concurrent.futures.ThreadPoolExecutor(1, "mpvn reader")
        self._writer = concurrent.futures.ThreadPoolExecutor(1, "mpvn writer")

    async def answer(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, client: str
    ) -> Answered:
        """Return the answer to a request.

        Args:
            method: such as GET.
            path: without what stands before `/v1`.
            headers: by their names in small letters.
            body: the body.
            client: address of the client.
        """
        try:
            return Answered(200, await self._answer(method, path, headers, body, client))
        except ServingError as error:
            return refusal(error)
        except Exception:
            _LOG.exception("%s %s failed", method, path)
            return refusal(ServingError("The server failed. Its log tells why."))

    async def _answer(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, client: str
    ) -> bytes:
        front = self.front
        front.access.check_origin(headers.get("host"), headers.get("origin"))
        front.access.check_token(headers.get("authorization"))
        if (method, path) == ("GET", "/v1/models"):
            return _json(front.models())
        match = _PATH.fullmatch(path)
        if match is None or _METHODS[match[3]] != method:
            raise NotFound(f"There is nothing at {method} {path}.")
        front.check_model(match[1], int(match[2]) if match[2] else None)
        if match[3] == ":predict":
            return await self._predict(body, client)
        return _json(front.metadata() if match[3] else front.status())

    async def _predict(self, body: bytes, client: str) -> bytes:
        loop = asyncio.get_running_loop()
        read = loop.run_in_executor(self._reader, read_request, body, self.front.signatures)
        asked = await read
        outputs = await self.front.predict(asked.signature.name, asked.inputs, client)
        return await loop.run_in_executor(self._writer, write_answer, outputs, asked.by_rows)


def refusal(error: ServingError) -> Answered:
    """Return an error as TensorFlow Serving does: an object with one message."""
    return Answered(codes_of(error).http, _json({"error": str(error)}))


def _json(message: dict[str, Any]) -> bytes:
    return json.dumps(message).encode()

"""What a client raises: the errors of a model server, and what it has to tell about its stream.

Model servers answer with the codes of gRPC, or with those of HTTP; both are read here.
"""

from collections.abc import Mapping

import numpy as np


class ServerError(Exception):
    """A model server did not do what it was asked. The message ends with the server's own words.

    Attributes:
        code: name of the gRPC status, such as `"INTERNAL"`.
    """

    code = "UNKNOWN"


class RequestError(ServerError):
    """The request does not fit the model: a wrong name, shape, dtype, or content."""


class NotFoundError(ServerError):
    """The server has no such model, version, or address."""


class AccessError(ServerError):
    """The token is missing or wrong."""


class OverloadError(ServerError):
    """The server has too much to do and refused the request. The frame was not computed."""


class UnavailableError(ServerError):
    """The server cannot be reached, or did not answer in time.

    Attributes:
        may_have_arrived: whether the server may have got the request.
    """

    may_have_arrived = True


REFUSALS = (RequestError, NotFoundError, AccessError, OverloadError)
"""Errors after which the server has not computed the frame."""


class StreamRestarted(UserWarning):
    """The stream on the server is not the one that the client has sent its frames to.

    The frame was computed, and the client goes on with the stream as it is now. So a loop that
    catches this error loses nothing: the outputs of the frame are here.

    Attributes:
        outputs: the outputs of the step, by name.
        expected: the number that the step should have had.
        step: the number that it has had.
    """

    def __init__(
        self, message: str, outputs: Mapping[str, np.ndarray], expected: int, step: int
    ) -> None:
        super().__init__(message)
        self.outputs, self.expected, self.step = dict(outputs), expected, step


_ERRORS: Mapping[str, type[ServerError]] = {
    "INVALID_ARGUMENT": RequestError,
    "FAILED_PRECONDITION": RequestError,
    "OUT_OF_RANGE": RequestError,
    "UNIMPLEMENTED": RequestError,
    "NOT_FOUND": NotFoundError,
    "UNAUTHENTICATED": AccessError,
    "PERMISSION_DENIED": AccessError,
    "RESOURCE_EXHAUSTED": OverloadError,
    "UNAVAILABLE": UnavailableError,
    "DEADLINE_EXCEEDED": UnavailableError,
    # We cancel nothing: a server that stops does.
    "CANCELLED": UnavailableError,
}

_OF_HTTP = {
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    408: "DEADLINE_EXCEEDED",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    501: "UNIMPLEMENTED",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


def server_error(code: str, message: str) -> ServerError:
    """Return the error for a gRPC status.

    Args:
        code: name of the status.
        message: what was asked of whom, and the server's words.
    """
    error = _ERRORS.get(code, ServerError)(message)
    error.code = code
    return error


def code_of_http(status: int) -> str:
    """Return the name of the gRPC status that a status of HTTP stands for."""
    other = "INVALID_ARGUMENT" if 400 <= status < 500 else "INTERNAL"
    return _OF_HTTP.get(status, other)

"""What a server answers when it does not answer: one class for each kind of refusal.

Each has one clear message for the client, and in `CODES` its codes in HTTP and gRPC.
"""

from typing import NamedTuple

_LONGEST = 1000  # characters of a message: it repeats what clients send


class ServingError(Exception):
    """A request that gets no answer.

    Attributes:
        reason: a word for it, for metrics and programs.
    """

    reason: str = "failed"

    def __str__(self) -> str:
        text = super().__str__()
        return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ..."


class InvalidRequest(ServingError, ValueError):
    """The request is wrong; no stream has changed."""

    reason = "invalid"


class StepFailed(ServingError):
    """The runtime raised an error. The states of streams are those before the step."""


class FrameDropped(ServingError):
    """The network has not seen a frame, because there was no time for it.

    Args:
        message: what happened.
        reason: `"deadline"`: it waited too long. `"queue"`: newer frames of its stream waited.
            `"reset"`: its stream was reset before its turn. `"canceled"`: nobody waits for it.
    """

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason

    def __reduce__(self) -> tuple[type["FrameDropped"], tuple[str, str]]:
        return type(self), (str(self), self.reason)


class NoFreeSlot(ServingError):
    """All slots hold streams that were used lately."""

    reason = "streams"


class Busy(ServingError):
    """There are too many requests at a time."""

    reason = "busy"


class Closed(ServingError):
    """The server stops."""

    reason = "closing"


class Unreachable(ServingError):
    """A machine that the server needs does not answer."""

    reason = "unreachable"


class TooSlow(ServingError):
    """The client did not send its request in time."""

    reason = "slow"


class NotFound(ServingError):
    """There is no such model, version, signature or page."""

    reason = "unknown"


class Unauthorized(ServingError):
    """The token is missing or wrong."""

    reason = "token"


class Forbidden(ServingError):
    """A page of another origin asks."""

    reason = "origin"


class TooLarge(ServingError):
    """The body, or a picture in it, is larger than allowed."""

    reason = "size"


class TooOften(ServingError):
    """The client sends more frames per second than allowed."""

    reason = "rate"


class Codes(NamedTuple):
    """The code of an error in HTTP, and the name of its code in gRPC."""

    http: int
    grpc: str


# A frame that was not seen is 429, TensorFlow Serving's code for RESOURCE_EXHAUSTED. Clients take
# 503 for a server that is away, and would send the frame again, late.
CODES: dict[type[ServingError], Codes] = {
    InvalidRequest: Codes(400, "INVALID_ARGUMENT"),
    Unauthorized: Codes(401, "UNAUTHENTICATED"),
    Forbidden: Codes(403, "PERMISSION_DENIED"),
    NotFound: Codes(404, "NOT_FOUND"),
    TooSlow: Codes(408, "DEADLINE_EXCEEDED"),
    TooLarge: Codes(413, "INVALID_ARGUMENT"),
    TooOften: Codes(429, "RESOURCE_EXHAUSTED"),
    StepFailed: Codes(500, "INTERNAL"),
    FrameDropped: Codes(429, "RESOURCE_EXHAUSTED"),
    Busy: Codes(429, "RESOURCE_EXHAUSTED"),
    NoFreeSlot: Codes(429, "RESOURCE_EXHAUSTED"),
    Closed: Codes(503, "UNAVAILABLE"),
    Unreachable: Codes(503, "UNAVAILABLE"),
}


def codes_of(error: BaseException) -> Codes:
    """Return the codes of any error."""
    return CODES.get(type(error), CODES[StepFailed])  # type: ignore[arg-type]


def tell_ran(error: ServingError, stream_ids: list[int]) -> None:
    """Let the error of a request say which of its streams have run their step all the same."""
    if stream_ids:
        error.args = (f"{error} Streams of the request that have run their step: {stream_ids}.",)

"""What a client knows of its stream, for either place of the state.

Both kinds say what to send with a frame, and whether the answer is the next step of the stream:

    inputs = frame | stream.inputs()
    answer = ask(inputs)                 # perhaps several times
    change = stream.take(answer, lost)   # None: it is the next step
"""

import secrets
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from mpvn.serving.client_errors import ServerError
from mpvn.serving.model_signature import NEXT, STEP, STREAM_ID, Spec, StreamSignature
from mpvn.serving.transport import Tensor, Transport

COUNTER = Spec(np.dtype("int64"), (), "DT_INT64")


class Change(NamedTuple):
    """An answer that is not the next step of the stream.

    Attributes:
        reason: what happened, and what that means.
        expected: the number that the step should have had.
        step: the number that it has had.
    """

    reason: str
    expected: int
    step: int


class CarriedStream:
    """A stream whose state the client has. So a step can be repeated as often as necessary."""

    stream_id = None

    def __init__(self, transport: Transport, signature: StreamSignature) -> None:
        self._transport = transport
        self._specs = signature.states
        self.restart()

    def restart(self) -> None:
        """Begin at step 0."""
        self._state = {name: self._transport.zeros(spec) for name, spec in self._specs.items()}
        self.step_number = 0

    def inputs(self) -> dict[str, Tensor]:
        """Return what is sent with a frame."""
        return self._state

    def take(self, answer: Mapping[str, Any], lost: int) -> None:
        """Take the state after a step.

        Raises:
            ServerError: it is not the state of the next step.
        """
        after = {name: answer[f"{NEXT}{name}"] for name in self._specs}
        step = number(self._transport, f"{NEXT}{STEP}", after[STEP])
        if step != self.step_number + 1:
            raise ServerError(
                f"The server answered with the state of another stream. Expected step "
                f"{self.step_number + 1} next. Received: {step}."
            )
        self._state, self.step_number = after, step


class ServedStream:
    """A stream whose state the server has, under an id.

    The answer says how many steps the stream had before. That tells whether the server has begun it
    anew, and whether a frame counted twice, because it was sent again after a lost answer.
    """

    def __init__(self, transport: Transport, stream_id: int | None) -> None:
        self._transport = transport
        self.stream_id = secrets.randbits(63) if stream_id is None else stream_id
        self.restart()

    def restart(self) -> None:
        """Begin at step 0."""
        self.step_number = 0

    def inputs(self) -> dict[str, Tensor]:
        """Return what is sent with a frame."""
        return {STREAM_ID: self._transport.encode(np.array([self.stream_id], "int64"), COUNTER)}

    def take(self, answer: Mapping[str, Any], lost: int) -> Change | None:
        """Take the number of the step; return what is wrong with it, if anything.

        Args:
            answer: of the server.
            lost: how many requests since the last answer the server may have got: frames that it
                may have counted.
        """
        expected, step = self.step_number, number(self._transport, STEP, answer[STEP])
        self.step_number = step + 1
        # A stream that began anew after the last answer has counted at most the lost requests.
        is_certain = expected == 0 or lost < expected
        if step == expected and is_certain:
            return None
        return Change(self._reason(expected, step, lost), expected, step)

    def _reason(self, expected: int, step: int, lost: int) -> str:
        more = step - expected
        if step == expected:
            return (
                "it may be new: answers were lost so soon after its beginning that its number of "
                "steps does not tell"
            )
        if step < expected:
            since = f", after {_frames(step)} without an answer" if step else ""
            return (
                f"the server has begun it anew with this frame{since}, because the server was "
                "restarted, or another stream took the place of this one"
            )
        if expected == 0 and step > lost:
            return (
                "it is not new: frames were sent under this id before; call reset() first, or "
                "choose another id"
            )
        if more <= lost:
            return f"{_frames(more)} counted whose answers were lost, so one may be in it twice"
        return (
            f"{_frames(more)} counted that this client has no answers to: another client sends "
            "frames under this id, or the server counted a frame that it refused"
        )


def _frames(count: int) -> str:
    return f"{count} frame{'s' * (count != 1)}"


def number(transport: Transport, name: str, tensor: Tensor) -> int:
    """Return the number in an answer about one stream."""
    array = transport.decode(name, tensor, COUNTER)
    if array.shape != (1,):
        raise ServerError(
            f"Expected one number of {name!r} from the server. Received: shape {array.shape}."
        )
    return int(array[0])

"""A client of model servers: one stream of frames through TensorFlow Serving or `mpvn serve`.

It reads the signature of the model on the server, so it needs no code and no file of the network.
"""

import contextlib
import threading
import warnings
from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np

from mpvn.serving.client_errors import (
    REFUSALS,
    NotFoundError,
    RequestError,
    ServerError,
    StreamRestarted,
    UnavailableError,
)
from mpvn.serving.client_frames import pack_frame
from mpvn.serving.client_streams import CarriedStream, Change, ServedStream
from mpvn.serving.connect import create_transport
from mpvn.serving.model_signature import StreamSignature, read_signature
from mpvn.serving.retry import repeat
from mpvn.serving.transport import Tensor

OnRestart = Literal["raise", "warn"] | Callable[[StreamRestarted], None]

_LAST_WORDS = 2.0
"""Seconds that `close` waits for a server."""


class Client:
    """One stream of frames through a model server.

    The stream's state is where the exported model has it:

    - State in and out: the client keeps it and sends it with each frame. A step that fails is
      repeated from there. So a restart of the server loses nothing.
    - State on the server: the client sends a stream id. It watches the number of the step in each
      answer. A restart of the server loses the state of the stream, and an answer that is lost
      makes a frame count twice: the client tells (`on_restart`), and goes on.

    A client reconnects, and repeats requests while the server is unavailable. It repeats nothing
    that the server has refused. A client is one stream: calls of several threads wait for each
    other, and whoever has several streams makes several clients.

    Args:
        address: `"grpc://host:8500"` or `"http://host:8501"`; with TLS `"grpcs://"` or `"https://"`.
        model: name of the model on the server.
        version: version of the model. None: the one that the server offers, which may change; a
            stream whose state the client has then starts anew, and the client tells.
        signature: name of the signature of a step.
        stream_id: id of the stream, for state on the server: an int64. None: a random one. Two
            clients with one id are one stream, which is an error that the client tells.
        timeout: seconds in which the server must answer a request.
        retry_for: seconds in which requests are repeated while the server is unavailable. 0: never.
        token: bearer token, if the server wants one. Without TLS, others can read it on the way.
        certificates: file of trusted certificates (PEM), if those of the system are not enough.
        on_restart: what to do if the stream is not the one that the client has sent its frames to:
            `"raise"` a `StreamRestarted`, `"warn"` with it, or call a function with it. In each
            case, the outputs of the frame are in the error, and the next step goes on.

    Attributes:
        restarts: how often `on_restart` was due.

    Raises:
        ImportError: a package that the address needs is not installed.
        OSError: the certificates cannot be read.
        ValueError: an argument is invalid.
        ServerError: the server cannot be reached, or has no such model.

    Example:
        with Client("grpc://localhost:8500", "actions") as client:
            for frame in camera:
                scores = client.step(frame)["scores"]
    """

    def __init__(
        self,
        address: str,
        model: str,
        *,
        version: int | None = None,
        signature: str = "serving_default",
        stream_id: int | None = None,
        timeout: float = 10.0,
        retry_for: float = 60.0,
        token: str | None = None,
        certificates: str | None = None,
        on_restart: OnRestart = "raise",
    ) -> None:
        _check(stream_id, timeout, retry_for, on_restart)
        self.address, self.model = address, model
        self.timeout, self.retry_for, self.on_restart = timeout, retry_for, on_restart
        self.restarts = 0
        self._lock = threading.Lock()
        self._transport = create_transport(address, model, token, certificates)
        self._wanted_version, self._name = version, signature
        self._lost = 0
        self._is_open = True
        try:
            self._signature = self._read_model()
            self._stream: CarriedStream | ServedStream = self._create_stream(stream_id)
        except BaseException:
            self._transport.close()
            raise

    @property
    def signature(self) -> StreamSignature:
        """The inputs and outputs of a step, as the server describes them."""
        return self._signature

    @property
    def stream_id(self) -> int | None:
        """The id of the stream; None if the client has the state."""
        return self._stream.stream_id

    @property
    def step_number(self) -> int:
        """The number of the next step: how many frames the stream has seen."""
        return self._stream.step_number

    def step(self, frame: Any) -> dict[str, np.ndarray]:
        """Send one frame and return the outputs of this step.

        Args:
            frame: an array without a batch axis, of the dtype and shape of the model's input; the
                bytes of an image, for a model that takes them; a dict by name for several inputs.

        Returns:
            The outputs by name, also of a model with one, so that the result does not depend on the
            model. They have no batch axis: what is one number or string of each stream is a scalar.
            Strings are text, or bytes if the name ends in `_bytes`.

        Raises:
            StreamRestarted: the stream is not the one that the client has sent its frames to
                (`on_restart="raise"`). The outputs are in the error.
            TypeError, ValueError: the frame does not fit the model. Nothing was sent.
            ServerError: the server refused the frame, or could not be reached in time. The state
                that the client has is the one before the frame.
        """
        with self._lock:
            self._check_open()
            packed = pack_frame(frame, self._signature.inputs)
            specs = self._signature.inputs
            sent = {key: self._transport.encode(x, specs[key]) for key, x in packed.items()}
            answer, change = self._ask_step(sent)
            change = self._stream.take(answer, self._lost) or change
            self._lost = 0
            outputs = self._outputs(answer)
        if change is not None:
            self._tell(change, outputs)
        return outputs

    def reset(self) -> None:
        """Begin the stream anew: the next frame is step 0.

        Raises:
            ServerError: the server could not be reached in time.
        """
        with self._lock:
            self._check_open()
            self._leave_server()
            self._stream.restart()
            self._lost = 0

    def close(self) -> None:
        """Leave the server: a stream on it ends, so that its place is free for others."""
        with self._lock:
            if not self._is_open:
                return
            self._is_open = False
            self.timeout, self.retry_for = min(self.timeout, _LAST_WORDS), 0
            if self.step_number or self._lost:
                with contextlib.suppress(ServerError):
                    self._leave_server()
            self._transport.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _read_model(self) -> StreamSignature:
        """Read version and signature of the model that the server offers."""

        def attempt(timeout: float) -> tuple[int | None, Mapping[str, Any]]:
            return self._transport.model(self._wanted_version, timeout)

        self._version, found = repeat(attempt, self.timeout, self.retry_for, self._reconnect)
        return read_signature(found, self._name)

    def _create_stream(self, stream_id: int | None) -> CarriedStream | ServedStream:
        if self._signature.on_server:
            return ServedStream(self._transport, stream_id)
        if stream_id is not None:
            raise ValueError(
                f"Invalid stream_id. Expected None: {self.model!r} has its state in and out, so "
                f"the server knows no streams. Received: {stream_id}."
            )
        return CarriedStream(self._transport, self._signature)

    def _leave_server(self) -> None:
        """End the stream on the server, if it is there."""
        if not self._signature.on_server:
            return
        # The server refuses ids that it does not know: that the stream is not there is what we
        # want. If it is there nevertheless, the number of the next step tells.
        with contextlib.suppress(RequestError):
            self._ask("reset", self._stream.inputs(), self._reconnect)

    def _ask_step(self, sent: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], Change | None]:
        """Return the answer to a frame, and what happened to the stream before it, if anything."""
        try:
            return self._ask_counted(sent), None
        except NotFoundError:
            change = self._changed_version()
            if change is None:
                raise
        return self._ask_counted(sent), change

    def _ask_counted(self, sent: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the answer to a frame; count the requests that the server may have computed."""

        def failed(error: UnavailableError) -> None:
            self._lost += error.may_have_arrived
            self._reconnect(error)

        try:
            return self._ask(self._name, {**sent, **self._stream.inputs()}, failed)
        except (*REFUSALS, UnavailableError):
            raise
        except BaseException:  # Ctrl-C, or an error of the server that tells nothing of the frame
            self._lost += 1
            raise

    def _changed_version(self) -> Change | None:
        """Go over to the version that the server offers now; return None if it is no other one."""
        before, signature = self._version, self._signature
        if self._wanted_version is not None:
            return None
        after = self._read_model()
        if self._version == before:
            return None
        if after != signature:
            self._signature = signature
            raise ServerError(
                f"Model {self.model!r} has changed. Expected the inputs, outputs and states of "
                f"version {before}. Received: others in version {self._version}. Open a new client."
            )
        reason = f"the server has version {self._version} of the model instead of {before}"
        change = Change(reason, self.step_number, 0)
        self._stream.restart()
        return change

    def _ask(
        self,
        signature: str,
        inputs: Mapping[str, Tensor],
        failed: Callable[[UnavailableError], None],
    ) -> dict[str, Tensor]:
        def attempt(timeout: float) -> dict[str, Tensor]:
            return self._transport.predict(self._version, signature, inputs, timeout)

        return repeat(attempt, self.timeout, self.retry_for, failed)

    def _reconnect(self, _: object) -> None:
        self._transport.reconnect()

    def _outputs(self, answer: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
        outputs = {}
        for name, spec in self._signature.outputs.items():
            if name not in answer:
                raise ServerError(
                    f"Expected the output {name!r} from the server. Received: {', '.join(answer)}."
                )
            batch = self._transport.decode(name, answer[name], spec)
            if not batch.ndim or len(batch) != 1:
                raise ServerError(
                    f"Expected the output {name!r} of one stream. Received: shape {batch.shape}."
                )
            outputs[name] = batch[0]
        return outputs

    def _tell(self, change: Change, outputs: Mapping[str, np.ndarray]) -> None:
        self.restarts += 1
        event = StreamRestarted(
            f"Stream {self.stream_id or ''} of model {self.model!r} at {self.address} is not the "
            f"one that the frames before were sent to: {change.reason}. Expected step "
            f"{change.expected}. Received: step {change.step}. The client goes on with the stream "
            f"as it is (change {self.restarts}). Call reset() to begin anew.",
            outputs,
            change.expected,
            change.step,
        )
        if self.on_restart == "raise":
            raise event
        if self.on_restart == "warn":
            warnings.warn(event, stacklevel=3)
        else:
            self.on_restart(event)

    def _check_open(self) -> None:
        if not self._is_open:
            raise ValueError("The client is closed. Open a new one.")


def _check(stream_id: Any, timeout: Any, retry_for: Any, on_restart: Any) -> None:
    is_id = isinstance(stream_id, int | np.integer) and not isinstance(stream_id, bool)
    rules = {
        "stream_id": (
            "an int64 or None",
            stream_id,
            stream_id is None or (is_id and -(2**63) <= int(stream_id) < 2**63),
        ),
        "timeout": ("a positive number of seconds", timeout, _is_number(timeout) and timeout > 0),
        "retry_for": ("a number of seconds", retry_for, _is_number(retry_for)),
        "on_restart": (
            "'raise', 'warn' or a function",
            on_restart,
            on_restart in ("raise", "warn") or callable(on_restart),
        ),
    }
    for name, (expected, value, holds) in rules.items():
        if not holds:
            raise ValueError(f"Invalid {name}. Expected {expected}. Received: {value!r}.")


def _is_number(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and 0 <= value < float("inf")

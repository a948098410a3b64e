"""Streams that behave: each shows frames, and notes what it is answered."""

import json
import time
from collections.abc import Callable
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
from soak.garbage import is_full
from soak.lives import Record
from soak.network import NAMES, frame, picture
from soak.target import Counts, Target
from soak.websocket import BINARY, TEXT, WebSocket
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from mpvn.serving import Client, OverloadError, RequestError, StreamRestarted

PATIENCE = 60.0  # seconds in which a frame must be answered, restarts of the server included
TIMEOUT = 20.0  # of one attempt
_BURST = 4
_PAUSE = 0.2  # seconds until what was refused is tried again


class Connection:
    """A stream over TensorFlow Serving's protocols: `mpvn.serving.Client`, one frame at a time."""

    def __init__(self, target: Target, protocol: str, record: Record, counts: Counts) -> None:
        self._record, self._counts = record, counts
        self._protocol = protocol
        self._restart: StreamRestarted | None = None
        self._client = Client(
            target.address(protocol),
            target.model,
            stream_id=record.stream,
            token=target.token,
            timeout=TIMEOUT,
            retry_for=PATIENCE,
            on_restart=self._note,
        )

    def show(self, numbers: list[int]) -> None:
        """Show frames of a voice, one after the other."""
        for number in numbers:
            self._show(number)

    def leave(self) -> None:
        """End the stream."""
        self._client.close()
        self._record.end()

    def vanish(self) -> None:
        """Go without a word: the stream stays on the server."""
        self._client._transport.close()
        self._record.end()

    def _show(self, number: int) -> None:
        self._restart = None
        image, sent = frame(self._record.voice, number), time.time()
        outputs = insisted(lambda: self._client.step(image), self._counts, self._protocol)
        step = self._client.step_number - 1
        # The client tells of every number that is not the next one.
        unsure = 0 if self._restart is None else max(1, step)
        self._record.answer(number, step, outputs["scores"], unsure, sent)
        self._counts.add(f"{self._protocol} answers")

    def _note(self, restart: StreamRestarted) -> None:
        self._restart = restart


class SocketConnection:
    """A stream over a WebSocket, with several frames on their way.

    A well-behaved connection breaks only when the server does, and its states are lost then.
    """

    def __init__(self, target: Target, protocol: str, record: Record, counts: Counts) -> None:
        self._target, self._record, self._counts = target, record, counts
        self._connect()

    def show(self, numbers: list[int]) -> None:
        """Show frames of a voice; some may be dropped."""
        end = time.monotonic() + PATIENCE
        while numbers and time.monotonic() < end:
            try:
                self._burst(numbers[:_BURST])
                numbers = numbers[_BURST:]
            except OSError:
                self._counts.add("websocket reconnects")
                self._socket.close()
                time.sleep(_PAUSE)
                self._connect()
        if numbers:
            self._counts.fault(f"websocket {self._record.stream}: no answers in {PATIENCE} s")

    def leave(self) -> None:
        """End the stream."""
        try:
            self._socket.send(TEXT, json.dumps({"type": "reset"}).encode())
            self._record.end()
            self._burst([0])  # it is computed after the reset, by a new stream
            self._socket.send(TEXT, json.dumps({"type": "reset"}).encode())
        except OSError:
            self._counts.add("websocket reconnects")
        self.vanish()

    def vanish(self) -> None:
        """Go without a word."""
        self._socket.close()
        self._record.end()

    def _connect(self) -> None:
        target, end = self._target, time.monotonic() + PATIENCE
        path = f"/v1/models/{target.model}/stream?stream_id={self._record.stream}"
        headers = {} if target.token is None else {"Authorization": f"Bearer {target.token}"}
        while True:
            try:
                self._socket = WebSocket(("127.0.0.1", target.http_port), path, headers, TIMEOUT)
                hello = self._socket.message()
            except OSError as error:
                if time.monotonic() > end:
                    raise
                self._counts.add(f"websocket refused: {error!s:.40}")
                time.sleep(_PAUSE)
                continue
            if hello.get("stream_id") == self._record.stream:
                self._next = 0
                return
            self._counts.add(f"websocket refused: {hello.get('message')!s:.40}")
            self._socket.close()
            time.sleep(_PAUSE)

    def _burst(self, numbers: list[int]) -> None:
        """Send frames at once, and read what became of them."""
        sent = time.time()
        for number in numbers:
            self._socket.send(BINARY, picture(self._record.voice, number))
        for number in numbers:
            message = self._socket.message()
            if message["frame"] != self._next:
                self._counts.fault(f"websocket: expected frame {self._next}. Received: {message}")
            self._next += 1
            kind = message["type"]
            self._counts.add(f"websocket {kind}s")
            if kind == "answer":
                shares = dict(message["answer"]["classes"])
                output = np.array([shares[name] for name in NAMES])
                self._record.answer(number, message["step"], output, 0, sent)
            elif kind == "error":
                self._counts.add(f"websocket error: {message['message'][:40]}")


class GroupConnection:
    """Several streams of different ages in one call of gRPC."""

    def __init__(self, target: Target, records: list[Record], counts: Counts) -> None:
        self._target, self._records, self._counts = target, records, counts
        self._channel = grpc.insecure_channel(
            f"127.0.0.1:{target.grpc_port}", [("grpc.use_local_subchannel_pool", 1)]
        )
        self._stub = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)
        token = target.token
        self._headers = [] if token is None else [("authorization", f"Bearer {token}")]

    def show(self, numbers: list[int]) -> None:
        """Show frames, each of all voices, to as many streams as the number says."""
        for number in numbers:
            self._show(number, self._records[: 1 + number % len(self._records)])

    def leave(self) -> None:
        """End the streams; the server says how many steps each had run."""
        used = [record for record in self._records if record.expected]
        inputs = {"stream_id": np.array([record.stream for record in used], "int64")}
        try:
            steps = self._ask("reset", inputs)["steps"]
        except grpc.RpcError as error:  # a restart has forgotten them, or others have their places
            self._counts.add(f"group reset: {error.code().name}")
            steps = [None] * len(used)
        for record, ran in zip(used, steps, strict=True):
            record.end(None if ran is None or not ran else int(ran))
        self._channel.close()

    def vanish(self) -> None:
        """Go without a word."""
        for record in self._records:
            record.end()
        self._channel.close()

    def _show(self, number: int, records: list[Record]) -> None:
        inputs = {
            "stream_id": np.array([record.stream for record in records], "int64"),
            "frame": np.stack([frame(record.voice, number) for record in records]),
        }
        unsure, sent, end = 0, time.time(), time.monotonic() + PATIENCE
        while True:
            try:
                answer = self._ask("step", inputs)
                break
            except grpc.RpcError as error:
                # Some streams of a call may have run, if others were dropped.
                unsure += 1
                code = error.code().name
                self._counts.add(f"group {code}")
                full = is_full(str(error.details()))
                if not full and code not in RETRIED or time.monotonic() > end:
                    if not full:  # several places at once may not come free
                        self._counts.fault(f"group: {code} {error.details()}")
                    return
                time.sleep(_PAUSE)
        self._counts.add("group answers", len(records))
        rows = zip(records, answer["step"], answer["scores"], strict=True)
        for record, step, scores in rows:
            record.answer(number, int(step), scores, unsure, sent)

    def _ask(self, signature: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        request = predict_request(self._target.model, signature, inputs)
        answer = self._stub.Predict(request, timeout=TIMEOUT, metadata=self._headers)
        return {name: tf.make_ndarray(value) for name, value in answer.outputs.items()}


RETRIED = {"UNAVAILABLE", "RESOURCE_EXHAUSTED", "CANCELLED"}


def predict_request(model: str, signature: str, inputs: dict[str, np.ndarray]) -> Any:
    """Return the request of gRPC."""
    request = predict_pb2.PredictRequest()
    request.model_spec.name = model
    request.model_spec.signature_name = signature
    for name, value in inputs.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    return request


def insisted(call: Callable[[], Any], counts: Counts, protocol: str) -> Any:
    """Return the result of a call that the server may refuse for a while."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            return call()
        except (OverloadError, RequestError) as error:
            may_pass = isinstance(error, OverloadError) or is_full(str(error))
            if not may_pass or time.monotonic() > end:
                raise
            counts.add(f"{protocol} refused: {error.code}")
            time.sleep(_PAUSE)

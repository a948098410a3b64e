"""Wrong calls of gRPC."""

import random
from collections.abc import Callable
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
from soak.garbage import Case, Outcome, stream_id
from soak.network import frame
from soak.servers import MOST_BYTES
from soak.streams import predict_request
from soak.target import Target
from tensorflow.core.framework import tensor_pb2, types_pb2

SERVICE = "/tensorflow.serving.PredictionService/"
_TIMEOUT = 20.0


def call(
    target: Target, content: bytes, method: str = f"{SERVICE}Predict", **options: Any
) -> Outcome:
    """Return what a server answers to the bytes of a request."""
    token = options.pop("token", target.token)
    headers = [] if token is None else [("authorization", f"Bearer {token}")]
    settings = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(f"127.0.0.1:{target.grpc_port}", settings) as channel:
        try:
            channel.unary_unary(method)(content, metadata=headers, timeout=_TIMEOUT, **options)
        except grpc.RpcError as error:
            return Outcome(error.code().name, error.details() or "")
    return Outcome("OK", "answered")


def request(target: Target, rng: random.Random) -> Any:
    inputs = {"stream_id": np.array([stream_id(rng)], "int64"), "frame": frame(1, 2)[None]}
    return predict_request(target.model, "step", inputs)


def case(change: Callable[[Any, random.Random], object], *expected: str, **options: Any) -> Case:
    """Return the case of a request in which something is changed."""

    def run(target: Target, rng: random.Random) -> Outcome:
        sent = request(target, rng)
        change(sent, rng)
        return call(target, sent.SerializeToString(), **options)

    return Case(run, expected or ("INVALID_ARGUMENT",))


def of_input(name: str, value: Any) -> Case:
    """Return the case of another input; a function makes it."""

    def change(sent: Any, rng: random.Random) -> None:
        made = value(rng) if callable(value) else value
        proto = made if isinstance(made, tensor_pb2.TensorProto) else tf.make_tensor_proto(made)
        sent.inputs[name].CopyFrom(proto)

    return case(change)


def tensor(dtype: int, *shape: int, **fields: Any) -> tensor_pb2.TensorProto:
    """Return a tensor that may be none."""
    proto = tensor_pb2.TensorProto(dtype=dtype, **fields)
    for size in shape:
        proto.tensor_shape.dim.add(size=size)
    return proto


def bytes_of(content: bytes, method: str, *expected: str, **options: Any) -> Case:
    return Case(lambda target, _: call(target, content, method, **options), expected)


def _renamed(**fields: str) -> Callable[[Any, random.Random], None]:
    def change(sent: Any, _: random.Random) -> None:
        for name, value in fields.items():
            setattr(sent.model_spec, name, value)

    return change


def _version(sent: Any, _: random.Random) -> None:
    sent.model_spec.version.value = -(2**63)


def _twice(sent: Any, rng: random.Random) -> None:
    ids = np.full(2, stream_id(rng), "int64")
    sent.inputs["stream_id"].CopyFrom(tf.make_tensor_proto(ids))
    sent.inputs["frame"].CopyFrom(tf.make_tensor_proto(np.zeros((2, 16, 16, 3), "float32")))


def _many(sent: Any, rng: random.Random) -> None:
    """More streams than there are slots."""
    ids = np.array([stream_id(rng) for _ in range(200)], "int64")
    sent.inputs["stream_id"].CopyFrom(tf.make_tensor_proto(ids))
    sent.inputs["frame"].CopyFrom(tf.make_tensor_proto(np.zeros((200, 16, 16, 3), "float32")))


def _abandon(target: Target, rng: random.Random) -> None:
    """Call, and do not wait for the answer."""
    settings = [("grpc.use_local_subchannel_pool", 1)]
    with grpc.insecure_channel(f"127.0.0.1:{target.grpc_port}", settings) as channel:
        predict = channel.unary_unary(f"{SERVICE}Predict")
        token = target.token
        headers = [] if token is None else [("authorization", f"Bearer {token}")]
        content = request(target, rng).SerializeToString()
        futures = [predict.future(content, metadata=headers) for _ in range(3)]
        futures[0].cancel()
        futures[1].add_done_callback(lambda _: None)


_REQUEST_OF_NOTHING = b""
_NOISE = np.random.default_rng(2).bytes(3000)
F32, I64, TEXT = types_pb2.DT_FLOAT, types_pb2.DT_INT64, types_pb2.DT_STRING
SHAPE = (1, 16, 16, 3)

OF_MODELS = {
    "gRPC: a smaller frame": of_input("frame", np.zeros((1, 8, 8, 3), "float32")),
    "gRPC: float64": of_input("frame", np.zeros(SHAPE, "float64")),
    "gRPC: uint8": of_input("frame", np.zeros(SHAPE, "uint8")),
    "gRPC: NaN": of_input("frame", np.full(SHAPE, np.nan, "float32")),
    "gRPC: int32 as an id": of_input("stream_id", np.array([1], "int32")),
    "gRPC: an id twice": case(_twice),
    "gRPC: more streams than slots": case(_many, "INVALID_ARGUMENT", "RESOURCE_EXHAUSTED"),
    "gRPC: no streams": of_input("stream_id", np.zeros(0, "int64")),
    "gRPC: a missing input": case(lambda sent, _: sent.inputs.pop("frame")),
    "gRPC: an input too many": of_input("other", np.zeros(1)),
    "gRPC: abandoned": Case(_abandon),
}

OF_SERVERS = {
    "gRPC: text": of_input("frame", np.array(["a"], object)),
    "gRPC: no dtype": of_input("frame", tensor(types_pb2.DT_INVALID, *SHAPE)),
    "gRPC: a dtype that nobody knows": of_input("frame", tensor(1234, *SHAPE)),
    "gRPC: a resource": of_input("frame", tensor(types_pb2.DT_RESOURCE, 1)),
    "gRPC: a variant": of_input("frame", tensor(types_pb2.DT_VARIANT, 1)),
    "gRPC: a dtype of 4 bits": of_input("frame", tensor(types_pb2.DT_INT4, *SHAPE)),
    "gRPC: too few bytes": of_input("frame", tensor(F32, *SHAPE, tensor_content=b"1234")),
    "gRPC: bytes of half a number": of_input("frame", tensor(F32, 1, tensor_content=b"123")),
    "gRPC: too many numbers": of_input("frame", tensor(F32, *SHAPE, float_val=[1.0] * 1000)),
    "gRPC: a huge tensor in a few bytes": of_input(
        "frame", tensor(F32, 1 << 20, 1 << 20, float_val=[1.0])
    ),
    "gRPC: a shape beyond int64": of_input("frame", tensor(F32, *[1 << 40] * 4, float_val=[1.0])),
    "gRPC: a shape without an end": of_input("frame", tensor(F32, *[1] * 300, float_val=[1.0])),
    "gRPC: sizes below 0": of_input("frame", tensor(F32, -1, -16, 16, 3)),
    "gRPC: no size, and much of it": of_input("frame", tensor(F32, 0, 1 << 60)),
    "gRPC: many empty words": of_input("frame", tensor(TEXT, 1 << 40, string_val=[b""])),
    "gRPC: another model": case(_renamed(name="nobody"), "NOT_FOUND"),
    "gRPC: no model": case(_renamed(name=""), "NOT_FOUND", "INVALID_ARGUMENT"),
    "gRPC: a label": case(_renamed(version_label="stable"), "NOT_FOUND", "INVALID_ARGUMENT"),
    "gRPC: another version": case(_version, "NOT_FOUND"),
    "gRPC: another signature": case(
        _renamed(signature_name="stepp"), "INVALID_ARGUMENT", "FAILED_PRECONDITION"
    ),
    "gRPC: an output that is none": case(lambda sent, _: sent.output_filter.append("x")),
    "gRPC: no token": case(lambda *_: None, "UNAUTHENTICATED", token=""),
    "gRPC: a wrong token": case(lambda *_: None, "UNAUTHENTICATED", token="x"),
    "gRPC: too large": of_input("frame", np.zeros(MOST_BYTES, "uint8"))._replace(
        expected=("RESOURCE_EXHAUSTED", "INVALID_ARGUMENT")
    ),
    "gRPC: no message": bytes_of(
        _NOISE, f"{SERVICE}Predict", "INVALID_ARGUMENT", "INTERNAL", "UNKNOWN"
    ),
    "gRPC: an empty message": bytes_of(b"", f"{SERVICE}Predict", "INVALID_ARGUMENT", "NOT_FOUND"),
    "gRPC: metadata of nothing": bytes_of(
        b"", f"{SERVICE}GetModelMetadata", "INVALID_ARGUMENT", "NOT_FOUND"
    ),
    "gRPC: another method": bytes_of(b"", f"{SERVICE}Classify", "UNIMPLEMENTED"),
    "gRPC: a method that is none": bytes_of(b"", "/a/b", "UNIMPLEMENTED"),
    "gRPC: little time": Case(
        lambda target, rng: _hurried(target, rng), ("DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "OK")
    ),
}


def _hurried(target: Target, rng: random.Random) -> Outcome:
    """Call with so little time that the answer may come too late."""
    content = request(target, rng).SerializeToString()
    settings = [("grpc.use_local_subchannel_pool", 1)]
    headers = [] if target.token is None else [("authorization", f"Bearer {target.token}")]
    with grpc.insecure_channel(f"127.0.0.1:{target.grpc_port}", settings) as channel:
        try:
            predict = channel.unary_unary(f"{SERVICE}Predict")
            predict(content, metadata=headers, timeout=rng.uniform(0.001, 0.02))
        except grpc.RpcError as error:
            return Outcome(error.code().name, error.details() or "")
    return Outcome("OK", "answered")

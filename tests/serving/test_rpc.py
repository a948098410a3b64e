"""gRPC as TensorFlow Serving speaks it, by its official protocol."""

import re
from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import json_format
from serving_networks import Served, alone, compiled_classes
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from mpvn.serving.server.access import Access

SIZE = (8, 10, 3)
CLIPS = np.random.default_rng(6).normal(size=(2, 5, *SIZE)).astype("float32")


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with Served(streams=4, grpc=True, access=Access("secret")) as server:
        yield server


@pytest.fixture(scope="module")
def channel(served: Served) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(f"127.0.0.1:{served.server.grpc_port}") as channel:
        yield channel


def request(inputs: dict[str, Any], **spec: Any) -> predict_pb2.PredictRequest:
    made = predict_pb2.PredictRequest()
    made.model_spec.name = spec.get("name", "actions")
    made.model_spec.signature_name = spec.get("signature", "")
    if "version" in spec:
        made.model_spec.version.value = spec["version"]
    if "label" in spec:
        made.model_spec.version_label = spec["label"]
    made.output_filter.extend(spec.get("only", []))
    for name, value in inputs.items():
        is_proto = not isinstance(value, np.ndarray | list)
        made.inputs[name].CopyFrom(value if is_proto else tf.make_tensor_proto(value))
    return made


def call(channel: grpc.Channel, made: Any, method: str = "Predict", token: str = "secret") -> Any:
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    metadata = [("authorization", f"Bearer {token}")] if token else []
    return getattr(stub, method)(made, timeout=60, metadata=metadata)


def step(ids: list[int], number: int) -> dict[str, Any]:
    return {"stream_id": np.array(ids, "int64"), "frame": CLIPS[: len(ids), number]}


def test_predictions_equal_the_network(channel: grpc.Channel) -> None:
    outputs = []
    for number in range(5):
        answer = call(channel, request(step([7, -8], number), version=1))
        assert tf.make_ndarray(answer.outputs["step"]).tolist() == [number, number]
        assert answer.model_spec.version.value == 1
        outputs.append(tf.make_ndarray(answer.outputs["logits"]))
    for row in range(2):
        expected = alone(compiled_classes(), [*CLIPS[row]])
        np.testing.assert_allclose([each[row] for each in outputs], expected, atol=1e-6)
    ids = {"stream_id": np.array([7, -8], "int64")}
    answer = call(channel, request(ids, signature="reset"))
    assert tf.make_ndarray(answer.outputs["steps"]).tolist() == [5, 5]


def test_metadata_and_status(served: Served, channel: grpc.Channel) -> None:
    asked = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    asked.model_spec.name = "actions"
    answer = call(channel, asked, "GetModelMetadata")
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert answer.metadata["signature_def"].Unpack(signatures)
    info = signatures.signature_def["serving_default"].inputs["frame"]
    assert info.dtype == tf.float32.as_datatype_enum
    assert tf.TensorShape(info.tensor_shape).as_list() == [None, 8, 10, 3]
    rest = served.ask(
        "GET", "/v1/models/actions/metadata", headers={"Authorization": "Bearer secret"}
    ).json()
    found = json_format.MessageToDict(signatures, preserving_proto_field_name=True)
    assert (
        found["signature_def"].keys() == rest["metadata"]["signature_def"]["signature_def"].keys()
    )
    status = get_model_status_pb2.GetModelStatusRequest()
    status.model_spec.name = "actions"
    stub = model_service_pb2_grpc.ModelServiceStub(channel)
    metadata = [("authorization", "Bearer secret")]
    (version,) = stub.GetModelStatus(status, timeout=60, metadata=metadata).model_version_status
    assert (version.version, version.state) == (1, version.AVAILABLE)


def test_the_output_filter_leaves_outputs_out(channel: grpc.Channel) -> None:
    answer = call(channel, request(step([1], 0), only=["step"]))
    assert list(answer.outputs) == ["step"]


def bomb() -> Any:
    """A tensor of 10^12 zeros in a few bytes."""
    proto = tf.make_tensor_proto(np.zeros((1,), "float32"))
    del proto.tensor_shape.dim[:]
    for size in (1, 10**6, 10**6, 1):
        proto.tensor_shape.dim.add(size=size)
    return proto


NAN = np.full((1, *SIZE), np.nan, "float32")
WRONG: dict[str, tuple[Any, str, str]] = {
    "model": (request(step([1], 0), name="b"), "NOT_FOUND", "Expected actions.*Received: b"),
    "version": (request(step([1], 0), version=3), "NOT_FOUND", "version 3"),
    "label": (request(step([1], 0), label="stable"), "NOT_FOUND", "label 'stable'"),
    "signature": (request(step([1], 0), signature="go"), "INVALID_ARGUMENT", "Received: 'go'"),
    "names": (request({"frame": CLIPS[:1, 0]}), "INVALID_ARGUMENT", "stream_id, frame"),
    "dtype": (
        request({**step([1], 0), "frame": CLIPS[:1, 0].astype("float64")}),
        "INVALID_ARGUMENT",
        "Expected float32.*Received: float64",
    ),
    "32-bit ids": (
        request({**step([1], 0), "stream_id": np.array([1], "int32")}),
        "INVALID_ARGUMENT",
        "int64",
    ),
    "shape": (request({**step([1], 0), "frame": CLIPS[:1]}), "INVALID_ARGUMENT", r"\[1, 5, 8, 10"),
    "NaN": (request({**step([3], 0), "frame": NAN}), "INVALID_ARGUMENT", "Stream 3.*finite"),
    "twice": (request(step([3, 3], 0)), "INVALID_ARGUMENT", "3 several"),
    "bomb": (request({**step([1], 0), "frame": bomb()}), "INVALID_ARGUMENT", "at most"),
    "filter": (request(step([1], 0), only=["x"]), "INVALID_ARGUMENT", "output_filter.*logits"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_requests_get_one_clear_error(channel: grpc.Channel, name: str) -> None:
    made, code, message = WRONG[name]
    with pytest.raises(grpc.RpcError) as caught:
        call(channel, made)
    assert caught.value.code().name == code
    assert re.search(message, caught.value.details(), re.DOTALL), caught.value.details()


def test_tokens_and_other_methods(channel: grpc.Channel) -> None:
    for token in ("", "wrong", "secret "):
        with pytest.raises(grpc.RpcError) as caught:
            call(channel, request(step([1], 0)), token=token and f"{token}x")
        assert caught.value.code() == grpc.StatusCode.UNAUTHENTICATED
    with pytest.raises(grpc.RpcError) as caught:
        call(channel, classification_pb2.ClassificationRequest(), "Classify")
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED
    asked = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["all"])
    asked.model_spec.name = "actions"
    with pytest.raises(grpc.RpcError, match="signature_def"):
        call(channel, asked, "GetModelMetadata")


def test_overflow_and_shutdown_have_codes() -> None:
    with Served(streams=1, grpc=True) as served:
        address = f"127.0.0.1:{served.server.grpc_port}"
        with grpc.insecure_channel(address) as channel:
            call(channel, request(step([1], 0)))
            with pytest.raises(grpc.RpcError) as caught:
                call(channel, request(step([2], 0)))
            assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
            served.service.is_ready = False
            with pytest.raises(grpc.RpcError) as caught:
                call(channel, request(step([1], 1)))
            assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
    errors = served.service.metrics.text().decode()
    assert 'mpvn_errors_total{code="RESOURCE_EXHAUSTED",protocol="grpc"} 1.0' in errors

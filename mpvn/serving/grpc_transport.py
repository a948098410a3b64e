"""Asks a model server over gRPC, with the official protocol of TensorFlow Serving.

Its package imports TensorFlow.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mpvn.serving.client_errors import UnavailableError, server_error
from mpvn.serving.model_signature import Spec
from mpvn.serving.string_arrays import map_strings
from mpvn.serving.transport import Endpoint, Tensor

try:
    import grpc
    import tensorflow as tf
    from google.protobuf import json_format
    from tensorflow.core.framework import tensor_pb2, types_pb2
    from tensorflow_serving.apis import (
        get_model_metadata_pb2,
        predict_pb2,
        prediction_service_pb2_grpc,
    )
except ImportError as error:
    raise ImportError(
        "gRPC needs the packages grpcio and tensorflow-serving-api. Expected both to be installed. "
        f"Received: {error}. Install mpvn[grpc], or use the REST address of the server (http://)."
    ) from error

PORT = 8500
"""Port of TensorFlow Serving, if the address has none."""

_OPTIONS = [
    ("grpc.max_send_message_length", -1),  # states of many MB
    ("grpc.max_receive_message_length", -1),
    ("grpc.enable_retries", 0),  # a frame that is sent twice may count twice: the client retries
    ("grpc.use_local_subchannel_pool", 1),  # a new channel does not wait as the old one would
]

_NEVER_SENT = "failed to connect to all addresses"
"""In the details of UNAVAILABLE: no server has seen the request. If other versions of gRPC say it
in other words, the client takes the request for one that may have arrived."""


def zeros_proto(code: str, shape: tuple[int, ...]) -> tensor_pb2.TensorProto:
    """Return a tensor of zeros, which takes a few bytes whatever its shape.

    Values that a protocol buffer does not hold are zeros.
    """
    proto = tensor_pb2.TensorProto(dtype=types_pb2.DataType.Value(code))
    for size in shape:
        proto.tensor_shape.dim.add(size=size)
    return proto


class GrpcTransport:
    """A transport over gRPC; see `mpvn.serving.transport.Transport`."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        host = endpoint.host
        has_port = host.rpartition(":")[2].isdigit() and not host.endswith("]")
        self._target = host if has_port else f"{host}:{PORT}"
        self._headers = (
            [("authorization", f"Bearer {endpoint.token}")] if endpoint.token is not None else []
        )
        self._roots = (
            Path(endpoint.certificates).read_bytes() if endpoint.certificates is not None else None
        )
        self._channel: Any = None

    def model(self, version: int | None, timeout: float) -> tuple[int | None, Mapping[str, Any]]:
        request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
        self._address(request, version)
        response = self._call("GetModelMetadata", request, timeout)
        signatures = get_model_metadata_pb2.SignatureDefMap()
        response.metadata["signature_def"].Unpack(signatures)
        found = json_format.MessageToDict(signatures, preserving_proto_field_name=True)
        has_version = response.model_spec.HasField("version")
        return (
            response.model_spec.version.value if has_version else None,
            found.get("signature_def", {}),
        )

    def predict(
        self,
        version: int | None,
        signature: str,
        inputs: Mapping[str, Tensor],
        timeout: float,
    ) -> dict[str, Tensor]:
        request = predict_pb2.PredictRequest()
        self._address(request, version)
        request.model_spec.signature_name = signature
        for name, tensor in inputs.items():
            request.inputs[name].CopyFrom(tensor)
        return dict(self._call("Predict", request, timeout).outputs)

    def encode(self, array: np.ndarray, spec: Spec) -> Tensor:
        return tf.make_tensor_proto(array, types_pb2.DataType.Value(spec.code), array.shape)

    def zeros(self, spec: Spec) -> Tensor:
        return zeros_proto(spec.code, (1, *(size or 0 for size in spec.shape)))

    def decode(self, name: str, tensor: Tensor, spec: Spec) -> np.ndarray:
        array = tf.make_ndarray(tensor)
        if array.dtype != object or name.endswith("_bytes"):
            return array
        return map_strings(lambda each: each.decode("utf-8", "surrogateescape"), array)

    def reconnect(self) -> None:
        self.close()

    def close(self) -> None:
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    def _address(self, request: Any, version: int | None) -> None:
        request.model_spec.name = self._endpoint.model
        if version is not None:
            request.model_spec.version.value = version

    def _call(self, method: str, request: Any, timeout: float) -> Any:
        if self._channel is None:
            self._channel = self._connect()
        stub = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)
        call: Callable = getattr(stub, method)
        try:
            return call(request, timeout=timeout, metadata=self._headers)
        except grpc.RpcError as error:
            message = f"{self._endpoint}, {method}: {error.details()}"
            found = server_error(error.code().name, message)
            if isinstance(found, UnavailableError):
                found.may_have_arrived = _NEVER_SENT not in str(error.details())
            raise found from error

    def _connect(self) -> Any:
        if not self._endpoint.is_secure:
            return grpc.insecure_channel(self._target, _OPTIONS)
        credentials = grpc.ssl_channel_credentials(self._roots)
        return grpc.secure_channel(self._target, credentials, _OPTIONS)

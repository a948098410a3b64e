"""gRPC: TensorFlow Serving's services, by its official protocol (extra `grpc`)."""

import contextlib
import logging
import math
from collections.abc import AsyncIterator, Mapping
from typing import Any, NoReturn

import grpc
import numpy as np
import tensorflow as tf
from google.protobuf import json_format
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from mpvn.serving.errors import InvalidRequest, NotFound, ServingError, TooLarge, codes_of
from mpvn.serving.server.offer import VERSION
from mpvn.serving.server.service import Service
from mpvn.serving.server.signatures import find_signature

_LOG = logging.getLogger(__name__)

_FIELD = "signature_def"
_STRING_BYTES = 64  # of an empty one in memory, about

_HANDLES = (tf.resource, tf.variant)


class Predictions(prediction_service_pb2_grpc.PredictionServiceServicer):
    """`PredictionService`: `Predict` and `GetModelMetadata`.

    Args:
        service: the service.
    """

    def __init__(self, service: Service) -> None:
        self._service = service

    async def Predict(self, request: Any, context: Any) -> Any:
        service = self._service
        async with _refusals(service, context), service.working():
            _check_spec(service, request.model_spec)
            signature = find_signature(service.signatures, request.model_spec.signature_name)
            inputs = await service.in_thread(_arrays, request.inputs, service.limits.body)
            outputs = await service.predict(
                signature.name, inputs, _client(context), context.time_remaining()
            )
            wanted = signature.filtered(outputs, list(request.output_filter))
            answer = predict_pb2.PredictResponse()
            for name, value in wanted.items():
                answer.outputs[name].CopyFrom(tf.make_tensor_proto(value))
            _fill_spec(service, answer.model_spec)
            answer.model_spec.signature_name = signature.name
            return answer

    async def GetModelMetadata(self, request: Any, context: Any) -> Any:
        service = self._service
        async with _refusals(service, context):
            _check_spec(service, request.model_spec)
            if list(request.metadata_field) != [_FIELD]:
                raise InvalidRequest(
                    f"metadata_field. Expected {_FIELD}. Received: "
                    f"{', '.join(request.metadata_field) or 'none'}."
                )
            signatures = get_model_metadata_pb2.SignatureDefMap()
            json_format.ParseDict(service.metadata()["metadata"][_FIELD], signatures)
            answer = get_model_metadata_pb2.GetModelMetadataResponse()
            answer.metadata[_FIELD].Pack(signatures)
            _fill_spec(service, answer.model_spec)
            return answer

    async def Classify(self, request: Any, context: Any) -> NoReturn:
        await _refuse_method(self._service, context, "Classify")

    async def Regress(self, request: Any, context: Any) -> NoReturn:
        await _refuse_method(self._service, context, "Regress")

    async def MultiInference(self, request: Any, context: Any) -> NoReturn:
        await _refuse_method(self._service, context, "MultiInference")


class Models(model_service_pb2_grpc.ModelServiceServicer):
    """`ModelService`: `GetModelStatus`.

    Args:
        service: the service.
    """

    def __init__(self, service: Service) -> None:
        self._service = service

    async def GetModelStatus(self, request: Any, context: Any) -> Any:
        async with _refusals(self._service, context):
            _check_spec(self._service, request.model_spec)
            answer = get_model_status_pb2.GetModelStatusResponse()
            return json_format.ParseDict(self._service.status(), answer)

    async def HandleReloadConfigRequest(self, request: Any, context: Any) -> NoReturn:
        await _refuse_method(self._service, context, "HandleReloadConfigRequest")


def create_rpc_server(service: Service, address: str) -> tuple[Any, int]:
    """Return a server that is not started, and its port.

    Args:
        service: the service.
        address: host and port; port 0 for any.

    Raises:
        OSError: the port cannot be had.
    """
    server = grpc.aio.server(
        options=[
            ("grpc.so_reuseport", 0),  # another server on the port would take half the requests
            ("grpc.max_receive_message_length", service.limits.body),
            ("grpc.keepalive_time_ms", 20_000),
            ("grpc.keepalive_timeout_ms", 20_000),
        ],
        maximum_concurrent_rpcs=4 * service.engine.capacity,
    )
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
        Predictions(service), server
    )
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(Models(service), server)
    try:
        port = server.add_insecure_port(address)
    except RuntimeError as error:
        raise OSError(f"gRPC cannot listen at {address}: {error}") from error
    return server, port


@contextlib.asynccontextmanager
async def _refusals(service: Service, context: Any) -> AsyncIterator[None]:
    """Check the token, and answer errors by their codes."""
    given = dict(context.invocation_metadata() or ())
    try:
        service.access.check_token(given.get("authorization"))
        yield
    except ServingError as error:
        await _abort(service, context, codes_of(error).grpc, str(error))
    except grpc.aio.AbortError:
        raise
    except Exception:
        _LOG.exception("A call of gRPC failed")
        await _abort(service, context, "INTERNAL", "The server failed. Its log tells why.")


async def _refuse_method(service: Service, context: Any, name: str) -> NoReturn:
    message = f"{name} is not offered. Expected Predict, GetModelMetadata or GetModelStatus."
    await _abort(service, context, "UNIMPLEMENTED", message)
    raise NotImplementedError  # for type checkers: abort raises


async def _abort(service: Service, context: Any, code: str, message: str) -> None:
    service.metrics.add_error("grpc", code)
    await context.abort(grpc.StatusCode[code], message)


def _check_spec(service: Service, spec: Any) -> None:
    if spec.version_label:
        raise NotFound(
            f"Expected a model without labels. Received: the label {spec.version_label!r}."
        )
    service.check_model(spec.name, spec.version.value if spec.HasField("version") else None)


def _fill_spec(service: Service, spec: Any) -> None:
    spec.name = service.name
    spec.version.value = VERSION


def _arrays(inputs: Mapping[str, Any], most_bytes: int) -> dict[str, np.ndarray]:
    """Return the arrays of a request.

    Raises:
        InvalidRequest: a tensor is none.
        TooLarge: a few bytes stand for a tensor that is larger than a request may be.
    """
    arrays = {}
    for name, tensor in inputs.items():
        try:
            dtype = tf.as_dtype(tensor.dtype)
            sizes = [dim.size for dim in tensor.tensor_shape.dim]
            if tensor.tensor_shape.unknown_rank or min(sizes, default=0) < 0:
                raise ValueError("an unknown shape")
            if (
                math.prod(sizes) * (_STRING_BYTES if dtype == tf.string else dtype.size)
                > most_bytes
            ):
                raise TooLarge(
                    f"Input {name!r}. Expected a tensor of at most {most_bytes} bytes. Received: "
                    f"{dtype.name} of shape {sizes}."
                )
            if dtype in _HANDLES:
                raise ValueError(f"a {dtype.name} of another process")
            arrays[name] = tf.make_ndarray(tensor)
        except TooLarge:
            raise
        except (TypeError, ValueError) as error:
            raise InvalidRequest(
                f"Input {name!r}. Expected a tensor. Received: {error}."
            ) from error
    return arrays


def _client(context: Any) -> str:
    """Return the address of the client, without its port."""
    return context.peer().rpartition(":")[0]

"""Stands in for TensorFlow Serving: serves SavedModels over gRPC and REST, as its sources say.

What is taken from those: names, codes, and JSON as `json_tensor.cc` reads and writes it; one
version of a model, the latest; warm-up records replayed before the server listens. It is written
apart from `mpvn.serving`, whose reference it is.

`lose_answers` makes it compute without answering, as a server does that dies at that moment.
"""

import base64
import concurrent.futures
import contextlib
import functools
import http.server
import json
import pathlib
import re
import threading
import time
from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
from google.protobuf import json_format
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_log_pb2,
    prediction_service_pb2_grpc,
)

CODES = {code.value[0]: code for code in grpc.StatusCode}
HTTP = {
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.FAILED_PRECONDITION: 400,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.UNAVAILABLE: 503,
}


class Refused(Exception):
    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code


class Lost(Exception):
    """The answer does not arrive."""


class Model:
    """The latest version of a SavedModel."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.version, path = max((int(each.name), each) for each in folder.iterdir())
        content = (path / "saved_model.pb").read_bytes()
        (graph,) = saved_model_pb2.SavedModel.FromString(content).meta_graphs
        self.signatures = dict(graph.signature_def)
        self._path = path
        self.warmed = 0
        records = path / "assets.extra" / "tf_serving_warmup_requests"
        if records.exists():
            for record in tf.data.TFRecordDataset(str(records)).as_numpy_iterator():
                log = prediction_log_pb2.PredictionLog.FromString(record)
                request = log.predict_log.request
                values = {name: tf.make_ndarray(x) for name, x in request.inputs.items()}
                self.run(request.model_spec.signature_name, values)
                self.warmed += 1

    @functools.cached_property
    def _loaded(self) -> Any:
        return tf.saved_model.load(self._path)

    def signature(self, name: str) -> Any:
        name = name or "serving_default"
        if name not in self.signatures:
            message = f'Serving signature key "{name}" not found.'
            raise Refused(grpc.StatusCode.FAILED_PRECONDITION, message)
        return self.signatures[name]

    def run(self, name: str, values: dict[str, np.ndarray]) -> dict[str, tf.Tensor]:
        signature = self.signature(name)
        if values.keys() != set(signature.inputs):
            message = "input keys do not match signature: sent [%s], expected [%s]"
            names = tuple(",".join(sorted(each)) for each in (values, signature.inputs))
            raise Refused(grpc.StatusCode.INVALID_ARGUMENT, message % names)
        tensors = {}
        for key, info in signature.inputs.items():
            tensors[key] = tensor = tf.constant(values[key])
            wanted = tf.TensorShape(info.tensor_shape)
            if tensor.dtype != info.dtype or not tensor.shape.is_compatible_with(wanted):
                message = f"{key}: {tensor.dtype.name} {tensor.shape} is not {wanted}"
                raise Refused(grpc.StatusCode.INVALID_ARGUMENT, message)
        try:
            return self._loaded.signatures[name or "serving_default"](**tensors)
        except tf.errors.OpError as error:
            raise Refused(CODES[error.error_code], error.message) from error


class StandIn:
    """A server of the models in a folder `NAME/VERSION`.

    Attributes:
        lose_answers: how many of the next predictions are computed and not answered.
        refuse: an error with which all predictions are refused.
        token: the bearer token that it wants, if any.
        delay: seconds before each answer.
        steps: how many predictions were computed.
    """

    def __init__(self, root: pathlib.Path, http_port: int = 0, grpc_port: int = 0) -> None:
        self._root = root
        self.http_port, self.grpc_port = http_port, grpc_port
        self.is_running = False
        self.heal()
        self.start()

    def heal(self) -> None:
        """Answer as it should from now on."""
        self.lose_answers, self.delay, self.steps = 0, 0.0, 0
        self.refuse: Refused | None = None
        self.token: str | None = None

    def start(self) -> None:
        """Load the models anew and listen, on the same ports as before."""
        self.models = {each.name: Model(each) for each in self._root.iterdir() if each.is_dir()}
        self._pool = concurrent.futures.ThreadPoolExecutor(4)
        options = [("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", -1)]
        self._grpc = grpc.server(self._pool, options=options)
        service = _Services(self)
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(service, self._grpc)
        model_service_pb2_grpc.add_ModelServiceServicer_to_server(service, self._grpc)
        self.grpc_port = self._grpc.add_insecure_port(f"127.0.0.1:{self.grpc_port}")
        self._grpc.start()
        handler = type("Handler", (_Handler,), {"owner": self})
        self._http = http.server.ThreadingHTTPServer(("127.0.0.1", self.http_port), handler)
        self._http.daemon_threads = True
        self.http_port = self._http.server_port
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()
        self.is_running = True

    def address(self, protocol: str) -> str:
        port = self.grpc_port if protocol == "grpc" else self.http_port
        return f"{protocol}://127.0.0.1:{port}"

    def kill(self) -> None:
        """Stop at once; whoever asks is not answered."""
        if not self.is_running:
            return
        self.is_running = False
        self._grpc.stop(0).wait(5)
        self._http.shutdown()
        self._http.server_close()
        self._thread.join(5)
        self._pool.shutdown(wait=False)

    def model(self, name: str, version: int | None) -> Model:
        found = self.models.get(name)
        if found is None or version not in (None, found.version):
            which = f"Latest({name})" if version is None else f"Specific({name}, {version})"
            message = f"Servable not found for request: {which}"
            raise Refused(grpc.StatusCode.NOT_FOUND, message)
        return found

    def authorize(self, header: str | None) -> None:
        if self.token is not None and header != f"Bearer {self.token}":
            raise Refused(grpc.StatusCode.UNAUTHENTICATED, "who are you?")

    def predict(self, name: str, version: int | None, signature: str, values: dict) -> dict:
        if not self.is_running:
            raise Lost
        model = self.model(name, version)
        if self.refuse is not None:
            raise self.refuse
        outputs = model.run(signature, values)
        if not self.is_running or self.models[name] is not model:
            raise Lost  # killed meanwhile
        self.steps += 1
        if self.lose_answers:
            self.lose_answers -= 1
            raise Lost
        time.sleep(self.delay)
        return outputs


class _Services(
    prediction_service_pb2_grpc.PredictionServiceServicer,
    model_service_pb2_grpc.ModelServiceServicer,
):
    def __init__(self, owner: StandIn) -> None:
        self.owner = owner

    @contextlib.contextmanager
    def _answering(self, context: grpc.ServicerContext) -> Iterator[None]:
        try:
            headers = dict(context.invocation_metadata())
            self.owner.authorize(headers.get("authorization"))
            yield
        except Refused as error:
            context.abort(error.code, str(error))
        except Lost:
            context.abort(grpc.StatusCode.UNAVAILABLE, "Socket closed")

    def _model(self, spec: Any) -> Model:
        return self.owner.model(spec.name, _version(spec))

    def Predict(self, request: Any, context: grpc.ServicerContext) -> Any:
        with self._answering(context):
            values = {name: tf.make_ndarray(x) for name, x in request.inputs.items()}
            spec = request.model_spec
            outputs = self.owner.predict(spec.name, _version(spec), spec.signature_name, values)
            response = predict_pb2.PredictResponse()
            for name, tensor in outputs.items():
                response.outputs[name].CopyFrom(tf.make_tensor_proto(tensor))
            return response

    def GetModelMetadata(self, request: Any, context: grpc.ServicerContext) -> Any:
        with self._answering(context):
            return _metadata(request.model_spec.name, self._model(request.model_spec))

    def GetModelStatus(self, request: Any, context: grpc.ServicerContext) -> Any:
        with self._answering(context):
            return _status(self._model(request.model_spec))


def _version(spec: Any) -> int | None:
    return spec.version.value if spec.HasField("version") else None


def _metadata(name: str, model: Model) -> Any:
    response = get_model_metadata_pb2.GetModelMetadataResponse()
    response.model_spec.name = name
    response.model_spec.version.value = model.version
    signatures = get_model_metadata_pb2.SignatureDefMap(signature_def=model.signatures)
    response.metadata["signature_def"].Pack(signatures)
    return response


def _status(model: Model) -> Any:
    response = get_model_status_pb2.GetModelStatusResponse()
    available = get_model_status_pb2.ModelVersionStatus.AVAILABLE
    response.model_version_status.add(version=model.version, state=available)
    return response


class _Handler(http.server.BaseHTTPRequestHandler):
    owner: StandIn
    protocol_version = "HTTP/1.1"
    PATH = re.compile(r"/v1/models/([^/:]+)(?:/versions/(\d+))?(:predict|/metadata|)$")

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            self.owner.authorize(self.headers.get("Authorization"))
            status, text = 200, self._content(body)
        except Refused as error:
            # C escapes, as TensorFlow Serving writes them: a quote is \', which is no JSON.
            escaped = str(error).replace('"', '\\"').replace("'", "\\'")
            status, text = HTTP[error.code], '{ "error": "' + escaped + '" }'
        except Lost:
            self.close_connection = True
            return
        with contextlib.suppress(OSError):  # the client went away
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

    def _content(self, body: bytes) -> str:
        found = self.PATH.match(self.path)
        if found is None:
            message = f"Malformed request: {self.command} {self.path}"
            raise Refused(grpc.StatusCode.INVALID_ARGUMENT, message)
        name, version, what = found[1], found[2] and int(found[2]), found[3]
        model = self.owner.model(name, version)
        if what == ":predict":
            request = json.loads(body)
            signature = request.get("signature_name", "")
            values = read_inputs(request, model.signature(signature).inputs)
            return write_outputs(self.owner.predict(name, version, signature, values))
        if what == "":
            return json_format.MessageToJson(_status(model), preserving_proto_field_name=True)
        response = json_format.MessageToDict(
            _metadata(name, model), preserving_proto_field_name=True
        )
        signatures = response["metadata"]["signature_def"]
        spec = {"signature_name": "", **response["model_spec"]}
        return json.dumps({"model_spec": spec, "metadata": {"signature_def": signatures}})


def read_inputs(request: dict, specs: Any) -> dict[str, np.ndarray]:
    """Return the tensors of a request in the column format."""
    values = request["inputs"]
    if not isinstance(values, dict):
        values = dict.fromkeys(specs, values)
    if missing := specs.keys() - values.keys():
        message = f"Missing named input: {min(missing)} in 'inputs' object."
        raise Refused(grpc.StatusCode.INVALID_ARGUMENT, message)
    return {name: _read(values[name], info.dtype) for name, info in specs.items()}


def _read(value: Any, code: int) -> np.ndarray:
    dtype = tf.as_dtype(code)
    if dtype == tf.string:
        strings = [base64.b64decode(x["b64"]) if isinstance(x, dict) else x for x in value]
        return np.array(strings, object)
    if dtype in (tf.bfloat16, tf.half):
        raise Refused(grpc.StatusCode.UNIMPLEMENTED, f"Conversion to type: {dtype.name}")
    try:
        array = np.array(value)
    except ValueError as error:
        message = "Encountered list at unexpected size"
        raise Refused(grpc.StatusCode.INVALID_ARGUMENT, message) from error
    if dtype.is_integer and array.dtype.kind != "i":
        message = f"JSON Value: Type: Number is not of expected type: {dtype.name}"
        raise Refused(grpc.StatusCode.INVALID_ARGUMENT, message)
    with np.errstate(over="ignore"):
        return array.astype(dtype.as_numpy_dtype)


def write_outputs(outputs: dict[str, tf.Tensor]) -> str:
    """Return the JSON of an answer in the column format; a single output stands alone."""
    for tensor in outputs.values():
        if tensor.dtype in (tf.bfloat16, tf.half):
            message = f"Failed to write JSON value for tensor type: {tensor.dtype.name}"
            raise Refused(grpc.StatusCode.INVALID_ARGUMENT, message)
    texts = {
        name: _write(x.numpy(), name.endswith("_bytes")) for name, x in sorted(outputs.items())
    }
    if len(texts) == 1:
        return '{"outputs": ' + next(iter(texts.values())) + "}"
    return '{"outputs": {' + ", ".join(f'"{name}": {x}' for name, x in texts.items()) + "}}"


def _write(value: Any, as_bytes: bool) -> str:
    if isinstance(value, np.ndarray) and value.ndim:
        return "[" + ", ".join(_write(each, as_bytes) for each in value) + "]"
    if isinstance(value, bytes):
        code = base64.b64encode(value).decode()
        return json.dumps({"b64": code} if as_bytes else value.decode())
    if isinstance(value, np.floating):
        return write_decimal(value)
    return json.dumps(value.item())


def write_decimal(value: np.floating) -> str:
    """Return six digits where they are enough, else as many as the dtype needs."""
    if not np.isfinite(value):
        return "NaN" if np.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    text = f"{value:.6g}"
    if value.dtype.type(text) != value:
        text = f"{value:.{9 if value.dtype == np.float32 else 17}g}"
    return text if "." in text or "e" in text else f"{text}.0"

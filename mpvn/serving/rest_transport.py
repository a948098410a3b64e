"""Asks a model server over the REST API of TensorFlow Serving.

Numbers are exact: a float32 is written with as many digits as a float64 needs, and so it comes back
as it was; whole numbers have all their digits. JSON of TensorFlow Serving also has NaN, Infinity
and -Infinity. Its strings are text, but for tensors whose name ends in `_bytes`: those are
`{"b64": ...}`, as all strings that this client sends. It has no float16 and no bfloat16.
"""

import base64
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from mpvn.serving.client_errors import ServerError, UnavailableError, code_of_http, server_error
from mpvn.serving.model_signature import Spec
from mpvn.serving.string_arrays import map_strings
from mpvn.serving.transport import Endpoint, Tensor

try:
    import requests
    from urllib3.exceptions import MaxRetryError, NewConnectionError
except ImportError as error:
    raise ImportError(
        "REST needs the package requests. Expected it to be installed. Received: "
        f"{error}. Install mpvn[serving], or use the gRPC address of the server (grpc://)."
    ) from error


class RestTransport:
    """A transport over REST; see `mpvn.serving.transport.Transport`."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        scheme = "https" if endpoint.is_secure else "http"
        self._base = f"{scheme}://{endpoint.host}{endpoint.path}/v1/models/{endpoint.model}"
        self._session: requests.Session | None = None

    def model(self, version: int | None, timeout: float) -> tuple[int | None, Mapping[str, Any]]:
        answer = self._call("GET", self._url(version, "/metadata"), timeout)
        try:
            found = answer["metadata"]["signature_def"]["signature_def"]
            number = answer["model_spec"].get("version")
            return None if number in (None, "") else int(number), found
        except (KeyError, TypeError, ValueError) as error:
            raise ServerError(
                f"{self._endpoint}: expected the metadata of a model, as TensorFlow Serving "
                f"writes it. Received: {str(answer)[:200]}."
            ) from error

    def predict(
        self,
        version: int | None,
        signature: str,
        inputs: Mapping[str, Tensor],
        timeout: float,
    ) -> dict[str, Tensor]:
        body = json.dumps({"signature_name": signature, "inputs": inputs}).encode()
        answer = self._call("POST", self._url(version, ":predict"), timeout, body)
        outputs = answer.get("outputs") if isinstance(answer, dict) else None
        if outputs is None:
            raise ServerError(
                f"{self._endpoint}: expected 'outputs' in the answer. Received: {answer!s:.200}."
            )
        # A single output stands alone, without its name.
        return outputs if isinstance(outputs, dict) else {"": outputs}

    def encode(self, array: np.ndarray, spec: Spec) -> Tensor:
        if array.dtype == object:
            return _nested(array, lambda each: {"b64": base64.b64encode(each).decode()})
        if spec.code in ("DT_HALF", "DT_BFLOAT16"):
            array = array.astype("float32")
        return array.tolist()

    def zeros(self, spec: Spec) -> Tensor:
        return self.encode(np.zeros((1, *(size or 0 for size in spec.shape)), spec.dtype), spec)

    def decode(self, name: str, tensor: Tensor, spec: Spec) -> np.ndarray:
        if spec.dtype == object:
            return map_strings(_read_string, np.array(tensor, object))
        if spec.dtype.kind in "iub":
            return np.array(tensor, spec.dtype)
        return np.array(tensor, "float64").astype(spec.dtype)

    def reconnect(self) -> None:
        self.close()

    def close(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None

    def _url(self, version: int | None, ending: str) -> str:
        return f"{self._base}{'' if version is None else f'/versions/{version}'}{ending}"

    def _call(self, method: str, url: str, timeout: float, body: bytes | None = None) -> Any:
        if self._session is None:
            self._session = requests.Session()
            self._session.auth = self._authorize
        try:
            response = self._session.request(
                method,
                url,
                data=body,
                headers={"Content-Type": "application/json"},
                timeout=timeout,
                allow_redirects=False,  # a frame is sent to the server that the user has named
                verify=self._endpoint.certificates or True,
            )
            response.content  # noqa: B018  # read it here, where it may break off
        except requests.RequestException as error:
            raise self._unreachable(error) from error
        if response.status_code != 200:
            message = f"{self._endpoint}: {_message(response)}"
            raise server_error(code_of_http(response.status_code), message)
        try:
            return json.loads(response.content)
        except ValueError as error:
            raise ServerError(
                f"{self._endpoint}: expected JSON. Received: {response.text[:200]!r}."
            ) from error

    def _authorize(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Add the token. As a header of the session, a file `.netrc` would replace it."""
        if self._endpoint.token is not None:
            request.headers["Authorization"] = f"Bearer {self._endpoint.token}"
        return request

    def _unreachable(self, error: requests.RequestException) -> ServerError:
        if isinstance(error, requests.exceptions.SSLError) or not isinstance(
            error,
            requests.ConnectionError
            | requests.Timeout
            | requests.exceptions.ChunkedEncodingError
            | requests.exceptions.ContentDecodingError,
        ):
            return ServerError(f"{self._endpoint}: {error}")
        found = UnavailableError(f"{self._endpoint}: {error}")
        cause = error.args[0] if error.args else None
        reason = cause.reason if isinstance(cause, MaxRetryError) else cause
        found.may_have_arrived = not isinstance(reason, NewConnectionError)
        found.code = "DEADLINE_EXCEEDED" if isinstance(error, requests.Timeout) else "UNAVAILABLE"
        return found


def _message(response: requests.Response) -> str:
    """Return the server's words, which are not always JSON: C escapes may stand in them."""
    try:
        return str(json.loads(response.content)["error"])
    except (ValueError, KeyError, TypeError):
        text = response.text[:2000].strip()
        return f"{response.status_code} {response.reason}: {text}"


def _nested(array: np.ndarray, convert: Any) -> Any:
    if array.ndim == 0:
        return convert(array.item())
    return [_nested(np.asarray(each, object), convert) for each in array]


def _read_string(value: Any) -> bytes | str:
    return base64.b64decode(value["b64"]) if isinstance(value, dict) else value

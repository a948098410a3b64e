"""Wrong requests of REST."""

import gzip
import http.client
import json
import random
from typing import Any

import numpy as np
from soak.garbage import Case, Outcome, stream_id
from soak.network import frame
from soak.servers import MOST_BYTES
from soak.target import Target

_TIMEOUT = 20.0

SLACK = 4096  # bytes by which a body is too large


def ask(
    target: Target,
    method: str,
    path: str,
    body: Any = None,
    headers: dict[str, str | None] | None = None,
) -> Outcome:
    """Return what a server answers; the words of an error alone, from its JSON."""
    sent: dict[str, str | None] = {"Content-Type": "application/json", **(headers or {})}
    if target.token is not None:
        sent = {"Authorization": f"Bearer {target.token}", **sent}
    connection = http.client.HTTPConnection("127.0.0.1", target.http_port, timeout=_TIMEOUT)
    try:
        given = {name: value for name, value in sent.items() if value is not None}
        chunked = body is not None and not isinstance(body, bytes)
        connection.request(method, path, body, given, encode_chunked=chunked)
        answer = connection.getresponse()
        content = answer.read()
    finally:
        connection.close()
    if answer.status < 400:
        return Outcome(answer.status, content.decode())
    try:
        found = json.loads(content)
        message = found["error"]
        return Outcome(answer.status, message if [*found] == ["error"] else "")
    except (ValueError, KeyError, TypeError):
        # What is no HTTP is refused by the library. The stand-in escapes as TensorFlow Serving
        # does, which is no JSON.
        is_text = (answer.headers.get("Content-Type") or "").startswith("text/plain")
        is_right = is_text if target.is_ours else True
        return Outcome(answer.status, " ".join(content.decode().split()) if is_right else "")


def predict_path(target: Target) -> str:
    return f"/v1/models/{target.model}:predict"


def predict(target: Target, body: bytes, **options: Any) -> Outcome:
    return ask(target, "POST", predict_path(target), body, **options)


def request(rng: random.Random, **changes: Any) -> dict[str, Any]:
    """Return a request that is right but for some keys; those of None are left out."""
    inputs = {"stream_id": [stream_id(rng)], "frame": frame(1, 2)[None].tolist()}
    content = {"signature_name": "serving_default", "inputs": inputs, **changes}
    return {name: value for name, value in content.items() if value is not None}


def with_inputs(*expected: int, **changes: Any) -> Case:
    """Return the case of a request with other inputs."""

    def run(target: Target, rng: random.Random) -> Outcome:
        content = request(rng)
        made = {name: x(rng) if callable(x) else x for name, x in changes.items()}
        content["inputs"] = content["inputs"] | made
        content["inputs"] = {name: x for name, x in content["inputs"].items() if x is not None}
        return predict(target, json.dumps(content).encode())

    return Case(run, expected or (400,))


def with_keys(*expected: int, **changes: Any) -> Case:
    """Return the case of a request with other keys."""
    return Case(
        lambda target, rng: predict(target, json.dumps(request(rng, **changes)).encode()),
        expected or (400,),
    )


def with_body(body: bytes, *expected: int, **headers: str) -> Case:
    """Return the case of a body."""
    return Case(
        lambda target, _: predict(
            target, body, headers={name.replace("_", "-"): x for name, x in headers.items()}
        ),
        expected or (400,),
    )


def at(method: str, path: str, *expected: int, **headers: str | None) -> Case:
    """Return the case of a path, in which MODEL is the name of the model."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}

    def run(target: Target, _: random.Random) -> Outcome:
        body = b"{}" if method in ("POST", "PUT") else None
        return ask(target, method, path.replace("MODEL", target.model), body, sent)

    return Case(run, expected)


def _noise(*shape: int) -> list:
    return np.random.default_rng(0).normal(size=shape).tolist()


def _with(value: float) -> list:
    image = frame(1, 2).astype("float64")
    image[3, 4, 1] = value
    return image[None].tolist()


def _two(rng: random.Random) -> list[int]:
    return [stream_id(rng)] * 2


def _chunks(_: random.Random) -> Any:
    return (b" " * 4096 for _ in range(MOST_BYTES // 4096 + 64))


OF_MODELS = {
    "REST: a smaller frame": with_inputs(frame=_noise(1, 8, 8, 3)),
    "REST: a frame without a batch": with_inputs(frame=_noise(16, 16, 3)),
    "REST: two frames for one id": with_inputs(frame=_noise(2, 16, 16, 3)),
    "REST: no frames": with_inputs(stream_id=[], frame=[]),
    "REST: NaN": with_inputs(frame=_with(float("nan"))),
    "REST: infinity": with_inputs(frame=_with(float("-inf"))),
    "REST: too large for float32": with_inputs(frame=_with(1e300)),
    "REST: an id twice": with_inputs(stream_id=_two, frame=_noise(2, 16, 16, 3)),
    "REST: a fraction as an id": with_inputs(stream_id=[1.5]),
    "REST: an id without a batch": with_inputs(stream_id=3),
    "REST: a missing id": with_inputs(stream_id=None),
    "REST: another signature": with_keys(signature_name="stepp"),
}

OF_SERVERS = {
    "REST: words in a frame": with_inputs(frame=[["a", "b"]]),
    "REST: an object as a frame": with_inputs(frame={"a": 1}),
    "REST: null as a frame": with_inputs(frame=[None]),
    "REST: lists of several lengths": with_inputs(frame=[[1.0], [1.0, 2.0]]),
    "REST: a number beyond float64": with_body(b'{"inputs": {"stream_id": [1], "frame": [1e999]}}'),
    "REST: an id beyond int64": with_inputs(stream_id=[2**63]),
    "REST: an id of 400 digits": with_inputs(stream_id=[10**400]),
    "REST: an id of 5000 digits": with_body(b'{"inputs": {"stream_id": [' + b"9" * 5000 + b"]}}"),
    "REST: true as an id": with_inputs(stream_id=[True]),
    "REST: a word as an id": with_inputs(stream_id=["a"]),
    "REST: an input too many": with_inputs(other=[1]),
    "REST: a name of the signature that is none": with_keys(signature_name=["step"]),
    "REST: rows and columns": with_keys(instances=[1]),
    "REST: neither rows nor columns": with_keys(inputs=None),
    "REST: rows that are none": with_keys(inputs=None, instances={"a": 1}),
    "REST: no rows": with_keys(inputs=None, instances=[]),
    "REST: rows of numbers": with_keys(inputs=None, instances=[1, 2]),
    "REST: rows of several kinds": with_keys(inputs=None, instances=[{"frame": 1}, {"b": 1}]),
    "REST: no JSON": with_body(b"hello"),
    "REST: an empty body": with_body(b""),
    "REST: a list as the body": with_body(b"[1, 2]"),
    "REST: null as the body": with_body(b"null"),
    "REST: half a body": with_body(b'{"inputs": {"stream_id": [1'),
    "REST: random bytes": with_body(np.random.default_rng(1).bytes(5000)),
    "REST: UTF-16": with_body('{"inputs": {"frame": "é"}}'.encode("utf-16"), 400),
    "REST: deep lists": with_body(b'{"inputs": ' + b"[" * 100_000),
    "REST: deep lists that end": with_body(
        b'{"inputs": {"stream_id": [1], "frame": ' + b"[" * 900 + b"]" * 900 + b"}}"
    ),
    "REST: too large": with_body(b" " * (MOST_BYTES + SLACK), 413),
    "REST: too large, in pieces": Case(
        lambda target, rng: ask(
            target, "POST", predict_path(target), _chunks(rng), {"Transfer-Encoding": "chunked"}
        ),
        (413,),
    ),
    "REST: a small body that grows": with_body(
        gzip.compress(b" " * (64 * MOST_BYTES)), 413, 400, 415, Content_Encoding="gzip"
    ),
    "REST: no gzip": with_body(b"hello", 400, 415, Content_Encoding="gzip"),
    "REST: an encoding that nobody knows": with_body(b"{}", 400, 415, Content_Encoding="morse"),
    "REST: no token": at("POST", "/v1/models/MODEL:predict", 401, Authorization=None),
    "REST: a wrong token": at("POST", "/v1/models/MODEL:predict", 401, Authorization="Bearer x"),
    "REST: another scheme": at("GET", "/v1/models/MODEL", 401, Authorization="Basic bGV0"),
    "REST: a token of other letters": at("GET", "/v1/models/MODEL", 401, Authorization="Bearer é"),
    "REST: metrics without a token": at("GET", "/metrics", 401, Authorization=None),
    "REST: another model": at("POST", "/v1/models/nobody:predict", 404),
    "REST: another version": at("POST", "/v1/models/MODEL/versions/7:predict", 404),
    "REST: a version of many digits": at("GET", f"/v1/models/MODEL/versions/{'9' * 5000}", 404),
    "REST: a version of other digits": at("GET", "/v1/models/MODEL/versions/%D9%A3", 404, 400),
    "REST: another method": at("DELETE", "/v1/models/MODEL", 405, 404),
    "REST: GET of a prediction": at("GET", "/v1/models/MODEL:predict", 405, 404),
    "REST: a file above": at("GET", "/../../../../etc/passwd", 404, 400),
    "REST: a file above, hidden": at("GET", "/..%2f..%2f..%2fetc%2fpasswd", 404, 400),
    "REST: a null in a path": at("GET", "/page%00.js", 404, 400),
    "REST: a long path": at("GET", "/" + "a" * 7000, 404, 400, 414),
    "REST: a longer path": at("GET", "/" + "a" * 70_000, 404, 400, 414),
    "REST: many headers": at(
        "GET", "/v1/models/MODEL", 400, 431, **{f"x{n}": "y" * 400 for n in range(300)}
    ),
    "REST: a page of another origin": at(
        "POST", "/v1/models/MODEL:predict", 403, Origin="http://evil.example"
    ),
    "REST: a stream without a WebSocket": at("GET", "/v1/models/MODEL/stream", 400, 426),
}

"""REST as TensorFlow Serving speaks it: the numbers of the network, and one clear error each."""

import base64
import functools
import json
import pathlib
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image
from serving_networks import (
    NAMES,
    Served,
    alone,
    classes_model,
    compiled_classes,
    image_file,
    picture,
    predicted,
)

from mpvn.serving.server.service import Limits

SIZE = (8, 10, 3)
RNG = np.random.default_rng(4)
CLIPS = RNG.normal(size=(3, 6, *SIZE)).astype("float32")
"""Three streams of six frames."""


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with Served(streams=8, batch=2, wait=0.001) as server:
        yield server


@pytest.fixture(autouse=True)
def fresh(served: Served) -> None:
    for stream in range(-1, 8):
        served.service.engine.reset(stream)


def test_both_formats_equal_the_network_and_tell_the_step(served: Served) -> None:
    """Stream 2 joins two steps late, and rows are in another order then."""
    got: dict[int, list] = {0: [], 1: [], 2: []}
    for step in range(6):
        ids = [0, 1] if step < 2 else [2, 1, 0]
        frames = [CLIPS[each, step].tolist() for each in ids]
        if step % 2:
            body: Any = {"inputs": {"stream_id": ids, "frame": frames}}
            answer = served.predict(body).json()["outputs"]
            columns = zip(*answer.values(), strict=True)
            rows = [dict(zip(answer, each, strict=True)) for each in columns]
        else:
            pairs = zip(ids, frames, strict=True)
            body = {"instances": [{"frame": x, "stream_id": i} for i, x in pairs]}
            rows = served.predict(body).json()["predictions"]
        for each, row in zip(ids, rows, strict=True):
            got[each].append(row)
    for each, rows in got.items():
        shown = CLIPS[each, 6 - len(rows) :]
        expected = alone(compiled_classes(), [*shown])
        np.testing.assert_array_equal([row["step"] for row in rows], range(len(rows)))
        values = np.array([row["logits"] for row in rows], "float32")
        np.testing.assert_allclose(values, expected, atol=1e-6)


def test_reset_ends_streams_and_tells_their_steps(served: Served) -> None:
    for step in range(2):
        inputs = {"stream_id": [5], "frame": CLIPS[:1, step].tolist()}
        served.predict({"signature_name": "step", "inputs": inputs})
    reset = {"signature_name": "reset", "inputs": {"stream_id": [5, 6]}}
    refused = served.predict(reset)
    assert (refused.status_code, "Received: 6." in refused.json()["error"]) == (400, True)
    reset = {"signature_name": "reset", "instances": [5]}
    assert served.predict(reset).json() == {"predictions": [2]}
    assert served.predict(reset).status_code == 400
    inputs = {"stream_id": [5], "frame": CLIPS[:1, 0].tolist()}
    assert served.predict({"inputs": inputs}).json()["outputs"]["step"] == [0]


def test_clips_of_new_streams_equal_the_network(served: Served) -> None:
    body = {"signature_name": "clip", "instances": CLIPS[:2].tolist()}
    answer = np.array(served.predict(body).json()["predictions"])
    for clip, outputs in zip(CLIPS[:2], answer, strict=True):
        np.testing.assert_allclose(outputs, alone(compiled_classes(), [*clip]), atol=1e-6)
    assert served.service.engine.streams == 0


def test_status_and_metadata_are_those_of_tensorflow_serving(served: Served) -> None:
    for path in ("/v1/models/actions", "/v1/models/actions/versions/1"):
        (version,) = served.ask("GET", path).json()["model_version_status"]
        assert (version["version"], version["state"]) == ("1", "AVAILABLE")
    found = served.ask("GET", "/v1/models/actions/metadata").json()
    assert found["model_spec"] == {"name": "actions", "signature_name": "", "version": "1"}
    signatures = found["metadata"]["signature_def"]["signature_def"]
    assert sorted(signatures) == ["clip", "reset", "serving_default", "step"]
    step = signatures["serving_default"]
    assert step["inputs"]["frame"]["dtype"] == "DT_FLOAT"
    dims = [dim["size"] for dim in step["inputs"]["frame"]["tensor_shape"]["dim"]]
    assert dims == ["-1", "8", "10", "3"]
    assert {name: each["dtype"] for name, each in step["outputs"].items()} == {
        "logits": "DT_FLOAT",
        "step": "DT_INT64",
    }
    assert served.ask("GET", "/v1/models").json()["models"][0]["name"] == "actions"


def good(**changes: Any) -> dict[str, Any]:
    """Return a request for stream 1, with changes."""
    return {"inputs": {"stream_id": [1], "frame": CLIPS[:1, 0].tolist(), **changes}}


WRONG: dict[str, tuple[Any, str]] = {
    "no JSON": (b"{", "no JSON"),
    "deep JSON": (b"[" * 100_000, "no JSON"),
    "no object": ([1], "JSON object"),
    "no format": ({"signature_name": "step"}, "neither"),
    "two formats": ({**good(), "instances": [1]}, "instances and inputs"),
    "a signature that is a number": ({**good(), "signature_name": 1}, "Expected a string"),
    "no such signature": ({**good(), "signature_name": "stop"}, "step, reset, clip.*'stop'"),
    "another input": (good(image=[1]), "inputs stream_id, frame. Received: .*image"),
    "an input less": ({"inputs": {"stream_id": [1]}}, "inputs stream_id, frame"),
    "another shape": (good(frame=CLIPS[:1, 0, :7].tolist()), r"\[any, 8, 10, 3\].*\[1, 7, 10, 3\]"),
    "no batch axis": (good(frame=CLIPS[0, 0].tolist()), "Input 'frame'"),
    "ragged lists": (good(frame=[[[1, 2], [1]]]), "lists of equal length"),
    "lists and numbers": (good(frame=[[1, [2]]]), "Received: a list"),
    "lists that would be a large array": (
        good(frame=[[0] * 10**5, *[[]] * 10**5]),
        "lists of equal length",
    ),
    "a long string among short ones": (good(frame=["a" * 10**6] + ["b"] * 10**4), "a string"),
    "deep lists": (good(frame=functools.reduce(lambda x, _: [x], range(90), 1)), "a list"),
    "a number beyond all floats": (good(frame=[10**400]), "numbers of float32"),
    "a long name": ({**good(), "signature_name": "a" * 10**6}, r"aaa \.\.\."),
    "text": (good(frame=[["a"]]), "numbers of float32"),
    "null": (good(frame=[None]), "numbers of float32"),
    "bools": (good(frame=np.ones((1, *SIZE), bool).tolist()), "Received: true or false"),
    "an id with a fraction": (good(stream_id=[1.5]), "int64.*fraction"),
    "an id that is too large": (good(stream_id=[2**64]), "int64"),
    "an id of 64 bits without a sign": (good(stream_id=[2**63]), "int64"),
    "two ids for one frame": (good(stream_id=[1, 2]), "one number of streams.*2"),
    "no streams": (good(stream_id=[], frame=np.ones((0, *SIZE)).tolist()), "Expected"),
    "NaN": (good(frame=np.full((1, *SIZE), np.nan).tolist()), "Stream 1.*finite"),
    "pixels of 0..255": (good(frame=np.full((1, *SIZE), 200.0).tolist()), "'frame'.*of -1..1.*200"),
    "infinity": (good(frame=np.full((1, *SIZE), 1e300).tolist()), "Stream 1.*finite"),
    "duplicates": (good(stream_id=[3, 3], frame=CLIPS[:2, 0].tolist()), "once.*3 several"),
    "too many streams": (
        {"inputs": {"stream_id": [*range(9)], "frame": np.zeros((9, *SIZE)).tolist()}},
        "at most 8 streams",
    ),
    "rows that are no objects": ({"instances": [1, 2]}, "an object with the values"),
    "rows of other inputs": ({"instances": [{"frame": 1}, {"stream_id": 1}]}, "same inputs"),
    "no rows": ({"instances": []}, "list of rows"),
    "a clip without frames": (
        {"signature_name": "clip", "inputs": {"frame": np.ones((1, 0, *SIZE)).tolist()}},
        "Expected",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_each_wrong_request_gets_one_clear_error_and_changes_nothing(
    served: Served, name: str
) -> None:
    body, message = WRONG[name]
    answer = served.predict(body)
    assert answer.status_code == (429 if name == "too many streams" else 400), answer.text
    assert answer.json().keys() == {"error"}
    assert re.search(message, answer.json()["error"], re.DOTALL), answer.json()["error"]
    assert served.service.engine.streams == 0


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/v1/models/others:predict", 404),
        ("POST", "/v1/models/actions/versions/2:predict", 404),
        ("GET", "/v1/models/others/metadata", 404),
        ("GET", "/v1/models/actions/labels/stable", 404),
        ("GET", "/v1/models/actions:predict", 405),
        ("POST", "/v1/models/actions:classify", 404),
        ("GET", "/v1", 404),
        ("GET", "/..%2f..%2fsetup.py", 404),
        ("GET", "/page.py", 404),
        ("GET", "/v1/models/actions/stream", 400),
    ],
)
def test_wrong_addresses_get_one_clear_error(
    served: Served, method: str, path: str, status: int
) -> None:
    answer = served.ask(method, path, data=json.dumps(good()) if method == "POST" else None)
    assert answer.status_code == status
    assert answer.json().keys() == {"error"}


def test_bodies_are_limited(served: Served) -> None:
    with Served(limits=Limits(body=1000)) as small:
        answer = small.predict(good())
        assert (answer.status_code, "1000 bytes" in answer.json()["error"]) == (413, True)
        pieces = iter([b'{"inputs": '] + [b" " * 500] * 9)
        answer = small.ask("POST", "/v1/models/actions:predict", data=pieces)
        assert answer.status_code == 413, "its length was not told before"
        zeros = np.zeros((1, *SIZE), int).tolist()
        fits = json.dumps(good(frame=zeros), separators=(",", ":")).encode()
        assert small.predict(fits).status_code == 200


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_image_files_are_read_as_mpvn_predict_reads_them(kind: str, tmp_path: pathlib.Path) -> None:
    files = [image_file(picture(number, 26, 40), kind) for number in range(5)]
    expected = predicted(tmp_path, files, kind)
    with Served(images="jpeg") as served:
        for number, content in enumerate(files):
            encoded = {"b64": base64.b64encode(content).decode()}
            body = {"inputs": {"stream_id": [1], "frame": [encoded]}}
            answer = served.predict(body).json()["outputs"]
            np.testing.assert_allclose(answer["logits"][0], expected[number], atol=1e-5)
            assert answer["step"] == [number]
            best = np.argsort(-expected[number])[:5]
            assert answer["logits_classes"] == [[NAMES[index] for index in best]]
            shares = np.exp(expected[number]) / np.exp(expected[number]).sum()
            np.testing.assert_allclose(answer["logits_scores"][0], shares[best], atol=1e-5)


def test_pixels_of_any_size_are_cropped_and_scaled() -> None:
    model = classes_model()
    wide = [picture(number, 24, 42) for number in range(4)]
    parts = [Image.fromarray(pixels[:, 6:36]) for pixels in wide]  # 24 x 30, the middle
    small = [np.asarray(part.resize((10, 8), Image.Resampling.BILINEAR)) for part in parts]
    frames = [np.asarray(model.prepare(each), "float32") for each in small]
    expected = alone(compiled_classes(), frames)
    with Served(images="uint8") as served:
        for pixels, outputs in zip(wide, expected, strict=True):
            inputs = {"stream_id": [1], "frame": [pixels.tolist()]}
            answer = served.predict({"inputs": inputs}).json()["outputs"]
            np.testing.assert_allclose(answer["logits"][0], outputs, atol=1e-5)
        wrong = {"stream_id": [1], "frame": [[[[256, 0, 0]]]]}
        assert "uint8" in served.predict({"inputs": wrong}).json()["error"]

"""Published weights by name: downloads from a server of this machine, and all that goes wrong."""

import dataclasses
import gc
import hashlib
import pathlib
import re
from collections.abc import Callable

import pytest
import torch_files
from servers import Answer, serving
from torch_states import CLASSES, WIDTH, mobilenet_state, with_small_kernels

from mpvn.arguments import argument_kinds
from mpvn.data.sets.registry import SETS
from mpvn.models import PUBLISHED, ModelError, load_frame_model, pretrained, weights
from mpvn.models.weights import WEIGHTS, Weights, WeightsError, weights_file

CONTENT = bytes(range(256)) * 40
DIGITS = hashlib.sha256(CONTENT).hexdigest()[:8]
CLOSED = "http://127.0.0.1:9"  # nothing listens there

Publish = Callable[..., pathlib.Path]


@pytest.fixture
def publish(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Publish:
    """Return a function that publishes weights called "mine" and returns where they are kept."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))

    def publish(address: str, digits: str = DIGITS, **others: object) -> pathlib.Path:
        known = {"network": "tsm_mobilenet_v2", "classes": CLASSES, "data": "jester", **others}
        published = Weights(f"{address}/net-{digits}.pth", **known)
        for module in (weights, pretrained):
            monkeypatch.setattr(module, "WEIGHTS", {"mine": published})
        return published.path

    return publish


def test_weights_are_downloaded_once(publish: Publish, tmp_path: pathlib.Path) -> None:
    with serving(Answer(CONTENT)) as server:
        path = publish(server.url())
        assert weights_file("mine") == path == tmp_path / f"keras/models/net-{DIGITS}.pth"
        assert path.read_bytes() == CONTENT
        assert weights_file("mine") == path
        assert len(server.requests) == 1
        assert f"GET /net-{DIGITS}.pth" in server.requests[0]
    assert weights_file(tmp_path / "file.pth") == tmp_path / "file.pth"


NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (Answer(CONTENT[::-1]), f"begins with {DIGITS}. Received: [0-9a-f]{{64}}. Try again, or"),
        (Answer(NOT_FOUND, kind="whole"), "cannot be downloaded. Expected http.* 404 .*Connect"),
        (Answer(CONTENT, sent=5000), "cannot be downloaded"),
        (Answer(CONTENT, sent=5000, kind="chunked"), "cannot be downloaded"),
        (Answer(CONTENT, sent=5000, reset=True), "cannot be downloaded"),
        (Answer(CONTENT, sent=5000, kind="close"), f"begins with {DIGITS}. Received"),
    ],
    ids=["another file", "404", "cut", "cut chunks", "reset", "cut without a length"],
)
@pytest.mark.filterwarnings(  # Python does not close the connection after half a chunk.
    "ignore::pytest.PytestUnraisableExceptionWarning"
)
def test_a_failed_download_leaves_nothing(answer: Answer, message: str, publish: Publish) -> None:
    with serving(answer) as server:
        path = publish(server.url())
        with pytest.raises(WeightsError, match=message) as error:
            weights_file("mine")
    assert f"{server.url()}/net-{DIGITS}.pth" in str(error.value)
    assert f"put it at {path}" in str(error.value)
    assert list(path.parent.iterdir()) == []
    del error
    gc.collect()


def test_a_machine_without_a_network_gets_the_address_and_the_folder(publish: Publish) -> None:
    path = publish(CLOSED)
    with pytest.raises(ModelError, match="weights mine .* Connection refused") as error:
        load_frame_model("tsm_mobilenet_v2", weights="mine")
    assert "\n" not in str(error.value)
    path.write_bytes(CONTENT)  # from elsewhere
    assert weights_file("mine") == path
    path.write_bytes(CONTENT[:-1])
    with pytest.raises(WeightsError, match=f"SHA-256 .* Delete {path} to download it again"):
        weights_file("mine")


def test_published_weights_bring_their_options_and_names(publish: Publish) -> None:
    names = tuple("abcde")
    path = publish(CLOSED, "", options={"shift": False}, names=names, frames=8)
    path.parent.mkdir(parents=True)
    torch_files.write(with_small_kernels(mobilenet_state(online=True)), path)
    loaded = load_frame_model("tsm_mobilenet_v2", 28, "mine", options={"width": WIDTH})
    assert not any("shift" in layer.name for layer in loaded.model.layers)
    assert loaded.metadata.names == {"classes": list(names)}
    assert loaded.metadata.task == "action"
    assert (loaded.metadata.frames, loaded.metadata.sampling) == (8, "segments")
    assert (loaded.metadata.size, loaded.metadata.shorter_side) == ((28, 28), 32)
    assert not loaded.random
    options = {"width": WIDTH, "classes": 7}
    fitted = load_frame_model("tsm_mobilenet_v2", 28, "mine", options=options, loading="fitting")
    assert fitted.remarks == (
        f"the classifier of {CLASSES} classes in {path} is replaced by a random one of 7",
    )
    with pytest.raises(ModelError, match="Expected one of .*Received: weights of tsm_mobilenet_v2"):
        load_frame_model("tsm_resnet50", weights="mine")
    untouched = load_frame_model(
        "tsm_mobilenet_v2", 28, "mine", options={"width": WIDTH}, loading="none"
    )
    assert untouched.model.get_config()["layers"] == loaded.model.get_config()["layers"]


@pytest.mark.parametrize("name", WEIGHTS)
def test_what_is_published_fits_a_network(name: str) -> None:
    """Addresses are not tried. They are those of the READMEs of their authors."""
    published = WEIGHTS[name]
    assert re.fullmatch(r"https://[\w./-]+/[\w.-]+\.pth(\.tar)?", published.address)
    assert bool(published.sha256) == ("hanlab" not in published.address)
    fitting = [key for key in PUBLISHED if name in pretrained.names_of_weights(key)]
    assert fitting
    for key in fitting:
        assert published.options.keys() <= argument_kinds(PUBLISHED[key].build).keys()
    assert published.data in SETS or published.data == "imagenet"
    assert len(published.names) in (0, published.classes)
    assert dataclasses.replace(published, address="https://x/a.pth").sha256 == ""

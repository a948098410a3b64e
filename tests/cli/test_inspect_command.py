"""`mpvn inspect` and the options of `mpvn export`."""

import json
import pathlib
import shutil

import keras
import numpy as np
import pytest
from encoded_videos import encode
from random_weights import randomize

import keras_layers
import mpvn
from mpvn import cli
from mpvn.cli import export
from mpvn.export.description import describe_network, read_description
from mpvn.models.applications import preprocessing
from mpvn.models.loading import LoadedModel
from mpvn.prediction.models import open_model


@pytest.fixture(scope="module")
def network() -> mpvn.VideoNetwork:
    inputs = keras.Input((8, 6, 3), name="video")
    x = keras_layers.TemporalConv3D(4, (2, 3, 3), (2, 2, 2), name="first")(inputs)
    x = keras.layers.GlobalAveragePooling2D(name="mean")(x)
    model = keras.Model(inputs, keras.layers.Dense(2, name="scores-1")(x), name="small")
    randomize(model, np.random.default_rng(2))
    known = mpvn.Metadata(
        task="action", names={"classes": ["go", "stop"]}, fps=12.5, size=(8, 6), pixels="0..1"
    )
    return mpvn.VideoNetwork(model, mpvn.Plan(model, boundaries=["mean"]), metadata=known)


@pytest.fixture(scope="module")
def folder(network: mpvn.VideoNetwork, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A folder with the network, and an export by the command."""
    folder = tmp_path_factory.mktemp("inspected")
    network.save(folder / "n.keras")
    command = f"export {folder}/n.keras {folder}/1 --streams 3 --idle 5 --images jpeg --batch 2"
    assert cli.main(command.split()) == 0
    return folder


def printed(capsys: pytest.CaptureFixture, *arguments: object) -> str:
    assert cli.main(["inspect", *map(str, arguments)]) == 0
    return capsys.readouterr().out


def test_the_page_of_an_export(folder: pathlib.Path, capsys: pytest.CaptureFixture) -> None:
    page = printed(capsys, folder / "1")
    for line in (
        "video_small: tf_saved_model, state on the server",
        "keeps 3 streams; one idle for 5 s may lose its place to a new one",
        "takes pictures (jpeg): 8 x 6, scaled to 0..1",
        "* step (default)\n    input stream_id: int64 (2,)\n    input video: string (2,)",
        "output scores_1: float32 (2, 2)   ('scores-1' in the network)",
        "output scores_1_classes: string (2, 2)",
        "t0_video_past1              576 bytes  float32 (None, 8, 6, 3)",
        "784 bytes per stream: 1,369,568 streams per GiB",
        "subnetwork 0 from first: 1 node at every 2 steps, first at step 0",
        "subnetwork 1 from mean: 2 nodes at every 2 steps, first at step 1",
        "from a frame to the outputs that have seen it: 1 step",
        "2 classes: go, stop",
        "fps: 12.5",
        "* reset\n    input stream_id: int64 (None,)",
        "5 files, all as they were written (SHA-256)",
    ):
        assert line in page


def test_json_is_that_of_the_file(folder: pathlib.Path, capsys: pytest.CaptureFixture) -> None:
    description = json.loads(printed(capsys, folder / "1", "--json"))
    beside = folder / "1" / "assets.extra" / "mpvn.json"
    assert description == json.loads(beside.read_text("utf-8")) == read_description(folder / "1")
    assert description["plan"]["period"] == 2
    assert description["states"]["step"] == {
        "next": None,
        "dtype": "int64",
        "shape": [None],
        "bytes": 8,
    }


def test_networks_that_are_not_exported(
    network: mpvn.VideoNetwork, folder: pathlib.Path, capsys: pytest.CaptureFixture
) -> None:
    description = json.loads(printed(capsys, folder / "n.keras", "--json"))
    assert description == json.loads(json.dumps(describe_network(network)))
    assert description["bytes_per_stream"] == network.plan.cached_bytes + 8
    assert "not exported" in printed(capsys, folder / "n.keras")


def test_a_network_that_looks_into_the_future_has_no_states(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture
) -> None:
    inputs = keras.Input((8, 8, 3))
    outputs = keras_layers.TemporalConv3D(2, 3, temporal_padding="symmetric")(inputs)
    mpvn.VideoNetwork(keras.Model(inputs, outputs)).save(tmp_path / "n.keras")
    page = printed(capsys, tmp_path / "n.keras")
    assert "it looks into the future" in page and "* step" not in page and "bytes" not in page


@pytest.mark.parametrize("what", ["changed", "missing", "description", "old", "above", "nothing"])
def test_what_is_no_longer_as_it_was_written_is_refused(
    what: str, folder: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture
) -> None:
    copy = tmp_path / "copy"
    if what != "nothing":
        shutil.copytree(folder / "1", copy)
    index = copy / "variables" / "variables.index"
    beside = copy / "assets.extra" / "mpvn.json"
    if what == "changed":
        index.write_bytes(index.read_bytes()[:-1] + b"x")
    elif what == "missing":
        index.unlink()
    elif what == "description":
        beside.write_text(beside.read_text()[:100])
    elif what == "old":
        beside.unlink()
    assert cli.main(["inspect", str(tmp_path if what == "above" else copy)]) == 2
    expected = {
        "changed": "variables/variables.index (changed)",
        "missing": "variables/variables.index (missing)",
        "description": "expected what the export wrote",
        "old": "expected an export of mpvn",
        "above": "a folder with copy in it",
        "nothing": "There is no model at",
    }
    assert expected[what] in capsys.readouterr().err


def test_predict_refuses_what_it_cannot_send_frames_to(folder: pathlib.Path) -> None:
    with pytest.raises(ValueError, match="state on the server, which takes whole pictures"):
        open_model(folder / "1")


def test_videos_calibrate_an_export_for_devices(
    folder: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture
) -> None:
    encode(tmp_path / "v.avi", "mpeg4", options={})
    options = f"--format litert --batch any --quantization dynamic --calibrate {tmp_path}/*.avi"
    assert cli.main(f"export {folder}/n.keras {tmp_path}/phone {options}".split()) == 0
    description = read_description(tmp_path / "phone")
    assert description["schedule"]["frames"]["video"]["shape"] == [None, 8, 6, 3]
    assert description["measured"]["steps"] + description["measured"]["held_out"] == 25
    page = printed(capsys, tmp_path / "phone")
    assert "litert, state in and out, one counter" in page


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--format h5", "Invalid format"),
        ("--batch 0", "--batch: expected at least 1, or any"),
        ("--batch many", "Received: many"),
        ("--format onnx --streams 3", "Expected options of the format 'onnx'"),
        ("--format onnx --opset 3", "Invalid opset"),
        ("--format openvino --precision int4", "Invalid precision"),
        ("--format litert --quantization int8", "Expected calibration=clips"),
        ("--classes 2 --images jpeg --pixels 0..1 --streams -1", "Invalid streams"),
    ],
)
def test_options_of_export_that_do_not_fit_are_mistakes(
    options: str, message: str, folder: pathlib.Path, capsys: pytest.CaptureFixture
) -> None:
    assert cli.main(f"export {folder}/n.keras {folder}/new {options}".split()) == 2
    assert message in capsys.readouterr().err
    assert not (folder / "new").exists()


@pytest.mark.parametrize(
    ("name", "pixels"),
    [("MobileNetV2", "-1..1"), ("DenseNet121", "torch"), ("VGG16", "caffe")],
)
def test_the_range_of_a_model_of_keras_is_that_of_its_weights(name: str, pixels: str) -> None:
    """Its network has no metadata, but its module says how to scale pixels."""
    model = keras.Sequential([keras.Input((2, 2, 3))])
    prepare = preprocessing(getattr(keras.applications, name))
    assert export.pixels_of(LoadedModel(model, prepare)) == pixels
    assert export.pixels_of(LoadedModel(model, prepare, guessed=True)) is None

"""`mpvn eval` without a run: a checkpoint, or a saved network, and a folder of videos."""

import csv
import dataclasses
import json
import pathlib
from collections.abc import Sequence

import keras
import numpy as np
import pytest
import torch_files
from command_line import assert_mistake, mpvn
from fake_sets import FakeSet
from marked_videos import marked_set
from torch_states import WIDTH, mobilenet_state, with_small_kernels

from mpvn import Metadata, VideoNetwork
from mpvn.data.sets.folder import folder
from mpvn.data.video.framing import ShorterSide
from mpvn.data.video_set import read_framed
from mpvn.models import load_frame_model
from mpvn.models.weights import WEIGHTS
from mpvn.training.given import in_order_of

CLASSES = ("e", "d", "c", "b", "a")


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A folder for each class, in another order than the network's, with a gray video each."""
    fake = FakeSet(tmp_path_factory.mktemp("clips"))
    for number, name in enumerate(CLASSES):
        fake.video(f"{name}/0.mp4", 20 + 40 * number)
    return fake.root


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    path = tmp_path_factory.mktemp("weights") / "net.pth.tar"
    state = with_small_kernels(mobilenet_state())
    return torch_files.write({"state_dict": state, "meta": {"CLASSES": CLASSES}}, path)


def scores(path: pathlib.Path) -> dict[str, dict[str, float]]:
    """Return the scores by class, by the class of the video."""
    with path.open() as file:
        rows = list(csv.DictReader(file))
    return {
        pathlib.Path(row.pop("video")).parent.name: {key: float(row[key]) for key in row}
        for row in rows
    }


def test_a_checkpoint_is_evaluated_by_views(
    clips: pathlib.Path, weights: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    """Its classes are those of the data by name, whatever their order. A frame of a video is all
    gray, so each crop of it is the same."""
    options = {"width": WIDTH}
    overrides = [f"--config.model.options={json.dumps(options)}", "--config.model.size=32"]
    overrides += ["--config.views.crops=3", "--config.views.scale=40", "--config.views.size=32"]
    network = ("--model", "tsm_mobilenet_v2", "--weights", weights)
    outputs = ("--predictions", tmp_path / "scores.csv", "--json", tmp_path / "metrics.json")
    data = f"--config.data.path={clips}"
    assert mpvn("eval", *network, data, *overrides, "--views", *outputs) == 0
    loaded = load_frame_model("tsm_mobilenet_v2", 32, str(weights), options=options)
    video_network = VideoNetwork(loaded.model)
    found, right = scores(tmp_path / "scores.csv"), 0
    for video in folder(clips).videos:
        name = pathlib.Path(video.name).parent.name
        frames, *_ = read_framed(video, range(8), ShorterSide(40))
        expected = np.mean(video_network(loaded.prepare(frames[:, :32, :32])[None])[0], axis=0)
        assert tuple(found[name]) == CLASSES
        np.testing.assert_allclose(list(found[name].values()), expected, rtol=1e-3, atol=1e-3)
        right += CLASSES[np.argmax(expected)] == name
    metrics = json.loads((tmp_path / "metrics.json").read_text())["metrics"]
    assert metrics["top1"] == pytest.approx(right / len(CLASSES))


def saved_network(
    path: pathlib.Path, classes: Sequence[str] | None, outputs: int = 5
) -> pathlib.Path:
    """Write a network that says the number of the gray level of a frame, and knows `classes`."""
    frame = keras.Input((16, 16, 3))
    level = keras.layers.GlobalAveragePooling2D()(frame)
    dense = keras.layers.Dense(outputs, name="head.logits")
    model = keras.Model(frame, dense(level))
    centers = (20 + 14 + 40 * np.arange(outputs)) / 127.5 - 1  # of the videos' mean levels
    dense.set_weights([np.tile(2 * centers / 3, (3, 1)), -(centers**2)])  # nearest center
    known = None
    if classes is not None:
        known = Metadata(task="action", names={"classes": classes}, frames=4, size=(16, 16))
    VideoNetwork(model, metadata=known).save(path)
    return path


def test_a_saved_network_answers_by_name(clips: pathlib.Path, tmp_path: pathlib.Path) -> None:
    path = saved_network(tmp_path / "network.keras", CLASSES)
    arguments = ("eval", "--model", path, "--data", "folder", f"--config.data.path={clips}")
    assert mpvn(*arguments, "--json", tmp_path / "metrics.json") == 0
    stored = json.loads((tmp_path / "metrics.json").read_text())
    assert stored["metrics"]["accuracy"] == 1
    assert stored["config"]["clip"]["frames"] == 4
    assert stored["config"]["views"]["scale"] == stored["config"]["views"]["size"] == 16
    renamed = saved_network(tmp_path / "renamed.keras", [*CLASSES[1:], "f"])
    assert_mistake(
        r"trained on other classes.*missing: f; new: e",
        *("eval", "--model", renamed, f"--config.data.path={clips}"),
    )
    fewer = saved_network(tmp_path / "fewer.keras", None, outputs=3)
    assert_mistake(
        r"Expected one output of shape \[5\]. Received: \[3\]. The network tells 3 classes apart, "
        r"and the videos are of 5 \(a, b, c, d, e\)",
        *("eval", "--model", fewer, f"--config.data.path={clips}"),
    )


def test_the_order_of_published_classes_is_known(tmp_path: pathlib.Path) -> None:
    """Those of Something-Something V1 are sorted in the lists of TSM's authors, not in its own."""
    network = load_frame_model(saved_network(tmp_path / "network.keras", None, outputs=3))
    video_network = VideoNetwork(network.model)
    videos = dataclasses.replace(marked_set(3), classes=("c", "a", "b"))
    for weights in ("tsm_resnet50_something_v1", WEIGHTS["tsm_resnet101_something_v1"].file):
        assert in_order_of(video_network, videos, weights).classes == ("a", "b", "c")
    assert in_order_of(video_network, videos, "mine.pth").classes == ("c", "a", "b")


def test_a_network_must_be_trained(clips: pathlib.Path, weights: pathlib.Path) -> None:
    arguments = ["eval", "--model", "tsm_mobilenet_v2", f"--config.data.path={clips}"]
    arguments += ["--config.model.size=32", f"--config.model.options.width={WIDTH}"]
    assert_mistake("has random weights.*Add --weights FILE", *arguments)
    assert_mistake("there are no weights 'none.pth'", *arguments, "--weights", "none.pth")
    arguments += ["--weights", weights, "--config.model.options.classes=7"]
    assert_mistake("new_fc.bias: expected shape", *arguments)


def test_what_to_evaluate_is_said_once(weights: pathlib.Path) -> None:
    assert_mistake("Expected the folder of a run, or a network without one", "eval")
    assert_mistake("--weights is of a network without a run", "eval", "--weights", weights)
    assert_mistake("either .* Received: both, run", "eval", "run", "--model", "vgg16")


def test_weights_are_no_model(weights: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    message = "is a file of weights. Expected a model: .* such as tsm_resnet50 with --weights"
    assert_mistake(message, "plan", weights)
    address = "keras.src.applications.mobilenet_v2.BASE_WEIGHT_PATH"
    monkeypatch.setattr(address, "http://127.0.0.1:9/")  # nothing listens there
    assert_mistake(
        "Weights are not on this machine and cannot be downloaded: .*127.0.0.1.* Connect and try",
        *("plan", "MobileNetV2", "--size", 96, "--option", "alpha=0.35", "--weights", "imagenet"),
    )


def test_published_weights_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert mpvn("models", "--weights") == 0
    listed = capsys.readouterr().out
    assert "tsm_resnet50_kinetics400: tsm_resnet50, 400 classes of kinetics400" in listed
    assert "SHA-256 begins with 0676ba61; not downloaded: " in listed

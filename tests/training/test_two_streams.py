"""Runs on RGB and on optical flow, and on clips of several lengths: trained, begun one with the
other, and evaluated together."""

import json
import pathlib

import keras
import numpy as np
import pytest
from ml_collections import ConfigDict
from rendered_video import write_rendered_video

from mpvn import cli
from mpvn.tasks import fuse
from mpvn.training import (
    RunFolder,
    base_config,
    build,
    evaluate,
    evaluate_ensemble,
    recognize_views,
    train,
)
from mpvn.training.build import build_videos

pytest.importorskip("cv2", reason="optical flow is computed by OpenCV: the extra flow")

FLOW = {"data.flow.stack": 3, "data.flow.bound": 2.0}
LONG = {"clip.frames": 6}


def config(**changes: object) -> ConfigDict:
    """Two batches of a narrow Simple-CNN."""
    asked = base_config()
    asked.data.train = {"count": 8, "frames": 12}
    asked.data.evaluation = {"count": 10, "frames": 12}
    asked.clip.frames, asked.clip.sampling, asked.clip.evaluated = 4, "segments", 0
    asked.views.scale = 32
    asked.task.name = "action"
    asked.model.name, asked.model.size = "simple_cnn", 32
    asked.model.options = {"width": 0.1}
    asked.training.steps, asked.training.batch_size = 2, 2
    asked.update_from_flattened_dict(changes)
    return asked


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, RunFolder]:
    """The RGB and the flow stream, and RGB of longer clips."""
    folder = tmp_path_factory.mktemp("runs")
    asked = {"rgb": {}, "flow": FLOW, "long": LONG}
    return {name: train(config(**changes), folder / name) for name, changes in asked.items()}


# --- one stream ---------------------------------------------------------------------------------


def test_a_network_is_trained_on_flow(runs: dict[str, RunFolder]) -> None:
    folder = runs["flow"]
    experiment = build(folder.config(), to_train=False)
    assert experiment.network.frame_model.input_shape == (None, 32, 32, 6)
    (batch, *_) = experiment.evaluation.arrays()
    assert batch["frames"].shape == (2, 4, 32, 32, 6)
    assert 0.05 < np.abs(batch["frames"]).max() <= 1
    found = evaluate(experiment, folder.best)
    last = list(folder.rows())[-1]
    assert found["loss"] == pytest.approx(last["loss"], rel=1e-4)


def test_flow_in_memory_and_on_disk_is_trained_on(tmp_path: pathlib.Path) -> None:
    """A set of files; its pictures lie where the config says, for training and for evaluation."""
    for name in ("jump", "run"):
        (tmp_path / "videos" / name).mkdir(parents=True)
        for number in range(3):
            path = tmp_path / "videos" / name / f"{number}.mp4"
            write_rendered_video(path, 10, (32, 40), seed=number)
    changes = {
        "data.name": "folder",
        "data.path": str(tmp_path / "videos"),
        "data.in_memory": True,
        "data.flow.folder": str(tmp_path / "flow"),
    }
    asked = config(**FLOW, **changes)
    asked.data.train = {"fraction": 0.7}
    asked.data.evaluation = {"split": "val", "fraction": 0.7}
    folder = train(asked, tmp_path / "run")
    assert folder.skipped == {}
    kept = list((tmp_path / "flow").rglob("flow_[xy]_*.jpg"))
    assert {path.parts[len(tmp_path.parts) + 1] for path in kept} == {"dis_2"}
    assert len(kept) % 18 == 0  # x and y of nine pairs of frames
    assert kept


def test_flow_can_be_encoded_itself() -> None:
    """Tasks that predict frames take them as they come."""
    changes = {"task.name": "autoencoding", "model.name": "autoencoder"}
    experiment = build(config(**FLOW, **changes))
    assert experiment.network.frame_model.output_shape == (None, 32, 32, 6)
    found = evaluate(experiment)
    assert np.isfinite(found["psnr"])
    (batch, *_) = experiment.evaluation.arrays()
    frame = batch["frames"][0, 0]
    assert experiment.task.picture(frame, frame, frame).shape[-1] == 3


def test_the_report_of_a_run_on_flow_says_what_is_seen(
    runs: dict[str, RunFolder], tmp_path: pathlib.Path
) -> None:
    from mpvn.report.run import write_run_report

    for name, says in (("flow", True), ("rgb", False)):
        folder = runs[name]
        report = write_run_report(folder, build(folder.config(), to_train=False)).read_text()
        assert ("Frames are optical flow: the color is the direction" in report) == says


def test_the_flow_stream_begins_with_the_rgb_stream(runs: dict[str, RunFolder]) -> None:
    """*Temporal Segment Networks*, section 3.2: the mean over RGB, for each channel of flow."""
    rgb = keras.saving.load_model(runs["rgb"].network, compile=False).frame_model
    network = build(config(**FLOW, **{"model.initial": str(runs["rgb"].path)})).network
    (first, *others) = (layer for layer in network.frame_model.layers if layer.weights)
    kernel = np.asarray(rgb.get_layer(first.name).kernel)
    assert kernel.shape[2] == 3
    expected = kernel.mean(axis=2, keepdims=True).repeat(6, axis=2)
    np.testing.assert_allclose(first.kernel, expected, rtol=1e-6)
    for layer in others:
        theirs = rgb.get_layer(layer.name).get_weights()
        for ours, their in zip(layer.get_weights(), theirs, strict=True):
            np.testing.assert_array_equal(ours, their)


def test_weights_for_other_pixels_are_refused(runs: dict[str, RunFolder]) -> None:
    """A layer before the first brings pixels to what weights were made for: left out, they would be
    of little use, and nobody would know."""
    other = {"model.initial": str(runs["rgb"].path), "model.pixels": "0..255"}
    with pytest.raises(ValueError, match="for other pixels.* brought to nothing else, and here to"):
        build(config(**other))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"augmentation.hue": 0.1}, "expected RGB frames to change colors.* Set to 0: hue"),
        ({"data.flow.method": "brox"}, "method: expected one of dis, tvl1. Received: 'brox'"),
    ],
)
def test_a_config_that_does_not_fit_is_refused(changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(config(**FLOW | changes))


def test_without_a_stack_there_is_no_flow() -> None:
    assert build_videos(config(**{"data.flow.method": "tvl1"}), "train").channels == 3


# --- several ------------------------------------------------------------------------------------


def test_several_networks_answer_together(runs: dict[str, RunFolder]) -> None:
    experiments = [build(folder.config(), to_train=False) for folder in runs.values()]
    checkpoints = [folder.best for folder in runs.values()]
    each, together = evaluate_ensemble(experiments, checkpoints, [1, 1.5, 0.5])
    alone = [
        recognize_views(experiment, folder.best)
        for experiment, folder in zip(experiments, runs.values(), strict=True)
    ]
    for found, expected in zip(each, alone, strict=True):
        np.testing.assert_allclose(found.scores, expected.scores, rtol=1e-5)
    rgb, flow, long = (found.scores for found in alone)
    assert np.abs(rgb - flow).max() > 1e-3
    expected = (rgb + 1.5 * flow + 0.5 * long) / 3
    np.testing.assert_allclose(together.scores, expected, rtol=1e-4, atol=1e-6)


def run(*arguments: str) -> int:
    return cli.main(arguments)


def test_the_command_evaluates_several_runs_and_all_together(
    runs: dict[str, RunFolder], tmp_path: pathlib.Path, capsys: pytest.CaptureFixture
) -> None:
    paths = [str(folder.path) for folder in runs.values()]
    results = tmp_path / "results.json"
    options = ["--views", "--fusion-weights", "1,1.5,1", "--config.views.clips=2"]
    assert run("eval", *paths, *options, "--json", str(results)) == 0
    said = capsys.readouterr().out
    assert [said.index(path + "\n") for path in paths] == sorted(said.index(p) for p in paths)
    assert "fused, weights 1, 1.5, 1" in said
    stored = json.loads(results.read_text())
    assert [row["run"] for row in stored["runs"]] == paths
    assert [row["config"]["clip"]["frames"] for row in stored["runs"]] == [4, 4, 6]
    assert [row["config"]["data"]["flow"]["stack"] for row in stored["runs"]] == [0, 3, 0]
    assert all(row["config"]["views"]["clips"] == 2 for row in stored["runs"])
    assert stored["fusion_weights"] == [1, 1.5, 1]
    recognitions = []
    for folder in runs.values():
        own = folder.config()
        own.views.clips = 2
        recognitions.append(recognize_views(build(own, to_train=False), folder.best))
    for row, found in zip(stored["runs"], recognitions, strict=True):
        assert row["metrics"] == pytest.approx(found.metrics())
    assert stored["metrics"] == pytest.approx(fuse(recognitions, [1, 1.5, 1]).metrics())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rgb", "flow"], "several runs are fused by what they say of views: give --views, too"),
        (["rgb", "--fusion-weights", "1"], "give --views, too"),
        (["rgb", "flow", "--early", "early.svg"], "give --views, too"),
        (["rgb", "flow", "--views", "--activations", "seen"], "--activations is of one run"),
        (["rgb", "flow", "--views", "--fusion-weights", "1,2,3"], "expected 2 weights"),
        (["rgb", "flow", "--views", "--fusion-weights", "1,x"], "numbers such as 1,1.5, got '1,x'"),
        (["rgb", "nowhere", "--views"], "nowhere is no folder of a run"),
    ],
)
def test_mistakes_of_the_command_are_plain(
    runs: dict[str, RunFolder],
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture,
) -> None:
    paths = [str(runs[name].path) if name in runs else name for name in arguments]
    assert run("eval", *paths) == cli.EXIT_MISTAKE
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data.evaluation.seed": 7}, "only networks that are asked about the same videos"),
        ({"data.evaluation.count": 9}, "of 10 videos, and .* of 9, which differ"),
        (
            {"data.train.directions": False, "data.evaluation.directions": False},
            "only networks of the same classes can be fused",
        ),
        ({"task.options": {"average": "probabilities"}}, "Received: logits and probabilities"),
    ],
)
def test_networks_that_cannot_be_compared_are_refused(changes: dict, message: str) -> None:
    asked = config()
    asked.data.evaluation = {**asked.data.evaluation, "seed": 0}
    other = config()
    for key, value in changes.items():
        part, _, name = key.rpartition(".")
        tree = other
        for word in part.split("."):
            tree = tree[word]
        with tree.unlocked():
            tree[name] = value
    experiments = [build(asked, to_train=False), build(other, to_train=False)]
    with pytest.raises(ValueError, match=message):
        evaluate_ensemble(experiments, [None, None])

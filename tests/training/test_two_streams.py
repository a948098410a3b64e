"""Runs on RGB and on optical flow, and on clips of several lengths, alone and together."""

import json
import pathlib
import re
from typing import Any

import keras
import numpy as np
import pytest
from ml_collections import ConfigDict
from rendered_video import write_rendered_video
from small_runs import small_config, untrained_run

from mpvn import cli
from mpvn.tasks import fuse
from mpvn.training import (
    RunFolder,
    build,
    evaluate,
    evaluate_ensemble,
    evaluate_views,
    override,
    train,
)
from mpvn.training.build.videos import build_videos

pytest.importorskip("cv2", reason="optical flow is computed by OpenCV: the extra flow")

FLOW = {"data.flow.stack": 3, "data.flow.bound": 2.0}
LONG = {"clip.frames": 6}


def config(**changes: Any) -> ConfigDict:
    config = small_config(
        clip__frames=4, clip__sampling="segments", clip__evaluated=None, views__scale=32
    )
    config.model.size = 32
    config.data.train.frames = 12
    config.data.evaluation = {"count": 10, "frames": 12}
    config.training.steps = config.training.evaluate_every = 2
    config.update_from_flattened_dict(changes)
    return config


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, RunFolder]:
    """A trained flow stream; an RGB stream and one of longer clips with their initial weights."""
    folder = tmp_path_factory.mktemp("runs")
    return {
        "rgb": untrained_run(folder / "rgb", config()),
        "flow": train(config(**FLOW), folder / "flow"),
        "long": untrained_run(folder / "long", config(**LONG)),
    }


# --- one stream ---------------------------------------------------------------------------------


@pytest.mark.usefixtures("eager")
def test_a_network_is_trained_on_flow(runs: dict[str, RunFolder]) -> None:
    folder = runs["flow"]
    experiment = build(folder.config(), to_train=False)
    assert experiment.network.frame_model.input_shape == (None, 32, 32, 6)
    (batch, *_) = experiment.evaluation.arrays()
    assert batch["frames"].shape == (2, 4, 32, 32, 6)
    assert 0.05 < np.abs(batch["frames"]).max() <= 1
    *_, last = folder.rows()
    assert evaluate(experiment, folder.best)["loss"] == pytest.approx(last["loss"], rel=1e-4)


def test_flow_of_files_is_cached_in_memory_and_on_disk(tmp_path: pathlib.Path) -> None:
    """The flow images are where the config says, for training and for evaluation."""
    for name in ("jump", "run"):
        (tmp_path / "videos" / name).mkdir(parents=True)
        for number in range(3):
            path = tmp_path / "videos" / name / f"{number}.mp4"
            write_rendered_video(path, 10, (32, 40), seed=number)
    changed = config(**FLOW)
    changed.data.name, changed.data.path = "folder", str(tmp_path / "videos")
    changed.data.in_memory = True
    changed.data.flow.folder = str(tmp_path / "flow")
    changed.data.train = {"fraction": 0.7}
    changed.data.evaluation = {"split": "val", "fraction": 0.7}
    experiment = build(changed)
    for pipeline in (experiment.training, experiment.evaluation):
        (batch,) = pipeline.dataset(batches=1)
        assert batch["frames"].shape[1:] == (4, 32, 32, 6)
        assert not pipeline.skipped
    images = list((tmp_path / "flow").rglob("flow_[xy]_*.jpg"))
    assert {path.parts[len(tmp_path.parts) + 1] for path in images} == {"dis_2"}
    assert images
    assert len(images) % 18 == 0  # x and y of nine pairs of frames


@pytest.mark.usefixtures("eager")
def test_flow_can_be_auto_encoded() -> None:
    """Tasks that predict frames take any number of channels."""
    changed = config(**FLOW, **{"task.name": "autoencoding", "model.name": "autoencoder"})
    changed.model.options = {"width": 0.1}
    experiment = build(changed)
    assert experiment.network.frame_model.output_shape == (None, 32, 32, 6)
    assert np.isfinite(evaluate(experiment)["psnr"])
    (batch, *_) = experiment.evaluation.arrays()
    frame = batch["frames"][0, 0]
    assert experiment.task.picture(frame, frame, frame).shape[-1] == 3


@pytest.mark.usefixtures("eager")
def test_the_report_of_a_run_explains_optical_flow(
    runs: dict[str, RunFolder], tmp_path: pathlib.Path
) -> None:
    from mpvn.report.run import write_run_report

    for name, says in (("flow", True), ("rgb", False)):
        folder = runs[name]
        report = write_run_report(folder, build(folder.config(), to_train=False)).read_text()
        assert ("Frames are optical flow: color shows direction" in report) == says


def test_the_flow_stream_starts_from_the_rgb_stream(runs: dict[str, RunFolder]) -> None:
    """*Temporal Segment Networks*, section 3.2: the mean over RGB, for each channel of flow."""
    rgb = keras.saving.load_model(runs["rgb"].network, compile=False).frame_model
    network = build(config(**FLOW, **{"model.initial": str(runs["rgb"].path)})).network
    (first, *others) = (layer for layer in network.frame_model.layers if layer.weights)
    kernel = np.asarray(rgb.get_layer(first.name).kernel)
    assert kernel.shape[2] == 3
    expected = kernel.mean(axis=2, keepdims=True).repeat(6, axis=2)
    np.testing.assert_allclose(first.kernel, expected, rtol=1e-6)
    for layer in others:
        source = rgb.get_layer(layer.name).get_weights()
        for value, expected in zip(layer.get_weights(), source, strict=True):
            np.testing.assert_array_equal(value, expected)


def test_weights_for_other_pixels_are_refused(runs: dict[str, RunFolder]) -> None:
    """Weights trained on another range of pixels used to load silently and be of little use."""
    other = {"model.initial": str(runs["rgb"].path), "model.pixels": "0..255"}
    with pytest.raises(ValueError, match="for other pixels. Expected .* Received: nothing"):
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


def test_an_ensemble_is_the_weighted_mean_of_its_networks(runs: dict[str, RunFolder]) -> None:
    experiments = [build(folder.config(), to_train=False) for folder in runs.values()]
    checkpoints = [folder.best for folder in runs.values()]
    each, together = evaluate_ensemble(experiments, checkpoints, [1, 1.5, 0.5])
    alone = [
        evaluate_views(experiment, folder.best)
        for experiment, folder in zip(experiments, runs.values(), strict=True)
    ]
    for recognition, expected in zip(each, alone, strict=True):
        np.testing.assert_allclose(recognition.scores, expected.scores, rtol=1e-5)
    rgb, flow, long = (recognition.scores for recognition in alone)
    assert np.abs(rgb - flow).max() > 1e-3
    expected = (rgb + 1.5 * flow + 0.5 * long) / 3
    np.testing.assert_allclose(together.scores, expected, rtol=1e-4, atol=1e-6)


def test_the_command_evaluates_several_runs_and_all_together(
    runs: dict[str, RunFolder], tmp_path: pathlib.Path, capsys: pytest.CaptureFixture
) -> None:
    paths = [str(folder.path) for folder in runs.values()]
    results = tmp_path / "results.json"
    options = ["--views", "--fusion-weights", "1,1.5,1", "--config.views.clips=2"]
    assert cli.main(["eval", *paths, *options, "--json", str(results)]) == 0
    printed = capsys.readouterr().out
    places = [printed.index(path + "\n") for path in paths]
    assert places == sorted(places)
    assert "fused, weights 1, 1.5, 1" in printed
    stored = json.loads(results.read_text())
    assert [row["run"] for row in stored["runs"]] == paths
    assert [row["config"]["clip"]["frames"] for row in stored["runs"]] == [4, 4, 6]
    assert [row["config"]["data"]["flow"]["stack"] for row in stored["runs"]] == [None, 3, None]
    assert all(row["config"]["views"]["clips"] == 2 for row in stored["runs"])
    assert stored["fusion_weights"] == [1, 1.5, 1]
    recognitions = []
    for folder in runs.values():
        changed = folder.config()
        changed.views.clips = 2
        recognitions.append(evaluate_views(build(changed, to_train=False), folder.best))
    for row, recognition in zip(stored["runs"], recognitions, strict=True):
        assert row["metrics"] == pytest.approx(recognition.metrics())
    assert stored["metrics"] == pytest.approx(fuse(recognitions, [1, 1.5, 1]).metrics())


def test_the_command_draws_activations_and_costs_of_several_runs(
    runs: dict[str, RunFolder], tmp_path: pathlib.Path, capsys: pytest.CaptureFixture
) -> None:
    paths = [str(folder.path) for folder in runs.values()]
    seen, cost = tmp_path / "seen", tmp_path / "cost.svg"
    assert cli.main(["eval", *paths, "--activations", str(seen), "--highlight", "20"]) == 0
    assert sorted(path.name for path in seen.glob("*.png")) == ["0.png", "1.png", "2.png"]
    assert "top1" not in capsys.readouterr().out
    assert cli.main(["eval", *paths[::2], "--views", "--cost", str(cost)]) == 0
    circles = re.findall(r">((?:rgb|long|fused), [\d.]+) M<", cost.read_text())
    parameters = {name: float(number) for name, number in (text.split(", ") for text in circles)}
    assert parameters["fused"] == pytest.approx(2 * parameters["rgb"], rel=0.01)
    assert parameters["long"] == parameters["rgb"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rgb", "flow"], "several runs are fused by their scores for views, or compared"),
        (["rgb", "--fusion-weights", "1"], "Add --views"),
        (["rgb", "flow", "--early", "early.svg", "--fusion-weights", "1,2"], "Add --views"),
        (["rgb", "flow", "--activations", "seen", "--json", "a.json"], "Add --views"),
        (["rgb", "flow", "--cost", "cost.svg", "--activations", "seen"], "Add --views"),
        (["rgb", "--cost", "cost.svg"], "all views of a video. Add --views"),
        (["rgb", "--highlight", "20"], "Add --activations FOLDER"),
        (["rgb", "flow", "--views", "--fusion-weights", "1,2,3"], "Expected 2 weights"),
        (
            ["rgb", "flow", "--views", "--fusion-weights", "1,x"],
            "such as 1,1.5. Received: '1,x'",
        ),
        (["rgb", "nowhere", "--views"], "nowhere is not the folder of a run"),
    ],
)
def test_the_command_explains_mistakes(
    runs: dict[str, RunFolder],
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture,
) -> None:
    paths = [str(runs[name].path) if name in runs else name for name in arguments]
    assert cli.main(["eval", *paths]) == cli.EXIT_MISTAKE
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data.evaluation.seed": 7}, "only if they are evaluated on the same videos"),
        ({"data.evaluation.count": 9}, "10 of .* and 9 of"),
        (
            {"data.train.directions": False, "data.evaluation.directions": False},
            "only if they have the same classes",
        ),
        ({"task.options.average": "probabilities"}, "Received: logits and probabilities"),
    ],
)
def test_networks_that_cannot_be_compared_are_refused(changes: dict, message: str) -> None:
    first, second = config(), config()
    for each in (first, second):
        each.data.evaluation.seed = 0
    overrides = [f"--config.{key}={value}" for key, value in changes.items()]
    experiments = [build(each, to_train=False) for each in (first, override(second, overrides))]
    with pytest.raises(ValueError, match=message):
        evaluate_ensemble(experiments, [None, None])

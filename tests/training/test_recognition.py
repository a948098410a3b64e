"""Evaluation of action recognition by views, and by the share of a video that was seen."""

import dataclasses
import json
import pathlib
import xml.etree.ElementTree as ET
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from ml_collections import ConfigDict
from small_runs import small_config, untrained_run

from mpvn import VideoNetwork, cli
from mpvn.data.video_set import read_framed
from mpvn.models import tsm_mobilenet_v2
from mpvn.models.surgery.rebuild import with_frame_size
from mpvn.training import RunFolder, build, evaluate, evaluate_early, evaluate_views

ONLINE = {"width": 0.1, "temporal_padding": "causal"}


def config(**changes: Any) -> ConfigDict:
    config = small_config(
        clip__frames=4,
        clip__sampling="segments",
        clip__evaluated=None,
        views__scale=32,
        model__size=32,
    )
    config.data.evaluation = {"count": 6, "frames": 12}
    config.update_from_flattened_dict(changes)
    return config


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return untrained_run(tmp_path_factory.mktemp("runs") / "run", config())


# --- views --------------------------------------------------------------------------------------


def test_one_view_of_the_whole_frame_is_the_ordinary_evaluation(run: RunFolder) -> None:
    """Frames of the network's size and central clips: the same clips, so the same accuracy."""
    experiment = build(run.config())
    recognition = evaluate_views(experiment, run.best)
    assert recognition.numbers.tolist() == list(range(6))
    clips = [batch["frames"] for batch in experiment.evaluation.arrays()]
    logits = [np.asarray(experiment.network(batch)) for batch in clips]
    expected = np.concatenate(logits).mean(axis=1)
    np.testing.assert_allclose(recognition.scores, expected, rtol=1e-4, atol=1e-5)
    metrics = evaluate(experiment)
    assert recognition.metrics()["top1"] == pytest.approx(metrics["clip_top1"])


TWO_CLIPS = [1, 4, 7, 10, 0, 3, 6, 9]
"""Of 12 frames: the centers of four parts, and their first frames."""


@pytest.mark.usefixtures("few_blocks")
def test_views_of_another_size_go_through_the_same_weights() -> None:
    changed = config(**{"views.clips": 2, "views.scale": 48, "plan.subnetworks": 3})
    changed.model.name, changed.model.options = "tsm_mobilenet_v2", ONLINE
    experiment = build(changed)
    (video, *_) = experiment.evaluation.videos.videos
    recognition = evaluate_views(experiment, batch_size=2)
    network = experiment.network
    model = tsm_mobilenet_v2((48, 48, 3), classes=10, **ONLINE)
    model.set_weights(network.frame_model.get_weights())
    larger = VideoNetwork(model, network.plan.over(model))
    frames = read_framed(video, range(12), experiment.views.framing).frames
    clips = tf.stack(list(experiment.views.of(frames[TWO_CLIPS])))
    expected = np.asarray(larger(clips)).mean(axis=(0, 1))
    np.testing.assert_allclose(recognition.scores[0], expected, rtol=1e-3, atol=1e-4)


def test_a_network_for_one_frame_size_is_refused() -> None:
    frame = keras.Input((8, 8, 3), name="frame")
    x = keras.layers.Flatten(name="flat")(frame)
    model = keras.Model(frame, keras.layers.Dense(2, name="dense")(x), name="rigid")
    with pytest.raises(
        ValueError, match="'rigid' was built for frames of 8x8, .*accept frames of 8x12"
    ):
        with_frame_size(model, (8, 12))


# --- early answers ------------------------------------------------------------------------------


def test_early_answers_are_means_over_the_steps_so_far() -> None:
    """Of 4 steps the first does not count: 10 to 30 % are 1 of 3, 40 to 60 % are 2."""
    experiment = build(config(**{"task.latency": 1}))
    curve = evaluate_early(experiment)
    correct = np.zeros(4)
    for batch in experiment.evaluation.arrays():
        logits = np.asarray(experiment.network(batch["frames"]))[:, 1:]
        for outputs, label in zip(logits, batch["label"], strict=True):
            for seen in (1, 2, 3):
                correct[seen] += outputs[:seen].mean(axis=0).argmax() == label
    seen_by_percent = {p: -(-3 * p // 100) for p in range(10, 101, 10)}
    assert curve == pytest.approx({p: correct[seen] / 6 for p, seen in seen_by_percent.items()})

    videos = experiment.evaluation.videos
    lengths = [
        dataclasses.replace(video, frame_count=8 + n) for n, video in enumerate(videos.videos)
    ]
    whole = build(config(**{"clip.evaluated": 250}))
    whole.evaluation.videos = dataclasses.replace(videos, videos=lengths)
    assert list(evaluate_early(whole)) == list(range(10, 101, 10))


def test_networks_that_cannot_answer_are_refused() -> None:
    changed = config(**{"model.name": "tsm_mobilenet_v2"})
    changed.model.options = {**ONLINE, "temporal_padding": "symmetric"}
    with pytest.raises(ValueError, match="looks into the future"):
        evaluate_early(build(changed))
    changed = config(**{"task.name": "autoencoding", "model.name": "autoencoder"})
    changed.model.options = {"width": 0.1}
    other = build(changed)
    for call in (evaluate_early, evaluate_views):
        with pytest.raises(ValueError, match="config.task.name=action.*Received: Autoencoding"):
            call(other)


@pytest.mark.usefixtures("few_blocks")
def test_early_answers_of_trn_are_its_outputs_after_the_frames_seen() -> None:
    """25 % of 4 frames are one, 40 % are 2."""
    changed = config(**{"model.name": "trn_mobilenet_v2"})
    changed.model.options = {"width": 0.1, "frames": 4}
    changed.task.options = {"answer": "last"}
    experiment = build(changed)
    correct = np.zeros(5)
    for batch in experiment.evaluation.arrays():
        logits = np.asarray(experiment.network(batch["frames"]))
        for outputs, label in zip(logits, batch["label"], strict=True):
            correct[1:] += outputs.argmax(-1) == label
    seen_by_percent = {p: -(-4 * p // 100) for p in range(10, 101, 10)}
    curve = evaluate_early(experiment)
    assert curve == pytest.approx({p: correct[seen] / 6 for p, seen in seen_by_percent.items()})
    changed.model.options.frames = 3
    with pytest.raises(ValueError, match="see 3 frames. Expected .*at most 3.*Received: 4"):
        build(changed)


def test_trainers_that_learn_at_every_step_do_not_take_the_last_answer_alone() -> None:
    changed = config(**{"training.trainer": "bp"})
    changed.task.options = {"answer": "last"}
    with pytest.raises(ValueError, match="answer: 'last' leaves.*trainer=None. Received: bp"):
        build(changed)


# --- the command --------------------------------------------------------------------------------


def test_the_command_evaluates_by_views_and_early(
    run: RunFolder, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture
) -> None:
    folder, results = str(run.path), tmp_path / "results.json"
    views = ["--config.views.clips=2", "--config.views.crops=3", "--config.views.size=32"]
    assert cli.main(["eval", folder, "--views", *views, "--json", str(results)]) == 0
    stored = json.loads(results.read_text())
    assert list(stored["metrics"]) == ["top1", "top5", "class_accuracy"]
    assert stored["config"]["views"] == {"clips": 2, "crops": 3, "size": 32, "scale": 32}
    assert "class_accuracy" in capsys.readouterr().out
    figure = tmp_path / "early.svg"
    assert cli.main(["eval", folder, "--early", str(figure)]) == 0
    printed = capsys.readouterr().out
    assert f"written to {figure}" in printed
    assert "accuracy at 10 % " in printed
    assert "accuracy at 100 %" in printed
    ET.parse(figure)
    assert cli.main(["eval", folder, f"{folder}/", "--early", str(figure)]) == 0
    texts = {text.text for text in ET.parse(figure).iter("{http://www.w3.org/2000/svg}text")}
    assert {folder, f"{folder}/"} <= texts
    assert capsys.readouterr().out.count("accuracy at 100 %") == 2
    assert cli.main(["eval", folder, "--views", "--config.views.crops=3"]) == cli.EXIT_MISTAKE
    assert "size=None is the whole frame" in capsys.readouterr().err

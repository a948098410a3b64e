"""Evaluation of runs by views and by the share of videos that was seen."""

import dataclasses
import json
import pathlib
import xml.etree.ElementTree as ET

import keras
import numpy as np
import pytest
import tensorflow as tf
from ml_collections import ConfigDict

from mpvn import VideoNetwork, cli
from mpvn.data.clips.sampling import Consecutive, Dense, Segments
from mpvn.models import tsm_mobilenet_v2
from mpvn.models.surgery.rebuild import with_frame_size
from mpvn.training import base_config, build, evaluate, evaluate_early, recognize_views, train
from mpvn.training.build import build_pipeline, build_videos, build_views


def config(**changes: object) -> ConfigDict:
    """Two batches of a narrow online TSM."""
    asked = base_config()
    asked.data.train = {"count": 8, "frames": 12}
    asked.data.evaluation = {"count": 6, "frames": 12}
    asked.clip.frames, asked.clip.sampling, asked.clip.evaluated = 4, "segments", 0
    asked.views.scale = 32
    asked.task.name = "action"
    asked.model.name, asked.model.size = "tsm_mobilenet_v2", 32
    asked.model.options = {"width": 0.1, "temporal_padding": "causal"}
    asked.training.steps, asked.training.batch_size = 2, 2
    asked.update_from_flattened_dict(changes)
    return asked


# --- what a config says -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sampling", "training", "evaluation"),
    [
        ("consecutive", Consecutive(4, short="loop"), Consecutive(4, place="center", short="loop")),
        ("segments", Segments(4, short="loop"), Segments(4, "center", "loop")),
        ("dense", Dense(4, 8, short="loop"), Dense(4, 8, "center", "loop")),
    ],
)
def test_clips_are_random_in_training_and_in_the_center_otherwise(
    sampling: str, training: object, evaluation: object
) -> None:
    changes = {"clip.sampling": sampling, "clip.window": 8, "clip.short": "loop"}
    asked = config(**changes, **{"views.clips": 3, "views.crops": 5, "views.size": 24})
    videos = build_videos(asked, "train")
    assert build_pipeline(asked, videos, training=True).sampling == training
    assert build_pipeline(asked, videos, training=False).sampling == evaluation
    views = build_views(asked)
    assert views.sampling == evaluation
    assert (views.clips, views.crops, views.size, views.scale) == (3, 5, (24, 24), 32)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"clip.sampling": "random"}, "known are consecutive, segments, dense. .*'random'"),
        ({"clip.stride": 2}, "are of sampling consecutive.* segments, stride 2, fps 0"),
        ({"clip.sampling": "dense", "clip.fps": 8.0}, "dense, stride 1, fps 8"),
        ({"clip.sampling": "dense", "clip.window": 10}, "window: expected a multiple of frames"),
        ({"views.clips": 0}, "count: expected an int of at least 1"),
        ({"views.crops": 3}, "crops: expected 1, because size=None is the whole frame"),
        ({"views.crops": 4, "views.size": 24}, "crops: expected one of 1, 3, 5, 10"),
        ({"views.size": 48}, "at most scale.*size=.48, 48., scale=32"),
    ],
)
def test_a_config_that_does_not_fit_is_refused(changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_views(config(**changes))


# --- views --------------------------------------------------------------------------------------


def test_one_view_of_the_whole_frame_is_the_ordinary_evaluation(tmp_path: pathlib.Path) -> None:
    """Frames of the network's own size, clips in the center: the same clips, so the same share."""
    folder = train(config(), tmp_path / "run")
    experiment = build(folder.config())
    found = recognize_views(experiment, folder.best)
    assert found.numbers.tolist() == list(range(6))
    clips = [batch["frames"] for batch in experiment.evaluation.arrays()]
    logits = [np.asarray(experiment.network(batch)) for batch in clips]
    expected = np.concatenate(logits).mean(axis=1)
    np.testing.assert_allclose(found.scores, expected, rtol=1e-4, atol=1e-5)
    metrics = evaluate(build(folder.config()), folder.best)
    assert found.metrics()["top1"] == pytest.approx(metrics["clip_top1"])


TWO_CLIPS = [1, 4, 7, 10, 0, 3, 6, 9]
"""Of 12 frames: the centers of four parts, and their first frames."""


def test_views_of_another_size_go_through_the_same_weights() -> None:
    experiment = build(config(**{"views.clips": 2, "views.scale": 48, "plan.subnetworks": 3}))
    (video, *_) = experiment.evaluation.videos.videos
    found = recognize_views(experiment, batch_size=1)
    own = experiment.network
    model = tsm_mobilenet_v2((48, 48, 3), classes=10, **config().model.options)
    model.set_weights(own.frame_model.get_weights())
    network = VideoNetwork(model, own.plan.over(model))
    clips = tf.stack(list(experiment.views.of(video.read(range(12))[TWO_CLIPS])))
    expected = np.asarray(network(clips)).mean(axis=(0, 1))
    np.testing.assert_allclose(found.scores[0], expected, rtol=1e-3, atol=1e-4)


def test_a_network_of_one_size_says_so() -> None:
    frame = keras.Input((8, 8, 3), name="frame")
    x = keras.layers.Flatten(name="flat")(frame)
    model = keras.Model(frame, keras.layers.Dense(2, name="dense")(x), name="rigid")
    with pytest.raises(
        ValueError, match="'rigid' was built for frames of 8x8, .*accept frames of 8x12"
    ):
        with_frame_size(model, (8, 12))


# --- early answers ------------------------------------------------------------------------------


def test_early_answers_are_means_over_the_steps_so_far() -> None:
    """4 steps of which the first does not count: 10 to 30 % are 1 of 3, 40 to 60 % are 2."""
    experiment = build(config(**{"task.latency": 1}))
    curve = evaluate_early(experiment)
    right = np.zeros(4)
    for batch in experiment.evaluation.arrays():
        logits = np.asarray(experiment.network(batch["frames"]))[:, 1:]
        for said, label in zip(logits, batch["label"], strict=True):
            for seen in (1, 2, 3):
                right[seen] += said[:seen].mean(axis=0).argmax() == label
    seen_by_percent = {p: -(-3 * p // 100) for p in range(10, 101, 10)}
    assert curve == pytest.approx({p: right[seen] / 6 for p, seen in seen_by_percent.items()})


def test_whole_videos_of_other_lengths_answer_early() -> None:
    experiment = build(config(**{"clip.evaluated": 250}))
    lengths = [dataclasses.replace(v, frame_count=8 + n) for n, v in
               enumerate(experiment.evaluation.videos.videos)]  # fmt: skip
    videos = dataclasses.replace(experiment.evaluation.videos, videos=lengths)
    experiment.evaluation.videos = videos
    assert list(evaluate_early(experiment)) == list(range(10, 101, 10))


def test_what_cannot_answer_is_refused() -> None:
    offline = build(config(**{"model.options.temporal_padding": "symmetric"}))
    with pytest.raises(ValueError, match="looks into the future"):
        evaluate_early(offline)
    other = build(config(**{"task.name": "autoencoding", "model.name": "autoencoder",
                            "model.options": {}}))  # fmt: skip
    for ask in (evaluate_early, recognize_views):
        with pytest.raises(ValueError, match="config.task.name=action. Received: Autoencoding"):
            ask(other)


# --- the command --------------------------------------------------------------------------------


def run(*arguments: str) -> int:
    return cli.main(arguments)


def test_the_command_evaluates_by_views_and_early(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture
) -> None:
    folder = str(train(config(), tmp_path / "run").path)
    results = tmp_path / "results.json"
    views = ["--config.views.clips=2", "--config.views.crops=3", "--config.views.size=32"]
    assert run("eval", folder, "--views", *views, "--json", str(results)) == 0
    stored = json.loads(results.read_text())
    assert list(stored["metrics"]) == ["top1", "top5", "class_accuracy"]
    assert stored["config"]["views"] == {"clips": 2, "crops": 3, "size": 32, "scale": 32}
    assert "class_accuracy" in capsys.readouterr().out
    figure = tmp_path / "early.svg"
    assert run("eval", folder, "--early", str(figure)) == 0
    said = capsys.readouterr().out
    assert f"written to {figure}" in said
    assert "accuracy at 10 % " in said
    assert "accuracy at 100 %" in said
    ET.parse(figure)
    assert run("eval", folder, "--views", "--config.views.crops=3") == cli.EXIT_MISTAKE
    assert "give a size for crops" in capsys.readouterr().err

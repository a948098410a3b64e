"""`mpvn.predict`: the answers of evaluation, from a network, a file, a run or a SavedModel."""

import pathlib
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from encoded_videos import encode
from keras import layers
from small_runs import small_config, untrained_run

import mpvn
from keras_layers import TemporalShift
from mpvn.data import VideoError, VideoReader
from mpvn.models import load_frame_model
from mpvn.pixels import to_signed
from mpvn.prediction import Predictor, VideoAnswer, open_model
from mpvn.training import RunFolder, build, evaluate_clips

NAMES = ("hop", "jump")


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A video of each class: 12.5 and 30 frames per second."""
    root = tmp_path_factory.mktemp("videos")
    for name, period, count in zip(NAMES, (80, 100 / 3), (26, 50), strict=True):
        (root / name).mkdir()
        times = [round(period * n) for n in range(count)]
        encode(root / name / f"{name}.mkv", times=times, count=count)
    return root


def config_of(videos: pathlib.Path, **clip: Any) -> Any:
    config = small_config(data__name="folder", data__path=str(videos))
    config.data.train = config.data.evaluation = {"split": ""}
    config.model.options = {"width": 0.125, "norm": None}
    config.clip.short, config.clip.shorter_side = "hold", 20
    config.clip.update(clip)
    return config


@pytest.fixture(scope="module")
def make_run(
    videos: pathlib.Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., RunFolder]:
    def make(**clip: Any) -> RunFolder:
        path = tmp_path_factory.mktemp("runs") / "run"
        return untrained_run(path, config_of(videos, **clip))

    return make


@pytest.fixture(scope="module")
def run(videos: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """Parallel, so that answers come late by a number of steps that only its plan tells."""
    config = config_of(videos, fps=12.5)
    config.task.mask_uninformed = True
    config.plan.subnetworks, config.training.trainer = 4, "bp"
    return untrained_run(tmp_path_factory.mktemp("runs") / "run", config)


def evaluated(run: RunFolder) -> dict[str, np.ndarray]:
    """Return the scores that `mpvn eval` gives each video."""
    scores = evaluate_clips(build(run.config(), to_train=False), run.best).scores
    return dict(zip(NAMES, scores, strict=True))


def scores(network: Any, path: pathlib.Path, **options: Any) -> np.ndarray:
    model = open_model(network)
    answer = VideoAnswer(model.scoring)
    for prediction in mpvn.predict(model, path, **options):
        answer.add(prediction)
    return answer.scores


def test_networks_files_runs_and_exports_answer_as_the_evaluation(
    videos: pathlib.Path, run: RunFolder, tmp_path: pathlib.Path
) -> None:
    loaded = load_frame_model(run.network)
    network = loaded.network(loaded.plan)
    assert network.metadata.latency is None  # The export must tell it.
    network.export(tmp_path / "served", verbose=False)
    served, trained = open_model(tmp_path / "served"), open_model(run.path)
    for name, expected in evaluated(run).items():
        video = videos / name / f"{name}.mkv"
        np.testing.assert_allclose(scores(trained, video), expected, atol=2e-6)
        np.testing.assert_allclose(scores(network, video), expected, atol=2e-6)
        np.testing.assert_allclose(scores(served, video), expected, atol=1e-5)
        times = [[step.seconds for step in mpvn.predict(x, video)] for x in (served, network)]
        assert times[0] == times[1]  # Of the frames that answers are about, 3 steps before.


def test_answers_are_the_same_whatever_computes_them(videos: pathlib.Path, run: RunFolder) -> None:
    video = videos / "jump" / "jump.mkv"
    first, *others = (
        np.stack([step.scores for step in mpvn.predict(run.path, video, runtime=runtime)])
        for runtime in ("network", "tensorflow", None)
    )
    for other in others:
        np.testing.assert_allclose(other, first, rtol=1e-5, atol=1e-5 * abs(first).max())
    with pytest.raises(ValueError, match="expected no choice"):
        next(mpvn.predict(open_model(run.path), video, runtime="tensorflow"))


def test_a_prediction_is_about_the_frame_of_its_time(videos: pathlib.Path, run: RunFolder) -> None:
    video = videos / "jump" / "jump.mkv"
    model = open_model(run.path)
    assert (model.task.latency, model.task.first_step) == (3, 3)
    predictions = list(mpvn.predict(model, video, pictures=True))
    with VideoReader(video, size=(16, 16), shorter_side=20, fps=12.5) as reader:
        shown = list(reader.timed())
    assert len(shown) == 21 and len(predictions) == 18  # The last 3 frames have no answer yet.
    with VideoReader(video, fps=12.5) as reader:
        wholes = list(reader)
    for prediction, (seconds, frame), whole in zip(predictions, shown, wholes, strict=False):
        assert prediction.seconds == seconds and prediction.latency > 0 and prediction.counts
        np.testing.assert_array_equal(prediction.view.frame, frame)
        np.testing.assert_array_equal(prediction.view.whole(), whole)
    (name, share), other = predictions[4].top(2)
    np.testing.assert_allclose(share + other[1], 1, rtol=1e-6)
    assert {name, other[0]} == set(NAMES) and share >= other[1]
    assert predictions[4].top(2, threshold=share) == [(name, share)]


CLIPS = {
    "segments": {"sampling": "segments", "frames": 4},
    "dense": {"sampling": "dense", "frames": 4, "window": 12},
    "strided at a rate": {"frames": 4, "stride": 2, "fps": 25.0},
}


@pytest.mark.parametrize("name", CLIPS)
def test_a_file_is_shown_as_the_clip_of_the_evaluation(
    name: str, videos: pathlib.Path, make_run: Callable[..., RunFolder]
) -> None:
    run = make_run(evaluated=None, **CLIPS[name])
    video = videos / "hop" / "hop.mkv"  # At the median rate, to which nothing is brought.
    (clip, *_) = build(run.config(), to_train=False).evaluation.arrays()
    predictor = Predictor(open_model(run.path), pictures=True)
    with predictor.open(video) as opened:
        assert "as in its evaluation" in opened.remark
        shown = [prediction.view.frame for prediction in predictor.predict(opened)]
    np.testing.assert_allclose(np.stack(shown) / 127.5 - 1, clip["frames"][0], atol=1e-6)
    if name == "segments":
        scored = scores(predictor.model, video)
        np.testing.assert_allclose(scored, evaluated(run)["hop"], atol=2e-6)
    with predictor.open(video, over_time=True) as opened:
        seconds = [prediction.seconds for prediction in predictor.predict(opened)]
    # 4 frames of 26 / 12.5 = 1.664 s (the median video is "jump"); every third; 12.5 per second.
    period = {"segments": 5 / 12, "dense": 3 / 12.5, "strided at a rate": 2 / 25}[name]
    np.testing.assert_allclose(seconds, period * np.arange(len(seconds)), atol=1e-2)
    assert len(seconds) == int(np.ceil(26 / 12.5 / period - 1e-3))
    assert ("unlike its training" in opened.remark) == (name == "segments")


def shifted(temporal_padding: str, **known: Any) -> mpvn.VideoNetwork:
    inputs = keras.Input((16, 16, 3))
    x = layers.Conv2D(8, 3, strides=2)(inputs)
    x = TemporalShift(divisor=2, temporal_padding=temporal_padding)(x)
    model = keras.Model(inputs, layers.Dense(2)(layers.GlobalMaxPooling2D()(x)))
    names = {"classes": NAMES}
    metadata = mpvn.Metadata(task="action", names=names, fps=12.5, pixels="-1..1", **known)
    return mpvn.VideoNetwork(model, metadata=metadata)


def test_each_source_starts_anew(videos: pathlib.Path, tmp_path: pathlib.Path) -> None:
    network, video = shifted("causal"), videos / "hop" / "hop.mkv"
    network.export(tmp_path / "served", verbose=False)
    for each in (network, tmp_path / "served"):
        model = open_model(each)
        first, second = ([step.outputs for step in mpvn.predict(model, video)] for _ in range(2))
        np.testing.assert_array_equal(first, second)
        assert np.abs(first[1] - first[0]).max() > 1e-3


def test_a_network_that_looks_ahead_answers_about_clips_of_files(videos: pathlib.Path) -> None:
    network = shifted("symmetric", frames=8, evaluated=None)
    video = videos / "hop" / "hop.mkv"
    with VideoReader(video, size=(16, 16)) as reader:
        frames = to_signed(np.stack(list(reader)).astype("float32"))

    def outputs(first: int, last: int) -> np.ndarray:
        return network(frames[None, first:last], training=False)[0].numpy()

    opened = open_model(network)
    expected = outputs(9, 17)  # The center.
    np.testing.assert_allclose(scores(opened, video), expected.mean(axis=0), atol=2e-6)
    steps = list(mpvn.predict(opened, video, over_time=True))
    times = [step.seconds for step in steps]
    np.testing.assert_allclose(times, 0.08 * np.arange(26), atol=1e-3)
    # Clips of 8 frames. The last one ends with the video, and 6 of its frames are in another.
    expected = np.concatenate([outputs(0, 8), outputs(8, 16), outputs(16, 24), outputs(18, 26)[6:]])
    np.testing.assert_allclose([step.outputs for step in steps], expected, atol=2e-6)
    with pytest.raises(ValueError, match="in real time. Record it as a file, or train"):
        Predictor(opened).open(video, realtime=True)


def test_short_and_unreadable_videos_say_so(
    run: RunFolder, make_run: Callable[..., RunFolder], tmp_path: pathlib.Path
) -> None:
    short = encode(tmp_path / "short.mkv", count=3)
    with pytest.raises(VideoError, match="the video is too short. Expected more than 3 frames"):
        scores(run.path, short)
    clips = make_run(evaluated=None, frames=8, short="error")
    with Predictor(open_model(clips.path)).open(short) as opened:
        assert "fewer frames than 8: the last frame is repeated" in opened.remark
    with pytest.raises(VideoError, match="does not exist"):
        scores(run.path, tmp_path / "none.mkv")

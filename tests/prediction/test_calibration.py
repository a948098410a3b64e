"""Videos as calibration: the frames that a stream sees."""

import pathlib

import keras
import numpy as np
import pytest
from command_line import assert_mistake, mpvn
from rendered_video import write_rendered_video

import mpvn as package
from mpvn import Metadata, Plan, VideoNetwork
from mpvn.prediction import Predictor, open_model


@pytest.fixture(scope="module")
def network() -> VideoNetwork:
    frame = keras.Input((16, 24, 3))
    x = keras.layers.Conv2D(4, 3, strides=2, name="first")(frame)
    x = keras.layers.Conv2D(4, 3, strides=2, name="second")(keras.layers.ReLU()(x))
    x = keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(x))
    model = keras.Model(frame, x, name="small")
    metadata = Metadata(fps=12.5, size=(16, 24), pixels="-1..1")
    return VideoNetwork(model, Plan(model, 2, clocks=[1, 2]), metadata=metadata)


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("videos")
    for name, frames in (("a", 30), ("b", 20)):
        write_rendered_video(folder / f"{name}.mp4", frames=frames, size=(32, 48))
    return folder


def test_clips_are_what_a_stream_is_shown(network: VideoNetwork, videos: pathlib.Path) -> None:
    clips = package.calibration_clips(network, videos)
    assert len(clips) == 2
    with Predictor(open_model(network)).open(videos / "a.mp4", over_time=True) as opened:
        shown = [view.frame for view in opened.views()]
    assert len(shown) == 15  # 25 frames per second, shown at 12.5
    np.testing.assert_allclose(clips[0], np.stack(shown) / np.float32(127.5) - 1, atol=1e-6)
    np.testing.assert_array_equal(clips.beginning(0, 4), clips[0][:4])


def test_what_cannot_be_read_again_is_refused(
    network: VideoNetwork, tmp_path: pathlib.Path
) -> None:
    with pytest.raises(ValueError, match="read several times. Received: camera:0"):
        package.calibration_clips(network, "camera:0")
    with pytest.raises(ValueError, match="a folder without any"):
        package.calibration_clips(network, tmp_path)


def test_predict_in_int8(
    network: VideoNetwork,
    videos: pathlib.Path,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture,
) -> None:
    path = tmp_path / "network.keras"
    network.save(path)
    options = ["--model", path, "--precision", "int8"]
    assert_mistake("--calibrate VIDEOS", "predict", videos / "a.mp4", *options)
    assert mpvn("predict", videos / "a.mp4", *options, "--calibrate", videos) == 0
    printed = capsys.readouterr().err
    assert "OpenVINO, int8" in printed
    assert "of 2 clips" in printed
    keywords = {"precision": "int8", "calibration": videos}
    ours = [x.outputs for x in package.predict(path, videos / "b.mp4", **keywords)]
    theirs = [x.outputs for x in package.predict(path, videos / "b.mp4")]
    assert 0 < np.abs(np.subtract(ours, theirs)).max() < 0.1 * np.abs(theirs).max()

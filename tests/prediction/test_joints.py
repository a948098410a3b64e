"""Joints of a crop are joints of the original picture, whatever its size and rotation."""

from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers
from video_files import encode

import mpvn
from mpvn.prediction import open_model
from mpvn.prediction.drawing import draw


@pytest.fixture(scope="module")
def network() -> mpvn.VideoNetwork:
    """Its heatmaps, one for red and one for blue, are the colors of the frame."""
    inputs = keras.Input((24, 32, 3))
    colors = layers.Conv2D(2, 1, use_bias=False)
    model = keras.Model(inputs, colors(inputs))
    colors.set_weights([np.array([[[[6.0, 0.0], [-3.0, -3.0], [0.0, 6.0]]]])])
    return mpvn.VideoNetwork(model)


@pytest.mark.parametrize("shorter_side", [None, 30])
@pytest.mark.parametrize(("height", "width", "turn"), [(97, 131, 0), (131, 97, 90), (97, 131, 180)])
def test_joints_are_where_the_original_shows_them(
    height: int,
    width: int,
    turn: int,
    shorter_side: int | None,
    network: mpvn.VideoNetwork,
    tmp_path: Path,
) -> None:
    stored = np.zeros((height, width, 3), np.uint8)
    places = {"red": (55, 41), "blue": (50, 72)}  # Row and column of the stored picture.
    for channel, (row, column) in zip((0, 2), places.values(), strict=True):
        stored[row - 4 : row + 5, column - 4 : column + 5, channel] = 255
    rotation = (float(turn), False) if turn else None
    video = encode(tmp_path / "a.mp4", [stored] * 2, rotation=rotation, pix_fmt="yuv444p")
    network.metadata = mpvn.Metadata(
        task="keypoints",
        names={"joints": tuple(places)},
        size=(24, 32),
        shorter_side=shorter_side,
        pixels="-1..1",
    )
    model = open_model(network)
    prediction, _ = mpvn.predict(model, video, pictures=True)
    whole = prediction.view.whole()
    assert whole.shape == ((width, height, 3) if turn == 90 else stored.shape)
    pixel = min(whole.shape[0] / 24, whole.shape[1] / 32)
    if shorter_side is not None:
        pixel = min(whole.shape[:2]) / shorter_side
    assert prediction.names == ("red", "blue")
    for (x, y, _), channel in zip(prediction.joints, (0, 2), strict=True):
        rows, columns = np.nonzero(whole[..., channel] > 200)
        assert abs(x - columns.mean()) <= pixel / 2 + 1
        assert abs(y - rows.mean()) <= pixel / 2 + 1
    assert draw(model.task, prediction).shape == whole.shape

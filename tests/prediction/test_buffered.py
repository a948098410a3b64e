"""`mpvn.predict(buffer=)`: the predictions of single frames, and none lost at an error."""

import pathlib
from collections.abc import Iterator

import keras
import numpy as np
import pytest
from encoded_videos import encode
from keras import layers
from random_weights import randomize

import mpvn
from keras_layers import TemporalShift
from mpvn.data import VideoError
from mpvn.data.video.frames import View
from mpvn.prediction import Predictor, open_model
from mpvn.prediction.models import Model
from mpvn.prediction.opened import Opened
from mpvn.streaming import RuntimeChoice

BUFFERED = RuntimeChoice("tensorflow", buffer=4)


def shifted(padding: str = "causal") -> mpvn.VideoNetwork:
    inputs = keras.Input((16, 16, 3))
    x = layers.Conv2D(8, 3, strides=2)(inputs)
    x = TemporalShift(divisor=2, temporal_padding=padding)(x)
    x = layers.Conv2D(4, 3, name="last")(x)
    model = keras.Model(inputs, layers.Dense(2)(layers.GlobalMaxPooling2D()(x)))
    randomize(model, np.random.default_rng(1))
    known = mpvn.Metadata(
        task="action", names={"classes": ("hop", "jump")}, fps=12.5, pixels="-1..1", latency=1
    )
    plan = mpvn.Plan(model, boundaries=["last"], clocks=[1, 2]) if padding == "causal" else None
    return mpvn.VideoNetwork(model, plan, metadata=known)


@pytest.fixture(scope="module")
def network() -> mpvn.VideoNetwork:
    return shifted()


@pytest.fixture(scope="module")
def model(network: mpvn.VideoNetwork) -> Model:
    return open_model(network, choice=BUFFERED)


@pytest.fixture(scope="module")
def plain(network: mpvn.VideoNetwork) -> Model:
    return open_model(network)


def test_videos_have_the_predictions_of_single_frames(
    model: Model, plain: Model, tmp_path: pathlib.Path
) -> None:
    for count in (31, 2, 22):  # some calls and a remainder, less than one call, others
        video = encode(tmp_path / f"{count}.mkv", count=count)
        expected = [*mpvn.predict(plain, video, window=0.2, pictures=True)]
        found = [*mpvn.predict(model, video, window=0.2, pictures=True)]
        assert [each.seconds for each in found] == [each.seconds for each in expected]
        assert [each.counts for each in found] == [each.counts for each in expected]
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one.outputs, other.outputs, rtol=1e-5, atol=1e-5)
            np.testing.assert_allclose(one.shares, other.shares, rtol=1e-4)
            np.testing.assert_array_equal(one.view.whole(), other.view.whole())
    outputs = np.stack([each.outputs for each in found])
    assert np.ptp(outputs, axis=0).min() > 1e-3  # frames that all differ


def test_the_latency_of_a_frame_begins_when_it_is_read(
    model: Model, tmp_path: pathlib.Path
) -> None:
    video = encode(tmp_path / "video.mkv", count=26)
    found = [each.latency for each in mpvn.predict(model, video)]
    calls = [found[:3], *(found[n : n + 4] for n in range(3, len(found), 4))]  # a step late
    assert len(calls) > 2
    for call in calls:
        assert call == sorted(call, reverse=True) and call[-1] > 0
        assert len({*call}) == len(call)


class Broken(Opened):
    """A source of six frames, and an error."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def views(self) -> Iterator[View]:
        for number in range(6):
            frame = np.full((16, 16, 3), 40 * number, np.uint8)
            yield View(number / 10, frame, None, lambda frame=frame: frame)
        raise self.error


@pytest.mark.parametrize("error", [VideoError("damaged"), KeyboardInterrupt()])
def test_an_error_comes_after_the_frames_before_it(
    error: BaseException, model: Model, plain: Model
) -> None:
    found: list[list] = [[], []]
    for predictions, each in zip(found, (model, plain), strict=True):
        with pytest.raises(type(error)):
            for prediction in Predictor(each).predict(Broken(error)):
                predictions.append(prediction)
    assert len(found[0]) == len(found[1]) == 5
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one.outputs, other.outputs, rtol=1e-5, atol=1e-5)


def test_what_cannot_wait_has_no_buffer(
    model: Model, network: mpvn.VideoNetwork, tmp_path: pathlib.Path
) -> None:
    video = encode(tmp_path / "video.mkv", count=3)
    with pytest.raises(ValueError, match="arrive in real time.*Received: 4 frames in a buffer"):
        Predictor(model).open(video, realtime=True)
    with pytest.raises(ValueError, match="looks into the future.*Expected no buffer"):
        open_model(shifted("symmetric"), choice=BUFFERED)
    with pytest.raises(ValueError, match="Invalid buffer. Expected a positive int or None"):
        next(mpvn.predict(network, video, buffer=0))

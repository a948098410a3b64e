"""Smoothing, thresholds and intervals, compared with NumPy and by hand."""

import numpy as np
import pytest

from mpvn.data import VideoError
from mpvn.prediction import Interval, Prediction, VideoAnswer, intervals
from mpvn.prediction.predictor import Smoothing
from mpvn.prediction.scoring import Numbers
from mpvn.tasks import ActionRecognition


def test_smoothing_is_the_mean_over_a_window_of_seconds(rng: np.random.Generator) -> None:
    times = np.cumsum(rng.uniform(0.02, 0.3, 40))
    scores = rng.normal(size=(40, 3)).astype("float32")
    for window in (0.0, 0.25, 1.0):
        smoothing = Smoothing(window)
        for step, (now, each) in enumerate(zip(times, scores, strict=True)):
            inside = (times > now - window) & (times <= now)
            inside[step] = True
            expected = scores[inside].astype("float64").mean(axis=0)
            np.testing.assert_allclose(smoothing(now, each), expected, rtol=1e-6)


def steps(*shares: tuple[float, float], period: float = 0.5) -> list[Prediction]:
    names = ("hop", "jump")
    return [
        Prediction(period * n, None, names, shares=np.array(each), counts=n > 0)
        for n, each in enumerate(shares)
    ]


def test_intervals_of_equal_answers_by_hand() -> None:
    predictions = steps((0.9, 0.1), (0.8, 0.2), (0.6, 0.4), (0.3, 0.7), (0.45, 0.55), (0.2, 0.8))
    found = list(intervals(predictions, threshold=0.6))
    # The first step does not count; that at 2 s is below the threshold.
    assert found == [
        Interval(0.5, 1.5, "hop", pytest.approx(0.7)),
        Interval(1.5, 2.0, "jump", pytest.approx(0.7)),
        Interval(2.5, 3.0, "jump", pytest.approx(0.8)),
    ]
    both = list(intervals(predictions, count=2, threshold=0.4))
    assert both == [
        Interval(0.5, 1.5, "hop", pytest.approx(0.7)),
        Interval(2.0, 2.5, "hop", pytest.approx(0.45)),
        Interval(1.0, 3.0, "jump", pytest.approx((0.4 + 0.7 + 0.55 + 0.8) / 4)),
    ]
    assert list(intervals([])) == []


def test_numbers_without_names_stay_numbers() -> None:
    numbers = Numbers(3)
    assert numbers.names == ("output 0", "output 1", "output 2")
    np.testing.assert_array_equal(numbers.shares(numbers.step_scores([1.0, -4.0, 9.0])), [1, -4, 9])
    with pytest.raises(ValueError, match="Expected 3 names"):
        Numbers(3, ("a",))


def test_the_answer_for_a_video_leaves_out_steps_that_do_not_count() -> None:
    logits = np.log([[0.1, 0.9], [0.8, 0.2], [0.6, 0.4]]).astype("float32")
    for answer, expected in (("mean", logits[1:].mean(axis=0)), ("last", logits[2])):
        task = ActionRecognition(2, names=("hop", "jump"), answer=answer)
        summary = VideoAnswer(task)
        with pytest.raises(VideoError, match="no answer: the video is too short"):
            _ = summary.scores
        for step, each in enumerate(logits):
            summary.add(Prediction(step / 25, each, task.names, scores=each, counts=step > 0))
        np.testing.assert_allclose(summary.scores, expected, rtol=1e-6)
        powers = np.exp(expected)
        assert summary.top(1) == [("hop", pytest.approx(powers[0] / powers.sum()))]
        assert summary.top(2, threshold=0.9) == []


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_outputs_that_are_no_numbers_are_no_answer(wrong: float) -> None:
    answer = VideoAnswer(Numbers(2))
    answer.add(Prediction(0.0, None, ("hop", "jump"), scores=np.array([wrong, 1.0], "float32")))
    with pytest.raises(VideoError, match="NaN or infinite.*--pixels"):
        _ = answer.scores

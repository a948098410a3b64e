"""Early recognition: accuracy against the share of a video that was seen."""

import numpy as np
import pytest

from mpvn.tasks import online_accuracy

# The mean over the frames is right from the first frame on; only at first; only after two frames.
SURE = [[1.0, 0.0, -1.0]] * 2
FADING = [[2.0, 0.0, 0.0], [0.0, 5.0, 0.0], [0.0, 5.0, 0.0]]
LATE = [[1.0, 0.0, 0.0], [0.0, 0.0, 0.5], [0.0, 0.0, 3.0], [0.0, 0.0, 3.0]]


def test_accuracy_by_the_share_of_the_video_seen() -> None:
    curve = online_accuracy([SURE, FADING, LATE], [0, 0, 2], (25, 33, 34, 50, 51, 75, 100))
    # Frames seen of 2: 1 1 1 1 2 2 2; of 3: 1 1 2 2 2 3 3; of 4: 1 2 2 2 3 3 4.
    right = {25: 2, 33: 2, 34: 1, 50: 1, 51: 2, 75: 2, 100: 2}
    assert curve == pytest.approx({percent: count / 3 for percent, count in right.items()})


def test_curve_equals_a_loop_over_frames(rng: np.random.Generator) -> None:
    """For videos of many lengths; the last point is the accuracy of whole videos."""
    logits = [rng.normal(size=(length, 7)) for length in range(1, 40)]
    labels = rng.integers(0, 7, len(logits)).tolist()
    curve = online_accuracy(logits, labels, top=2)
    assert list(curve) == [10, 20, 30, 40, 50, 60, 70, 80, 90, 100]
    for percent, accuracy in curve.items():
        right = 0
        for video, label in zip(logits, labels, strict=True):
            seen = [video[t] for t in range(len(video)) if 100 * t < percent * len(video)]
            right += label in np.argsort(-np.mean(seen, axis=0))[:2]
        assert accuracy == pytest.approx(right / len(logits)), percent


def test_means_of_logits_and_of_probabilities_can_differ() -> None:
    """One frame gives class 0 a very high score; two frames give class 1 a fairly high score."""
    logits = [[9.0, 0.0], [0.0, 2.0], [0.0, 2.0]]
    assert online_accuracy([logits], [1], (100,)) == {100: 0}
    assert online_accuracy([logits], [1], (100,), average="probabilities") == {100: 1}


def test_a_network_that_relates_frames_answers_with_its_newest_output() -> None:
    seen = (33, 34, 67, 75)  # of FADING: 1 2 3 3 frames; of LATE: 2 2 3 3
    curve = online_accuracy([FADING, LATE], [1, 2], seen, answer="last")
    assert curve == {33: 0.5, 34: 1, 67: 1, 75: 1}


def test_equal_logits_for_all_classes_are_never_right() -> None:
    assert online_accuracy([np.zeros((5, 3))], [0], (50, 100)) == {50: 0, 100: 0}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([], []), "at least one video.*Received: 0 videos, 0 labels"),
        (([SURE], [0, 1]), "Received: 1 videos, 2 labels"),
        (([SURE, np.zeros((4, 2))], [0, 1]), r"Video 1: .*\(4, 2\); shape of video 0: \(2, 3\)"),
        (([SURE, np.zeros((0, 3))], [0, 1]), r"Video 1: .*\(0, 3\)"),
        (([[1.0, 2.0]], [0]), r"Video 0: expected logits .*\(2,\)"),
        (([SURE], [3]), r"Video 0: expected a label below 3. Received: 3"),
        (([SURE], [0], (0, 50)), r"ints from 1 to 100. Received: \(0, 50\)"),
        (([SURE], [0], ()), r"ints from 1 to 100. Received: \(\)"),
        (([SURE], [0], (50.0,)), r"Received: \(50.0,\)"),
    ],
)
def test_invalid_arguments_raise(arguments: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        online_accuracy(*arguments)


def test_invalid_options_raise() -> None:
    with pytest.raises(ValueError, match="top must be an int of at least 1. Received: 0"):
        online_accuracy([SURE], [0], top=0)
    with pytest.raises(ValueError, match='"logits" or "probabilities". Received: \'mean\''):
        online_accuracy([SURE], [0], average="mean")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match='"mean" or "last". Received: \'newest\''):
        online_accuracy([SURE], [0], answer="newest")  # type: ignore[arg-type]

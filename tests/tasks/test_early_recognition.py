"""The early-recognition curve on logits made by hand."""

import numpy as np
import pytest

from mpvn.tasks import online_accuracy

# Right from the first frame; only at first; from the third of four frames on, by the mean.
SURE = [[1.0, 0.0, -1.0]] * 2
FADING = [[2.0, 0.0, 0.0], [0.0, 5.0, 0.0], [0.0, 5.0, 0.0]]
LATE = [[1.0, 0.0, 0.0], [0.0, 0.0, 0.5], [0.0, 0.0, 3.0], [0.0, 0.0, 3.0]]


def test_accuracy_by_the_share_of_the_video() -> None:
    found = online_accuracy([SURE, FADING, LATE], [0, 0, 2], (25, 33, 34, 50, 51, 75, 100))
    # Frames seen: of 2: 1 1 1 1 2 2 2; of 3: 1 1 2 2 2 3 3; of 4: 1 2 2 2 3 3 4.
    right = {25: 2, 33: 2, 34: 1, 50: 1, 51: 2, 75: 2, 100: 2}
    assert found == pytest.approx({percent: count / 3 for percent, count in right.items()})


def test_the_last_point_is_the_accuracy_of_whole_videos(rng: np.random.Generator) -> None:
    """And each point that of a loop over frames, for videos of many lengths."""
    logits = [rng.normal(size=(length, 7)) for length in range(1, 40)]
    labels = rng.integers(0, 7, len(logits)).tolist()
    found = online_accuracy(logits, labels, top=2)
    assert list(found) == [10, 20, 30, 40, 50, 60, 70, 80, 90, 100]
    for percent, share in found.items():
        right = 0
        for said, label in zip(logits, labels, strict=True):
            seen = [said[t] for t in range(len(said)) if 100 * t < percent * len(said)]
            right += label in np.argsort(-np.mean(seen, axis=0))[:2]
        assert share == pytest.approx(right / len(logits)), percent


def test_logits_and_probabilities_may_disagree() -> None:
    """One frame is very sure of class 0; two are rather sure of class 1."""
    logits = [[9.0, 0.0], [0.0, 2.0], [0.0, 2.0]]
    assert online_accuracy([logits], [1], (100,)) == {100: 0}
    assert online_accuracy([logits], [1], (100,), average="probabilities") == {100: 1}


def test_who_says_the_same_of_all_classes_is_never_right() -> None:
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
def test_what_is_no_curve_is_refused(arguments: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        online_accuracy(*arguments)


def test_options_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="top must be an int of at least 1. Received: 0"):
        online_accuracy([SURE], [0], top=0)
    with pytest.raises(ValueError, match='"logits" or "probabilities". Received: \'mean\''):
        online_accuracy([SURE], [0], average="mean")  # type: ignore[arg-type]

"""Fusion of several networks: weighted means of their scores."""

import numpy as np
import pytest

from mpvn.tasks import Recognition, fuse

LABELS = {0: 1, 1: 0, 2: 2, 3: 1, 4: 0}
"""Labels by the number of the video."""


def recognition(numbers: list[int], seed: int, damaged: dict[str, str] | None = None):
    scores = np.random.default_rng(seed).normal(size=(5, 3)).astype("float32")
    labels = np.array([LABELS[number] for number in numbers], np.int32)
    return Recognition(np.array(numbers), labels, scores[numbers], damaged or {})


WHOLE = [0, 1, 2, 3, 4]


def test_scores_are_the_weighted_mean() -> None:
    rgb, flow = recognition(WHOLE, 1), recognition(WHOLE, 2)
    fused = fuse([rgb, flow], [1, 1.5])
    expected = [(r + 1.5 * f) / 2.5 for r, f in zip(rgb.scores, flow.scores, strict=True)]
    np.testing.assert_allclose(fused.scores, expected, rtol=1e-6)
    assert fused.scores.dtype == np.float32
    assert fused.numbers.tolist() == WHOLE
    assert fused.labels.tolist() == list(LABELS.values())
    np.testing.assert_allclose(fuse([rgb, flow]).scores, (rgb.scores + flow.scores) / 2, rtol=1e-6)
    np.testing.assert_array_equal(fuse([rgb, flow], [0, 3]).scores, flow.scores)
    np.testing.assert_array_equal(fuse([rgb]).scores, rgb.scores)


def test_fusion_is_right_where_one_of_three_networks_is_wrong() -> None:
    right = np.eye(3, dtype="float32")
    wrong = np.roll(right, 1, axis=1)
    numbers = labels = np.arange(3)
    networks = []
    for video in range(3):
        scores = right.copy()
        scores[video] = wrong[video]
        networks.append(Recognition(numbers, labels, scores))
    assert [network.top(1) for network in networks] == pytest.approx([2 / 3] * 3)
    assert fuse(networks).metrics() == {"top1": 1, "class_accuracy": 1}


def test_only_videos_that_all_networks_have_are_fused() -> None:
    first = recognition([0, 2, 3, 4], 1, {"b": "b: cut short"})
    second = recognition([4, 3, 1, 0], 2, {"c": "c: gone"})
    fused = fuse([first, second])
    assert fused.numbers.tolist() == [0, 3, 4]
    assert fused.labels.tolist() == [1, 1, 0]
    both = [recognition([0, 3, 4], seed).scores for seed in (1, 2)]
    np.testing.assert_allclose(fused.scores, np.mean(both, axis=0), rtol=1e-6)
    assert fused.skipped == {"b": "b: cut short", "c": "c: gone"}


RGB = recognition(WHOLE, 1)


@pytest.mark.parametrize(
    ("recognitions", "weights", "message"),
    [
        ([], None, "at least one network to fuse"),
        ([RGB, RGB], [1], r"Expected 2 weights, one per network. Received: \[1.0\]"),
        ([RGB, RGB], [1, -1], r"at least 0, not all 0. Received: \[1.0, -1.0\]"),
        ([RGB, RGB], [0, 0], "not all 0"),
        ([RGB, RGB], [1, float("nan")], "weights of at least 0"),
        ([RGB, Recognition(RGB.numbers, RGB.labels, RGB.scores[:, :2])], None, r"\[3, 2\]"),
        (
            [RGB, Recognition(RGB.numbers, RGB.labels[::-1], RGB.scores)],
            None,
            r"the same labels .* Received: labels \[1, 0\] for video 0",
        ),
        (
            [recognition([0, 1], 1), recognition([2], 1)],
            None,
            "at least one video with scores of all networks",
        ),
    ],
)
def test_invalid_fusions_raise(recognitions: list, weights: list | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fuse(recognitions, weights)

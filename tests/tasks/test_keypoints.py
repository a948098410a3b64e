"""Keypoints: the loss compared with NumPy, and metrics compared with values found by hand."""

import numpy as np
import pytest
import tensorflow as tf

from mpvn.tasks import CorrectKeypoints, HeatmapCrossEntropy, JointDistance, Keypoints


def pointing(joints: list[list[tuple[int, int]]], size: int = 10) -> np.ndarray:
    """Return logits `[1, T, size, size, J]` with peaks at the given (x, y) per step and joint."""
    logits = np.full((1, len(joints), size, size, len(joints[0])), -10, "float32")
    for step, places in enumerate(joints):
        for joint, (x, y) in enumerate(places):
            logits[0, step, y, x, joint] = 10
    return logits


def truth(joints: list[list[tuple[float, float, int]]]) -> np.ndarray:
    """Return targets `[1, T, 1, J, 3]` of one person."""
    return np.array([joints], "float32")[:, :, None]


def loss_by_definition(
    joints: np.ndarray, logits: np.ndarray, frame: tuple[int, int], sigma: float, weight: float
) -> np.ndarray:
    """Return the loss `[B, T]` in float64, computed pixel by pixel."""
    high, wide, count = logits.shape[2:]
    losses = np.zeros(logits.shape)
    for place in np.ndindex(*logits.shape):
        clip, step, row, column, joint = place
        x, y, visible = joints[clip, step, 0, joint].astype("float64")
        x = (x + 0.5) * wide / frame[1] - 0.5
        y = (y + 0.5) * high / frame[0] - 0.5
        g = np.exp(-((column - x) ** 2 + (row - y) ** 2) / (2 * sigma**2)) if visible else 0.0
        p = 1 / (1 + np.exp(-logits[place].astype("float64")))
        losses[place] = -(g * np.log(p) + (1 - g) * np.log1p(-p)) * (1 + (weight - 1) * g)
    return losses.mean(axis=(2, 3, 4))


@pytest.fixture
def joints(rng: np.random.Generator) -> np.ndarray:
    """Return joints `[2, 4, 1, 3, 3]` in frames of 16x24; a third of them are invisible."""
    values = rng.uniform(0, 1, (2, 4, 1, 3, 3)) * (23, 15, 1)
    values[..., 2] = values[..., 2] > 1 / 3
    return values.astype("float32")


def test_loss_is_weighted_cross_entropy_over_weighted_steps(
    joints: np.ndarray, rng: np.random.Generator
) -> None:
    task = Keypoints(3, (16, 24), sigma=0.8, keypoint_weight=10, latency=1)
    logits = rng.normal(0, 2, (2, 4, 4, 6, 3)).astype("float32")
    batch = {"frames": np.zeros((2, 4, 16, 24, 3), "float32"), "joints": joints}
    _, targets, weights = task.prepare(batch)
    delayed = joints[:, [0, 0, 1, 2]]
    expected = loss_by_definition(delayed, logits, (16, 24), 0.8, 10)
    np.testing.assert_allclose(task.loss.call(targets, logits), expected, rtol=1e-5)
    np.testing.assert_allclose(
        task.loss(targets, logits, weights), expected[:, 1:].mean(), rtol=1e-5
    )
    assert task.score(logits, batch)["cross_entropy"] == pytest.approx(
        expected[:, 1:].mean(), rel=1e-5
    )


def test_the_pixel_at_a_joint_has_weight_ten() -> None:
    """With logits of 0, each of 9 pixels costs log 2, and the one at the joint ten times that."""
    joints = truth([[(1, 1, 1)]])
    loss = HeatmapCrossEntropy(1, (3, 3), sigma=1e-3).call(
        tf.constant(joints), tf.zeros((1, 1, 3, 3, 1))
    )
    np.testing.assert_allclose(loss, [[np.log(2) * (8 + 10) / 9]], rtol=1e-6)


def test_loss_is_finite_for_extreme_logits(joints: np.ndarray) -> None:
    loss = HeatmapCrossEntropy(3, (16, 24))
    for dtype in ("float32", "float16"):
        value = loss(joints, np.full((2, 4, 4, 6, 3), 3e4, dtype))
        assert value.dtype == tf.float32
        assert np.isfinite(value)
        assert value > 1e4


def test_correct_keypoints_by_hand() -> None:
    """Figures are 8 pixels wide and 4 high, so a fraction of 0.25 is 2 pixels.

    At step 0 the joints are 0, 2 and 3 pixels off. At step 1 the second joint is invisible and the
    others are 1 and 5 pixels off (3 across, 4 down). So 3 of 5 are correct, and the mean distance
    is 11/5.
    """
    joints = truth([[(0, 0, 1), (8, 2, 1), (4, 4, 1)], [(0, 0, 1), (5, 5, 0), (8, 4, 1)]])
    logits = pointing([[(0, 0), (8, 4), (4, 7)], [(0, 1), (0, 0), (5, 8)]])
    for fraction, correct in [(0.25, 3), (0.24, 2), (0.375, 4), (0.7, 5)]:
        metric = CorrectKeypoints((10, 10), fraction)
        metric.update_state(joints, logits)
        np.testing.assert_allclose(metric.result(), correct / 5, rtol=1e-6)
    distance = JointDistance((10, 10))
    distance.update_state(joints, logits)
    np.testing.assert_allclose(distance.result(), 11 / 5, rtol=1e-5)


def test_weights_and_skipped_steps_select_steps() -> None:
    joints = truth([[(0, 0, 1), (8, 2, 1), (4, 4, 1)], [(0, 0, 1), (5, 5, 0), (8, 4, 1)]])
    logits = pointing([[(0, 0), (8, 4), (4, 7)], [(0, 1), (0, 0), (5, 8)]])
    for step, correct, mean in [(0, 2 / 3, 5 / 3), (1, 1 / 2, 3)]:
        for options in ({"skip_first": step, "skip_last": 1 - step}, {}):
            weights = None if options else np.eye(2)[step][None]
            pck, distance = CorrectKeypoints((10, 10), 0.25, **options), JointDistance((10, 10))
            pck.update_state(joints, logits, weights)
            np.testing.assert_allclose(pck.result(), correct, rtol=1e-6)
            distance.update_state(joints, logits, np.eye(2)[step][None])
            np.testing.assert_allclose(distance.result(), mean, rtol=1e-5)


def test_distances_are_in_pixels_of_the_frame() -> None:
    """Maps have half the size of the frame: map pixel 3 is at 6.5 in the frame."""
    metric = JointDistance((20, 20))
    metric.update_state(truth([[(6.5, 2.5, 1)]]), pointing([[(3, 4)]]))
    np.testing.assert_allclose(metric.result(), 6, rtol=1e-5)


def test_figures_with_fewer_than_two_visible_joints_do_not_count() -> None:
    """Their bounding box, which scales the fraction, has no size."""
    joints = truth([[(1, 1, 1), (5, 5, 0)], [(1, 1, 0), (5, 5, 0)], [(1, 1, 1), (5, 5, 1)]])
    logits = pointing([[(1, 1), (5, 5)], [(1, 1), (5, 5)], [(1, 1), (9, 9)]])
    metric = CorrectKeypoints((10, 10), 0.2)
    metric.update_state(joints[:, :2], logits[:, :2])
    assert metric.result() == 0
    metric.update_state(joints, logits)
    np.testing.assert_allclose(metric.result(), 0.5)


def test_predicted_joints_are_the_peaks_in_the_frame() -> None:
    joints = Keypoints(2, (20, 20)).predicted_joints(pointing([[(3, 4), (0, 9)]]))
    np.testing.assert_allclose(joints[0, 0, 0, :, :2], [(6.5, 8.5), (0.5, 18.5)], atol=0.11)
    np.testing.assert_allclose(joints[..., 2], 1, rtol=1e-3)


def test_names_of_the_metrics() -> None:
    task = Keypoints(fractions=(0.05, 0.1, 0.2))
    names = ["pck_5", "pck_10", "pck_20", "oks", "distance", "cross_entropy"]
    assert [metric.name for metric in task.metrics()] == names


def test_joints_that_do_not_match_the_task_raise(joints: np.ndarray) -> None:
    frames = np.zeros((2, 4, 16, 24, 3), "float32")
    task = Keypoints(3, (16, 24))
    with pytest.raises(
        ValueError, match=r"joints of shape \[B, T, people, 17, 3\]. .*\(2, 4, 1, 3, 3\)"
    ):
        Keypoints(17, (16, 24)).prepare({"frames": frames, "joints": joints})
    with pytest.raises(ValueError, match="joints of all 3 frames. Received: joints of 4"):
        task.prepare({"frames": frames[:, :3], "joints": joints})
    with pytest.raises(ValueError, match="frames of 16x24 pixels, .* Received: 24x16"):
        task.prepare({"frames": frames.swapaxes(2, 3), "joints": joints})
    with pytest.raises(ValueError, match="a batch with 'joints'. Received: frames"):
        task.prepare({"frames": frames})


def test_outputs_must_have_one_heatmap_per_joint(joints: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"3 joints. .*\(2, 4, 4, 6, 5\).* with joints=3"):
        HeatmapCrossEntropy(3, (16, 24))(joints, np.zeros((2, 4, 4, 6, 5)))
    with pytest.raises(ValueError, match=r"5 joints. .*targets of shape \(2, 4, 1, 3, 3\)"):
        HeatmapCrossEntropy(5, (16, 24))(joints, np.zeros((2, 4, 4, 6, 5)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"joints": 0}, "joints must be an int of at least 1"),
        ({"sigma": 0.0}, "sigma must be positive"),
        ({"keypoint_weight": 0.5}, "keypoint_weight must be at least 1"),
        ({"fractions": (0.1, 0)}, "fractions must be positive. Received: 0"),
        ({"frame_size": (224,)}, "frame_size must be height and width"),
    ],
)
def test_invalid_arguments_raise(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Keypoints(**arguments)

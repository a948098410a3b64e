"""Several people in a frame: heatmaps, peaks, and metrics, by hand and compared with NumPy."""

import numpy as np
import pytest
import tensorflow as tf

from mpvn.data.skeletons import COCO_JOINTS
from mpvn.tasks import (
    CorrectKeypoints,
    JointDistance,
    Keypoints,
    KeypointSimilarity,
    peaks,
    render_heatmaps,
)
from mpvn.tasks.overlay import draw_joints, limbs


def pointing(places: list[list[tuple[int, int, float]]], size: int = 12) -> np.ndarray:
    """Return logits `[1, 1, size, size, J]` with peaks (x, y, logit) for each joint."""
    logits = np.full((1, 1, size, size, len(places)), -10, "float32")
    for joint, tops in enumerate(places):
        for x, y, height in tops:
            logits[0, 0, y, x, joint] = height
    return logits


def people(*joints: list[tuple[float, float, int]]) -> np.ndarray:
    """Return targets `[1, 1, people, J, 3]`."""
    return np.array(joints, "float32")[None, None]


def value(metric: tf.keras.metrics.Metric, true: np.ndarray, logits: np.ndarray) -> float:
    metric.update_state(true, logits)
    return float(metric.result())


# --- heatmaps and peaks ---------------------------------------------------------------------------


def test_a_heatmap_is_the_maximum_over_people() -> None:
    one, other = np.float32([[2, 3, 1], [7, 1, 0]]), np.float32([[4, 3, 1], [1, 6, 1]])
    alone = [render_heatmaps(tf.constant(each[None]), (8, 9), (8, 9), 1.0) for each in (one, other)]
    both = render_heatmaps(tf.constant(np.stack([one, other])), (8, 9), (8, 9), 1.0)
    np.testing.assert_array_equal(both, np.maximum(*alone))
    assert float(both[3, 3, 0]) == pytest.approx(np.exp(-0.5)), (
        "between two Gaussians, not their sum"
    )
    hidden = render_heatmaps(tf.constant(np.stack([one, 0 * other])), (8, 9), (8, 9), 1.0)
    np.testing.assert_array_equal(hidden, alone[0])


def test_peaks_are_in_order_of_height_and_exact() -> None:
    rows, columns = np.mgrid[:20, :24]
    places = [(3.3, 4.2), (15.6, 3.0), (9.9, 16.4)]
    heights = [0.5, 0.9, 0.7]
    maps = [
        height * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 2)
        for height, (x, y) in zip(heights, places, strict=True)
    ]
    found = peaks(tf.constant(np.max(maps, axis=0)[..., None], tf.float32), 3)[:, 0].numpy()
    np.testing.assert_allclose(found[:, :2], [places[i] for i in (1, 2, 0)], atol=1e-3)
    assert (np.diff(found[:, 2]) < 0).all()


def test_a_flat_top_is_one_peak_and_missing_peaks_repeat_the_highest() -> None:
    maps = np.zeros((6, 6, 1), "float32")
    maps[2:4, 3:5] = 1
    found = peaks(tf.constant(maps), 3)[:, 0].numpy()
    # The flat ground has one peak, its first pixel; the third peak is missing.
    np.testing.assert_array_equal(found[:, 2], [1, 0, 1])
    np.testing.assert_array_equal(found[0], found[2])
    assert np.abs(found[0, :2] - (3, 2)).max() <= 0.5
    with pytest.raises(ValueError, match="of 10 pixels for 10 people. Received: 3x3"):
        peaks(tf.zeros((3, 3, 1)), 10)


# --- metrics by hand ------------------------------------------------------------------------------


def test_each_joint_of_each_person_is_found_by_its_own_peak() -> None:
    """Two people, each 4 pixels wide and 2 high, so a fraction of 0.25 is 1 pixel.

    Joint 0 has peaks 0 and 1 pixels off. Of joint 1, one peak is 1 pixel from the second person and
    the other is 3 pixels from the first. The peak of height 2 is the third of its map, but two
    people show the joint, so it does not count.
    """
    true = people([(1, 1, 1), (5, 3, 1)], [(6, 8, 1), (10, 10, 1)])
    logits = pointing([[(6, 9, 5), (1, 1, 9)], [(10, 9, 9), (5, 6, 8), (5, 3, 2)]])
    assert value(CorrectKeypoints((12, 12), 0.25), true, logits) == pytest.approx(3 / 4)
    assert value(CorrectKeypoints((12, 12), 0.75), true, logits) == 1
    assert value(JointDistance((12, 12)), true, logits) == pytest.approx((0 + 1 + 1 + 3) / 4)


def test_one_peak_does_not_count_for_two_people() -> None:
    true = people([(2, 2, 1), (8, 2, 1)], [(4, 2, 1), (8, 8, 1)])
    # Joint 0: one peak between both people, and one far away.
    logits = pointing([[(3, 2, 9), (3, 11, 5)], [(8, 2, 9), (8, 8, 8)]])
    assert value(CorrectKeypoints((12, 12), 0.3), true, logits) == pytest.approx(3 / 4)


def test_a_frame_without_people_does_not_count() -> None:
    nobody = np.zeros((1, 1, 2, 2, 3), "float32")
    logits = pointing([[(6, 9, 5)], [(10, 9, 9)]])
    sigmas = (0.1, 0.1)
    size = (12, 12)
    for metric in (
        CorrectKeypoints(size, 0.2),
        JointDistance(size),
        KeypointSimilarity(size, sigmas),
    ):
        assert value(metric, nobody, logits) == 0
        assert float(metric._count) == 0


def test_similarity_by_hand() -> None:
    """A box of 4x8 pixels, so an area of 32; distances are 0, 1 and (hidden) any."""
    true = people([(2, 2, 1), (6, 10, 1), (3, 3, 0)])
    logits = pointing([[(2, 2, 9)], [(6, 9, 9)], [(11, 11, 9)]])
    similarity = KeypointSimilarity((12, 12), (0.05, 0.1, 0.1))
    expected = (1 + np.exp(-1 / (2 * 32 * 0.2**2))) / 2
    assert value(similarity, true, logits) == pytest.approx(expected, rel=1e-4)


# --- metrics compared with NumPy ------------------------------------------------------------------


def local_maxima(values: np.ndarray) -> list[tuple[int, int]]:
    """Return (x, y) of the pixels that are higher than their neighbors, highest first."""
    places = []
    for y, x in np.ndindex(*values.shape):
        around = values[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2]
        if values[y, x] == around.max() and (around == values[y, x]).sum() == 1:
            places.append((x, y))
    return sorted(places, key=lambda place: -values[place[1], place[0]])


def errors_by_definition(true: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """Return the distances `[people, J]` of one frame, up to the subpixel part; NaN if hidden."""
    errors = np.full(true.shape[:2], np.nan)
    for joint in range(true.shape[1]):
        shown = [person for person in range(len(true)) if true[person, joint, 2] > 0]
        found = local_maxima(logits[..., joint])[: len(shown)]
        pairs = [
            (np.hypot(*(true[person, joint, :2] - place)), person, place)
            for person in shown
            for place in found
        ]
        while pairs:
            distance, person, place = min(pairs)
            errors[person, joint] = distance
            pairs = [pair for pair in pairs if pair[1] != person and pair[2] != place]
    return errors


def test_metrics_follow_their_definitions(rng: np.random.Generator) -> None:
    """Peaks are symmetric pixels, so that their subpixel part is 0."""
    count, joints, size = 4, 17, 24
    sigmas = np.array([26, 25, 25, 35, 35, 79, 79, 72, 72, 62, 62, 107, 107, 87, 87, 89, 89]) / 1e3
    scores: dict[str, list[float]] = {"pck_20": [], "distance": [], "oks": []}
    true = np.zeros((3, 2, count, joints, 3), "float32")
    logits = np.full((3, 2, size, size, joints), -8, "float32")
    for clip, step in np.ndindex(3, 2):
        true[clip, step, ..., :2] = rng.uniform(0, size - 1, (count, joints, 2))
        true[clip, step, ..., 2] = rng.uniform(size=(count, joints)) < 0.6
        for joint in range(joints):
            for spot in rng.permutation(49)[:6]:  # Apart, so that peaks do not merge.
                y, x = 2 + 3 * (spot // 7), 2 + 3 * (spot % 7)
                logits[clip, step, y, x, joint] = rng.uniform(-2, 4)
        frame = true[clip, step]
        errors = errors_by_definition(frame, logits[clip, step])
        for person, shown in zip(range(count), frame[..., 2] > 0, strict=True):
            if shown.any():
                width, height = np.ptp(frame[person, shown, :2], axis=0)
                found = errors[person, shown]
                scores["distance"] += list(found)
                scores["pck_20"] += (
                    list(found <= 0.2 * max(width, height)) if shown.sum() > 1 else []
                )
                spread = 2 * width * height * (2 * sigmas[shown]) ** 2
                scores["oks"] += [np.exp(-(found**2) / spread).mean()] if shown.sum() > 1 else []
    task = Keypoints(joints, (size, size), fractions=(0.2,))
    batch = {"frames": np.zeros((3, 2, size, size, 3), "float32"), "joints": true}
    result = task.score(logits, batch)
    for name, values in scores.items():
        assert result[name] == pytest.approx(np.mean(values), rel=1e-4), name


def test_similarity_needs_the_joints_of_coco_or_sigmas() -> None:
    def names(task: Keypoints) -> set[str]:
        return {metric.name for metric in task.metrics()}

    shuffled = Keypoints(17, names=COCO_JOINTS[::-1])
    assert shuffled.sigmas == Keypoints(17).sigmas[::-1]
    assert "oks" not in names(Keypoints(17, names=[f"joint {n}" for n in range(17)]))
    assert "oks" not in names(Keypoints(2))
    assert "oks" in names(Keypoints(2, sigmas=(0.1, 0.2)))
    with pytest.raises(ValueError, match="Expected 2 sigmas, one per joint"):
        Keypoints(2, sigmas=(0.1,))
    with pytest.raises(ValueError, match="sigmas must be positive"):
        Keypoints(2, sigmas=(0.1, 0))


# --- pictures -------------------------------------------------------------------------------------


def test_each_person_has_a_skeleton() -> None:
    """Lines connect the joints of one person, never those of two."""
    task = Keypoints(2, (24, 24), names=("left_hip", "right_hip"))
    true = people([(4, 6, 1), (12, 6, 1)], [(4, 18, 1), (12, 18, 1)], [(0, 0, 0), (0, 0, 0)])
    logits = pointing([[(4, 6, 9), (4, 18, 8)], [(12, 18, 9), (12, 6, 8)]], 24)
    picture = task.picture(np.full((24, 24, 3), 128, np.uint8), logits[0, 0], true[0, 0]).astype(
        int
    )

    def is_drawn(x: float, y: float) -> bool:
        scale = picture.shape[0] / 24
        red, _, blue = picture[round((y + 0.5) * scale), round((x + 0.5) * scale)]
        return blue > red + 100

    assert is_drawn(8, 6) and is_drawn(8, 18)
    assert not is_drawn(8, 12), "between two people"
    assert not is_drawn(0, 0), "nobody"


def test_lines_follow_the_names_of_the_joints() -> None:
    names = ("right_hip", "head_top", "left_hip", "right_knee")
    assert set(limbs(names)) == {(2, 0), (0, 3)}
    assert len(limbs(COCO_JOINTS)) == 16
    image = np.zeros((64, 64, 3), np.uint8)
    joints = np.array([[[10, 10, 1], [50, 10, 1]]], float)
    assert draw_joints(image, joints, None)[10, 30].max() == 0
    assert draw_joints(image, joints, None, [(0, 1)])[10, 30].max() > 0

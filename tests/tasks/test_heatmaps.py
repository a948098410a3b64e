"""Heatmaps and their peaks: the formula of the Gaussian, and round trips."""

import numpy as np
import pytest
import tensorflow as tf

from mpvn.tasks import peaks, render_heatmaps, rescale


def gaussian(x: float, y: float, size: tuple[int, int], sigma: float) -> np.ndarray:
    """Return a Gaussian at (x, y) as an array `[h, w]` in float64."""
    rows, columns = np.mgrid[: size[0], : size[1]]
    return np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * sigma**2))


def logit(p: np.ndarray) -> np.ndarray:
    return np.log(p) - np.log1p(-p)


def test_maps_are_gaussians_around_visible_joints() -> None:
    """Frames of 24x32 and maps of 6x8: a map pixel is 4x4 frame pixels."""
    joints = np.array([[9.5, 5.5, 1], [0, 0, 1], [16, 8, 0], [31, 23, 1]], "float32")
    maps = render_heatmaps(tf.constant(joints[None]), (24, 32), (6, 8), 1.0)
    assert maps.shape == (6, 8, 4)
    # Frame pixels 8 to 11 have their center at 9.5; they are map pixel 2.
    np.testing.assert_allclose(maps[..., 0], gaussian(2, 1, (6, 8), 1), rtol=1e-5)
    np.testing.assert_allclose(maps[..., 1], gaussian(-0.375, -0.375, (6, 8), 1), rtol=1e-5)
    assert not np.any(maps[..., 2])
    np.testing.assert_allclose(maps[..., 3], gaussian(7.375, 5.375, (6, 8), 1), rtol=1e-5)
    assert maps[1, 2, 0] == 1


def test_sigma_is_in_pixels_of_the_maps() -> None:
    joints = tf.constant([[[[[15.5, 15.5, 1.0]]]]])
    maps = render_heatmaps(joints, (32, 32), (8, 8), 2.5)
    assert maps.shape == (1, 1, 8, 8, 1)
    np.testing.assert_allclose(maps[0, 0, ..., 0], gaussian(3.5, 3.5, (8, 8), 2.5), rtol=1e-5)


def test_coordinates_of_invisible_joints_do_not_matter() -> None:
    joints = tf.constant([[[np.nan, np.inf, 0.0], [1.0, 1.0, 1.0]]])
    maps = render_heatmaps(joints, (4, 4), (4, 4), 1.0)
    assert not np.any(maps[..., 0])
    assert np.all(np.isfinite(maps))


@pytest.mark.parametrize("sigma", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("logits", [False, True])
def test_peaks_of_gaussians_are_exact_everywhere(
    logits: bool, sigma: float, rng: np.random.Generator
) -> None:
    """Also at edges and corners, up to half a pixel beyond the centers of the outer pixels."""
    size = (9, 12)
    places = [(-0.49, -0.49), (11.49, 8.49), (5.0, -0.4), (11.3, 4.0), (3.0, 3.0), (3.499, 2.501)]
    places += [tuple(rng.uniform((-0.5, -0.5), (11.5, 8.5))) for _ in range(60)]
    maps = np.stack([gaussian(x, y, size, sigma) for x, y in places], axis=-1)
    # Strictly between 0 and 1, where logits are finite.
    heights = logit(np.clip(0.9 * maps, 1e-300, 1)) if logits else maps
    joints = peaks(tf.constant(heights[None, None], tf.float32), logits=logits).numpy()
    assert joints.shape == (1, 1, 1, len(places), 3)
    np.testing.assert_allclose(joints[0, 0, 0, :, :2], places, atol=2e-3 if sigma == 3 else 1e-4)
    highest = maps.max(axis=(0, 1)) * (0.9 if logits else 1)
    np.testing.assert_allclose(joints[0, 0, 0, :, 2], highest, rtol=1e-4)


def test_joints_survive_the_round_trip_through_heatmaps(rng: np.random.Generator) -> None:
    """From 224x224 to 56x56 and back. Plain `x * scale` would be off by 1.5 pixels."""
    joints = np.ones((2, 3, 1, 17, 3), "float32")
    joints[..., :2] = rng.uniform(-0.5, 223.5, (2, 3, 1, 17, 2))
    maps = render_heatmaps(tf.constant(joints), (224, 224), (56, 56), 1.0)
    back = rescale(peaks(maps), (56, 56), (224, 224))
    np.testing.assert_allclose(back[..., :2], joints[..., :2], atol=1e-3)


def test_rescaling_maps_corners_to_corners() -> None:
    corners = tf.constant([[-0.5, -0.5, 0.7], [7.5, 3.5, 0.2]])
    rescaled = rescale(corners, (4, 8), (40, 16))
    np.testing.assert_allclose(rescaled, [[-0.5, -0.5, 0.7], [15.5, 39.5, 0.2]], rtol=1e-6)


def test_peaks_stay_within_the_highest_pixel(rng: np.random.Generator) -> None:
    maps = rng.normal(size=(50, 5, 6, 4)).astype("float32")
    joints = peaks(tf.constant(maps), logits=True).numpy()
    for index in range(50):
        for joint in range(4):
            y, x = np.unravel_index(maps[index, ..., joint].argmax(), (5, 6))
            assert np.all(np.abs(joints[index, 0, joint, :2] - (x, y)) <= 0.5)


def test_only_neighbors_of_the_highest_pixel_matter() -> None:
    for row, column in np.ndindex(5, 6):
        place = (column + 1.3, row + 0.6)
        maps = np.full((7, 8, 1), 0.1, "float32")
        around = np.s_[row : row + 3, column : column + 3]
        maps[around][..., 0] = gaussian(*place, (7, 8), 1.0)[around]
        np.testing.assert_allclose(peaks(tf.constant(maps))[0, 0, :2], place, atol=1e-5)


def test_the_peak_of_a_constant_map_is_its_first_pixel() -> None:
    for maps in (np.zeros((4, 4, 1)), np.full((4, 4, 1), 0.5)):
        np.testing.assert_array_equal(peaks(tf.constant(maps))[0, 0], [0, 0, maps.max()])


def test_maps_smaller_than_3x3_raise() -> None:
    with pytest.raises(ValueError, match="at least 3x3 pixels, .* Received: 2x8"):
        peaks(tf.zeros((1, 2, 8, 3)))

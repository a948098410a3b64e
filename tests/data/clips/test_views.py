"""Views of a video: crops of images with numbered pixels, which reveal shifts and mirror images."""

import numpy as np
import pytest
import tensorflow as tf

from mpvn.data.clips.augmentation import Augmentation
from mpvn.data.clips.sampling import Consecutive, Segments, Whole
from mpvn.data.clips.views import Views, crops
from mpvn.data.video.framing import ShorterSide, frame_arrays
from mpvn.data.video_set import VideoSet
from mpvn.pixels import to_signed


def numbered(height: int, width: int, steps: int = 2) -> np.ndarray:
    """Frames `[T, H, W, 3]` whose channels are row, column and step."""
    step, row, column = np.indices((steps, height, width))
    return np.stack([row, column, step], axis=-1).astype(np.uint8)


def corners(frames: np.ndarray, size: tuple[int, int], count: int) -> list[tuple[int, ...]]:
    """Return top, bottom, left and right of each crop by its corner pixels; check all pixels."""
    results = []
    for crop in crops(frames, size, count):
        assert crop.shape == (2, *size, 3)
        top, left, _ = crop[0, 0, 0].tolist()
        bottom, right, _ = crop[0, -1, -1].tolist()
        step = 1 if right > left else -1
        rows, columns = np.arange(top, bottom + 1), np.arange(left, right + step, step)
        expected = np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1)
        np.testing.assert_array_equal(crop[0, ..., :2], expected)
        np.testing.assert_array_equal(crop[..., 2], np.indices((2, *size))[0])
        results.append((top, bottom, left, right))
    return results


# --- positions of crops -----------------------------------------------------------------------


def test_one_crop_is_the_center() -> None:
    assert corners(numbered(6, 10), (4, 4), 1) == [(1, 4, 3, 6)]
    assert corners(numbered(7, 10), (4, 3), 1) == [(2, 5, 4, 6)]  # Halves of 3 and 7, rounded up.


def test_three_crops_are_along_the_longer_side() -> None:
    assert corners(numbered(6, 10), (6, 6), 3) == [(0, 5, 0, 5), (0, 5, 2, 7), (0, 5, 4, 9)]
    assert corners(numbered(10, 6), (6, 6), 3) == [(0, 5, 0, 5), (2, 7, 0, 5), (4, 9, 0, 5)]
    assert corners(numbered(6, 10), (4, 4), 3) == [(1, 4, 0, 3), (1, 4, 3, 6), (1, 4, 6, 9)]


FIVE = [(0, 3, 0, 4), (0, 3, 5, 9), (3, 6, 0, 4), (3, 6, 5, 9), (2, 5, 3, 7)]


def test_five_crops_are_the_corners_and_the_center() -> None:
    assert corners(numbered(7, 10), (4, 5), 5) == FIVE
    portrait = [(0, 4, 0, 3), (0, 4, 3, 6), (5, 9, 0, 3), (5, 9, 3, 6), (3, 7, 2, 5)]
    assert corners(numbered(10, 7), (5, 4), 5) == portrait


def test_ten_crops_are_five_and_their_mirror_images() -> None:
    mirrored = [(top, bottom, right, left) for top, bottom, left, right in FIVE]
    assert corners(numbered(7, 10), (4, 5), 10) == FIVE + mirrored


@pytest.mark.parametrize("count", [1, 3, 5, 10])
def test_crops_as_large_as_the_frame_are_the_frame(count: int) -> None:
    frames = numbered(5, 7)
    results = crops(frames, (5, 7), count)
    assert len(results) == count
    for position, crop in enumerate(results):
        np.testing.assert_array_equal(crop, frames[:, :, ::-1] if position >= 5 else frames)


def test_crops_of_tensors_equal_crops_of_arrays() -> None:
    frames = numbered(7, 10)
    tensors, arrays = crops(tf.constant(frames), (4, 5), 10), crops(frames, (4, 5), 10)
    np.testing.assert_array_equal(tf.stack(tensors), np.stack(arrays))


# --- values of pixels -------------------------------------------------------------------------


def noise(height: int, width: int, steps: int = 2) -> np.ndarray:
    rng = np.random.default_rng(5)
    return rng.integers(0, 256, (steps, height, width, 3), np.uint8)


def augment(frames: np.ndarray, augmentation: Augmentation) -> np.ndarray:
    """Return the clip that training makes of whole frames."""
    framing = augmentation.framing(np.random.default_rng(0))
    clip = {"frames": tf.constant(frame_arrays(frames, framing).frames)}
    videos = VideoSet("any", [None])  # type: ignore[list-item]
    clip = augmentation.apply(clip, tf.constant([1, 2]), videos)
    return augmentation.finish(clip["frames"]).numpy()


def views_of(frames: np.ndarray, views: Views) -> list[tf.Tensor]:
    """Return the views that a test makes of whole frames."""
    return list(views.of(frame_arrays(frames, views.framing).frames))


@pytest.mark.parametrize(
    ("shape", "length", "expected"),
    [
        ((240, 320), 256, (256, 341)),  # 341.33
        ((320, 240), 256, (341, 256)),
        ((100, 100), 32, (32, 32)),
        ((7, 10), 7, (7, 10)),
    ],
)
def test_resized_frames_keep_their_aspect_ratio(
    shape: tuple[int, int], length: int, expected: tuple[int, int]
) -> None:
    assert ShorterSide(length).place(*shape).size == expected


@pytest.mark.parametrize("length", [12, 24, 40])
def test_views_of_whole_frames_equal_training_clips(length: int) -> None:
    frames = noise(24, 36)
    (view,) = views_of(frames, Views(Consecutive(2), size=None, scale=length))
    whole = Augmentation((length, length * 3 // 2), "whole")
    np.testing.assert_allclose(view, augment(frames, whole), atol=2e-7)


def test_center_crops_equal_those_of_training_clips() -> None:
    """Without scaling, and with an odd number of pixels beside the crop."""
    frames = noise(24, 37)
    (view,) = views_of(frames, Views(Consecutive(2), size=(24, 24), scale=24))
    np.testing.assert_allclose(view, augment(frames, Augmentation((24, 24))), atol=2e-7)


def test_pixels_are_between_minus_one_and_one() -> None:
    frames = np.array([0, 51, 255], np.uint8)[:, None, None, None] * np.ones((1, 4, 6, 3), np.uint8)
    (view,) = views_of(frames, Views(Consecutive(3), size=(2, 2), scale=2))
    assert view.dtype == tf.float32
    np.testing.assert_allclose(view[:, 0, 0, 0], [-1, -0.6, 1], atol=1e-6)


# --- views ------------------------------------------------------------------------------------


def test_views_are_ordered_by_clip_then_by_crop() -> None:
    frames = numbered(6, 10, steps=4)
    views = Views(Segments(2), clips=2, crops=3, size=(6, 6), scale=6)
    pixels = np.round(255 * (np.array(views_of(frames, views)) + 1) / 2).astype(int)
    assert pixels.shape == (6, 2, 6, 6, 3)
    assert pixels[:, 0, 0, 0, 1].tolist() == [0, 2, 4, 0, 2, 4], "leftmost columns"
    assert pixels[:, :, 0, 0, 2].tolist() == 3 * [[0, 1]] + 3 * [[2, 3]], "steps"
    assert views.multi_clip.frames == 4


def test_the_whole_frame_is_one_view() -> None:
    frames = noise(12, 20, steps=3)
    (view,) = views_of(frames, Views(Whole(), size=None, scale=12))
    np.testing.assert_array_equal(view, to_signed(frames))
    (half,) = views_of(frames, Views(Whole(), size=None, scale=6))
    assert half.shape == (3, 6, 10, 3)


def test_mirrored_views() -> None:
    assert Views(Segments(2), clips=2, crops=3).mirrored == (False,) * 6
    ten = (False,) * 5 + (True,) * 5
    assert Views(Segments(2), clips=2, crops=10).mirrored == ten + ten


def test_frames_smaller_than_crops_are_an_error() -> None:
    views = Views(Consecutive(1), size=(4, 8), scale=4)
    assert len(views_of(noise(8, 16, steps=1), views)) == 1
    with pytest.raises(ValueError, match="as large as the crops, 4x8. Received: .* 4x6"):
        views_of(noise(8, 12, steps=1), views)
    with pytest.raises(ValueError, match="crops: expected one of 1, 3, 5, 10. Received: 2"):
        crops(noise(8, 12), (4, 4), 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"crops": 4}, "crops: expected one of 1, 3, 5, 10. Received: 4"),
        ({"crops": 3, "size": None}, "crops: expected 1, .* the whole frame. Received: 3"),
        ({"size": (300, 300)}, r"size: .* at most scale.*size=\(300, 300\), scale=256"),
        ({"size": (0, 30)}, r"size: expected positive.*\(0, 30\)"),
        ({"clips": 0}, "count: expected an int of at least 1. Received: 0"),
        ({"sampling": Whole(), "clips": 2}, "count: expected 1 clip of a whole video. Received: 2"),
    ],
)
def test_arguments_out_of_range_are_errors(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Views(**{"sampling": Segments(8)} | options)

"""Optical flow, against textures that move by what is known."""

import dataclasses
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from moving_textures import MOVES, MovingTexture, inner

from mpvn.data import VideoError
from mpvn.data.clips.augmentation import Augmentation, mirrored, normalized
from mpvn.data.clips.pipeline import ClipPipeline
from mpvn.data.clips.sampling import Consecutive
from mpvn.data.clips.views import Views
from mpvn.data.sets import flow as flow_module
from mpvn.data.sets.cached import in_memory
from mpvn.data.sets.flow import flow_picture, optical_flow, quantized
from mpvn.data.video_set import VideoSet

pytest.importorskip("cv2", reason="optical flow is computed by OpenCV: the extra flow")

BOUND = 5.0


def texture_set(*videos: MovingTexture, **options: Any) -> VideoSet:
    return VideoSet("textures", videos or (MovingTexture(),), ("a", "b"), **options)


def displacements(flow: np.ndarray, bound: float = BOUND) -> np.ndarray:
    """Flow uint8 `[..., 2 * stack]` in pixels."""
    return (flow / 127.5 - 1) * bound


# --- what it is -------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["dis", "tvl1"])
def test_flow_is_how_far_things_move(method: str) -> None:
    """To the right, then down, both signs, whole and half pixels."""
    videos = optical_flow(texture_set(), 1, method, BOUND)
    (video,) = videos.videos
    assert video.frame_count == len(MOVES)
    flow = video.read(range(len(MOVES)))
    assert flow.dtype == np.uint8
    assert flow.shape == (len(MOVES), 64, 80, 2)
    found = inner(displacements(flow))
    np.testing.assert_allclose(found.mean(axis=(1, 2)), MOVES, atol=0.1)
    far = np.abs(found - np.array(MOVES)[:, None, None])
    assert np.percentile(far, 99) < 0.3


def test_pairs_are_stacked_in_the_order_of_time() -> None:
    """No two moves are alike, so that one step too early or too late would show."""
    (video,) = optical_flow(texture_set(), 3, bound=BOUND).videos
    assert video.frame_count == 4
    found = inner(displacements(video.read([0, 2, 2, 3]))).mean(axis=(1, 2))
    expected = [np.ravel(MOVES[start : start + 3]) for start in (0, 2, 2, 3)]
    np.testing.assert_allclose(found, expected, atol=0.1)


def test_what_moves_further_than_the_bound_is_cut_off() -> None:
    (video,) = optical_flow(texture_set(), 1, bound=2.0).videos
    found = inner(video.read([0, 4]))
    assert found[0].reshape(-1, 2).min(axis=0).tolist() == [255, 0]  # 3 and -2, cut off at 2
    assert (found[1, ..., 0] == 0).all()


def test_displacements_are_rounded_and_rest_is_128() -> None:
    """Steps are of 1 / 127.5 of the bound, so that rest lies between two of them."""
    steps = np.array([-127.5, -100.2, -3.2, -0.4, 0, 0.4, 3.2, 127.5])
    expected = [0, 27, 124, 127, 128, 128, 131, 255]
    assert quantized(20 * steps / 127.5, 20.0).tolist() == expected
    assert quantized(np.array([-21.0, 1000.0]), 20.0).tolist() == [0, 255]
    (still,) = optical_flow(texture_set(MovingTexture(((0.0, 0.0),))), 1).videos
    assert (still.read([0]) == 128).all()


@pytest.mark.parametrize("method", ["dis", "tvl1"])
def test_the_mirror_image_of_flow_is_the_flow_of_the_mirror_image(method: str) -> None:
    """A sign that is missed shows: things move by up to four pixels."""
    videos = optical_flow(texture_set(), 2, method, BOUND)
    assert (videos.channels, videos.horizontal) == (4, (0, 2))
    other = optical_flow(texture_set(MovingTexture(mirrored=True)), 2, method, BOUND)
    shown, expected = (
        normalized(each.videos[0].read([0, 2]) / np.float32(255)).numpy()
        for each in (videos, other)
    )
    found = mirrored(shown, videos.horizontal)
    np.testing.assert_allclose(inner(BOUND * found), inner(BOUND * expected), atol=0.3)
    assert np.abs(inner(BOUND * (shown[:, :, ::-1] - expected))).max() > 5


# --- what is computed, and what stays ---------------------------------------------------------


class Resting:
    """In the place of what computes flow: counts."""

    calls = 0

    def calc(self, before: np.ndarray, after: np.ndarray, flow: None) -> np.ndarray:
        Resting.calls += 1
        return np.zeros((*before.shape, 2), np.float32)


def test_a_pair_is_computed_once_and_a_frame_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow_module, "_estimator", lambda method: Resting())
    source = MovingTexture()
    (video,) = optical_flow(texture_set(source), 3).videos
    Resting.calls = 0
    assert video.read([0, 1, 3, 3]).shape == (4, 64, 80, 6)
    assert Resting.calls == 6
    assert source.reads == [[0, 1, 2, 3, 4, 5, 6]]
    video.read([1])
    assert Resting.calls == 9
    assert source.reads[1:] == [[1, 2, 3, 4]]


def test_the_videos_are_the_same_otherwise() -> None:
    source = texture_set(MovingTexture(label=1), MovingTexture(number=1), joints=("left", "right"))
    videos = optical_flow(source, 2)
    assert videos.name == "textures, optical flow"
    assert (videos.classes, videos.joints) == (source.classes, source.joints)
    for seen, video in zip(videos.videos, source.videos, strict=True):
        assert (seen.name, seen.label, seen.fps) == (video.name, video.label, video.fps)
        np.testing.assert_array_equal(seen.joints([0, 3]), video.joints([0, 3]))


def test_flow_in_memory_is_the_same() -> None:
    videos = optical_flow(texture_set(), 2)
    kept = in_memory(videos)
    assert (kept.channels, kept.horizontal) == (4, (0, 2))
    np.testing.assert_array_equal(kept.videos[0].read([3, 0]), videos.videos[0].read([0, 3])[::-1])


# --- clips and views --------------------------------------------------------------------------


def test_clips_are_flow_mirrored_or_not() -> None:
    """Things move to the right by three pixels; in mirror images, to the left."""
    videos = optical_flow(texture_set(MovingTexture(((3.0, 2.0),) * 8)), 2, bound=BOUND)
    augmentation = Augmentation((32, 32), "random", (0.8, 1.0), flip=True)
    pipeline = ClipPipeline(videos, Consecutive(4), augmentation, 2, training=True)
    seen = []
    for batch in pipeline.dataset(batches=8).as_numpy_iterator():
        assert batch["frames"].shape == (2, 4, 32, 32, 4)
        assert np.abs(batch["frames"]).max() <= 1
        seen += (BOUND * batch["frames"][:, :, 8:-8, 8:-8].mean(axis=(1, 2, 3))).tolist()
    directions = np.sign(seen)[:, 0]
    assert {-1.0, 1.0} == set(directions.tolist())
    expected = [[3 * way, 2, 3 * way, 2] for way in directions]
    np.testing.assert_allclose(seen, expected, atol=0.35)


def test_ten_crops_of_flow_are_five_and_their_mirror_images() -> None:
    videos = optical_flow(texture_set(MovingTexture(((3.0, 2.0),) * 8)), 2, bound=BOUND)
    views = Views(Consecutive(2), crops=10, size=(48, 48), scale=64)
    frames = videos.videos[0].read([2, 3])
    found = np.stack(list(views.of(frames, videos.horizontal)))
    assert found.shape == (10, 2, 48, 48, 4)
    expected = found[:5, :, :, ::-1] * np.array([-1, 1, -1, 1])
    np.testing.assert_allclose(found[5:], expected, atol=1e-6)
    means = BOUND * found[[4, 9], :, 12:-12, 12:-12].mean(axis=(1, 2, 3))
    np.testing.assert_allclose(means, [[3, 2, 3, 2], [-3, 2, -3, 2]], atol=0.1)


@pytest.mark.parametrize("color", ["brightness", "contrast", "saturation", "hue"])
def test_flow_has_no_colors_to_change(color: str) -> None:
    videos = optical_flow(texture_set(), 2)
    with pytest.raises(ValueError, match=f"have 4 channels. Leave at 0: {color}"):
        ClipPipeline(videos, Consecutive(2), Augmentation((32, 32), **{color: 0.1}))


def test_videos_that_are_too_short_are_left_out() -> None:
    short = MovingTexture(MOVES[:3], number=1)
    videos = optical_flow(texture_set(MovingTexture(), short), 4)
    pipeline = ClipPipeline(videos, Consecutive(1), Augmentation((32, 32)))
    assert [clip["number"].tolist() for clip in pipeline.arrays()] == [[0]]
    assert "it has 4 frames, and optical flow of 4 pairs needs 5 of them" in pipeline.report()


# --- pictures ---------------------------------------------------------------------------------


def test_pictures_tell_directions_by_their_hue() -> None:
    """Red to the right, its complement to the left; the opposite of a color is what it lacks."""
    flow = np.full((2, 4, 4), 128, np.uint8)
    flow[0, 1], flow[0, 2], flow[1, 1] = (250, 128) * 2, (5, 127) * 2, (128, 250) * 2
    picture = flow_picture(flow).astype(int)
    assert picture.shape == (2, 4, 3)
    right, left, down = picture[0, 1], picture[0, 2], picture[1, 1]
    assert right.argmax() == 0
    assert left.argmin() == 0
    assert (right + left).min() > 240
    assert np.abs(down - right).max() > 60
    assert picture[0, 0].max() <= 2, "rest is black"
    assert flow_picture(np.full((2, 2, 2), 128, np.uint8)).max() < 20, "also where nothing moves"


# --- what is refused --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stack": 0}, "stack must be an int of at least 1. Received: 0"),
        ({"method": "farneback"}, "one of dis, tvl1. Received: 'farneback'"),
        ({"bound": 0.0}, "bound must be a positive number of pixels. Received: 0"),
        ({"bound": float("inf")}, "Received: inf"),
    ],
)
def test_arguments_out_of_range_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        optical_flow(texture_set(), **options)


def test_flow_of_flow_is_refused() -> None:
    with pytest.raises(ValueError, match="of RGB frames, and those of textures, .* 4 channels"):
        optical_flow(optical_flow(texture_set(), 2), 2)


def test_frames_that_are_too_small_say_so() -> None:
    (video,) = optical_flow(texture_set(MovingTexture(size=(8, 8))), 1).videos
    with pytest.raises(VideoError, match="textures/0.avi: OpenCV's dis cannot take .* of 8x8: .*"):
        video.read([0])


def test_horizontal_channels_are_channels() -> None:
    with pytest.raises(ValueError, match=r"among the 3 channels of frames. Received: \(0, 3\)"):
        dataclasses.replace(texture_set(), horizontal=(0, 3))


def test_what_is_not_installed_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    import cv2

    monkeypatch.delattr(cv2, "optflow")
    with pytest.raises(ImportError, match="tvl1 .* opencv-contrib-python-headless"):
        optical_flow(texture_set(), method="tvl1")
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(ImportError, match="not installed.*opencv-contrib-python-headless"):
        optical_flow(texture_set())


def test_the_mirror_image_of_tensors_is_that_of_arrays(rng: np.random.Generator) -> None:
    frames = rng.uniform(-1, 1, (2, 4, 5, 4)).astype(np.float32)
    for horizontal in ((), (0, 2)):
        found: Sequence = mirrored(tf.constant(frames), horizontal)
        np.testing.assert_array_equal(found, mirrored(frames, horizontal))

"""Optical flow of textures with known displacements."""

import dataclasses
import sys
from typing import Any

import numpy as np
import pytest
from moving_textures import MOVES, MovingTexture, inner

from mpvn.data import VideoError
from mpvn.data.clips.augmentation import Augmentation, mirror
from mpvn.data.clips.pipeline import ClipPipeline
from mpvn.data.clips.sampling import Consecutive
from mpvn.data.clips.views import Views
from mpvn.data.sets import flow as flow_module
from mpvn.data.sets.cached import in_memory
from mpvn.data.sets.flow import flow_picture, optical_flow, quantize
from mpvn.data.video_set import VideoSet
from mpvn.pixels import to_signed

pytest.importorskip("cv2", reason="OpenCV computes optical flow: install the extra flow")

BOUND = 5.0


def texture_set(*videos: MovingTexture, **options: Any) -> VideoSet:
    return VideoSet("textures", videos or (MovingTexture(),), ("a", "b"), **options)


def displacements(flow: np.ndarray, bound: float = BOUND) -> np.ndarray:
    """Convert flow uint8 `[..., 2 * stack]` to pixels."""
    return (flow / 127.5 - 1) * bound


# --- values -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "pairs"), [("dis", len(MOVES)), ("tvl1", 3)])
def test_flow_is_the_displacement(method: str, pairs: int) -> None:
    """To the right, then down, with both signs, whole and half pixels."""
    videos = optical_flow(texture_set(), 1, method, BOUND)
    (video,) = videos.videos
    assert len(video.timeline) == len(MOVES)
    flow = video.read(range(pairs))
    assert flow.dtype == np.uint8
    assert flow.shape == (pairs, 64, 80, 2)
    found = inner(displacements(flow))
    np.testing.assert_allclose(found.mean(axis=(1, 2)), MOVES[:pairs], atol=0.1)
    errors = np.abs(found - np.array(MOVES[:pairs])[:, None, None])
    assert np.percentile(errors, 99) < 0.3


def test_pairs_are_stacked_in_temporal_order() -> None:
    """All moves differ, so a shift by one step would show."""
    (video,) = optical_flow(texture_set(), 3, bound=BOUND).videos
    assert len(video.timeline) == 4
    found = inner(displacements(video.read([0, 2, 2, 3]))).mean(axis=(1, 2))
    expected = [np.ravel(MOVES[start : start + 3]) for start in (0, 2, 2, 3)]
    np.testing.assert_allclose(found, expected, atol=0.1)


def test_displacements_longer_than_the_bound_are_clipped() -> None:
    (video,) = optical_flow(texture_set(), 1, bound=2.0).videos
    found = inner(video.read([0, 4]))
    assert found[0].reshape(-1, 2).min(axis=0).tolist() == [255, 0]  # 3 and -2, clipped to 2
    assert (found[1, ..., 0] == 0).all()


def test_displacements_are_rounded_and_rest_is_128() -> None:
    """A level is 1 / 127.5 of the bound, so rest is between two levels."""
    steps = np.array([-127.5, -100.2, -3.2, -0.4, 0, 0.4, 3.2, 127.5])
    expected = [0, 27, 124, 127, 128, 128, 131, 255]
    assert quantize(20 * steps / 127.5, 20.0).tolist() == expected
    assert quantize(np.array([-21.0, 1000.0]), 20.0).tolist() == [0, 255]
    (still,) = optical_flow(texture_set(MovingTexture(((0.0, 0.0),))), 1).videos
    assert (still.read([0]) == 128).all()


@pytest.mark.parametrize("method", ["dis", "tvl1"])
def test_the_mirror_image_of_flow_is_the_flow_of_the_mirror_image(method: str) -> None:
    """A wrong sign shows, because the texture moves by up to four pixels."""
    videos = optical_flow(texture_set(), 2, method, BOUND)
    assert (videos.channels, videos.horizontal) == (4, (0, 2))
    other = optical_flow(texture_set(MovingTexture(mirrored=True)), 2, method, BOUND)
    flow, expected = (each.videos[0].read([0]) for each in (videos, other))
    mirrored, flow, expected = map(to_signed, (mirror(flow, videos.horizontal), flow, expected))
    np.testing.assert_allclose(inner(BOUND * mirrored), inner(BOUND * expected), atol=0.3)
    assert np.abs(inner(BOUND * (flow[:, :, ::-1] - expected))).max() > 5


# --- work, and unchanged attributes -----------------------------------------------------------


class CountingEstimator:
    """A flow estimator that counts its calls and returns zeros."""

    calls = 0

    def calc(self, before: np.ndarray, after: np.ndarray, flow: None) -> np.ndarray:
        CountingEstimator.calls += 1
        return np.zeros((*before.shape, 2), np.float32)


def test_a_pair_is_computed_once_and_a_frame_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow_module, "_create_estimator", lambda method: CountingEstimator())
    source = MovingTexture()
    (video,) = optical_flow(texture_set(source), 3).videos
    CountingEstimator.calls = 0
    assert video.read([0, 1, 3, 3]).shape == (4, 64, 80, 6)
    assert CountingEstimator.calls == 6
    assert source.reads == [[0, 1, 2, 3, 4, 5, 6]]
    video.read([1])
    assert CountingEstimator.calls == 9
    assert source.reads[1:] == [[1, 2, 3, 4]]


def test_other_attributes_are_unchanged() -> None:
    source = texture_set(MovingTexture(label=1), MovingTexture(number=1), joints=("left", "right"))
    videos = optical_flow(source, 2)
    assert videos.name == "textures, optical flow"
    assert (videos.classes, videos.joints) == (source.classes, source.joints)
    for seen, video in zip(videos.videos, source.videos, strict=True):
        assert (seen.name, seen.label, seen.timeline.rate) == (
            video.name,
            video.label,
            video.timeline.rate,
        )
        np.testing.assert_array_equal(seen.joints([0, 3]), video.joints([0, 3]))


def test_flow_in_memory_is_equal() -> None:
    videos = optical_flow(texture_set(), 2)
    cached = in_memory(videos)
    assert (cached.channels, cached.horizontal) == (4, (0, 2))
    np.testing.assert_array_equal(
        cached.videos[0].read([3, 0]), videos.videos[0].read([0, 3])[::-1]
    )


# --- clips and views --------------------------------------------------------------------------


def test_clips_of_flow_are_mirrored() -> None:
    """The texture moves to the right by three pixels, and to the left in mirror images."""
    videos = optical_flow(texture_set(MovingTexture(((3.0, 2.0),) * 8)), 2, bound=BOUND)
    augmentation = Augmentation((32, 32), "random", (0.8, 1.0), flip=True)
    pipeline = ClipPipeline(videos, Consecutive(4), augmentation, 2, training=True)
    means = []
    for batch in pipeline.dataset(batches=8).as_numpy_iterator():
        assert batch["frames"].shape == (2, 4, 32, 32, 4)
        assert np.abs(batch["frames"]).max() <= 1
        means += (BOUND * batch["frames"][:, :, 8:-8, 8:-8].mean(axis=(1, 2, 3))).tolist()
    directions = np.sign(means)[:, 0]
    assert {-1.0, 1.0} == set(directions.tolist())
    expected = [[3 * sign, 2, 3 * sign, 2] for sign in directions]
    np.testing.assert_allclose(means, expected, atol=0.35)


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
def test_changing_colors_of_flow_is_an_error(color: str) -> None:
    videos = optical_flow(texture_set(), 2)
    with pytest.raises(ValueError, match=f"frames of 4 channels. Set to 0: {color}"):
        ClipPipeline(videos, Consecutive(2), Augmentation((32, 32), **{color: 0.1}))


def test_videos_that_are_too_short_are_skipped() -> None:
    short = MovingTexture(MOVES[:3], number=1)
    videos = optical_flow(texture_set(MovingTexture(), short), 4)
    pipeline = ClipPipeline(videos, Consecutive(1), Augmentation((32, 32)))
    assert [clip["number"].tolist() for clip in pipeline.arrays()] == [[0]]
    assert "optical flow of 4 pairs needs 5 frames. Received: 4 frames" in pipeline.report()


# --- pictures ---------------------------------------------------------------------------------


def test_pictures_show_directions_by_hue() -> None:
    """Red is to the right, its complement to the left."""
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


# --- errors -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stack": 0}, "stack: expected an int of at least 1. Received: 0"),
        ({"method": "farneback"}, "method: expected one of dis, tvl1. Received: 'farneback'"),
        ({"bound": 0.0}, "bound: expected a positive number of pixels. Received: 0"),
        ({"bound": float("inf")}, "Received: inf"),
    ],
)
def test_arguments_out_of_range_are_errors(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        optical_flow(texture_set(), **options)


def test_flow_of_flow_is_an_error() -> None:
    with pytest.raises(ValueError, match="textures, optical flow: expected RGB .* of 4 channels"):
        optical_flow(optical_flow(texture_set(), 2), 2)


def test_frames_that_are_too_small_are_an_error() -> None:
    (video,) = optical_flow(texture_set(MovingTexture(size=(8, 8))), 1).videos
    with pytest.raises(VideoError, match="textures/0.avi: OpenCV's dis does not accept .* 8x8"):
        video.read([0])


def test_horizontal_channels_must_exist() -> None:
    with pytest.raises(ValueError, match=r"among the 3 channels of a frame. Received: \(0, 3\)"):
        dataclasses.replace(texture_set(), horizontal=(0, 3))


def test_a_missing_installation_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    import cv2

    monkeypatch.delattr(cv2, "optflow")
    with pytest.raises(ImportError, match="tvl1 .* opencv-contrib-python-headless"):
        optical_flow(texture_set(), method="tvl1")
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(ImportError, match="not installed.*opencv-contrib-python-headless"):
        optical_flow(texture_set())

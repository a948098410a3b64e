"""The rendered video: the same for the same seed, smooth, lively, and of any size."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from drawn_video import render_video, write_rendered_video

from mpvn.data import VideoError, VideoReader


def differences(frames: list[np.ndarray]) -> np.ndarray:
    return np.array([np.abs(b.astype(int) - a).mean() for a, b in pairwise(frames)])


def test_shape_and_number() -> None:
    frames = list(render_video(3, (90, 160)))
    assert len(frames) == 3
    assert all(frame.shape == (90, 160, 3) and frame.dtype == np.uint8 for frame in frames)
    assert list(render_video(0)) == []


def test_the_same_seed_gives_the_same_pixels() -> None:
    for one, other in zip(render_video(5, seed=3), render_video(5, seed=3), strict=True):
        np.testing.assert_array_equal(one, other)


def test_another_seed_gives_another_video() -> None:
    (one,) = render_video(1, seed=0)
    (other,) = render_video(1, seed=1)
    assert np.abs(one.astype(int) - other).mean() > 10


def test_more_frames_only_go_on_longer() -> None:
    for short, long in zip(render_video(4), list(render_video(9))[:4], strict=True):
        np.testing.assert_array_equal(short, long)


def test_another_rate_shows_the_same_motion() -> None:
    slow = list(render_video(4, fps=10))
    fast = list(render_video(10, fps=30))[::3]
    for one, other in zip(slow, fast, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("seed", range(3))
def test_motion_is_smooth_and_never_stops(seed: int) -> None:
    steps = differences(list(render_video(seed=seed)))
    assert steps.min() > 0.5
    assert steps.max() < 12
    # No jump: consecutive steps are alike, and half the time step moves less.
    assert (steps[1:] / steps[:-1]).max() < 1.5
    finer = differences(list(render_video(40, fps=50, seed=seed)))
    assert finer.mean() < 0.75 * steps[:20].mean()


def test_the_picture_is_neither_flat_nor_clipped() -> None:
    frames = np.stack(list(render_video(96))[::12])
    assert frames.std() > 30
    assert ((frames == 0) | (frames == 255)).mean() < 0.15
    # Fine texture: neighbors differ nearly everywhere.
    assert np.median(np.abs(np.diff(frames.astype(int), axis=2))) >= 1


@pytest.mark.parametrize("size", [(1, 1), (16, 200), (200, 16), (33, 47)])
def test_any_size(size: tuple[int, int]) -> None:
    for frame in render_video(30, size):
        assert frame.shape == (*size, 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"frames": -1}, "frames: expected 0 or more, received -1"),
        ({"size": (0, 10)}, "size: expected"),
        ({"fps": 0}, "fps: expected a positive number"),
    ],
)
def test_impossible_arguments_fail_at_the_call(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        render_video(**arguments)  # type: ignore[arg-type]


def test_the_file_shows_the_same(tmp_path: Path) -> None:
    write_rendered_video(tmp_path / "drawn.mp4", frames=10, size=(96, 128), fps=20, seed=2)
    with VideoReader(tmp_path / "drawn.mp4") as video:
        assert (video.height, video.width, video.fps, video.frame_count) == (96, 128, 20.0, 10)
        for read, drawn in zip(video, render_video(10, (96, 128), 20, 2), strict=True):
            assert np.abs(read.astype(int) - drawn).mean() < 5
    with pytest.raises(VideoError, match="existing folder"):
        write_rendered_video(tmp_path / "none" / "drawn.mp4")

"""Conversion to another frame rate."""

from fractions import Fraction
from pathlib import Path

import pytest
from video_files import encode, gray, indices

from mpvn.data import VideoError, VideoReader
from mpvn.data.video.timeline import frame_rate


def test_a_lower_rate_drops_frames(clip: Path) -> None:
    with VideoReader(clip, fps=12.5) as video:
        assert (video.fps, video.frame_count) == (12.5, 15)
        assert indices(video) == list(range(0, 30, 2))


def test_a_higher_rate_repeats_frames(clip: Path) -> None:
    with VideoReader(clip, fps=50) as video:
        assert video.frame_count == 60
        assert indices(video) == [index for index in range(30) for _ in range(2)]


def test_a_ratio_that_is_not_an_integer(clip: Path) -> None:
    with VideoReader(clip, fps=10) as video:
        expected = [n * 25 // 10 for n in range(12)]
        assert video.frame_count == 12
        assert indices(video) == expected


def test_same_rate_changes_nothing(clip: Path) -> None:
    assert indices(VideoReader(clip, fps=25)) == list(range(30))


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_variable_rate(tmp_path: Path, suffix: str) -> None:
    times = [0, 40, 50, 60, 300, 310, 500]
    path = encode(tmp_path / f"variable.{suffix}", map(gray, range(7)), times=times)
    with VideoReader(path) as video:
        assert indices(video) == list(range(7))
    shown = indices(VideoReader(path, fps=20))
    newest = [max(i for i, t in enumerate(times) if t <= 50 * n) for n in range(11)]
    assert newest == [0, 2, 3, 3, 3, 3, 4, 5, 5, 5, 6]
    # Only the duration of the last frame depends on the container.
    assert shown[:11] == newest
    assert set(shown[11:]) <= {6}


def test_times_of_a_converted_video(clip: Path) -> None:
    times = [time for time, _ in VideoReader(clip, fps=10).timed()]
    assert times == pytest.approx([n / 10 for n in range(12)])


def test_repeated_frames_are_separate_arrays(clip: Path) -> None:
    shown = []
    for frame in VideoReader(clip, fps=75):
        shown.append(round((float(frame[0, 0, 0]) - 10) / 4))
        frame[:] = 255  # as a consumer that draws on its frame
    assert shown == [index for index in range(30) for _ in range(3)]


def test_rates_are_exact() -> None:
    assert frame_rate(30000 / 1001) == Fraction(30000, 1001)
    assert frame_rate(29.97) == Fraction(2997, 100)
    assert frame_rate(25) == 25


@pytest.mark.parametrize("fps", [0, -1, float("nan"), float("inf")])
def test_invalid_rates(clip: Path, fps: float) -> None:
    with pytest.raises(VideoError, match="fps: expected a positive number"):
        VideoReader(clip, fps=fps)

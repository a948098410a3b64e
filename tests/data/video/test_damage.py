"""Truncated files: the frames that decode are returned, with one warning."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from video_files import encode, gray, indices

from mpvn.data import VideoError, VideoReader


@pytest.fixture(params=["mp4", "mkv", "avi"])
def truncated(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A file of 60 frames of noise, of which the last 40% of the bytes are missing."""
    random = np.random.default_rng(0)
    noise = [random.integers(0, 255, (48, 64, 3), np.uint8) for _ in range(60)]
    path = encode(
        tmp_path / f"truncated.{request.param}",
        noise,
        codec="mpeg4",
        options={"movflags": "faststart"} if request.param == "mp4" else None,
    )
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 6 // 10])
    return path


def test_frames_that_decode_are_returned_with_one_warning(truncated: Path) -> None:
    with pytest.warns(RuntimeWarning, match="damaged.*frames that decode") as caught:
        frames = list(VideoReader(truncated))
    assert 15 < len(frames) < 45
    assert len(caught) == 1


def test_strict_raises_an_error(truncated: Path) -> None:
    with pytest.raises(VideoError, match="damaged.*`strict=False`"):
        list(VideoReader(truncated, strict=True))


def test_undamaged_files_do_not_warn(tmp_path: Path) -> None:
    for suffix in ("mp4", "mkv", "avi", "ts"):
        path = encode(tmp_path / f"complete.{suffix}", map(gray, range(30)))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert indices(VideoReader(path, strict=True)) == list(range(30))

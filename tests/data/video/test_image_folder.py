"""Folders of images as videos."""

from pathlib import Path

import numpy as np
import pytest
from av.video.frame import VideoFrame
from video_files import RED, WHITE, gray, indices, quarters, save_image

from mpvn.data import VideoError, VideoReader


def test_natural_order(tmp_path: Path) -> None:
    for index in range(12):
        save_image(tmp_path / f"frame{index}.png", gray(index))
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / ".frame0.png").write_text("a hidden file that some systems create")
    with VideoReader(tmp_path) as video:
        assert (video.frame_count, video.fps, video.duration) == (12, 25.0, 0.48)
        assert indices(video) == list(range(12))


def test_fps_sets_the_rate(tmp_path: Path) -> None:
    for index in range(4):
        save_image(tmp_path / f"{index}.png", gray(index))
    with VideoReader(tmp_path, fps=10) as video:
        assert (video.frame_count, video.fps, video.duration) == (4, 10.0, 0.4)
        assert [time for time, _ in video.timed()] == pytest.approx([0, 0.1, 0.2, 0.3])


def test_alpha_is_composited_over_black(tmp_path: Path) -> None:
    image = np.full((6, 6, 4), (0, 200, 100, 51), np.uint8)
    save_image(tmp_path / "a.png", image, "rgba")
    (frame,) = VideoReader(tmp_path)
    np.testing.assert_array_equal(frame, np.full((6, 6, 3), (0, 40, 20), np.uint8))


def test_names_are_not_read_as_patterns(tmp_path: Path) -> None:
    save_image(tmp_path / "100%d.png", quarters())
    (frame,) = VideoReader(tmp_path)
    np.testing.assert_array_equal(frame, quarters())


def test_jpeg(tmp_path: Path) -> None:
    VideoFrame.from_ndarray(quarters(), format="rgb24").save(str(tmp_path / "a.jpg"))
    (frame,) = VideoReader(tmp_path)
    np.testing.assert_allclose(frame[4, 4], RED, atol=8)
    np.testing.assert_allclose(frame[-4, -4], WHITE, atol=8)


def test_images_of_different_sizes_require_size(tmp_path: Path) -> None:
    save_image(tmp_path / "0.png", gray(0, 20, 30))
    save_image(tmp_path / "1.png", gray(1, 40, 30))
    with pytest.raises(VideoError, match=r"\(20, 30\).*Received: \(40, 30\).*`size=`"):
        list(VideoReader(tmp_path))
    assert indices(VideoReader(tmp_path, size=(10, 10))) == [0, 1]


def test_a_damaged_image_is_left_out_with_one_warning(tmp_path: Path) -> None:
    for index in range(5):
        save_image(tmp_path / f"{index}.png", gray(index))
    for index in (1, 3):
        (tmp_path / f"{index}.png").write_bytes(b"not an image")
    with pytest.warns(RuntimeWarning, match="1.png does not decode") as caught:
        assert indices(VideoReader(tmp_path)) == [0, 2, 4]
    assert len(caught) == 1
    with pytest.raises(VideoError, match="1.png does not decode"):
        list(VideoReader(tmp_path, strict=True))

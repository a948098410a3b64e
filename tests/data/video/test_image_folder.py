"""Folders of images as videos."""

import re
from pathlib import Path

import numpy as np
import pytest
from av.video.frame import VideoFrame
from video_files import RED, WHITE, gray, indices, quarters, save_image

from mpvn.data import VideoError, VideoReader
from mpvn.data.sets.files import FileVideo
from mpvn.data.video.image_series import ImageSeries, find_series


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


# --- series -------------------------------------------------------------------------------------


def numbered(*patterns: str, numbers: range = range(1, 4)) -> list[str]:
    return [pattern.format(number) for pattern in patterns for number in numbers]


def series_of(folder: Path, names: list[str], pattern: str = "") -> ImageSeries:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).touch()
    return find_series(folder / pattern)


FRAMES = numbered("img_{:05d}.png")


@pytest.mark.parametrize(
    ("frames", "others", "left_out"),
    [
        (FRAMES, numbered("flow_x_{:05d}.png", "flow_y_{:05d}.png"), []),
        (numbered("image_{:05d}.jpg"), numbered("flow_i_{:05d}.jpg"), []),
        (numbered("{:05d}.jpg"), numbered("u_{:05d}.jpg", "v_{:05d}.jpg"), []),
        (numbered("{}.jpg"), numbered("x{}.jpg", "y{}.jpg", "optical_flow{}.jpg"), []),
        (FRAMES, ["cover.jpg"], ["cover.jpg"]),
        (FRAMES, ["Folder.JPG", "poster_1080.png"], ["Folder.JPG", "poster_1080.png"]),
        (["1.jpg", "02.jpg", "003.PNG", "4.jpeg"], [], []),
        (["Img_1.jpg", "img_2.jpg", "img_3.jpg"], [], []),
        (["f_1_77.jpg", "f_2_45.jpg", "f_3_45.jpg"], [], []),
        (["cam1_08.jpg", "cam1_09.jpg", "cam2_10.jpg", "cam2_11.jpg"], [], []),
        (["a.png", "b.png", "c.png"], [], []),
        (["flow_1.png", "flow_2.png"], [], []),
        (["only 1.png"], [], []),
    ],
)
def test_the_frames_are_the_only_series(
    tmp_path: Path, frames: list[str], others: list[str], left_out: list[str]
) -> None:
    """A folder with `img_*`, `flow_x_*` and `flow_y_*` was a video of all of them."""
    series = series_of(tmp_path, frames + others)
    assert series.names == frames
    assert (series.left_out, series.missing) == (left_out, [])


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (numbered("a_{:03d}.jpg", "b_{:03d}.jpg"), "2 series: a_* (3 images), b_* (3 images)"),
        (numbered("rgb_{}.png", "depth_{}.png"), "2 series: depth_* (3 images), rgb_*"),
        (numbered("{:04d}.jpg", "thumb_{:04d}.jpg"), "2 series: [0-9]* (3 images), thumb_*"),
        (numbered("{:04d}.jpg", "{:04d}_mask.jpg"), "*[0-9].jpg (3 images), *_mask.jpg (3 images)"),
        (numbered("cam1_{}.jpg", "cam2_{}.jpg"), "2 series: cam1_* (3 images), cam2_* (3 images)"),
        (numbered("{}_cam1.jpg", "{}_cam2.jpg"), "2 series: *_cam1.jpg (3 images), *_cam2.jpg"),
        (numbered("{}.jpg", "{}.png"), "2 series: *.jpg (3 images), *.png (3 images)"),
        (["1.jpg", "01.jpg"], "2 series: 01.jpg (1 images), 1.jpg (1 images)"),
        (["a3f9.jpg", "b77e02.jpg", "0c.jpg"], "3 series"),
        (numbered("flow_x_{}.jpg", "flow_y_{}.jpg"), "2 series: flow_x_* (3 images), flow_y_*"),
        (["start.jpg", "frame_1.jpg", "end.jpg"], "3 series"),
    ],
)
def test_several_series_are_refused_by_name(tmp_path: Path, names: list[str], shown: str) -> None:
    with pytest.raises(VideoError, match=f"{re.escape(shown)}.*Choose the frames"):
        series_of(tmp_path, names)


def test_a_pattern_chooses_the_frames(tmp_path: Path) -> None:
    for index in range(3):
        save_image(tmp_path / f"rgb_{index}.png", gray(index))
        save_image(tmp_path / f"depth_{index}.png", gray(9 - index))
    assert indices(VideoReader(tmp_path / "rgb_*")) == [0, 1, 2]
    assert indices(FileVideo(tmp_path / "depth_*").read([0, 1, 2])) == [9, 8, 7]
    assert VideoReader(tmp_path / "*").frame_count == 6
    with pytest.raises(VideoError, match="6 entries, none of them an image"):
        VideoReader(tmp_path / "color_*")


@pytest.mark.parametrize(
    ("numbers", "missing"),
    [
        ([1, 2, 4, 5, 9], [range(3, 4), range(6, 9)]),
        ([0, 5, 10, 25], [range(15, 25, 5)]),
        ([1, 2, 9], [range(3, 9)]),
        ([7, 10**18, 2 * 10**18], []),
        ([1, 5], []),
        ([100, 133, 167, 200, 267], []),  # milliseconds
    ],
)
def test_missing_numbers_are_found(
    tmp_path: Path, numbers: list[int], missing: list[range]
) -> None:
    names = [f"f{number:03d}.jpg" for number in numbers]
    series = series_of(tmp_path, names)
    assert series.names == names
    assert series.missing == missing
    assert series_of(tmp_path, [], "*") == ImageSeries(tmp_path, names)


def test_missing_images_are_said(tmp_path: Path) -> None:
    for index in (0, 1, 2, 5, 6):
        save_image(tmp_path / f"{index}.png", gray(index))
    message = r"2 images are missing, from number 3 on; if they never existed, pass .*/\*"
    with pytest.warns(RuntimeWarning, match=message):
        assert indices(VideoReader(tmp_path)) == [0, 1, 2, 5, 6]
    for read in (lambda: VideoReader(tmp_path, strict=True), lambda: FileVideo(tmp_path).timeline):
        with pytest.raises(VideoError, match=message):
            read()
    assert len(FileVideo(tmp_path / "*").timeline) == 5


def test_a_cover_is_left_out_with_a_warning(tmp_path: Path) -> None:
    for index in range(3):
        save_image(tmp_path / f"{index}.png", gray(index))
    save_image(tmp_path / "cover.png", gray(9, 20, 20))
    with pytest.warns(RuntimeWarning, match="Received also: cover.png, which are left out"):
        assert indices(VideoReader(tmp_path)) == [0, 1, 2]

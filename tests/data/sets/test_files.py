"""`FileVideo`: sections, joints and errors."""

import pickle
import warnings
from pathlib import Path

import av
import numpy as np
import pytest
from encoded_videos import COUNT, encode

from mpvn.data import VideoError, VideoReader
from mpvn.data.sets.files import FileVideo

# --- sections -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "end", "first", "count"),
    [
        (None, None, 0, 50),
        (0.4, 1.2, 10, 20),
        (0.41, 1.21, 11, 20),
        (1.0, None, 25, 25),
        (None, 0.04, 0, 1),
        (1.6, 99, 40, 10),
    ],
)
def test_a_section_has_the_frames_from_start_until_before_end(
    tmp_path: Path, start: float | None, end: float | None, first: int, count: int
) -> None:
    path = encode(tmp_path / "clip.mp4")
    video = FileVideo(path, start=start, end=end)
    assert (len(video.timeline), video.timeline.rate) == (count, 25)
    expected = FileVideo(path).read(range(COUNT))[first : first + count]
    np.testing.assert_array_equal(video.read(range(count)), expected)


def test_sections_are_relative_to_the_first_frame(tmp_path: Path) -> None:
    times = [500, 540, 740, 1000, 1040]
    path = encode(tmp_path / "late.mkv", times=times, count=5)
    video = FileVideo(path, start=0.24, end=0.54)
    assert len(video.timeline) == 2
    np.testing.assert_array_equal(video.read([0, 1]), FileVideo(path).read([2, 3]))
    assert len(FileVideo(path, start=0.2402).timeline) == 3  # may have been rounded to 0.240
    assert len(FileVideo(path, start=0.241).timeline) == 2


def test_names_of_sections() -> None:
    assert FileVideo("a.mp4").name == "a.mp4"
    assert FileVideo("a.mp4", start=3, end=12.5).name == "a.mp4 (3 to 12.5 s)"


def test_a_section_outside_of_the_file_is_an_error(tmp_path: Path) -> None:
    video = FileVideo(encode(tmp_path / "clip.mp4"), start=10, end=20)
    with pytest.raises(VideoError, match=r"\(10 to 20 s\).*Received: a video of 2.00 s"):
        _ = len(video.timeline)


@pytest.mark.parametrize(("start", "end"), [(-1, None), (3, 3), (3, 2), (None, 0)])
def test_invalid_sections_are_errors(start: float | None, end: float | None) -> None:
    with pytest.raises(VideoError, match="expected 0 <= start < end"):
        FileVideo("a.mp4", start=start, end=end)


# --- joints -------------------------------------------------------------------------------------


def test_joints_of_frames(tmp_path: Path, rng: np.random.Generator) -> None:
    joints = rng.random((20, 2, 3, 3)).astype(np.float32)
    video = FileVideo(encode(tmp_path / "a.mp4"), start=0.4, end=1.2, joints=joints)
    result = video.joints([0, 7, 7, 19])
    assert result is not None and result.dtype == np.float32
    np.testing.assert_array_equal(result, joints[[0, 7, 7, 19]])
    with pytest.raises(VideoError, match="the 20 frames"):
        video.joints([20])


def test_without_joints(tmp_path: Path) -> None:
    assert FileVideo(tmp_path / "a.mp4").joints([0]) is None


def test_joints_of_the_wrong_shape_are_errors(tmp_path: Path) -> None:
    video = FileVideo(encode(tmp_path / "a.mp4"), joints=np.zeros((49, 2, 3, 3), np.float32))
    with pytest.raises(VideoError, match="each of 50 frames. Received: joints for 49"):
        _ = len(video.timeline)
    with pytest.raises(VideoError, match=r"\[frames, people, joints, 3\]. Received: \[49, 3\]"):
        FileVideo("a.mp4", joints=np.zeros((49, 3), np.float32))


# --- errors -------------------------------------------------------------------------------------


def test_the_file_is_opened_only_when_needed(tmp_path: Path) -> None:
    video = FileVideo(tmp_path / "none.mp4", label=3)
    assert (video.label, video.name) == (3, str(tmp_path / "none.mp4"))
    for access in (
        lambda: len(video.timeline),
        lambda: video.timeline.rate,
        lambda: video.read([0]),
    ):
        with pytest.raises(VideoError, match="none.mp4.*does not exist"):
            access()


def test_invalid_indices_are_errors(tmp_path: Path) -> None:
    video = FileVideo(encode(tmp_path / "a.mp4"))
    for indices in ([], [-1], [50], [3, 2]):
        with pytest.raises(VideoError, match="ascending indices of the 50 frames"):
            video.read(indices)


def test_fps_of_a_file_is_an_error(tmp_path: Path) -> None:
    video = FileVideo(encode(tmp_path / "a.mp4"), fps=12)
    with pytest.raises(VideoError, match="expected a folder of images, because `fps` is set"):
        _ = len(video.timeline)


def test_images_of_different_sizes_are_an_error(tmp_path: Path) -> None:
    for index, height in enumerate([20, 20, 40]):
        image = np.zeros((height, 30, 3), np.uint8)
        av.VideoFrame.from_ndarray(image, format="rgb24").save(str(tmp_path / f"{index}.png"))
    assert FileVideo(tmp_path).read([0, 1]).shape == (2, 20, 30, 3)
    with pytest.raises(VideoError, match=r"one size.*\(20, 30\) and \(40, 30\)"):
        FileVideo(tmp_path).read([0, 2])


def test_a_truncated_file_ends_with_its_last_complete_frame(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mp4", container_options={"movflags": "faststart"})
    frames = list(VideoReader(path))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 6 // 10])
    video = FileVideo(path)
    with pytest.warns(RuntimeWarning, match="damaged"):
        count = len(video.timeline)
    assert 10 < count < 40
    # The last frames may lack a reference frame.
    np.testing.assert_array_equal(video.read(range(count - 4)), frames[: count - 4])


def test_damage_is_an_error_only_for_damaged_frames(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mkv", options={"g": "10", "bf": "0"})
    video = FileVideo(path)
    frames = video.read(range(COUNT))
    content = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        packets = list(container.demux(video=0))
    position = content.index(bytes(packets[24]))
    content[position : position + packets[24].size] = b"\xff" * packets[24].size
    path.write_bytes(content)
    with pytest.raises(VideoError, match="damaged"):
        video.read([26])
    for wanted in ([3, 12], [37, 45]):
        np.testing.assert_array_equal(video.read(wanted), frames[wanted])


def test_intact_files_do_not_warn(tmp_path: Path) -> None:
    for suffix in ("mp4", "mkv", "avi", "ts"):
        path = encode(tmp_path / f"intact.{suffix}", "mpeg4")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            FileVideo(path).read([COUNT - 1])


def test_videos_can_be_pickled(tmp_path: Path) -> None:
    video = FileVideo(encode(tmp_path / "a.mp4"), label=2)
    expected = video.read([30])
    for original in (video, FileVideo(video.name)):
        copy = pickle.loads(pickle.dumps(original))
        np.testing.assert_array_equal(copy.read([30]), expected)

"""Stored pictures of optical flow: computed once, completed, and shared with other tools."""

import pathlib

import numpy as np
import pytest
from moving_textures import MOVES, MovingTexture
from PIL import Image

from mpvn.data import VideoError
from mpvn.data.sets.flow import optical_flow
from mpvn.data.sets.flow_images import flow_images
from mpvn.data.video_set import Video, VideoSet

pytest.importorskip("cv2", reason="OpenCV computes optical flow: install the extra flow")

FOLDER = "dis_5/textures/0"


def flow_of(source: Video, folder: pathlib.Path | str = "", stack: int = 2) -> Video:
    videos = VideoSet("textures", [source])
    return optical_flow(videos, stack, bound=5.0, folder=str(folder)).videos[0]


def write(
    folder: pathlib.Path, number: int, x: int, y: int, size: tuple[int, int] = (80, 64)
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for axis, value in (("x", x), ("y", y)):
        Image.new("L", size, value).save(folder / f"flow_{axis}_{number:05d}.jpg")


def names(folder: pathlib.Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_flow_is_computed_once_and_every_read_is_equal(tmp_path: pathlib.Path) -> None:
    """The first read returns the stored pictures, too: a resumed training gets equal values."""
    source = MovingTexture()
    first = flow_of(source, tmp_path).read(range(5))
    reads = len(source.reads)
    again = flow_of(source, tmp_path).read(range(5))
    assert len(source.reads) == reads
    np.testing.assert_array_equal(again, first)
    exact = flow_of(source).read(range(5)).astype(int)
    assert np.abs(first - exact).mean() < 1
    assert np.percentile(np.abs(first - exact), 99) <= 6
    expected = [f"flow_{axis}_{n:05d}.jpg" for axis in "xy" for n in range(1, len(MOVES) + 1)]
    assert names(tmp_path / FOLDER) == expected


def test_missing_pictures_are_computed(tmp_path: pathlib.Path) -> None:
    source = MovingTexture()
    whole = flow_of(source, tmp_path).read(range(5))
    (tmp_path / FOLDER / "flow_x_00003.jpg").unlink()
    (tmp_path / FOLDER / "flow_y_00006.jpg").unlink()
    written = (tmp_path / FOLDER / "flow_x_00001.jpg").stat().st_mtime_ns
    source.reads.clear()
    np.testing.assert_array_equal(flow_of(source, tmp_path).read(range(5)), whole)
    assert source.reads == [[2, 3, 5, 6]]
    assert (tmp_path / FOLDER / "flow_x_00001.jpg").stat().st_mtime_ns == written
    assert len(names(tmp_path / FOLDER)) == 2 * len(MOVES)


@pytest.mark.parametrize("place", ["0", "textures/0"])
@pytest.mark.parametrize("first", [0, 1])
def test_pictures_of_other_tools_are_read(place: str, first: int, tmp_path: pathlib.Path) -> None:
    """Numbers may start at 0, and pictures may have another size than the video."""
    for pair in range(len(MOVES)):
        write(tmp_path / place, first + pair, 100 + pair, 200 + pair, (20, 10))
    source = MovingTexture()
    flow = flow_of(source, tmp_path).read([0, 4])
    assert flow.shape == (2, 10, 20, 4)
    expected = [[100, 200, 101, 201], [104, 204, 105, 205]]
    np.testing.assert_array_equal(flow[:, 5, 5], expected)
    assert source.reads == []
    assert names(tmp_path) == [place.partition("/")[0]]


def test_pictures_that_other_tools_did_not_write_are_added(tmp_path: pathlib.Path) -> None:
    write(tmp_path / "0", 1, 10, 20)
    found = flow_of(MovingTexture(), tmp_path).read([0])
    assert found[0, 32, 40, :2].tolist() == [10, 20]
    np.testing.assert_allclose(found[0, 32, 40, 2:] / 127.5 - 1, np.array(MOVES[1]) / 5, atol=0.1)
    assert names(tmp_path / "0") == [f"flow_{axis}_0000{n}.jpg" for axis in "xy" for n in (1, 2)]


@pytest.mark.parametrize("content", [b"", b"no picture", None])
def test_a_damaged_picture_is_an_error(content: bytes | None, tmp_path: pathlib.Path) -> None:
    flow_of(MovingTexture(), tmp_path).read([0])
    path = tmp_path / FOLDER / "flow_y_00002.jpg"
    path.write_bytes(path.read_bytes()[:400] if content is None else content)
    with pytest.raises(VideoError, match="flow_y_00002.jpg: expected a picture.* Delete the file"):
        flow_of(MovingTexture(), tmp_path).read([0])
    path.unlink()
    assert flow_of(MovingTexture(), tmp_path).read([0]).shape == (1, 64, 80, 4)


def test_pictures_of_different_sizes_are_an_error(tmp_path: pathlib.Path) -> None:
    write(tmp_path / "0", 1, 10, 20, (20, 10))
    with pytest.raises(VideoError, match="flow_x_00002.jpg: .* height x width 10x20 and 64x80"):
        flow_of(MovingTexture(), tmp_path).read([0])


# --- folders ----------------------------------------------------------------------------------


def folders_of(names: list[str], existing: tuple[str, ...] = ()) -> list[str]:
    """Return the folder of pictures of each video, given the existing folders."""
    results = []
    for images in flow_images(names, "flow", "dis_20"):
        folders = [folder.removeprefix("flow/") for folder in images._folders]
        results.append(next((folder for folder in folders if folder in existing), folders[-1]))
    return results


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("/data/ucf101/Jump/v_Jump_g01_c01.avi", "data/ucf101/Jump/v_Jump_g01_c01"),
        ("data/20bn/3201", "data/20bn/3201"),
        ("../../data/./a b.MP4", "data/a b"),
        ("rendered figures train 0/12 walk_left", "rendered figures train 0/12 walk_left"),
        ("long.mp4 (10 to 20 s)", "long.mp4 (10 to 20 s)"),
        ("v1.5", "v1.5"),
    ],
)
def test_new_pictures_are_in_a_folder_named_by_the_path(name: str, folder: str) -> None:
    assert folders_of([name]) == [f"dis_20/{folder}"]


def test_folders_of_other_tools_must_belong_to_one_video() -> None:
    """Two videos end with `0`, and two with `jump/0`, so folders of these names are ambiguous."""
    names = ["a/jump/0.avi", "b/jump/0.avi", "a/run/1.avi", "b/sit/1.avi"]
    existing = ("0", "jump/0", "1", "run/1")
    new = ["dis_20/a/jump/0", "dis_20/b/jump/0", "dis_20/a/run/1", "dis_20/b/sit/1"]
    assert folders_of(names) == new
    assert folders_of(names, existing) == [*new[:2], "run/1", new[3]]


def test_two_videos_with_the_same_folder_are_an_error() -> None:
    with pytest.raises(ValueError, match="a/0.avi: expected a separate folder .* such as .mp4"):
        flow_images(["a/0.avi", "a/0.mp4"], "flow", "dis_20")

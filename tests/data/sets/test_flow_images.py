"""Pictures of optical flow: kept once, taken up where they end, and read where other tools put
them."""

import pathlib

import numpy as np
import pytest
from moving_textures import MOVES, MovingTexture
from PIL import Image

from mpvn.data import VideoError
from mpvn.data.sets.flow import optical_flow
from mpvn.data.sets.flow_images import flow_images
from mpvn.data.video_set import Video, VideoSet

pytest.importorskip("cv2", reason="optical flow is computed by OpenCV: the extra flow")

OWN = "dis_5/textures/0"


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


def test_flow_is_computed_once_and_the_same_ever_after(tmp_path: pathlib.Path) -> None:
    """Also the first time it is what will be read: training that goes on sees the same."""
    source = MovingTexture()
    first = flow_of(source, tmp_path).read(range(5))
    asked = len(source.reads)
    again = flow_of(source, tmp_path).read(range(5))
    assert len(source.reads) == asked
    np.testing.assert_array_equal(again, first)
    exact = flow_of(source).read(range(5)).astype(int)
    assert np.abs(first - exact).mean() < 1
    assert np.percentile(np.abs(first - exact), 99) <= 6
    expected = [f"flow_{axis}_{n:05d}.jpg" for axis in "xy" for n in range(1, len(MOVES) + 1)]
    assert names(tmp_path / OWN) == expected


def test_a_folder_that_is_half_full_gets_the_rest(tmp_path: pathlib.Path) -> None:
    source = MovingTexture()
    whole = flow_of(source, tmp_path).read(range(5))
    (tmp_path / OWN / "flow_x_00003.jpg").unlink()
    (tmp_path / OWN / "flow_y_00006.jpg").unlink()
    kept = (tmp_path / OWN / "flow_x_00001.jpg").stat().st_mtime_ns
    source.reads.clear()
    np.testing.assert_array_equal(flow_of(source, tmp_path).read(range(5)), whole)
    assert source.reads == [[2, 3, 5, 6]]
    assert (tmp_path / OWN / "flow_x_00001.jpg").stat().st_mtime_ns == kept
    assert len(names(tmp_path / OWN)) == 2 * len(MOVES)


@pytest.mark.parametrize("place", ["0", "textures/0"])
@pytest.mark.parametrize("first", [0, 1])
def test_flow_of_other_tools_is_read_where_it_lies(
    place: str, first: int, tmp_path: pathlib.Path
) -> None:
    """Also where they count from 0. Their pictures need not have the size of the video."""
    for pair in range(len(MOVES)):
        write(tmp_path / place, first + pair, 100 + pair, 200 + pair, (20, 10))
    source = MovingTexture()
    flow = flow_of(source, tmp_path).read([0, 4])
    assert flow.shape == (2, 10, 20, 4)
    expected = [[100, 200, 101, 201], [104, 204, 105, 205]]
    np.testing.assert_array_equal(flow[:, 5, 5], expected)
    assert source.reads == []
    assert names(tmp_path) == [place.partition("/")[0]]


def test_what_other_tools_left_out_is_added_to_theirs(tmp_path: pathlib.Path) -> None:
    write(tmp_path / "0", 1, 10, 20)
    found = flow_of(MovingTexture(), tmp_path).read([0])
    assert found[0, 32, 40, :2].tolist() == [10, 20]
    np.testing.assert_allclose(found[0, 32, 40, 2:] / 127.5 - 1, np.array(MOVES[1]) / 5, atol=0.1)
    assert names(tmp_path / "0") == [f"flow_{axis}_0000{n}.jpg" for axis in "xy" for n in (1, 2)]


@pytest.mark.parametrize("content", [b"", b"no picture", None])
def test_damage_is_named(content: bytes | None, tmp_path: pathlib.Path) -> None:
    flow_of(MovingTexture(), tmp_path).read([0])
    path = tmp_path / OWN / "flow_y_00002.jpg"
    path.write_bytes(path.read_bytes()[:400] if content is None else content)
    with pytest.raises(VideoError, match="flow_y_00002.jpg: expected a picture.* Delete it, and"):
        flow_of(MovingTexture(), tmp_path).read([0])
    path.unlink()
    assert flow_of(MovingTexture(), tmp_path).read([0]).shape == (1, 64, 80, 4)


def test_pictures_of_several_sizes_are_refused(tmp_path: pathlib.Path) -> None:
    write(tmp_path / "0", 1, 10, 20, (20, 10))
    with pytest.raises(VideoError, match="flow_x_00002.jpg: .* height x width 10x20 and 64x80"):
        flow_of(MovingTexture(), tmp_path).read([0])


# --- where they lie ---------------------------------------------------------------------------


def places(names: list[str], there: tuple[str, ...] = ()) -> list[str]:
    """Where the pictures of each video are looked for, of the folders that are there."""
    found = []
    for images in flow_images(names, "flow", "dis_20"):
        folders = [folder.removeprefix("flow/") for folder in images._folders]
        found.append(next((folder for folder in folders if folder in there), folders[-1]))
    return found


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
def test_a_video_s_folder_is_its_path_and_nowhere_else(name: str, folder: str) -> None:
    assert places([name]) == [f"dis_20/{folder}"]


def test_folders_of_others_are_taken_only_if_they_are_of_one_video() -> None:
    """There are two videos 0, and two jump/0: whose a folder of that name is, none can tell."""
    names = ["a/jump/0.avi", "b/jump/0.avi", "a/run/1.avi", "b/sit/1.avi"]
    there = ("0", "jump/0", "1", "run/1")
    own = ["dis_20/a/jump/0", "dis_20/b/jump/0", "dis_20/a/run/1", "dis_20/b/sit/1"]
    assert places(names) == own
    assert places(names, there) == [*own[:2], "run/1", own[3]]


def test_two_videos_of_one_folder_are_refused() -> None:
    with pytest.raises(ValueError, match="of a/0.avi and of another video .* endings such as .mp4"):
        flow_images(["a/0.avi", "a/0.mp4"], "flow", "dis_20")

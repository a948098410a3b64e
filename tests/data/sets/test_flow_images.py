"""Stored pictures of optical flow: computed once, completed, and shared with other tools."""

import pathlib

import numpy as np
import pytest
from moving_textures import MOVES, MovingTexture, inner
from PIL import Image
from video_files import encode

from mpvn.data import VideoError
from mpvn.data.sets.files import FileVideo
from mpvn.data.sets.flow import optical_flow
from mpvn.data.sets.flow_images import flow_images
from mpvn.data.video_set import Video, VideoSet

pytest.importorskip("cv2", reason="OpenCV computes optical flow: install the extra flow")


def flow_of(source: Video, folder: pathlib.Path | str = "", stack: int = 2) -> Video:
    videos = VideoSet("textures", [source])
    return optical_flow(videos, stack, bound=5.0, folder=str(folder)).videos[0]


def write(
    folder: pathlib.Path, number: int, x: int, y: int, size: tuple[int, int] = (80, 64)
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for axis, value in (("x", x), ("y", y)):
        Image.new("L", size, value).save(folder / f"flow_{axis}_{number:05d}.jpg")


def own(folder: pathlib.Path) -> pathlib.Path:
    """The folder of new pictures of the only video."""
    (found,) = (folder / "dis_5").glob("??/*")
    return found


def names(folder: pathlib.Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_flow_is_computed_once_and_every_read_is_equal(tmp_path: pathlib.Path) -> None:
    """The first read returns the stored pictures, too: a resumed training gets equal values."""
    source = MovingTexture()
    first = flow_of(source, tmp_path).read(range(5))
    source.reads.clear()
    again = flow_of(source, tmp_path).read(range(5))
    assert source.reads == [[0, 3, 6]]  # Three frames that identify the video.
    np.testing.assert_array_equal(again, first)
    exact = flow_of(source).read(range(5)).astype(int)
    assert np.abs(first - exact).mean() < 1
    assert np.percentile(np.abs(first - exact), 99) <= 6
    expected = [f"flow_{axis}_{n:05d}.jpg" for axis in "xy" for n in range(1, len(MOVES) + 1)]
    assert names(own(tmp_path)) == expected


def test_missing_pictures_are_computed(tmp_path: pathlib.Path) -> None:
    source = MovingTexture()
    whole = flow_of(source, tmp_path).read(range(5))
    (own(tmp_path) / "flow_x_00003.jpg").unlink()
    (own(tmp_path) / "flow_y_00006.jpg").unlink()
    written = (own(tmp_path) / "flow_x_00001.jpg").stat().st_mtime_ns
    source.reads.clear()
    np.testing.assert_array_equal(flow_of(source, tmp_path).read(range(5)), whole)
    assert source.reads == [[0, 3, 6], [2, 3, 5, 6]]
    assert (own(tmp_path) / "flow_x_00001.jpg").stat().st_mtime_ns == written
    assert len(names(own(tmp_path))) == 2 * len(MOVES)


@pytest.mark.parametrize("place", ["0", "textures/0"])
@pytest.mark.parametrize(("first", "count"), [(0, 6), (1, 6), (1, 7)])
def test_pictures_of_other_tools_are_read(
    place: str, first: int, count: int, tmp_path: pathlib.Path
) -> None:
    """Numbers may start at 0, the last pair may be repeated, and pictures may be smaller."""
    for pair in range(count):
        write(tmp_path / place, first + pair, 100 + pair, 200 + pair, (40, 32))
    source = MovingTexture()
    flow = flow_of(source, tmp_path).read([0, 4])
    assert flow.shape == (2, 32, 40, 4)
    expected = [[100, 200, 101, 201], [104, 204, 105, 205]]
    np.testing.assert_array_equal(flow[:, 5, 5], expected)
    assert source.reads == [[0]]  # The size of frames.
    assert names(tmp_path) == [place.partition("/")[0]]


@pytest.mark.parametrize(
    ("count", "size", "removed"),
    [
        (1, (80, 64), ""),
        (5, (80, 64), ""),
        (8, (80, 64), ""),
        (6, (80, 80), ""),
        (6, (80, 64), "y"),
    ],
)
def test_pictures_of_another_video_are_refused(
    count: int, size: tuple[int, int], removed: str, tmp_path: pathlib.Path
) -> None:
    """They were completed by another method, or taken for this video because of its name."""
    for pair in range(count):
        write(tmp_path / "0", pair, 10, 20, size)
    if removed:
        (tmp_path / "0" / f"flow_{removed}_00002.jpg").unlink()
    before = names(tmp_path / "0")
    message = r"0: expected two pictures .* of 6 pairs of frames of 64x80.*textures/0.avi. Received"
    with pytest.raises(VideoError, match=message):
        flow_of(MovingTexture(), tmp_path).read([0])
    assert names(tmp_path / "0") == before


def test_two_pictures_of_a_pair_are_refused(tmp_path: pathlib.Path) -> None:
    write(tmp_path / "0", 1, 10, 20)
    Image.new("L", (80, 64)).save(tmp_path / "0" / "flow_x_1.png")
    with pytest.raises(VideoError, match="flow_x_00001.jpg and flow_x_1.png. Remove one"):
        flow_of(MovingTexture(), tmp_path).read([0])


def test_a_folder_of_that_name_may_contain_other_files(tmp_path: pathlib.Path) -> None:
    (tmp_path / "0").mkdir()
    (tmp_path / "0" / "img_00001.jpg").touch()
    assert flow_of(MovingTexture(), tmp_path).read([0]).shape == (1, 64, 80, 4)


@pytest.mark.parametrize("content", [b"", b"no picture", None])
def test_a_damaged_picture_is_an_error(content: bytes | None, tmp_path: pathlib.Path) -> None:
    flow_of(MovingTexture(), tmp_path).read([0])
    path = own(tmp_path) / "flow_y_00002.jpg"
    path.write_bytes(path.read_bytes()[:400] if content is None else content)
    with pytest.raises(VideoError, match="flow_y_00002.jpg: expected a picture.* Delete the file"):
        flow_of(MovingTexture(), tmp_path).read([0])
    path.unlink()
    assert flow_of(MovingTexture(), tmp_path).read([0]).shape == (1, 64, 80, 4)


def test_pictures_of_different_sizes_are_an_error(tmp_path: pathlib.Path) -> None:
    flow_of(MovingTexture(), tmp_path).read([0])
    write(own(tmp_path), 2, 10, 20, (20, 10))
    with pytest.raises(VideoError, match="flow_x_00002.jpg: .* height x width 64x80 and 10x20"):
        flow_of(MovingTexture(), tmp_path).read([0])


# --- folders ----------------------------------------------------------------------------------


def test_new_pictures_belong_to_the_content(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same relative path in another project read the flow of another video."""
    for project, moves in (("a", ((3.0, 0.0),) * 3), ("b", ((-3.0, 0.0),) * 3)):
        (tmp_path / project).mkdir()
        frames = MovingTexture(moves).read(range(4))
        encode(tmp_path / project / "v.mkv", frames, codec="ffv1", pix_fmt="bgr0")
    found = []
    for project in ("a", "b", "a"):
        monkeypatch.chdir(tmp_path / project)
        flow = flow_of(FileVideo("v.mkv"), tmp_path / "kept", 1).read([0])
        found.append(float(inner(flow)[..., 0].mean() / 127.5 - 1) * 5)
    assert found == pytest.approx([3, -3, 3], abs=0.1)
    assert len(list((tmp_path / "kept/dis_5").glob("*/*"))) == 2
    (tmp_path / "moved").mkdir()
    (tmp_path / "a/v.mkv").rename(tmp_path / "moved/w.mkv")
    monkeypatch.setattr("mpvn.data.sets.flow._FlowVideo._compute", None)
    assert flow_of(FileVideo(tmp_path / "moved/w.mkv"), tmp_path / "kept", 1).read([0]).shape


def test_folders_of_other_tools_must_belong_to_one_video(tmp_path: pathlib.Path) -> None:
    """Two videos end with `0`, and two with `jump/0`, so folders of these names are ambiguous."""
    names = ["a/jump/0.avi", "b/jump/0.MP4", "../a/run/1.mts", "b/sit/1.5"]
    videos = [FileVideo(name) for name in names]
    others = [images._others for images in flow_images(videos, "flow", "dis_20")]
    assert others == [[], [], ["flow/run/1", "flow/1"], ["flow/sit/1.5", "flow/1.5"]]

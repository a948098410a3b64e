"""Crops and sizes: the same pixels in streams and clips, and joints that stay where they are."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from marked_videos import MarkedVideo, spot_centers
from video_files import encode, save_image

from mpvn.data import VideoError, VideoReader, VideoSet
from mpvn.data.clips.augmentation import Augmentation
from mpvn.data.clips.pipeline import ClipPipeline
from mpvn.data.clips.sampling import Whole
from mpvn.data.sets.files import FileVideo
from mpvn.data.video.framing import (
    Cropped,
    Framing,
    Placement,
    ShorterSide,
    Stretched,
    Unchanged,
    frame_arrays,
)
from mpvn.data.video_set import Frames, read_framed
from mpvn.pixels import to_signed


def waves(height: int, width: int, steps: int = 3) -> np.ndarray:
    """Smooth, colorful frames `[T, H, W, 3]` without any symmetry."""
    step, row, column = np.indices((steps, height, width)) / 8
    red, green, blue = np.sin(row + step), np.sin(column * 0.7 - row * 0.4), np.cos(column + step)
    return np.uint8(127.5 + 100 * np.stack([red, green, blue], axis=-1))


# --- which part ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("framing", "expected"),
    [
        (Unchanged(), Placement(0, 0, 30, 41, (30, 41))),
        (Stretched((8, 5)), Placement(0, 0, 30, 41, (8, 5))),
        (ShorterSide(20), Placement(0, 0, 30, 41, (20, 27))),  # 27.33
        (Cropped((10, 10)), Placement(0, 6, 30, 30, (10, 10))),  # 5.5 on each side, rounded up
        (Cropped((60, 20)), Placement(0, 16, 30, 10, (60, 20))),
        (Cropped((10, 20)), Placement(5, 0, 20, 41, (10, 20))),  # 20.5 rows, rounded half to even
        (Cropped((10, 10), 0.5, (0, 0)), Placement(0, 0, 15, 15, (10, 10))),
        (Cropped((10, 10), 0.5, (0.999, 0.999)), Placement(15, 26, 15, 15, (10, 10))),
        (Cropped((10, 10), 0.001), Placement(15, 20, 1, 1, (10, 10))),
        (Cropped((10, 10), shorter_side=15), Placement(5, 11, 20, 20, (10, 10))),
        (Cropped((10, 10), 1, (0, 0.999), 15), Placement(0, 21, 20, 20, (10, 10))),
        (Cropped((10, 20), 0.5, shorter_side=15), Placement(10, 11, 10, 20, (10, 20))),
        (Cropped((10, 10), shorter_side=10), Placement(0, 6, 30, 30, (10, 10))),
    ],
)
def test_parts_of_a_frame(framing: Framing, expected: Placement) -> None:
    assert framing.place(30, 41) == expected


def test_a_part_of_resized_frames_equals_resizing_and_cutting() -> None:
    """At half the size. Only at its edges, the part lacks pixels that the resized frame has."""
    frames = waves(60, 80)
    part, _ = frame_arrays(frames, Cropped((20, 20), shorter_side=30))
    resized, _ = frame_arrays(frames, ShorterSide(30))
    np.testing.assert_array_equal(part[:, 1:-1, 1:-1], resized[:, 6:24, 11:29])
    with pytest.raises(VideoError, match=r"A part of \(10, 25\) does not fit.*shorter side is 15"):
        Cropped((10, 25), shorter_side=15).place(30, 41)


def test_joints_move_with_the_part() -> None:
    """A part of 10x20 pixels at (row 5, column 8), twice as large. Centers are whole numbers."""
    placement = Placement(5, 8, 10, 20, (20, 40))
    joints = np.array([[8, 5, 1], [27, 14, 1], [7, 5, 1], [8, 15, 1], [9, 6, 0]], np.float32)
    expected = [[0.5, 0.5, 1], [38.5, 18.5, 1], [-1.5, 0.5, 0], [0.5, 20.5, 0], [2.5, 2.5, 0]]
    assert placement.move(joints).tolist() == expected


# --- streams and clips --------------------------------------------------------------------------

KINDS: dict[str, dict] = {
    "yuv420p": {"codec": "libx264"},
    "yuv444p": {"codec": "libx264", "pix_fmt": "yuv444p"},
    "bgr0": {"codec": "ffv1", "pix_fmt": "bgr0"},
    "turned": {"codec": "libx264", "rotation": (90, False)},
    "upside_down": {"codec": "libx264", "rotation": (180, True)},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(24, 24), (20, 13), (47, 61), (90, 100)])
def test_evaluation_reads_the_pixels_of_the_stream(
    tmp_path: Path, kind: str, size: tuple[int, int]
) -> None:
    height, width = (48, 62) if kind in ("yuv420p", "turned") else (47, 61)
    height, width = (48, 62) if kind == "upside_down" else (height, width)
    path = encode(tmp_path / "waves.mkv", waves(height, width), **KINDS[kind])
    with VideoReader(path, size=size) as video:
        stream = np.stack(list(video))
    framed = FileVideo(path).read_framed(range(3), Cropped(size))
    np.testing.assert_array_equal(framed.frames, stream)
    with VideoReader(path, size=size, shorter_side=110) as video:
        part = np.stack(list(video))
    framed = FileVideo(path).read_framed(range(3), Cropped(size, shorter_side=110))
    np.testing.assert_array_equal(framed.frames, part)
    assert np.abs(stream.astype(int) - part).mean() > 1
    if size == (24, 24):
        clips = ClipPipeline(VideoSet("one", [FileVideo(path)]), Whole(), Augmentation(size))
        (clip,) = clips.arrays()
        np.testing.assert_allclose(clip["frames"][0], to_signed(stream), atol=2e-7)


@pytest.mark.parametrize("rotation", [(0, False), (90, False), (180, False), (-90, True)])
def test_parts_of_turned_videos(tmp_path: Path, rotation: tuple[float, bool]) -> None:
    """The part of a stored frame is the same part of the upright frame."""
    gray = np.repeat(waves(48, 62)[..., 1:2], 3, axis=-1)
    path = encode(tmp_path / "turned.mkv", gray, rotation=rotation)
    video = FileVideo(path)
    whole = video.read(range(3))
    size = (20, 20)
    frames, placement = video.read_framed(range(3), Cropped(size, 0.4, (0.3, 0.8)))
    top, left, height, width, _ = placement
    part = whole[:, top : top + height, left : left + width]
    expected = frame_arrays(part, Stretched(size)).frames.astype(int)
    assert np.abs(frames - expected).mean() < 3
    for down, right in [(2, 0), (-2, 0), (0, 2), (0, -2)]:
        other = whole[:, top + down : top + down + height, left + right : left + right + width]
        assert np.abs(frames - frame_arrays(other, Stretched(size)).frames.astype(int)).mean() > 4


def test_parts_have_whole_samples_of_color(tmp_path: Path) -> None:
    """Ordinary videos have a sample of color for 2x2 pixels; others have one for each pixel."""
    framing = Cropped((8, 8), 0.52, (0.33, 0.37))
    ordinary = encode(tmp_path / "a.mkv", waves(48, 62), pix_fmt="yuv420p")
    exact = encode(tmp_path / "b.mkv", waves(48, 62), pix_fmt="yuv444p")
    assert framing.place(48, 62)[:4] == (7, 14, 25, 25)
    assert FileVideo(ordinary).read_framed([0], framing).placement[:4] == (6, 14, 24, 24)
    assert FileVideo(exact).read_framed([0], framing).placement[:4] == (7, 14, 25, 25)


def test_images_of_one_folder_have_one_placement(tmp_path: Path) -> None:
    frames = waves(48, 62)
    save_image(tmp_path / "1.png", frames[0])
    encode(tmp_path / "2.jpg", frames[1:2], codec="mjpeg", pix_fmt="yuvj420p")
    read = FileVideo(tmp_path).read_framed([0, 1], Cropped((24, 24), 0.5, (0.33, 0.35)))
    assert read.placement[:4] == (8, 13, 24, 24)
    assert np.abs(read.frames.astype(int) - frames[:2, 8:32, 13:37]).mean() < 8


# --- values -------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(24, 32), (17, 23), (64, 96)])
def test_scaled_frames_equal_those_of_tensorflow(tmp_path: Path, size: tuple[int, int]) -> None:
    """Of files and of arrays, smaller and larger, except for the colors that a file loses."""
    frames = waves(48, 64)
    expected = tf.image.resize(frames.astype("float32"), size, antialias=True).numpy()
    path = encode(tmp_path / "waves.mkv", frames, codec="ffv1", pix_fmt="bgr0")
    of_file = FileVideo(path).read_framed(range(3), Stretched(size)).frames
    of_array = frame_arrays(frames, Stretched(size)).frames
    assert np.abs(of_array - expected).max() <= 1
    assert np.abs(of_file - expected).max() <= 2.5


def test_scaling_down_leaves_no_pixel_out(tmp_path: Path) -> None:
    """Lines of one pixel become gray. A filter of two pixels would keep or drop them."""
    frames = np.zeros((2, 64, 64, 3), np.uint8)
    frames[0, ::4] = 255
    frames[1, :, 1::4] = 255
    path = encode(tmp_path / "lines.mkv", frames, codec="ffv1", pix_fmt="bgr0")
    for scaled in (
        FileVideo(path).read_framed(range(2), Stretched((16, 16))).frames,
        frame_arrays(frames, Stretched((16, 16))).frames,
    ):
        assert np.abs(scaled[:, 2:-2, 2:-2].astype(int) - 64).max() <= 4


def test_channels_of_any_number_are_scaled_alike() -> None:
    frames = waves(30, 40)
    ten = np.concatenate([frames, frames[..., ::-1], frames, frames[..., :1]], axis=-1)
    scaled = frame_arrays(ten, Cropped((20, 20))).frames
    rgb = frame_arrays(frames, Cropped((20, 20))).frames
    np.testing.assert_array_equal(scaled[..., :3], rgb)
    np.testing.assert_array_equal(scaled[..., 9], rgb[..., 0])


# --- joints and wrappers ------------------------------------------------------------------------


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv444p", "bgr0"])
def test_joints_stay_on_their_spots_in_files(tmp_path: Path, pixel_format: str) -> None:
    """Random crops. The colors of yuv420p are less exact than half a pixel of the clip."""
    marked = MarkedVideo(0)
    path = encode(
        tmp_path / "spots.mkv", marked.read(range(12)), codec="ffv1", pix_fmt=pixel_format
    )
    video = FileVideo(path, joints=marked.joints(range(12)))
    names = ("left_hand", "right_hand")
    augmentation = Augmentation((60, 60), "random", (0.8, 1.0))
    clips = ClipPipeline(
        VideoSet("one", [video], joints=names), Whole(), augmentation, training=True
    )
    checked = 0
    for batch in clips.dataset(batches=6).as_numpy_iterator():
        pixels = 127.5 * (batch["frames"][0] + 1)
        for frame, joints in zip(
            np.where(pixels > 110, pixels, 0), batch["joints"][0, :, 0], strict=True
        ):
            if joints[:, :2].min() > 6 and joints[:, :2].max() < 53:
                np.testing.assert_allclose(spot_centers(frame), joints[:, :2], atol=0.45)
                checked += 1
    assert checked > 15


def test_a_class_that_changes_read_alone_is_not_bypassed(tmp_path: Path) -> None:
    class Negative(FileVideo):
        def read(self, indices: Sequence[int]) -> Frames:
            return 255 - super().read(indices)

    path = encode(tmp_path / "waves.mkv", waves(48, 64), codec="ffv1", pix_fmt="bgr0")
    framed = read_framed(Negative(path), [1], Cropped((24, 24)))
    upright = read_framed(FileVideo(path), [1], Cropped((24, 24)))
    assert framed.placement == upright.placement
    assert np.abs(framed.frames - (255.0 - upright.frames)).max() <= 2

"""Conversion to upright RGB: pixel formats, rotation and size."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from video_files import GREEN, RED, WHITE, encode, gray, indices, quarters

from mpvn.data import VideoError, VideoReader


def test_colors_and_odd_sizes(tmp_path: Path) -> None:
    path = encode(tmp_path / "odd.mkv", [quarters(47, 63)], codec="ffv1", pix_fmt="bgr0")
    (frame,) = VideoReader(path)
    np.testing.assert_array_equal(frame, quarters(47, 63))


def test_gray_becomes_rgb(tmp_path: Path) -> None:
    images = [gray(index, 47, 63)[..., 0] for index in range(5)]
    path = encode(tmp_path / "gray.mkv", images, codec="ffv1", pix_fmt="gray", image_format="gray")
    frames = list(VideoReader(path))
    assert {frame.shape for frame in frames} == {(47, 63, 3)}
    assert indices(frames) == list(range(5))


def test_sixteen_bit_gray_becomes_rgb(tmp_path: Path) -> None:
    image = np.full((8, 8), 128 * 257, np.uint16)
    path = encode(
        tmp_path / "deep.mkv",
        [image],
        codec="ffv1",
        pix_fmt="gray16le",
        image_format="gray16le",
    )
    (frame,) = VideoReader(path)
    assert np.abs(frame.astype(int) - 128).max() <= 1


def test_alpha_is_composited_over_black(tmp_path: Path) -> None:
    image = np.zeros((8, 8, 4), np.uint8)
    image[:4] = (200, 100, 50, 128)
    image[4:] = (200, 100, 50, 255)
    path = encode(
        tmp_path / "alpha.mov", [image], codec="qtrle", pix_fmt="argb", image_format="rgba"
    )
    (frame,) = VideoReader(path)
    np.testing.assert_array_equal(frame[0, 0], [100, 50, 25])
    np.testing.assert_array_equal(frame[7, 7], [200, 100, 50])


def test_palette_becomes_rgb(tmp_path: Path) -> None:
    paletted = Image.fromarray(quarters()).convert("P", palette=Image.Palette.ADAPTIVE)
    for name in ("palette.png", "palette.gif"):
        paletted.save(tmp_path / name)
        (frame,) = VideoReader(tmp_path / name)
        np.testing.assert_array_equal(frame, quarters())


def test_transparent_palette_entry_is_black(tmp_path: Path) -> None:
    paletted = Image.fromarray(quarters()).convert("P", palette=Image.Palette.ADAPTIVE)
    paletted.save(tmp_path / "palette.png", transparency=paletted.getpixel((0, 0)))
    expected = quarters()
    expected[:24, :32] = 0
    (frame,) = VideoReader(tmp_path / "palette.png")
    np.testing.assert_array_equal(frame, expected)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("degrees", [0, 90, 180, -90])
def test_display_matrix_is_honored(tmp_path: Path, degrees: int, mirrored: bool) -> None:
    path = encode(tmp_path / "turned.mp4", [quarters()] * 3, rotation=(degrees, mirrored))
    upright = np.rot90(quarters(), degrees // 90)
    if mirrored:
        upright = upright[:, ::-1]
    with VideoReader(path) as video:
        assert (video.height, video.width) == upright.shape[:2]
        for frame in video:
            for at in [(4, 4), (4, -4), (-4, 4), (-4, -4)]:
                np.testing.assert_allclose(frame[at].astype(int), upright[at].astype(int), atol=6)


@pytest.mark.parametrize(("orientation", "degrees"), [(1, 0), (3, 180), (6, -90), (8, 90)])
def test_exif_orientation_of_images(tmp_path: Path, orientation: int, degrees: int) -> None:
    # PyAV 18 raises on the side data of any image with EXIF data, a kind it does not know.
    exif = Image.Exif()
    exif[274] = orientation
    image = Image.fromarray(quarters())
    image.save(tmp_path / "a.jpg", exif=exif, quality=95, subsampling=0)
    (frame,) = VideoReader(tmp_path)
    upright = np.rot90(quarters(), degrees // 90)
    assert frame.shape == upright.shape
    for at in [(4, 4), (4, -4), (-4, 4), (-4, -4)]:
        np.testing.assert_allclose(frame[at].astype(int), upright[at].astype(int), atol=12)


def test_size_applies_after_rotation(tmp_path: Path) -> None:
    path = encode(tmp_path / "turned.mp4", [quarters()], rotation=(90, False))
    (frame,) = VideoReader(path, size=(32, 12))
    assert frame.shape == (32, 12, 3)
    np.testing.assert_allclose(frame[2, 2], GREEN, atol=12)
    np.testing.assert_allclose(frame[-2, 2], RED, atol=12)


def test_scaling_covers_the_size_and_crops_the_center(tmp_path: Path) -> None:
    image = np.zeros((40, 80, 3), np.uint8)
    image[:, 20:60] = WHITE  # exactly the columns that a square crop keeps
    path = encode(tmp_path / "wide.mkv", [image], codec="ffv1", pix_fmt="bgr0")
    (frame,) = VideoReader(path, size=(20, 20))
    assert frame.shape == (20, 20, 3)
    assert frame[:, 1:-1].min() > 250  # the scaling filter blurs the outermost columns


@pytest.mark.parametrize("size", [(7, 13), (13, 7), (97, 51), (48, 64), (1, 1)])
def test_any_size(clip: Path, size: tuple[int, int]) -> None:
    with VideoReader(clip, size=size) as video:
        assert (video.height, video.width) == size
        frames = list(video)
    assert {frame.shape for frame in frames} == {(*size, 3)}
    assert indices(frames) == list(range(30))


@pytest.mark.parametrize("size", [(0, 5), (5, -1), (2.5, 3), (3,)])
def test_invalid_sizes(clip: Path, size: tuple[int, int]) -> None:
    with pytest.raises(VideoError, match="size: expected"):
        VideoReader(clip, size=size)

"""Bytes of strangers: an image, or one clear error; never another format, never a bomb."""

import io
import re
import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from serving_networks import image_file, picture

from mpvn.data import VideoReader
from mpvn.serving.errors import InvalidRequest, TooLarge
from mpvn.serving.server.images import Images

IMAGES = Images((24, 32), 28, 100_000)


def png(width: int, height: int) -> bytes:
    """Return a PNG file that states a size, and holds almost nothing."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        checksum = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(bytes(100)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + pixels + chunk(b"IEND", b"")


def test_a_turned_photo_is_turned_as_the_reader_turns_it(tmp_path) -> None:
    content, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    Image.fromarray(picture(0, 60, 90)).save(content, "JPEG", exif=exif)
    (tmp_path / "1.jpg").write_bytes(content.getvalue())
    with VideoReader(tmp_path, size=(30, 24), shorter_side=28) as reader:
        expected = next(iter(reader))
    images = Images((30, 24), 28, 100_000)
    np.testing.assert_array_equal(images.decode(content.getvalue()), expected)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_part_of_a_file_is_refused(kind: str) -> None:
    content = image_file(np.random.default_rng(0).integers(0, 256, (60, 90, 3), np.uint8), kind)
    assert IMAGES.decode(content).shape == (24, 32, 3)
    for share in (0.01, 0.5, 0.95):
        with pytest.raises(InvalidRequest, match="Expected"):
            IMAGES.decode(content[: int(share * len(content))])


@pytest.mark.parametrize("size", [(400, 400), (20_000, 20_000), (60_000, 60_000), (100_001, 1)])
def test_a_bomb_is_refused_by_its_header(size: tuple[int, int]) -> None:
    with pytest.raises(TooLarge, match="at most 100000 pixels"):
        IMAGES.decode(png(*size))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"GIF89a" + bytes(50),
        b"ffconcat version 1.0\nfile /etc/passwd\n",
        b"#EXTM3U\nhttp://127.0.0.1/\n",
        b"RIFF\x00\x00\x00\x00AVI ",
        b"\xff\xd8\xff" + bytes(50),
        b"<svg/>",
    ],
)
def test_other_formats_are_refused(content: bytes) -> None:
    with pytest.raises(InvalidRequest, match="JPEG, PNG or WebP"):
        IMAGES.decode(content)


def test_pictures_without_enough_pixels_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="0 x 4 pixels"):
        IMAGES.crop(np.zeros((0, 4, 3), np.uint8))
    tight = Images((24, 90), 28, 100_000)
    for make in (lambda: tight.crop(picture(0, 60, 60)), lambda: tight.decode(png(60, 60))):
        with pytest.raises(InvalidRequest) as caught:
            make()
        assert re.search("does not fit|does not decode", str(caught.value))
    with pytest.raises(TooLarge):
        IMAGES.crop(np.zeros((400, 400, 3), np.uint8))

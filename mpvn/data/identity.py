"""Identify the content of a video, wherever it is stored and whatever its name is.

Caches use this identity as their key, so a moved or renamed data set keeps its cache, and another
video at the same path does not get it. Reading whole data sets for that would take hours, so
samples of the content are read: of a file its size and 16 blocks of 16 KiB, evenly spaced from its
start to its end; of each image of a folder its size and 4 KiB in its middle. Smaller files are read
whole.

Limitations: two files of the same size that differ only between the blocks are considered the
same. Compressed videos do not differ like that, unless bytes are patched in place.
"""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from mpvn.data.video.errors import VideoError
from mpvn.data.video.image_series import images_in, is_series
from mpvn.data.video_set import Video

_BLOCKS, _BLOCK = 16, 2**14
_IMAGE_BLOCK = 2**12


def identity(video: Video) -> str:
    """Return 32 hexadecimal digits that identify the frames of a video.

    Videos that know it have an attribute `identity`. Of others, some frames are read.
    """
    known = getattr(video, "identity", None)
    if known is not None:
        return known
    count = len(video.timeline)
    frames = video.read(sorted({0, count // 2, count - 1}))
    return digest([repr((count, frames.shape)).encode(), frames.tobytes()])


def content_identity(path: Path) -> str:
    """Return 32 hexadecimal digits that identify the content of a file or folder of images.

    Raises:
        VideoError: The path does not exist or is not readable, or its images are not a video.
    """
    try:
        if is_series(path):
            return digest(
                part for image in images_in(path) for part in _samples(image, 1, _IMAGE_BLOCK)
            )
        return digest(_samples(path, _BLOCKS, _BLOCK))
    except OSError as error:
        raise VideoError(
            f"{path}: expected a video that can be read. Received: {error.strerror or error}. "
            "Check the path and the rights."
        ) from error


def digest(parts: Iterable[bytes]) -> str:
    """Return 32 hexadecimal digits that identify a sequence of parts."""
    total = hashlib.blake2b(digest_size=16)
    for part in parts:
        total.update(len(part).to_bytes(8, "big"))
        total.update(part)
    return total.hexdigest()


def _samples(path: Path, count: int, length: int) -> Iterable[bytes]:
    """Yield the size of a file, and blocks of it; a single block is in the middle."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        yield str(size).encode()
        if size <= count * length:
            file.seek(0)
            yield file.read()
            return
        last = size - length
        for number in range(count):
            file.seek(last // 2 if count == 1 else number * last // (count - 1))
            yield file.read(length)

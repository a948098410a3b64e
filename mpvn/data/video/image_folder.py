"""A folder of images as a video."""

import re
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
from av.video.frame import VideoFrame

from mpvn.data.video.endings import IMAGE_SUFFIXES, is_image
from mpvn.data.video.errors import Damage, VideoError
from mpvn.data.video.frames import Decoded, read_orientation
from mpvn.data.video.timeline import DEFAULT_FPS


class ImageFolder:
    """The images of a folder in natural order, evenly spaced in time.

    Args:
        folder: The folder.
        rate: Frames per second. None for `DEFAULT_FPS`.
        strict: Whether an image that does not decode is an error. If False, it is left out with a
            warning.

    Attributes:
        rate: Frames per second.
        frame_count: Number of images.
        duration: Length in seconds.

    Raises:
        VideoError: The folder has no images.
    """

    def __init__(self, folder: Path, rate: Fraction | None, strict: bool) -> None:
        self._paths = images_in(folder)
        self._damage = Damage(str(folder), strict)
        self.rate = rate or Fraction(DEFAULT_FPS)
        self.frame_count = len(self._paths)
        self.duration = len(self._paths) / self.rate

    def frames(self, indices: Sequence[int] | None = None) -> Iterator[Decoded]:
        """Decode the images at `indices`, or all images."""
        period = 1 / self.rate
        for index in range(len(self._paths)) if indices is None else indices:
            frame = self._decode(self._paths[index])
            if frame is not None:
                yield Decoded(frame, read_orientation(frame), index * period, period)

    def close(self) -> None:
        """Do nothing: no file stays open between two images."""

    def _decode(self, path: Path) -> VideoFrame | None:
        # Open by file object, because FFmpeg would read a name such as "50%d.png" as a pattern.
        try:
            with path.open("rb") as file, av.open(file, "r") as container:
                return next(container.decode(video=0))
        except (av.FFmpegError, IndexError, OSError, StopIteration) as error:
            self._damage.report(f"{path.name} does not decode: {error}")
        return None


def images_in(folder: Path) -> list[Path]:
    """Return the images in a folder, in natural order: `2.png` before `10.png`.

    Raises:
        VideoError: There are none.
    """
    paths = [path for path in folder.iterdir() if is_image(path.name)]
    if not paths:
        raise VideoError(
            f"{folder}: expected a folder of images ({', '.join(sorted(IMAGE_SUFFIXES))}). "
            f"Received: a folder with {sum(1 for _ in folder.iterdir())} entries, none of them an "
            "image. Pass the folder that contains the images themselves, or a video file."
        )
    return sorted(paths, key=_natural_key)


def _natural_key(path: Path) -> tuple[list[str | int], str]:
    """Return a sort key that compares digits as numbers.

    `re.split` puts numbers at odd positions, so that a number is never compared with text.
    """
    parts = re.split(r"(\d+)", path.stem.casefold())
    return [int(part) if at % 2 else part for at, part in enumerate(parts)], path.name

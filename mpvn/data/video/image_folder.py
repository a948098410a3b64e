"""A folder of images as a video. `image_series` finds which images are its frames."""

import warnings
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
from av.video.frame import VideoFrame

from mpvn.data.video.errors import Damage
from mpvn.data.video.frames import Decoded, read_orientation
from mpvn.data.video.image_series import find_series
from mpvn.data.video.timeline import DEFAULT_FPS


class ImageFolder:
    """The frames of a folder of images, evenly spaced in time.

    Args:
        folder: The folder; or a pattern that selects its images, such as `clip/rgb_*`.
        rate: Frames per second. None for `DEFAULT_FPS`.
        strict: Whether missing images, and images that do not decode, are errors. If False, they
            are left out with a warning.

    Attributes:
        rate: Frames per second.
        frame_count: Number of images.
        duration: Length in seconds.
        is_live: False.

    Raises:
        VideoError: The folder has no images, or several series of them; images are missing, if
            strict.

    Warns:
        RuntimeWarning: Images are left out because they belong to no series; images are missing, if
            not strict.
    """

    is_live = False

    def __init__(self, folder: Path, rate: Fraction | None, strict: bool) -> None:
        self._series = series = find_series(folder)
        self._damage = Damage(str(folder), strict)
        if series.missing:
            first, count = series.missing[0][0], sum(map(len, series.missing))
            self._damage.report(
                f"{count} images are missing, from number {first} on; if they never existed, pass "
                f"{folder / '*'}"
            )
        if series.left_out:
            warnings.warn(
                f"{folder}: expected images whose names differ in a number. Received also: "
                f"{', '.join(series.left_out[:5])}{' ...' * (len(series.left_out) > 5)}, which "
                "are left out. Remove them, or rename them if they are frames.",
                RuntimeWarning,
                stacklevel=2,
            )
        self.rate = rate or Fraction(DEFAULT_FPS)
        self.frame_count = len(series.names)
        self.duration = len(series.names) / self.rate

    def frames(self, indices: Sequence[int] | None = None) -> Iterator[Decoded]:
        """Decode the images at `indices`, or all images."""
        period = 1 / self.rate
        for index in range(self.frame_count) if indices is None else indices:
            frame = self._decode(self._series.folder / self._series.names[index])
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

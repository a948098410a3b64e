"""A video of a data set that is a file, or a folder of images."""

import dataclasses
import os
from collections.abc import Generator, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np

from mpvn.data.video.errors import VideoError
from mpvn.data.video.frames import Decoded, upright_pictures
from mpvn.data.video.image_folder import ImageFolder
from mpvn.data.video.rates import frame_rate
from mpvn.data.video.seeking import FrameIndex, SeekError, count_frames, decode, index_frames
from mpvn.data.video_set import Frames, Joints


class FileVideo:
    """A `Video` over a file or a folder of images, which are first touched when they are asked for.

    Its frames are those of `VideoReader(path)`, in its order, upright and in RGB. Where they are in
    the file is found once and kept; `read` then decodes no more than needed.

    Args:
        path: A video file, or a folder of images in natural order.
        label: Index of its class; None without classes.
        start: Where the video begins, in seconds after the first frame of the file.
        end: Where it ends, if the file does not end before: frames shown at `end` are left out.
        fps: Frames per second of a folder of images (25 by default); files have their own.
        joints: Array `[frame_count, joints, 3]` of x, y and visibility, for `joints`.

    Raises:
        VideoError: `start`, `end`, `fps` or the shape of `joints` is impossible.

    Example:
        >>> video = FileVideo("walk.mp4", label=3, start=10, end=20)
        >>> video.read(range(0, 64, 2))  # uint8 [32, H, W, 3]
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        label: int | None = None,
        *,
        start: float | Fraction | None = None,
        end: float | Fraction | None = None,
        fps: float | Fraction | None = None,
        joints: Joints | None = None,
    ) -> None:
        self._path = Path(path)
        self.label = label
        if (0 if start is None else start) < 0 or (end is not None and end <= (start or 0)):
            raise VideoError(
                f"{path}: expected 0 <= start < end in seconds, received start {start}, end {end}."
            )
        if joints is not None and (joints.ndim != 3 or joints.shape[2] != 3):
            raise VideoError(
                f"{path}: expected joints [frames, joints, 3], received {list(joints.shape)}."
            )
        self._start, self._end = start, end
        self._rate = None if fps is None else frame_rate(fps)
        self._joints = None if joints is None else joints.astype(np.float32)
        self._index: FrameIndex | None = None
        self._section = range(0)

    def __repr__(self) -> str:
        return f"FileVideo({self.name!r}, label={self.label})"

    @property
    def name(self) -> str:
        """The path, and the section of it."""
        if self._start is None and self._end is None:
            return str(self._path)
        end = "end" if self._end is None else f"{float(self._end):g}"
        return f"{self._path} ({float(self._start or 0):g} to {end} s)"

    @property
    def frame_count(self) -> int:
        """Number of frames, at least 1."""
        self._indexed()
        return len(self._section)

    @property
    def fps(self) -> float:
        """Frames per second: as the file states, or on average where its frames say otherwise."""
        return float(self._indexed().rate)

    def read(self, indices: Sequence[int]) -> Frames:
        """Frames uint8 `[len(indices), H, W, 3]`, RGB, of ascending indices.

        Raises:
            VideoError: The video is missing, or damaged where it is asked for; its frames asked for
                differ in size; there is no frame of such an index.
        """
        index = self._indexed()
        self._check(indices)
        if len(index.keys):
            try:
                return self._read(index, indices)
            except (SeekError, VideoError):
                # What looks damaged after seeking may be whole when decoded from the start.
                index = dataclasses.replace(index, keys=index.keys[:0])
        try:
            frames = self._read(index, indices)
        except SeekError:
            index = count_frames(self._path)
            self._keep(index)
            self._check(indices)
            try:
                frames = self._read(index, indices)
            except SeekError as error:
                raise VideoError(
                    f"{self.name}: expected the same frames at each reading, received others: "
                    f"{error}. Leave the file alone while it is read."
                ) from error
        if index is not self._index:
            self._keep(index)
        return frames

    def joints(self, indices: Sequence[int]) -> Joints | None:
        """Joints float32 `[len(indices), joints, 3]`: x, y in pixels, visible; None without."""
        if self._joints is None:
            return None
        self._indexed()
        self._check(indices)
        return self._joints[list(indices)]

    def _indexed(self) -> FrameIndex:
        if self._index is None:
            if self._path.is_dir():
                images = ImageFolder(self._path, self._rate, strict=True)
                self._keep(FrameIndex(range(images.frame_count), 1 / images.rate, images.rate))
            elif self._rate is not None:
                raise VideoError(
                    f"{self._path}: expected `fps` for a folder of images only, received a file or "
                    "nothing at this path. Check the path, or leave `fps` out."
                )
            else:
                self._keep(index_frames(self._path))
        assert self._index is not None
        return self._index

    def _keep(self, index: FrameIndex) -> None:
        section = index.between(self._start, self._end)
        if not section:
            raise VideoError(
                f"{self.name}: expected frames in this section, received a video of "
                f"{float(len(index) / index.rate):.2f} s. Check the times; a file already cut to "
                "its section needs none."
            )
        if self._joints is not None and len(self._joints) != len(section):
            raise VideoError(
                f"{self.name}: expected joints of each of {len(section)} frames, received "
                f"{len(self._joints)}."
            )
        # In this order, since another thread takes both once there is an index.
        self._section = section
        self._index = index

    def _check(self, indices: Sequence[int]) -> None:
        count = len(self._section)
        ascending = all(a <= b for a, b in zip(indices, indices[1:], strict=False))
        if not len(indices) or not ascending or indices[0] < 0 or indices[-1] >= count:
            raise VideoError(
                f"{self.name}: expected ascending indices of its {count} frames, received "
                f"{list(indices)}."
            )

    def _read(self, index: FrameIndex, indices: Sequence[int]) -> Frames:
        numbers = [self._section[i] for i in indices]
        wanted = sorted(set(numbers))
        decoded = self._decode(index, wanted)
        try:
            first = next(decoded)
            height, width = first.upright_size
            frames = np.empty((len(indices), height, width, 3), np.uint8)
            same = (self._of_size((height, width), each) for each in decoded)
            pictures = upright_pictures(first, same, (height, width), False, self.name)
            at = 0
            for number, picture in zip(wanted, pictures, strict=True):
                while at < len(numbers) and numbers[at] == number:
                    frames[at] = picture.pixels
                    at += 1
            return frames
        finally:
            decoded.close()

    def _of_size(self, size: tuple[int, int], decoded: Decoded) -> Decoded:
        if decoded.upright_size != size:
            raise VideoError(
                f"{self.name}: expected frames of one size, received (height, width) {size} and "
                f"{decoded.upright_size}. Bring the file to one size first."
            )
        return decoded

    def _decode(self, index: FrameIndex, wanted: Sequence[int]) -> Generator[Decoded, None, None]:
        if self._path.is_dir():
            yield from ImageFolder(self._path, self._rate, strict=True).frames(wanted)
        else:
            yield from decode(self._path, index, wanted)

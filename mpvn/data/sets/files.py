"""A video of a data set that is a file or a folder of images."""

import os
from collections.abc import Generator, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np

from mpvn.data.identity import content_identity, digest
from mpvn.data.video.errors import VideoError
from mpvn.data.video.frames import Converter, Decoded
from mpvn.data.video.framing import Framed, Framing, Unchanged
from mpvn.data.video.image_folder import ImageFolder
from mpvn.data.video.image_series import is_series
from mpvn.data.video.seeking import FrameIndex, SeekError, count_frames, decode, index_frames
from mpvn.data.video.timeline import Timeline, frame_rate
from mpvn.data.video_set import Frames, Joints, Label


class FileVideo:
    """A `Video` that reads a file or a folder of images, and opens it only when needed.

    The frames are those of `VideoReader(path)`, in the same order, upright and in RGB. The first
    access finds where they are in the file; then `read` decodes no more frames than needed.

    Args:
        path: A video file, a folder of images, or a pattern of images, as in `VideoReader`.
        label: Index of the class, or a sequence of the indices of any number of classes; None if
            they are not known.
        start: Start of the video, in seconds after the first frame of the file.
        end: End of the video in seconds, without frames shown at `end`. Default: the end of the
            file.
        fps: Frames per second of a folder of images. Default: 25. Video files have their own rate.
        joints: float `[frames, people, joints, 3]`: x, y and visibility.

    Raises:
        VideoError: `start`, `end`, `fps` or the shape of `joints` is invalid.

    Example:
        >>> video = FileVideo("walk.mp4", label=3, start=10, end=20)
        >>> video.read(range(0, 64, 2))  # uint8 [32, H, W, 3]
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        label: int | Sequence[int] | None = None,
        *,
        start: float | Fraction | None = None,
        end: float | Fraction | None = None,
        fps: float | Fraction | None = None,
        joints: Joints | None = None,
    ) -> None:
        self._path = Path(path)
        self.label: Label | None = tuple(label) if isinstance(label, Sequence) else label
        if (0 if start is None else start) < 0 or (end is not None and end <= (start or 0)):
            raise VideoError(
                f"{path}: expected 0 <= start < end in seconds. Received: start={start}, end={end}."
            )
        if joints is not None and (joints.ndim != 4 or joints.shape[3] != 3):
            raise VideoError(
                f"{path}: expected joints of shape [frames, people, joints, 3]. "
                f"Received: {list(joints.shape)}."
            )
        self._start, self._end = start, end
        self._rate = None if fps is None else frame_rate(fps)
        self._joints = None if joints is None else joints.astype(np.float32)
        self._index: FrameIndex | None = None
        self._section = range(0)  # The frames of the file from start to end.

    def __repr__(self) -> str:
        return f"FileVideo({self.name!r}, label={self.label})"

    @property
    def name(self) -> str:
        """The path, with the section if there is one."""
        if self._start is None and self._end is None:
            return str(self._path)
        end = "end" if self._end is None else f"{float(self._end):g}"
        return f"{self._path} ({float(self._start or 0):g} to {end} s)"

    @property
    def identity(self) -> str:
        """The identity of the frames, wherever the file is; see `mpvn.data.identity`."""
        section = repr((Fraction(self._start or 0), self._end and Fraction(self._end)))
        return digest([content_identity(self._path).encode(), section.encode()])

    @property
    def timeline(self) -> Timeline:
        """When the frames are shown; at least one frame."""
        return self._load_index().timeline.section(self._section)

    def read(self, indices: Sequence[int]) -> Frames:
        """Decode frames.

        Args:
            indices: Frame numbers, ascending.

        Returns:
            RGB frames, uint8 `[len(indices), H, W, 3]`.

        Raises:
            VideoError: The video is missing, or damaged at these frames; the frames differ in size;
                an index is out of range.
        """
        return self.read_framed(indices, Unchanged()).frames

    def read_framed(self, indices: Sequence[int], framing: Framing) -> Framed:
        """Decode a part of frames, and scale it before colors are converted.

        Args:
            indices: Frame numbers, ascending.
            framing: The part to return of each frame, and its size. With `Cropped(size)`, frames
                are those of `VideoReader(path, size)`.

        Raises:
            VideoError: As in `read`.
        """
        index = self._load_index()
        self._check(indices)
        framed = None
        while framed is None and len(index.keys):
            try:
                framed = self._read(index, indices, framing)
            except (SeekError, VideoError):
                # Frames that fail after seeking may decode from the start of the file.
                index = index.more_careful()
        if framed is None:
            framed, index = self._read_from_start(index, indices, framing)
        if index is not self._index:
            self._set_index(index)
        return framed

    def joints(self, indices: Sequence[int]) -> Joints | None:
        """Return joints float32 `[len(indices), people, joints, 3]`: x, y, and visibility."""
        if self._joints is None:
            return None
        self._load_index()
        self._check(indices)
        return self._joints[list(indices)]

    def _load_index(self) -> FrameIndex:
        """Return the positions of the frames, which are found at the first call."""
        if self._index is not None:
            return self._index
        if is_series(self._path):
            images = ImageFolder(self._path, self._rate, strict=True)
            index = FrameIndex(Timeline.even(images.frame_count, images.rate), None)
        elif self._rate is not None:
            raise VideoError(
                f"{self._path}: expected a folder of images, because `fps` is set. Received: a "
                "file, or nothing at this path. Check the path, or do not set `fps`."
            )
        else:
            index = index_frames(self._path)
        self._set_index(index)
        return index

    def _set_index(self, index: FrameIndex) -> None:
        section = index.timeline.between(self._start, self._end)
        if not section:
            raise VideoError(
                f"{self.name}: expected frames in this section. Received: a video of "
                f"{float(index.timeline.duration):.2f} s. Check `start` and `end`; a file that is "
                "already cut to its section does not need them."
            )
        if self._joints is not None and len(self._joints) != len(section):
            raise VideoError(
                f"{self.name}: expected joints for each of {len(section)} frames. Received: joints "
                f"for {len(self._joints)} frames."
            )
        # In this order: another thread uses both as soon as there is an index.
        self._section = section
        self._index = index

    def _check(self, indices: Sequence[int]) -> None:
        count = len(self._section)
        ascending = all(a <= b for a, b in zip(indices, indices[1:], strict=False))
        if not len(indices) or not ascending or indices[0] < 0 or indices[-1] >= count:
            expected = f"{self.name}: expected ascending indices of the {count} frames."
            raise VideoError(f"{expected} Received: {list(indices)}.")

    def _read(self, index: FrameIndex, indices: Sequence[int], framing: Framing) -> Framed:
        numbers = [self._section[i] for i in indices]
        wanted, places = np.unique(numbers, return_inverse=True)
        decoded = self._decode(index, wanted.tolist())
        try:
            first = next(decoded)
            converter = Converter(framing)
            placement = converter.place(first)
            frames = np.empty((len(wanted), *placement.size, 3), np.uint8)
            converter.write(first, placement, frames[0])
            for pixels, frame in zip(frames[1:], decoded, strict=True):
                self._check_size(first.upright_size, frame)
                converter.write(frame, placement, pixels)
        finally:
            decoded.close()
        return Framed(frames if len(wanted) == len(numbers) else frames[places], placement)

    def _read_from_start(
        self, index: FrameIndex, indices: Sequence[int], framing: Framing
    ) -> tuple[Framed, FrameIndex]:
        """Read frames without seeking. Return also an index that has the frames where they are."""
        try:
            return self._read(index, indices, framing), index
        except SeekError:
            index = count_frames(self._path)
        self._set_index(index)
        self._check(indices)
        try:
            return self._read(index, indices, framing), index
        except SeekError as error:
            raise VideoError(
                f"{self.name}: expected the same frames at each read. Received: other frames "
                f"({error}). Do not change the file while it is read."
            ) from error

    def _check_size(self, size: tuple[int, int], decoded: Decoded) -> None:
        if decoded.upright_size != size:
            raise VideoError(
                f"{self.name}: expected frames of one size. Received: (height, width) {size} and "
                f"{decoded.upright_size}. Resize the frames to one size first."
            )

    def _decode(self, index: FrameIndex, wanted: Sequence[int]) -> Generator[Decoded, None, None]:
        if is_series(self._path):
            yield from ImageFolder(self._path, self._rate, strict=True).frames(wanted)
        else:
            yield from decode(self._path, index, wanted)

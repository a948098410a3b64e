"""A video with the joints that a JSON file lists for its frames."""

import dataclasses
import functools
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mpvn.data.identity import identity
from mpvn.data.sets.keypoint_files import Listing
from mpvn.data.sets.keypoint_formats import Size
from mpvn.data.video.errors import VideoError
from mpvn.data.video.framing import Framed, Framing
from mpvn.data.video.image_series import images_in
from mpvn.data.video.timeline import Timeline
from mpvn.data.video_set import Frames, Joints, VideoWrapper, read_framed


@dataclasses.dataclass(frozen=True)
class Numbering:
    """How the frames of all videos are numbered.

    Attributes:
        first: Number of the first frame of each video.
        is_sure: Whether this is stated, or proved by a frame 0. Otherwise it was concluded from
            lists that start with 1, and the last frame of a video must be listed, too.
    """

    first: int
    is_sure: bool


@dataclasses.dataclass(frozen=True)
class KeypointVideo(VideoWrapper):
    """A video whose joints are placed when it is first opened.

    Frames that are not listed have no people.

    Attributes:
        path: A file or a folder of images.
        listing: Its frames, with joints that are visible (1) or hidden (0).
        numbering: How they are numbered. Images of a folder are found by their names, if these are
            listed.
        size: Height and width of the frames in which the joints were found; None if unknown.
        places: Number of people that `joints` has places for, and number of joints.
    """

    path: Path
    listing: Listing
    numbering: Numbering
    size: Size | None
    places: tuple[int, int]

    @property
    def identity(self) -> str:
        """The identity of the frames; see `mpvn.data.identity`."""
        return identity(self.video)

    @property
    def timeline(self) -> Timeline:
        """When the frames are shown.

        Raises:
            VideoError: The video is unreadable, or the listed joints are not those of this video.

        Warns:
            RuntimeWarning: The list has another number of frames than the video.
        """
        _ = self._joints_of_frames
        return self.video.timeline

    def read(self, indices: Sequence[int]) -> Frames:
        return self.video.read(indices)

    def read_framed(self, indices: Sequence[int], framing: Framing) -> Framed:
        return read_framed(self.video, indices, framing)

    def joints(self, indices: Sequence[int]) -> Joints:
        joints = np.zeros((len(indices), *self.places, 3), np.float32)
        for position, index in enumerate(indices):
            for place, person in enumerate(self._joints_of_frames.get(index, ())):
                joints[position, place] = person
        return joints

    @functools.cached_property
    def _joints_of_frames(self) -> dict[int, list[Joints]]:
        """The people of each frame that has some, in pixels of the video."""
        count = len(self.video.timeline)
        indices = self._indices_by_name() if self.path.is_dir() else None
        if indices is None:
            indices = self._indices_by_number(count)
        if len(set(indices)) < len(indices):
            raise self._error("expected each frame once", "several names of one frame")
        if self.listing.lists_all and len(indices) != count:
            warnings.warn(
                f"{self.name}: {self.listing.source} lists {len(indices)} of {count} frames. The "
                "others count as frames without people.",
                RuntimeWarning,
                stacklevel=2,
            )
        people = {
            index: frame.people
            for index, frame in zip(indices, self.listing.frames, strict=True)
            if frame.people
        }
        return self._in_pixels(people)

    def _indices_by_name(self) -> list[int] | None:
        """Return the numbers of the images; None if no image has a listed name."""
        images = {path.stem: number for number, path in enumerate(images_in(self.path))}
        stems = [Path(frame.name).stem for frame in self.listing.frames]
        absent = [stem for stem in stems if stem not in images]
        if len(absent) == len(stems):
            return None
        if absent:
            raise self._error("expected images of the folder", f"the image {absent[0]}")
        return [images[stem] for stem in stems]

    def _indices_by_number(self, count: int) -> list[int]:
        nameless = [frame.name for frame in self.listing.frames if frame.number is None]
        if nameless:
            raise self._error("expected numbers in the names of frames", repr(nameless[0]))
        first = self.numbering.first
        numbers = [frame.number for frame in self.listing.frames if frame.number is not None]
        last = first + count - 1
        beyond = [number for number in numbers if not first <= number <= last]
        if beyond:
            raise self._error(f"expected frames {first} to {last}", f"frame {beyond[0]}")
        if not self.numbering.is_sure and max(numbers) != last:
            raise self._error(
                f"frames may be numbered from 0 or from 1: expected {count} frames from 1 on",
                f"frames {min(numbers)} to {max(numbers)}",
                "Set `first_frame` to the number of the first frame of a video.",
            )
        return [number - first for number in numbers]

    def _in_pixels(self, people: dict[int, list[Joints]]) -> dict[int, list[Joints]]:
        """Return joints in pixels of the video, and check that they lie in its frames."""
        if not people:
            return people
        height, width = self.video.read([0]).shape[1:3]
        scale = self._scale((height, width))
        scaled = {
            index: [_scaled(person, scale) for person in frame] for index, frame in people.items()
        }
        joints = np.concatenate([person for frame in scaled.values() for person in frame])
        places = joints[joints[:, 2] > 0]
        inside = (places[:, :2] >= -0.5) & (places[:, :2] < (width - 0.5, height - 0.5))
        if inside.all(axis=1).mean() < 0.5:
            raise self._error(
                f"expected joints in frames of {_shown((height, width))}",
                f"joints up to x = {places[:, 0].max():.0f}, y = {places[:, 1].max():.0f}",
                "If the joints were found in frames of another size, set `frame_size`.",
            )
        return scaled

    def _scale(self, size: Size) -> npt.NDArray[np.float32]:
        """Return the factors of x and y from the frames of the list to frames of this size."""
        if self.size is None or self.size == size:
            return np.ones(2, np.float32)
        (height, width), (old_height, old_width) = size, self.size
        excess = (
            old_width * height / old_height - width,
            old_height * width / old_width - height,
        )
        if min(map(abs, excess)) > 2:  # Encoders round sizes to even numbers.
            is_turned = abs(old_height * height / old_width - width) <= 2
            raise self._error(
                f"expected joints in frames of the shape of {_shown(size)}, the upright frame",
                f"joints in frames of {_shown(self.size)}",
                "Find the joints in upright frames."
                if is_turned
                else "Find the joints in the frames of this video, not in cropped ones.",
            )
        return np.array([width / old_width, height / old_height], np.float32)

    def _error(self, expected: str, received: str, remedy: str = "") -> VideoError:
        text = f"{self.name}: {self.listing.source}: {expected}. Received: {received}. {remedy}"
        return VideoError(text.strip())


def _scaled(person: Joints, scale: npt.NDArray[np.float32]) -> Joints:
    """Scale joints `[joints, 3]`: whole numbers are centers of pixels."""
    return np.concatenate([(person[:, :2] + 0.5) * scale - 0.5, person[:, 2:]], axis=1)


def _shown(size: Size) -> str:
    return f"{size[0]}x{size[1]} pixels (height x width)"

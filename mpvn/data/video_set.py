"""The common form of every data set before decoding: videos with labels or joints.

A data set lists its videos, and a video decodes only the requested frames.
`mpvn.data.clips.pipeline` cuts clips out of them, augments and batches the clips.
"""

import dataclasses
from collections.abc import Sequence
from typing import Protocol, cast

import numpy as np
import numpy.typing as npt

from mpvn.data.skeletons import mirrored_joints
from mpvn.data.video.framing import Framed, Framing, frame_arrays
from mpvn.data.video.timeline import Timeline

Frames = npt.NDArray[np.uint8]
Joints = npt.NDArray[np.float32]
Label = int | tuple[int, ...]
"""The index of a class, or in sets with `multi_label` the indices of any number of classes."""

NO_MIRROR = -1
"""In `VideoSet.mirrored_labels`: the mirror image of this class belongs to no class of the set."""


def numbers_of(label: Label | None) -> tuple[int, ...]:
    """Return the indices of the classes of a label."""
    return label if isinstance(label, tuple) else () if label is None else (label,)


class Video(Protocol):
    """One video of a data set. Only `read` and the first `timeline` are expensive."""

    @property
    def name(self) -> str:
        """Path or description of the video, for messages."""

    @property
    def label(self) -> Label | None:
        """The class, or in sets with `multi_label` the classes; None if they are not known."""

    @property
    def timeline(self) -> Timeline:
        """When the frames are shown; at least one frame.

        Raises:
            VideoError: The video is missing or unreadable.
        """

    def read(self, indices: Sequence[int]) -> Frames:
        """Decode frames.

        Args:
            indices: Frame numbers in `range(len(timeline))`, ascending. Repetitions are allowed.

        Returns:
            uint8 `[len(indices), H, W, channels]`: RGB, unless the set has other channels.

        Raises:
            VideoError: The video is missing, or damaged at these frames.
        """

    def joints(self, indices: Sequence[int]) -> Joints | None:
        """Return the joints of frames.

        Args:
            indices: As in `read`.

        Returns:
            float32 `[len(indices), people, joints, 3]`: x and y in pixels of the frame, where whole
            numbers are centers of pixels, and 1 if the joint is visible, else 0. Joints of places
            without a person are hidden. None without joints.
        """


class FramingVideo(Video, Protocol):
    """A `Video` that crops and scales frames while it reads them, which is faster."""

    def read_framed(self, indices: Sequence[int], framing: Framing) -> Framed:
        """Decode a part of frames.

        Args:
            indices: As in `read`.
            framing: The part to return of each frame, and its size.

        Raises:
            VideoError: As in `read`.
        """


def read_framed(video: Video, indices: Sequence[int], framing: Framing) -> Framed:
    """Decode a part of the frames of any video; see `FramingVideo.read_framed`."""
    for kind in type(video).__mro__:
        # A class that changes `read` alone must not be bypassed.
        if "read_framed" in vars(kind):
            return cast(FramingVideo, video).read_framed(indices, framing)
        if "read" in vars(kind):
            break
    return frame_arrays(video.read(indices), framing)


@dataclasses.dataclass(frozen=True)
class VideoWrapper:
    """A `Video` that delegates to another one. Subclasses define `read`.

    Attributes:
        video: The wrapped video.
    """

    video: Video

    @property
    def name(self) -> str:
        return self.video.name

    @property
    def label(self) -> Label | None:
        return self.video.label

    @property
    def timeline(self) -> Timeline:
        return self.video.timeline

    def joints(self, indices: Sequence[int]) -> Joints | None:
        return self.video.joints(indices)


@dataclasses.dataclass(frozen=True)
class VideoSet:
    """The videos of one split of a data set.

    Attributes:
        name: Name of the data set and of the split.
        videos: The videos.
        classes: Names of the classes, in the order of the labels; empty without classes.
        mirrored_labels: For each label, the label of the mirror image, or `NO_MIRROR`. None if
            every class is its own mirror image.
        joints: Names of the joints; empty without joints. They determine `mirrored_joints`.
        people: Number of people in a frame that `Video.joints` has places for.
        channels: Number of channels of a frame. Three channels are RGB.
        horizontal: Channels that hold displacements to the right, as 0 to 255 with rest at 127.5.
            A mirror image reverses their sign.
        multi_label: Whether a video has any number of classes, instead of one.
        note: How the videos were found, for the terminal; "" if there is nothing to say.

    Raises:
        ValueError: There are no videos, or the attributes contradict each other.
    """

    name: str
    videos: Sequence[Video]
    classes: tuple[str, ...] = ()
    mirrored_labels: tuple[int, ...] | None = None
    joints: tuple[str, ...] = ()
    people: int = 1
    channels: int = 3
    horizontal: tuple[int, ...] = ()
    multi_label: bool = False
    note: str = ""

    def __post_init__(self) -> None:
        if not len(self.videos):
            raise ValueError(f"{self.name}: expected at least one video. Received: none.")
        if self.mirrored_labels is not None and len(self.mirrored_labels) != len(self.classes):
            raise ValueError(
                f"{self.name}: expected one entry of mirrored_labels for each of "
                f"{len(self.classes)} classes. Received: {len(self.mirrored_labels)}."
            )
        if not set(self.horizontal) <= set(range(self.channels)):
            raise ValueError(
                f"{self.name}: expected horizontal channels among the {self.channels} channels of "
                f"a frame. Received: {self.horizontal}."
            )

    @property
    def labeled(self) -> bool:
        """Whether the classes of videos are known. Those of many test splits are not published."""
        return bool(self.classes) and any(video.label is not None for video in self.videos)

    def encoded(self, label: Label | None) -> np.ndarray:
        """Return a label as clips contain it.

        Returns:
            int32 `[]`; with `multi_label` float32 `[classes]`: 1 for the classes of the video.

        Raises:
            ValueError: There is no label, or it is of the other kind or out of range.
        """
        numbers = label if isinstance(label, tuple) else (label,)
        known = range(len(self.classes))
        if isinstance(label, tuple) != self.multi_label or not set(numbers) <= set(known):
            kind = "a tuple of labels" if self.multi_label else "a label"
            raise ValueError(f"expected {kind} in 0..{len(known) - 1}. Received: {label!r}.")
        if isinstance(label, tuple):
            return np.isin(known, label).astype(np.float32)
        return np.array(label, np.int32)

    @property
    def mirrored_joints(self) -> tuple[int, ...] | None:
        """For each joint, the index of the joint that takes its place in a mirror image.

        None if the names do not say it (see `mpvn.data.skeletons`). Then no clip is mirrored.
        """
        return mirrored_joints(self.joints)

"""What every data set is before anything is decoded: videos with labels or joints.

A data set lists its videos; a video gives the frames that are asked for, and no others. Clips,
augmentation and batches are made of it by `mpvn.data.clips.pipeline`.
"""

import dataclasses
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

Frames = npt.NDArray[np.uint8]
Joints = npt.NDArray[np.float32]

NO_MIRROR = -1
"""In `VideoSet.mirrored_labels`: a mirror image of this class is no class of the set."""

COCO_JOINTS = (
    "nose",
    "left_eye",
    "right_eye",
    "left_ear",
    "right_ear",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "left_hip",
    "right_hip",
    "left_knee",
    "right_knee",
    "left_ankle",
    "right_ankle",
)
"""The 17 joints of COCO, in its order."""


class Video(Protocol):
    """One video of a data set; reading it is all that costs."""

    @property
    def name(self) -> str:
        """Where it is from, for messages: a path, or what it was rendered as."""

    @property
    def label(self) -> int | None:
        """Index of its class; None without classes."""

    @property
    def frame_count(self) -> int:
        """Number of its frames, at least 1.

        Raises:
            VideoError: the video is missing or unreadable.
        """

    @property
    def fps(self) -> float:
        """Frames per second."""

    def read(self, indices: Sequence[int]) -> Frames:
        """Frames uint8 `[len(indices), H, W, channels]`: 3, RGB, unless the set says otherwise.

        Args:
            indices: which frames, in `range(frame_count)`, ascending; repetitions are allowed.

        Raises:
            VideoError: the video is missing or damaged where it is asked for.
        """

    def joints(self, indices: Sequence[int]) -> Joints | None:
        """Joints float32 `[len(indices), joints, 3]`: x and y in pixels of the frame, whole numbers
        at the centers of pixels, and 1 where the joint is visible, else 0. None without joints."""


@dataclasses.dataclass(frozen=True)
class VideoWrapper:
    """A video seen in another way: a `Video`, once a subclass says how it is read.

    Attributes:
        video: whose name, label, length, rate and joints it has.
    """

    video: Video

    @property
    def name(self) -> str:
        return self.video.name

    @property
    def label(self) -> int | None:
        return self.video.label

    @property
    def frame_count(self) -> int:
        return self.video.frame_count

    @property
    def fps(self) -> float:
        return self.video.fps

    def joints(self, indices: Sequence[int]) -> Joints | None:
        return self.video.joints(indices)


@dataclasses.dataclass(frozen=True)
class VideoSet:
    """The videos of one split of a data set.

    Attributes:
        name: of the data set, with its split.
        videos: the videos.
        classes: names of the classes, in the order of the labels; empty without labels.
        mirrored_labels: by label, that of the mirror image, or `NO_MIRROR`; None if every class is
            its own.
        joints: names of the joints; empty without joints. Mirror images swap those whose names
            begin with `left_` and `right_`.
        channels: of the frames; 3 are RGB.
        horizontal: channels that are displacements to the right, 0 to 255, rest at 127.5. Mirror
            images turn them round.
    """

    name: str
    videos: Sequence[Video]
    classes: tuple[str, ...] = ()
    mirrored_labels: tuple[int, ...] | None = None
    joints: tuple[str, ...] = ()
    channels: int = 3
    horizontal: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not len(self.videos):
            raise ValueError(f"{self.name}: there are no videos")
        if self.mirrored_labels is not None and len(self.mirrored_labels) != len(self.classes):
            raise ValueError(
                f"{self.name}: mirrored_labels must tell of each of {len(self.classes)} classes. "
                f"Received: {len(self.mirrored_labels)}"
            )
        if not set(self.horizontal) <= set(range(self.channels)):
            raise ValueError(
                f"{self.name}: horizontal must be among the {self.channels} channels of frames. "
                f"Received: {self.horizontal}"
            )

    @property
    def mirrored_joints(self) -> tuple[int, ...]:
        """By joint, the one whose place it takes in a mirror image."""
        swapped = {"left_": "right_", "right_": "left_"}
        names = [
            next(
                (new + name[len(old) :] for old, new in swapped.items() if name.startswith(old)),
                name,
            )
            for name in self.joints
        ]
        return tuple(self.joints.index(name) for name in names)

"""A data set on which every mistake of a clip pipeline shows."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from mpvn.data import VideoError, VideoSet
from mpvn.data.video.timeline import Timeline
from mpvn.data.video_set import Label

RED, BLUE = (255, 0, 0), (0, 0, 255)
HEIGHT, WIDTH = 48, 64


@dataclasses.dataclass(frozen=True)
class MarkedVideo:
    """A `Video` of two moving spots on green: a red left hand, and a blue right hand.

    The level of green identifies frame and video: 8 * frame + number.

    Attributes:
        error: Message of the error that each read raises, if not empty.
        intact: Number of frames before the damage; reads that touch it raise an error.
        reads: The indices of all reads so far.
    """

    number: int
    label: Label | None = 0
    frame_count: int = 12
    fps: float = 25.0
    error: str = ""
    intact: int = 1000
    reads: list[list[int]] = dataclasses.field(default_factory=list)

    @property
    def timeline(self) -> Timeline:
        return Timeline.even(self.frame_count, self.fps)

    @property
    def name(self) -> str:
        return f"marked {self.number}"

    def joints(self, indices: Sequence[int]) -> np.ndarray:
        time = np.asarray(indices, np.float32)
        left = np.stack([18 + time, 14 + time, np.ones_like(time)], axis=-1)
        right = np.stack([40 - time, 36 + 0 * time, np.ones_like(time)], axis=-1)
        return np.stack([left, right], axis=1)[:, None].astype(np.float32)

    def read(self, indices: Sequence[int]) -> np.ndarray:
        if self.error:
            raise VideoError(self.error)
        if indices[-1] >= self.intact:
            raise VideoError(f"damaged at frame {indices[-1]}")
        assert sorted(set(indices)) == list(indices), "each frame once, ascending"
        self.reads.append(list(indices))
        frames = np.zeros((len(indices), HEIGHT, WIDTH, 3), np.uint8)
        for frame, index, (joints, *_) in zip(frames, indices, self.joints(indices), strict=True):
            frame[..., 1] = 8 * index + self.number
            for (x, y, _), color in zip(joints.astype(int), (RED, BLUE), strict=True):
                frame[y - 2 : y + 3, x - 2 : x + 3] = color
        return frames


def marked_set(
    count: int = 6, mirrored_labels: tuple[int, ...] | None = None, **errors: str
) -> VideoSet:
    """Return a set of 3 classes. `video1="cut short"` is the error of video 1."""
    videos = [MarkedVideo(n, label=n % 3, error=errors.get(f"video{n}", "")) for n in range(count)]
    joints = ("left_hand", "right_hand")
    return VideoSet("marked", videos, ("a", "b", "c"), mirrored_labels, joints)


def multi_label_set(
    labels: Sequence[tuple[int, ...] | None], mirrored_labels: tuple[int, ...] | None = None
) -> VideoSet:
    """Return a set of 3 classes whose videos have any number of them."""
    videos = [MarkedVideo(number, each) for number, each in enumerate(labels)]
    return VideoSet("marked", videos, ("a", "b", "c"), mirrored_labels, multi_label=True)


def spot_centers(frame: np.ndarray) -> np.ndarray:
    """Return the centers (x, y) of the red and the blue spot of a frame `[H, W, 3]`."""
    weights = frame[..., [0, 2]].astype(float)
    x, y = np.meshgrid(np.arange(frame.shape[1]), np.arange(frame.shape[0]))
    mass = weights.sum(axis=(0, 1))
    return np.stack([(weights * axis[..., None]).sum((0, 1)) / mass for axis in (x, y)], axis=-1)

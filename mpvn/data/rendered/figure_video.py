"""One video of a figure that performs an action, rendered when it is read."""

from __future__ import annotations

import functools
import math
import numbers
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from mpvn.data.rendered.arrays import Indices
from mpvn.data.rendered.poses import perform
from mpvn.data.rendered.scenes import Scene
from mpvn.data.rendered.shapes import MovingShape, random_post
from mpvn.data.skeletons import COCO_JOINTS
from mpvn.data.video.timeline import Timeline
from mpvn.data.video_set import Frames, Joints

ACTIONS = (
    "arm_up",
    "arm_down",
    "walk_left",
    "walk_right",
    "windmill_clockwise",
    "windmill_counterclockwise",
    "squat_down",
    "squat_up",
    "clap_faster",
    "clap_slower",
)
"""The classes by label. Labels `2 n` and `2 n + 1` are an action and its time reversal."""

MIRRORED_ACTIONS = (0, 1, 3, 2, 5, 4, 6, 7, 8, 9)
"""The label of the mirror image, by label."""

UNDIRECTED_ACTIONS = ("raise_arm", "walk", "windmill", "squat", "clap")
"""The classes if an action and its time reversal count as one."""

SPLITS = ("train", "validation", "test")

_MOTION, _SCENE, _POST, _CUTS = range(4)  # purposes of the streams of random numbers
_CHUNK = 1_000_000  # most floats on the canvas at once
_SCENE_SECONDS = 1.0  # average length of a scene between cuts


@dataclass(frozen=True)
class FigureVideo:
    """A rendered video of a figure that performs an action; a `Video` of a `VideoSet`.

    Two videos that differ only in their label, `2 n` and `2 n + 1`, are time reversals of each
    other. Two that differ only in `mirrored`, with labels that `MIRRORED_ACTIONS` relates, are
    mirror images with left and right joints swapped. Other options do not change the motion.

    Args:
        label: Index of the action in `ACTIONS`.
        index: Number of the video within its split and seed.
        seed: Random seed. With `split` and `index`, it determines everything not given here.
        split: One of `SPLITS`.
        size: `(height, width)` in pixels.
        frame_count: Number of frames.
        fps: Frames per second. Claps are as fast as 2.7 per second.
        objects: Number of distracting shapes that move behind the figure.
        occlusion: Whether a post passes in front of the figure. Joints behind it are not visible.
        cuts: Whether the scene changes at random times, about once per second: the background, the
            colors, and the size and place of the figure. The action continues.
        mirrored: Whether the video is mirrored left to right.

    Raises:
        ValueError: An argument is invalid.
    """

    label: int
    index: int = 0
    seed: int = 0
    split: str = "train"
    size: tuple[int, int] = (64, 64)
    frame_count: int = 32
    fps: float = 12.5
    objects: int = 0
    occlusion: bool = False
    cuts: bool = False
    mirrored: bool = False

    def __post_init__(self) -> None:
        for name in ("label", "index", "seed", "objects"):
            check_integer(name, getattr(self, name), 0)
        check_integer("frame_count", self.frame_count, 1)
        if self.label >= len(ACTIONS):
            raise ValueError(
                f"label: expected 0 to {len(ACTIONS) - 1}, an index of ACTIONS. "
                f"Received: {self.label}."
            )
        if self.split not in SPLITS:
            raise ValueError(f"split: expected one of {SPLITS}. Received: {self.split!r}.")
        size = self.size
        if not isinstance(size, tuple) or len(size) != 2:
            raise ValueError(f"size: expected a tuple (height, width). Received: {size!r}.")
        for name, pixels in zip(("height", "width"), size, strict=True):
            check_integer(f"{name} in size", pixels, 1)
        if not 0 < self.fps < math.inf:
            raise ValueError(
                f"fps: expected a positive number of frames per second. Received: {self.fps!r}."
            )

    @property
    def timeline(self) -> Timeline:
        """When the frames are shown."""
        return Timeline.even(self.frame_count, self.fps)

    @property
    def name(self) -> str:
        """Split, seed, index and action, for messages."""
        return f"rendered figures {self.split} {self.seed}/{self.index} {ACTIONS[self.label]}"

    def read(self, indices: Sequence[int]) -> Frames:
        """Render the frames at `indices`, uint8 `[len(indices), height, width, 3]`, RGB.

        Raises:
            IndexError: A frame does not exist.
        """
        rendered = self._rendered_indices(indices)
        height, width = self.size
        frames = np.empty((len(rendered), height, width, 3), np.uint8)
        chunk = max(1, _CHUNK // (3 * height * width))
        for start in range(0, len(rendered), chunk):
            frames[start : start + chunk] = _animate(self).render(rendered[start : start + chunk])
        return np.ascontiguousarray(frames[:, :, ::-1]) if self.mirrored else frames

    def joints(self, indices: Sequence[int]) -> Joints:
        """Return the joints in `COCO_JOINTS`, float32 `[len(indices), 1, 17, 3]`, not rendering.

        The last axis has x and y in pixels, integers at pixel centers, and 1 if the joint is
        visible, else 0. Joints outside the frame or behind the post are not visible; joints behind
        other parts of the figure are.

        Raises:
            IndexError: A frame does not exist.
        """
        joints = _animate(self).joints[self._rendered_indices(indices)]
        joints[..., :2] -= 0.5  # move the origin from the corner to the center of the first pixel
        if not self.mirrored:
            return joints[:, None]
        mirrored = joints[:, _SWAPPED_JOINTS]
        mirrored[..., 0] = self.size[1] - 1 - mirrored[..., 0]
        return mirrored[:, None]

    def _rendered_indices(self, indices: Sequence[int]) -> Indices:
        """Convert indices of frames to indices in the animation, which is never reversed."""
        frames = np.asarray(indices, np.intp).reshape(-1)
        invalid = frames[(frames < 0) | (frames >= self.frame_count)]
        if invalid.size:
            raise IndexError(
                f"{self.name}: expected frames in 0 to {self.frame_count - 1}. "
                f"Received: {invalid[0]}."
            )
        return self.frame_count - 1 - frames if self._reversed else frames

    @property
    def _reversed(self) -> bool:
        label = MIRRORED_ACTIONS[self.label] if self.mirrored else self.label
        return label % 2 == 1


def check_integer(name: str, value: int, minimum: int) -> None:
    """Raise ValueError unless `value` is an integer of at least `minimum`."""
    if not isinstance(value, numbers.Integral) or value < minimum:
        raise ValueError(f"{name}: expected an integer of at least {minimum}. Received: {value!r}.")


class _Animation:
    """The scenes and joints of a video, before it is reversed or mirrored."""

    def __init__(self, video: FigureVideo) -> None:
        count = video.frame_count
        times, duration = np.arange(count) / video.fps, count / video.fps
        action = ACTIONS[video.label - video.label % 2]
        motion = perform(action, times, duration, _rng(video, _MOTION))
        self._size = video.size
        self._starts = _scene_starts(video)  # first frame of each scene
        self._scenes = [
            Scene(
                video.size,
                times[start:end],
                motion.joints[start:end],
                motion.pan,
                video.objects,
                _rng(video, _SCENE, number),
            )
            for number, (start, end) in enumerate(pairwise([*self._starts, count]))
        ]
        self._post = random_post(video.size, times, _rng(video, _POST)) if video.occlusion else None
        positions = np.concatenate([scene.joints for scene in self._scenes])
        visible = _visible(positions, video.size, self._post)
        self.joints: Joints = np.concatenate([positions, visible[..., None]], -1, dtype=np.float32)
        """Float32 `[frame_count, 17, 3]`, with the origin at the corner of the frame."""

    def render(self, frames: Indices) -> Frames:
        """Render the frames at indices `[N]`: uint8 `[N, height, width, 3]`."""
        scene_of = np.searchsorted(self._starts, frames, side="right") - 1
        pixels = np.empty((len(frames), *self._size, 3), np.uint8)
        for number in np.unique(scene_of):
            (within,) = np.nonzero(scene_of == number)
            canvas = self._scenes[number].paint(frames[within] - self._starts[number])
            if self._post is not None:
                self._post.paint(canvas, frames[within])
            pixels[within] = np.clip(canvas, 0, 255, out=canvas) + np.float32(0.5)
        return pixels


@functools.lru_cache(maxsize=16)
def _animate(video: FigureVideo) -> _Animation:
    """Cached, because joints are read after frames, and long videos in several parts."""
    return _Animation(video)


def _rng(video: FigureVideo, purpose: int, number: int = 0) -> np.random.Generator:
    """Return a separate random stream for each purpose, so that options are independent."""
    key = (SPLITS.index(video.split), video.index, purpose, number)
    return np.random.default_rng(np.random.SeedSequence(video.seed, spawn_key=key))


def _scene_starts(video: FigureVideo) -> list[int]:
    """Return the first frame of each scene. With cuts, there are at least two scenes."""
    if not video.cuts:
        return [0]
    count = max(2, round(video.frame_count / video.fps / _SCENE_SECONDS))
    jitter = _rng(video, _CUTS).uniform(-0.3, 0.3, count - 1)
    starts = (np.arange(1, count) + jitter) / count * video.frame_count
    return sorted({0, *np.ceil(starts).astype(int).tolist()} - {video.frame_count})


def _visible(
    positions: Joints, size: tuple[int, int], post: MovingShape | None
) -> npt.NDArray[np.bool_]:
    """Return which joints are visible, `[frames, 17]`, from pixel positions `[frames, 17, 2]`."""
    x, y = positions[..., 0], positions[..., 1]
    visible = (x >= 0) & (x < size[1]) & (y >= 0) & (y < size[0])
    if post is not None:
        visible &= ~post.hides(positions)
    return visible


def _opposite(joint: str) -> str:
    side, _, part = joint.partition("_")
    return {"left": f"right_{part}", "right": f"left_{part}"}.get(side, joint)


_SWAPPED_JOINTS = tuple(COCO_JOINTS.index(_opposite(joint)) for joint in COCO_JOINTS)

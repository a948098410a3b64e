"""Videos of a figure in action, drawn by ourselves: the default data of every task.

Actions, joints and smooth motion without a download or a license, in minutes of training. The
actions come in pairs that are reversals of each other, frame by frame: who looks at one frame at a
time cannot tell them apart.

What it does not do well: it is no benchmark, as there is one figure and it is easy to see. Pixels
are the same again and again on one machine; another processor may round some of them otherwise.
"""

from __future__ import annotations

import functools
import math
import numbers
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from mpvn.data.rendered.poses import perform
from mpvn.data.rendered.scenes import Indices, Scene, Wanderer, occluder
from mpvn.data.video_set import COCO_JOINTS, Frames, Joints, VideoSet

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
"""The classes, in the order of the labels: each pair is an action and its reversal."""

MIRRORED_ACTIONS = (0, 1, 3, 2, 5, 4, 6, 7, 8, 9)
"""By label, that of the mirror image."""

UNDIRECTED_ACTIONS = ("raise_arm", "walk", "windmill", "squat", "clap")
"""The classes without their directions."""

SPLITS = ("train", "validation", "test")

_MOTION, _SCENE, _POST, _CUTS = range(4)  # What streams of random numbers are for.
_CHUNK = 1_000_000  # Numbers on the canvas at once.
_SCENE_SECONDS = 1.0  # How long a scene is seen where there are cuts, on average.


@dataclass(frozen=True)
class FigureVideo:
    """A rendered figure in action; a `Video` of a `VideoSet`.

    Two videos that differ in their label alone, `2 n` and `2 n + 1`, are reversals of each other.
    Two that differ in `mirrored`, and in their label as `MIRRORED_ACTIONS` says, are mirror images,
    left and right joints swapped. Another size or option shows the same motion.

    Attributes:
        label: index of its action in `ACTIONS`.
        index: which video it is of those of its split and seed.
        seed: chooses, with split and index, everything that is not given here.
        split: one of `SPLITS`.
        size: `(height, width)` in pixels.
        frame_count: number of frames.
        fps: frames per second. Claps get as fast as 2.7 per second.
        objects: number of shapes that move about behind the figure.
        occlusion: whether a post passes before the figure; joints behind it are not visible.
        cuts: whether the scene changes at random times, about once a second: the background,
            colors, and size and place of the figure, while the action goes on.
        mirrored: whether it is the mirror image of what it were otherwise.

    Raises:
        ValueError: an argument is impossible; the message says how to mend it.
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
            _check_whole(name, getattr(self, name), 0)
        _check_whole("frame_count", self.frame_count, 1)
        if self.label >= len(ACTIONS):
            raise ValueError(
                f"label: expected 0 to {len(ACTIONS) - 1}, an index of ACTIONS. "
                f"Received: {self.label}"
            )
        if self.split not in SPLITS:
            raise ValueError(f"split: expected one of {SPLITS}. Received: {self.split!r}")
        size = self.size
        if not isinstance(size, tuple) or len(size) != 2:
            raise ValueError(f"size: expected a tuple (height, width). Received: {size!r}")
        for name, pixels in zip(("height", "width"), size, strict=True):
            _check_whole(f"{name} in size", pixels, 1)
        if not 0 < self.fps < math.inf:
            raise ValueError(
                f"fps: expected a positive number of frames per second. Received: {self.fps!r}"
            )

    @property
    def name(self) -> str:
        """What it was rendered as."""
        return f"rendered figures {self.split} {self.seed}/{self.index} {ACTIONS[self.label]}"

    def read(self, indices: Sequence[int]) -> Frames:
        """Renders frames uint8 `[len(indices), height, width, 3]`, RGB, and no others.

        Raises:
            IndexError: there is no such frame.
        """
        drawn = self._drawn(indices)
        height, width = self.size
        frames = np.empty((len(drawn), height, width, 3), np.uint8)
        chunk = max(1, _CHUNK // (3 * height * width))
        for start in range(0, len(drawn), chunk):
            frames[start : start + chunk] = _staged(self).render(drawn[start : start + chunk])
        return np.ascontiguousarray(frames[:, :, ::-1]) if self.mirrored else frames

    def joints(self, indices: Sequence[int]) -> Joints:
        """Those of `COCO_JOINTS`, without rendering: float32 `[len(indices), 17, 3]`.

        x and y in pixels, whole numbers at their centers, and 1 for a joint that is visible, else
        0: one outside the frame or behind the post. What the figure hides of itself is visible.

        Raises:
            IndexError: there is no such frame.
        """
        joints = _staged(self).joints[self._drawn(indices)]
        joints[..., :2] -= 0.5  # from the corner of the frame to the center of its first pixel
        if not self.mirrored:
            return joints
        mirrored = joints[:, _SWAPPED]
        mirrored[..., 0] = self.size[1] - 1 - mirrored[..., 0]
        return mirrored

    def _drawn(self, indices: Sequence[int]) -> Indices:
        """The frames as drawn, before any reversal, which frames of the video are."""
        asked = np.asarray(indices, np.intp).reshape(-1)
        wrong = asked[(asked < 0) | (asked >= self.frame_count)]
        if wrong.size:
            raise IndexError(
                f"{self.name}: expected frames in 0 to {self.frame_count - 1}. Received: {wrong[0]}"
            )
        return self.frame_count - 1 - asked if self._backwards else asked

    @property
    def _backwards(self) -> bool:
        drawn = MIRRORED_ACTIONS[self.label] if self.mirrored else self.label
        return drawn % 2 == 1


def rendered_figures(
    count: int,
    *,
    seed: int = 0,
    size: tuple[int, int] = (64, 64),
    frames: int = 32,
    fps: float = 12.5,
    objects: int = 0,
    occlusion: bool = False,
    cuts: bool = False,
    directions: bool = True,
    split: str = "train",
) -> VideoSet:
    """Videos of a figure in action, with classes and joints; nothing is rendered until read.

    Video `i` depends on `i`, the seed and the split, not on `count`. Its action is `i % 10`, and
    every other ten are mirror images. No two splits share a video.

    Args:
        count: number of videos.
        seed: chooses them.
        size: `(height, width)` in pixels.
        frames: number of frames of each.
        fps: frames per second.
        objects: number of shapes that move about behind the figure.
        occlusion: whether a post passes before the figure.
        cuts: whether the scene changes, about once a second.
        directions: whether an action and its reversal are two classes, which no single frame can
            tell apart; else they are one of `UNDIRECTED_ACTIONS`.
        split: `"train"`, `"validation"` or `"test"`.

    Returns:
        The set: labels of `ACTIONS` or `UNDIRECTED_ACTIONS`, joints of `COCO_JOINTS`.

    Raises:
        ValueError: an argument is impossible; the message says how to mend it.

    Example:
        >>> videos = rendered_figures(100, size=(112, 112), split="test")
        >>> videos.videos[3].read([0, 8, 16, 24]).shape
        (4, 112, 112, 3)
    """
    _check_whole("count", count, 1)
    _check_whole("frames", frames, 1)
    videos = tuple(
        FigureVideo(
            label=index % len(ACTIONS),
            index=index,
            seed=seed,
            split=split,
            size=size,
            frame_count=frames,
            fps=fps,
            objects=objects,
            occlusion=occlusion,
            cuts=cuts,
            mirrored=index // len(ACTIONS) % 2 == 1,
        )
        for index in range(count)
    )
    name = f"rendered figures, {split}"
    if not directions:
        either = tuple(map(_EitherWay, videos))
        return VideoSet(name, either, classes=UNDIRECTED_ACTIONS, joints=COCO_JOINTS)
    return VideoSet(
        name, videos, classes=ACTIONS, mirrored_labels=MIRRORED_ACTIONS, joints=COCO_JOINTS
    )


@dataclass(frozen=True)
class _EitherWay:
    """A video whose class does not say in which direction time runs."""

    video: FigureVideo

    @property
    def label(self) -> int:
        return self.video.label // 2

    @property
    def name(self) -> str:
        return self.video.name

    @property
    def frame_count(self) -> int:
        return self.video.frame_count

    @property
    def fps(self) -> float:
        return self.video.fps

    def read(self, indices: Sequence[int]) -> Frames:
        return self.video.read(indices)

    def joints(self, indices: Sequence[int]) -> Joints:
        return self.video.joints(indices)


def _check_whole(name: str, value: int, least: int) -> None:
    if not isinstance(value, numbers.Integral) or value < least:
        raise ValueError(f"{name}: expected a whole number, {least} or more. Received: {value!r}")


class _Staged:
    """All of a video but its pixels, as drawn: not yet reversed or mirrored."""

    def __init__(self, video: FigureVideo) -> None:
        count = video.frame_count
        times, duration = np.arange(count) / video.fps, count / video.fps
        action = ACTIONS[video.label - video.label % 2]
        motion = perform(action, times, duration, _rng(video, _MOTION))
        self._size = video.size
        self._starts = _scene_starts(video)  # By scene, its first frame.
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
        self._post = occluder(video.size, times, _rng(video, _POST)) if video.occlusion else None
        places = np.concatenate([scene.joints for scene in self._scenes])
        visible = _visible(places, video.size, self._post)
        self.joints: Joints = np.concatenate([places, visible[..., None]], -1, dtype=np.float32)
        """As those of a video, `[frame_count, 17, 3]`."""

    def render(self, frames: Indices) -> Frames:
        """Some frames, uint8 `[len(frames), height, width, 3]`."""
        scene_of = np.searchsorted(self._starts, frames, side="right") - 1
        pixels = np.empty((len(frames), *self._size, 3), np.uint8)
        for number in np.unique(scene_of):
            (which,) = np.nonzero(scene_of == number)
            canvas = self._scenes[number].paint(frames[which] - self._starts[number])
            if self._post is not None:
                self._post.paint(canvas, frames[which])
            pixels[which] = np.clip(canvas, 0, 255, out=canvas) + np.float32(0.5)
        return pixels


@functools.lru_cache(maxsize=16)
def _staged(video: FigureVideo) -> _Staged:
    """Kept, because joints are asked for after frames, and long videos bit by bit."""
    return _Staged(video)


def _rng(video: FigureVideo, purpose: int, number: int = 0) -> np.random.Generator:
    """A stream of its own for each purpose: options leave the rest as it is."""
    key = (SPLITS.index(video.split), video.index, purpose, number)
    return np.random.default_rng(np.random.SeedSequence(video.seed, spawn_key=key))


def _scene_starts(video: FigureVideo) -> list[int]:
    """The first frame of each scene: about one a second if there are cuts, and at least two."""
    if not video.cuts:
        return [0]
    count = max(2, round(video.frame_count / video.fps / _SCENE_SECONDS))
    jitter = _rng(video, _CUTS).uniform(-0.3, 0.3, count - 1)
    starts = (np.arange(1, count) + jitter) / count * video.frame_count
    return sorted({0, *np.ceil(starts).astype(int).tolist()} - {video.frame_count})


def _visible(places: Joints, size: tuple[int, int], post: Wanderer | None) -> npt.NDArray[np.bool_]:
    """Which joints `[frames, 17]`, of places in pixels `[frames, 17, 2]`, are to be seen."""
    x, y = places[..., 0], places[..., 1]
    visible = (x >= 0) & (x < size[1]) & (y >= 0) & (y < size[0])
    if post is not None:
        visible &= ~post.hides(places)
    return visible


def _opposite(joint: str) -> str:
    side, _, part = joint.partition("_")
    return {"left": f"right_{part}", "right": f"left_{part}"}.get(side, joint)


_SWAPPED = tuple(COCO_JOINTS.index(_opposite(joint)) for joint in COCO_JOINTS)

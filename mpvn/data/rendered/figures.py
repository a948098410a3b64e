"""Rendered videos of a figure in action: the default data of every task.

They have actions, joints and smooth motion, need no download or license, and are learned in
minutes. Actions come in pairs that are exact time reversals of each other, so that a network that
looks at single frames cannot tell them apart.

Limitations: this is not a benchmark, because there is a single figure that is easy to see. On one
machine, pixels are reproducible; another processor may round some of them differently.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mpvn.data.rendered.figure_video import (
    ACTIONS,
    MIRRORED_ACTIONS,
    UNDIRECTED_ACTIONS,
    FigureVideo,
    check_integer,
)
from mpvn.data.skeletons import COCO_JOINTS
from mpvn.data.video_set import Frames, VideoSet, VideoWrapper


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
    """Return videos of a figure in action, with classes and joints, rendered when they are read.

    Video `i` depends on `i`, the seed and the split, not on `count`. It shows action `i % 10`;
    every second group of ten is mirrored. Splits have no videos in common.

    Args:
        count: Number of videos.
        seed: Random seed.
        size: `(height, width)` in pixels.
        frames: Number of frames per video.
        fps: Frames per second.
        objects: Number of distracting shapes that move behind the figure.
        occlusion: Whether a post passes in front of the figure.
        cuts: Whether the scene changes about once per second.
        directions: Whether an action and its time reversal are two classes, of `ACTIONS`, or one,
            of `UNDIRECTED_ACTIONS`.
        split: `"train"`, `"validation"` or `"test"`.

    Raises:
        ValueError: An argument is invalid.

    Example:
        >>> videos = rendered_figures(100, size=(112, 112), split="test")
        >>> videos.videos[3].read([0, 8, 16, 24]).shape
        (4, 112, 112, 3)
    """
    check_integer("count", count, 1)
    check_integer("frames", frames, 1)

    def video(index: int) -> FigureVideo:
        label, mirrored = index % len(ACTIONS), index // len(ACTIONS) % 2 == 1
        return FigureVideo(
            label, index, seed, split, size, frames, fps, objects, occlusion, cuts, mirrored
        )

    videos = tuple(map(video, range(count)))
    name = f"rendered figures, {split}"
    if directions:
        return VideoSet(name, videos, ACTIONS, MIRRORED_ACTIONS, COCO_JOINTS)
    undirected = tuple(map(_UndirectedVideo, videos))
    return VideoSet(name, undirected, UNDIRECTED_ACTIONS, joints=COCO_JOINTS)


@dataclass(frozen=True)
class _UndirectedVideo(VideoWrapper):
    """A video with the label of its action without a direction."""

    video: FigureVideo

    @property
    def label(self) -> int:
        return self.video.label // 2

    def read(self, indices: Sequence[int]) -> Frames:
        return self.video.read(indices)

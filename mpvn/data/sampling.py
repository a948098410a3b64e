"""Which frames of a video make a clip."""

import dataclasses
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.int64]

SHORT = ("error", "loop", "hold")
"""What becomes of a video with fewer frames than a clip: refused, begun again, its last frame
held."""


class Sampling(Protocol):
    """A way of choosing frames."""

    @property
    def frames(self) -> int | None:
        """Frames of every clip; None if they differ."""

    def indices(self, frame_count: int, fps: float, rng: np.random.Generator) -> Indices:
        """Frames of one clip, int64, in the order of the clip.

        Args:
            frame_count: frames of the video.
            fps: frames per second of the video.
            rng: where chance comes from; another clip at each call.

        Raises:
            ValueError: the video is too short.
        """


@dataclasses.dataclass(frozen=True)
class Consecutive:
    """Frames at equal distances: 32 for keypoints or 64 for actions in *Massively Parallel Video
    Networks* (appendix C).

    Attributes:
        frames: of every clip.
        stride: distance of two frames of the clip, in frames of the video; with `fps`, in frames at
            that rate.
        fps: rate to which the video is brought first, by repeating or dropping frames; None leaves
            it as it is.
        place: where in the video: `"random"`, or `"centre"` for evaluation.
        short: for videos of fewer frames: `"error"`, `"loop"` or `"hold"`.
    """

    frames: int
    stride: int = 1
    fps: float | None = None
    place: Literal["random", "centre"] = "random"
    short: str = "error"

    def __post_init__(self) -> None:
        _check(frames=self.frames, stride=self.stride)
        _check_words(self.short, place=self.place)

    def indices(self, frame_count: int, fps: float, rng: np.random.Generator) -> Indices:
        distance = self.stride * (1.0 if self.fps is None else fps / self.fps)
        steps = np.floor(np.arange(self.frames) * distance).astype(np.int64)
        room = frame_count - 1 - int(steps[-1])
        if room < 0:
            return _shortened(steps, frame_count, self.short)
        return steps + (rng.integers(room + 1) if self.place == "random" else room // 2)


@dataclasses.dataclass(frozen=True)
class Segments:
    """One frame of each of equal parts of the video (*Temporal Segment Networks*).

    Attributes:
        frames: number of parts.
        place: `"random"` within its part, or `"centre"`.
        short: for videos of fewer frames than parts, as `Consecutive`.
    """

    frames: int
    place: Literal["random", "centre"] = "random"
    short: str = "error"

    def __post_init__(self) -> None:
        _check(frames=self.frames)
        _check_words(self.short, place=self.place)

    def indices(self, frame_count: int, fps: float, rng: np.random.Generator) -> Indices:
        if frame_count < self.frames:
            return _shortened(np.arange(self.frames), frame_count, self.short)
        edges = np.arange(self.frames + 1) * frame_count // self.frames
        if self.place == "centre":
            return (edges[:-1] + edges[1:] - 1) // 2
        return rng.integers(edges[:-1], edges[1:])


@dataclasses.dataclass(frozen=True)
class Whole:
    """All frames of the video, up to a number: evaluation in *Massively Parallel Video Networks*.

    Attributes:
        most: frames of the longest clip; of longer videos, the first are taken.
        fps: as `Consecutive`.
    """

    most: int = 250
    fps: float | None = None

    frames = None

    def __post_init__(self) -> None:
        _check(most=self.most)

    def indices(self, frame_count: int, fps: float, rng: np.random.Generator) -> Indices:
        distance = 1.0 if self.fps is None else fps / self.fps
        count = min(self.most, int((frame_count - 1) / distance + 1e-9) + 1)
        return np.floor(np.arange(count) * distance + 1e-9).astype(np.int64)


def _shortened(steps: Indices, frame_count: int, short: str) -> Indices:
    if short == "error":
        raise ValueError(
            f"it has {frame_count} frames, and a clip needs {int(steps[-1]) + 1} of them. Ask for "
            'fewer frames or a smaller stride, or set short="loop" or short="hold"'
        )
    if short == "hold":
        return np.minimum(steps, frame_count - 1)
    return steps % frame_count


def _check(**counts: int) -> None:
    for name, count in counts.items():
        if not isinstance(count, int) or count < 1:
            raise ValueError(f"{name} must be an int of at least 1. Received: {count!r}")


def _check_words(short: str, place: str) -> None:
    if short not in SHORT:
        raise ValueError(f"short must be one of {', '.join(SHORT)}. Received: {short!r}")
    if place not in ("random", "centre"):
        raise ValueError(f'place must be "random" or "centre". Received: {place!r}')

"""Which frames of a video make a clip, and which the clips that a test takes of it."""

import abc
import dataclasses
from collections.abc import Callable
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


class MultiClipSampling(Sampling, Protocol):
    """A sampling that can also take several clips of a video, as tests do."""

    def clips(self, frame_count: int, fps: float, count: int) -> Indices:
        """Frames of `count` clips spread evenly over the video, int64 `[count, T]`, without chance.

        A single one is what `indices` gives in the center.

        Raises:
            ValueError: the video is too short, or there are not so many clips of it.
        """


class _Stretch(abc.ABC):
    """Clips that take up a stretch of the video, and lie where it fits in.

    Several clips begin at equal distances, the first at the first frame, and the last where it ends
    with the video.
    """

    place: Literal["random", "center"]
    short: str

    @abc.abstractmethod
    def _stretch(self, fps: float) -> tuple[Indices, int]:
        """Frames of a clip that begins with the video, `[T]`, and how many frames it takes up."""

    def indices(self, frame_count: int, fps: float, rng: np.random.Generator) -> Indices:
        if self.place == "center":
            return self.clips(frame_count, fps, 1)[0]
        return self._begun(frame_count, fps, lambda room: rng.integers(room + 1, size=1))[0]

    def clips(self, frame_count: int, fps: float, count: int) -> Indices:
        _check(count=count)
        return self._begun(frame_count, fps, lambda room: _evenly(room, count))

    def _begun(self, frame_count: int, fps: float, begin: Callable[[int], Indices]) -> Indices:
        """Clips `[N, T]`, begun at the `[N]` frames that `begin` chooses, given the last one."""
        steps, length = self._stretch(fps)
        room = frame_count - length
        if room < 0:
            steps, room = _shortened(steps, length, frame_count, self.short), 0
        # [N] -> [N, 1], and with [T] -> [N, T]
        return begin(room)[:, None] + steps


@dataclasses.dataclass(frozen=True)
class Consecutive(_Stretch):
    """Frames at equal distances: 32 for keypoints or 64 for actions in *Massively Parallel Video
    Networks* (appendix C).

    Attributes:
        frames: of every clip.
        stride: distance of two frames of the clip, in frames of the video; with `fps`, in frames at
            that rate.
        fps: rate to which the video is brought first, by repeating or dropping frames; None leaves
            it as it is.
        place: where in the video: `"random"`, or `"center"` for evaluation.
        short: for videos of fewer frames: `"error"`, `"loop"` or `"hold"`.
    """

    frames: int
    stride: int = 1
    fps: float | None = None
    place: Literal["random", "center"] = "random"
    short: str = "error"

    def __post_init__(self) -> None:
        _check(frames=self.frames, stride=self.stride)
        _check_words(self.short, place=self.place)

    def _stretch(self, fps: float) -> tuple[Indices, int]:
        distance = self.stride * (1.0 if self.fps is None else fps / self.fps)
        steps = np.floor(np.arange(self.frames) * distance).astype(np.int64)
        return steps, int(steps[-1]) + 1


@dataclasses.dataclass(frozen=True)
class Dense(_Stretch):
    """Frames at equal distances within a window: *Temporal Shift Module* on Kinetics, after I3D.

    The authors train on 8 frames of 64 at a random place, and test on 10 clips of each video.

    Attributes:
        frames: of every clip.
        window: how many frames of the video a clip stands for, a multiple of `frames`: it has the
            first of each `window / frames` of them.
        place: as `Consecutive`.
        short: for videos of fewer frames than the window, as `Consecutive`; the authors `"loop"`.
    """

    frames: int = 8
    window: int = 64
    place: Literal["random", "center"] = "random"
    short: str = "error"

    def __post_init__(self) -> None:
        _check(frames=self.frames, window=self.window)
        _check_words(self.short, place=self.place)
        if self.window % self.frames:
            raise ValueError(
                f"window must be a multiple of frames (={self.frames}), so that they are at equal "
                f"distances. Received: window={self.window}"
            )

    def _stretch(self, fps: float) -> tuple[Indices, int]:
        return np.arange(self.frames) * (self.window // self.frames), self.window


@dataclasses.dataclass(frozen=True)
class Segments:
    """One frame of each of equal parts of the video (*Temporal Segment Networks*; TSM, section 5).

    Several clips take frames at equal distances within the parts: two take their centers and their
    first frames, which TSM calls sampling twice.

    Attributes:
        frames: number of parts.
        place: `"random"` within its part, or `"center"`.
        short: for videos of fewer frames than parts, as `Consecutive`.
    """

    frames: int
    place: Literal["random", "center"] = "random"
    short: str = "error"

    def __post_init__(self) -> None:
        _check(frames=self.frames)
        _check_words(self.short, place=self.place)

    def indices(self, frame_count: int, fps: float, rng: np.random.Generator) -> Indices:
        if self.place == "center":
            return self.clips(frame_count, fps, 1)[0]
        if frame_count < self.frames:
            return self._all(frame_count)
        edges = np.arange(self.frames + 1) * frame_count // self.frames
        return rng.integers(edges[:-1], edges[1:])

    def clips(self, frame_count: int, fps: float, count: int) -> Indices:
        _check(count=count)
        if frame_count < self.frames:
            return np.tile(self._all(frame_count), (count, 1))
        # Clip k at the share (1/2 + k / count) modulo 1 of each part; in whole numbers, for
        # fractions would be rounded: a part has 2 * count units. [N, 1] and [T] -> [N, T]
        shares = (count + 2 * np.arange(count)) % (2 * count)
        units = shares[:, None] + 2 * count * np.arange(self.frames)
        return units * frame_count // (2 * count * self.frames)

    def _all(self, frame_count: int) -> Indices:
        """The frames of a video that has fewer than there are parts."""
        return _shortened(np.arange(self.frames), self.frames, frame_count, self.short)


@dataclasses.dataclass(frozen=True)
class Whole:
    """All frames of the video, up to a number: evaluation in *Massively Parallel Video Networks*.

    Attributes:
        max_frames: frames of the longest clip; of longer videos, the first are taken.
        fps: as `Consecutive`.
    """

    max_frames: int = 250
    fps: float | None = None

    frames = None

    def __post_init__(self) -> None:
        _check(max_frames=self.max_frames)

    def indices(self, frame_count: int, fps: float, rng: np.random.Generator) -> Indices:
        return self.clips(frame_count, fps, 1)[0]

    def clips(self, frame_count: int, fps: float, count: int) -> Indices:
        if count != 1:
            raise ValueError(f"a whole video is one clip, count must be 1. Received: {count!r}")
        distance = 1.0 if self.fps is None else fps / self.fps
        length = min(self.max_frames, int((frame_count - 1) / distance + 1e-9) + 1)
        # [T] -> [1, T]
        return np.floor(np.arange(length) * distance + 1e-9).astype(np.int64)[None]


@dataclasses.dataclass(frozen=True)
class MultiClip:
    """Several clips of the video, spread over it, one after another.

    Attributes:
        sampling: which frames make a clip.
        count: how many clips; one of `Whole` videos.
    """

    sampling: MultiClipSampling
    count: int

    def __post_init__(self) -> None:
        _check(count=self.count)
        if self.sampling.frames is None and self.count > 1:
            raise ValueError(f"a whole video is one clip. Received: {self.count} clips")

    @property
    def frames(self) -> int | None:
        """Frames of all clips together; None if videos differ."""
        return self.sampling.frames and self.count * self.sampling.frames

    def indices(self, frame_count: int, fps: float, rng: np.random.Generator) -> Indices:
        """Frames of all clips, int64 `[count * T]`; without chance."""
        # [count, T] -> [count * T]
        return self.sampling.clips(frame_count, fps, self.count).reshape(-1)


def _evenly(room: int, count: int) -> Indices:
    """`count` places from 0 to `room` at equal distances; a single one in the middle."""
    if count == 1:
        return np.array([room // 2])
    return np.arange(count) * room // (count - 1)


def _shortened(steps: Indices, needed: int, frame_count: int, short: str) -> Indices:
    """Frames `steps` of a video that lacks some of the `needed` ones."""
    if short == "error":
        raise ValueError(
            f"it has {frame_count} frames, and a clip needs {needed} of them. Ask for fewer frames "
            'or a smaller stride or window, or set short="loop" or short="hold"'
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
    if place not in ("random", "center"):
        raise ValueError(f'place must be "random" or "center". Received: {place!r}')

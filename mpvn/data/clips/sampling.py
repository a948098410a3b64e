"""Select the frames of a clip, or of the clips that a test takes of a video."""

import abc
import dataclasses
from collections.abc import Callable
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from mpvn.data.video.timeline import Timeline
from mpvn.metadata import SHORT

Indices = npt.NDArray[np.int64]


class Sampling(Protocol):
    """Selects the frames of a clip."""

    @property
    def frames(self) -> int | None:
        """Number of frames of every clip; None if clips differ in length."""

    def indices(self, timeline: Timeline, rng: np.random.Generator) -> Indices:
        """Return the frames of one clip, int64 `[T]`, in the order of the clip.

        Args:
            timeline: When the frames of the video are shown.
            rng: Source of randomness, which changes at each call.

        Raises:
            ValueError: The video is too short.
        """


class MultiClipSampling(Sampling, Protocol):
    """A sampling that can also take several clips of a video, as tests do."""

    def clips(self, timeline: Timeline, count: int) -> Indices:
        """Return `count` clips spread evenly over the video, int64 `[count, T]`, deterministic.

        A single clip is the one that `indices` returns in the center.

        Raises:
            ValueError: The video is too short, or the sampling cannot take `count` clips.
        """


class _WindowSampling(abc.ABC):
    """Clips that occupy a window of the video, at any position where the window fits.

    Several clips are equally spaced: the first starts at the first frame, and the last ends at the
    end of the video.
    """

    place: Literal["random", "center"]
    short: str

    @abc.abstractmethod
    def _window(self) -> tuple[Indices, int]:
        """Return the frames of a clip relative to its start, `[T]`, and the window's length."""

    def _available(self, timeline: Timeline) -> Indices:
        """Return the frames of the video from which windows are taken, `[N]`."""
        return np.arange(len(timeline))

    def indices(self, timeline: Timeline, rng: np.random.Generator) -> Indices:
        if self.place == "center":
            return self.clips(timeline, 1)[0]
        return self._clips_from(timeline, lambda last: rng.integers(last + 1, size=1))[0]

    def clips(self, timeline: Timeline, count: int) -> Indices:
        _check_positive(count=count)
        return self._clips_from(timeline, lambda last: _evenly_spaced(last, count))

    def _clips_from(self, timeline: Timeline, choose_starts: Callable[[int], Indices]) -> Indices:
        """Return clips `[N, T]` at the starts `[N]` that are chosen given the last possible one."""
        available = self._available(timeline)
        offsets, length = self._window()
        last_start = len(available) - length
        if last_start < 0:
            offsets, last_start = _shorten(offsets, length, len(available), self.short), 0
        return available[choose_starts(last_start)[:, None] + offsets]  # [N, 1] + [T] -> [N, T]


@dataclasses.dataclass(frozen=True)
class Consecutive(_WindowSampling):
    """Equally spaced frames.

    *Massively Parallel Video Networks* (appendix C) uses 32 frames for keypoints and 64 for
    actions.

    Attributes:
        frames: Number of frames of every clip.
        stride: Distance between two frames of the clip, in frames of the video. With `fps`, in
            frames at that rate.
        fps: Frame rate to which the video is converted first, by repeating or dropping frames; see
            `Timeline.at_rate`. Default: no conversion.
        place: Position in the video: `"random"`, or `"center"` for evaluation.
        short: How to sample a video with too few frames: `"error"`, `"loop"` or `"hold"`; see
            `SHORT`.

    Raises:
        ValueError: An attribute is out of range.
    """

    frames: int
    stride: int = 1
    fps: float | None = None
    place: Literal["random", "center"] = "random"
    short: str = "error"

    def __post_init__(self) -> None:
        _check_positive(frames=self.frames, stride=self.stride)
        _check_choices(self.short, place=self.place)

    def _window(self) -> tuple[Indices, int]:
        offsets = self.stride * np.arange(self.frames)
        return offsets, int(offsets[-1]) + 1

    def _available(self, timeline: Timeline) -> Indices:
        return _brought_to(self.fps, timeline)


@dataclasses.dataclass(frozen=True)
class Dense(_WindowSampling):
    """Equally spaced frames of a window: *Temporal Shift Module* on Kinetics, after I3D.

    The authors train on 8 frames of a window of 64 at a random position, and test on 10 clips of
    each video.

    Attributes:
        frames: Number of frames of every clip.
        window: Length of the window in frames of the video, a multiple of `frames`. The clip is the
            first frame of each group of `window / frames` frames.
        place: As in `Consecutive`.
        short: As in `Consecutive`, for videos shorter than the window. The authors use `"loop"`.

    Raises:
        ValueError: An attribute is out of range.
    """

    frames: int = 8
    window: int = 64
    place: Literal["random", "center"] = "random"
    short: str = "error"

    def __post_init__(self) -> None:
        _check_positive(frames=self.frames, window=self.window)
        _check_choices(self.short, place=self.place)
        if self.window % self.frames:
            expected = f"expected a multiple of frames (={self.frames}), to space frames equally."
            raise ValueError(f"window: {expected} Received: {self.window}.")

    def _window(self) -> tuple[Indices, int]:
        return np.arange(self.frames) * (self.window // self.frames), self.window


@dataclasses.dataclass(frozen=True)
class Segments:
    """One frame of each segment, where the segments divide the video equally.

    *Temporal Segment Networks* introduced this sampling. *Temporal Shift Module* (section 4.1) uses
    it, too.
    Several clips take equally spaced frames of each segment. Two clips take the central and the
    first frames, which TSM calls sampling twice.

    Attributes:
        frames: Number of segments.
        place: Position in each segment: `"random"` or `"center"`.
        short: As in `Consecutive`, for videos with fewer frames than segments.

    Raises:
        ValueError: An attribute is out of range.
    """

    frames: int
    place: Literal["random", "center"] = "random"
    short: str = "error"

    def __post_init__(self) -> None:
        _check_positive(frames=self.frames)
        _check_choices(self.short, place=self.place)

    def indices(self, timeline: Timeline, rng: np.random.Generator) -> Indices:
        if self.place == "center":
            return self.clips(timeline, 1)[0]
        if len(timeline) < self.frames:
            return self._shorten(len(timeline))
        edges = np.arange(self.frames + 1) * len(timeline) // self.frames
        return rng.integers(edges[:-1], edges[1:])

    def clips(self, timeline: Timeline, count: int) -> Indices:
        _check_positive(count=count)
        if len(timeline) < self.frames:
            return np.tile(self._shorten(len(timeline)), (count, 1))
        # Clip k takes the position (1/2 + k / count) modulo 1 of each segment. Integers avoid
        # rounding errors: a segment has 2 * count units. [N, 1] + [T] -> [N, T]
        positions = (count + 2 * np.arange(count)) % (2 * count)
        units = positions[:, None] + 2 * count * np.arange(self.frames)
        return units * len(timeline) // (2 * count * self.frames)

    def _shorten(self, frame_count: int) -> Indices:
        """Return the clip of a video with fewer frames than segments."""
        return _shorten(np.arange(self.frames), self.frames, frame_count, self.short)


@dataclasses.dataclass(frozen=True)
class Whole:
    """The whole video, up to a maximum: evaluation in *Massively Parallel Video Networks*.

    Attributes:
        max_frames: Maximum number of frames. Longer videos are cut at the end.
        fps: As in `Consecutive`.
        stride: As in `Consecutive`.
        least: Minimum number of frames. Shorter videos are completed as `short` says.
        short: As in `Consecutive`.

    Raises:
        ValueError: An attribute is out of range.
    """

    max_frames: int = 250
    fps: float | None = None
    stride: int = 1
    least: int = 1
    short: str = "error"

    frames = None

    def __post_init__(self) -> None:
        _check_positive(max_frames=self.max_frames, stride=self.stride, least=self.least)
        _check_choices(self.short)

    def indices(self, timeline: Timeline, rng: np.random.Generator) -> Indices:
        return self.clips(timeline, 1)[0]

    def clips(self, timeline: Timeline, count: int) -> Indices:
        if count != 1:
            raise ValueError(f"count: expected 1 clip of a whole video. Received: {count!r}.")
        frames = _brought_to(self.fps, timeline)[:: self.stride][: self.max_frames]
        if len(frames) < self.least:
            frames = frames[_shorten(np.arange(self.least), self.least, len(frames), self.short)]
        return frames[None]  # [T] -> [1, T]


@dataclasses.dataclass(frozen=True)
class MultiClip:
    """Several clips of the video, spread evenly over it, as one long clip.

    Attributes:
        sampling: Selects the frames of each clip.
        count: Number of clips; 1 for `Whole`.

    Raises:
        ValueError: `count` is out of range.
    """

    sampling: MultiClipSampling
    count: int

    def __post_init__(self) -> None:
        _check_positive(count=self.count)
        if self.sampling.frames is None and self.count > 1:
            raise ValueError(f"count: expected 1 clip of a whole video. Received: {self.count}.")

    @property
    def frames(self) -> int | None:
        """Number of frames of all clips together; None if videos differ."""
        return self.sampling.frames and self.count * self.sampling.frames

    def indices(self, timeline: Timeline, rng: np.random.Generator) -> Indices:
        """Return the frames of all clips, int64 `[count * T]`. Ignores `rng`."""
        # [count, T] -> [count * T]
        return self.sampling.clips(timeline, self.count).reshape(-1)


def _brought_to(fps: float | None, timeline: Timeline) -> Indices:
    """Return the frames of a video at a rate, or all its frames for None, `[N]`."""
    return np.arange(len(timeline)) if fps is None else timeline.at_rate(fps)


def _evenly_spaced(last: int, count: int) -> Indices:
    """Return `count` equally spaced ints from 0 to `last`; the middle one if `count` is 1."""
    if count == 1:
        return np.array([last // 2])
    return np.arange(count) * last // (count - 1)


def _shorten(offsets: Indices, needed: int, frame_count: int, short: str) -> Indices:
    """Adapt the frames `offsets` to a video that has fewer than `needed` frames."""
    if short == "error":
        raise ValueError(
            f"expected a video of at least {needed} frames. Received: {frame_count} frames. Use "
            'fewer frames, a smaller stride or window, or set short="loop" or short="hold".'
        )
    if short == "hold":
        return np.minimum(offsets, frame_count - 1)
    return offsets % frame_count


def _check_positive(**counts: int) -> None:
    for name, count in counts.items():
        if not isinstance(count, int) or count < 1:
            raise ValueError(f"{name}: expected an int of at least 1. Received: {count!r}.")


def _check_choices(short: str, place: str = "center") -> None:
    if short not in SHORT:
        raise ValueError(f"short: expected one of {', '.join(SHORT)}. Received: {short!r}.")
    if place not in ("random", "center"):
        raise ValueError(f"place: expected one of random, center. Received: {place!r}.")

"""Open a source for a network: a stream at its rate, or the clip that its evaluation takes.

The frames are those of the evaluation of the network, read in the same way: cropped and scaled
alike, at the same rate. Each comes with the picture that it is a part of.
"""

import abc
import functools
import itertools
import os
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, Self

import numpy as np

from mpvn.data import LiveSource, VideoReader
from mpvn.data.clips.sampling import Consecutive, Dense, MultiClipSampling, Segments
from mpvn.data.sets.files import FileVideo
from mpvn.data.video.cameras import is_camera
from mpvn.data.video.frames import View
from mpvn.data.video.framing import Cropped
from mpvn.data.video.image_series import is_series
from mpvn.data.video.sources import is_pipe
from mpvn.data.video.timeline import DEFAULT_FPS, Timeline
from mpvn.metadata import Metadata
from mpvn.prediction.models import Model
from mpvn.prediction.rates import is_spread, shown


class Opened(abc.ABC):
    """An open source: its frames, as a network is shown them.

    Attributes:
        remark: which frames are shown, and why; empty if nothing is to be said.
        frame_count: number of frames that will be shown; None if not known.
        fps: frames per second that are shown; None if not known, or if they are not even.
        is_live: whether frames arrive in real time.
        drops: whether frames that the network is too slow for are dropped.
        dropped: number of these frames so far.
        arrived: when the newest frame arrived, in seconds of `time.perf_counter`; None for sources
            that wait.
        has_all_frames: whether the network is shown the source to its end, not a clip of it.
        is_even: whether frames are evenly spaced in time, because they were brought to a rate.
    """

    remark: str = ""
    frame_count: int | None = None
    fps: float | None = None
    is_live: bool = False
    drops: bool = False
    dropped: int = 0
    arrived: float | None = None
    is_even: bool = False
    has_all_frames: bool = True

    @abc.abstractmethod
    def views(self) -> Iterator[View]:
        """Yield the frames."""

    def close(self) -> None:  # noqa: B027 - files of clips are not kept open
        """Close the source."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()


class OpenStream(Opened):
    """All frames of a source, at the rate of the network, in the order of time.

    Args:
        model: the network.
        source: see `VideoReader`.
        fps: frames per second; of a folder of images, its own. None: that of the network.
        realtime: whether a file plays at its rate, and frames that the network is too slow for are
            dropped.
        options: further arguments of `VideoReader`.

    Raises:
        VideoError: the source cannot be read.
        ValueError: the network looks into the future, and the source does not wait.
    """

    def __init__(
        self,
        model: Model,
        source: str | os.PathLike[str],
        fps: float | Fraction | None = None,
        realtime: bool = False,
        **options: Any,
    ) -> None:
        metadata = model.metadata
        # Data sets give folders of images this rate, from which they are brought to another.
        assumed = DEFAULT_FPS if fps is None else None
        side = metadata.shorter_side if metadata else None
        self._reader = VideoReader(
            source, model.size, fps, shorter_side=side, image_fps=assumed, **options
        )
        try:
            even = self._set_rate(metadata, fps)
            self._live = self._live_source(model, realtime)
        except BaseException:
            self._reader.close()
            raise
        self.is_live = self._reader.is_live
        self.drops = self._live is not None
        self.is_even = even and not self.drops
        self.frame_count = self._reader.frame_count
        self.fps = self._reader.fps

    @property
    def dropped(self) -> int:  # type: ignore[override]
        return 0 if self._live is None else self._live.dropped

    @property
    def arrived(self) -> float | None:  # type: ignore[override]
        return None if self._live is None else self._live.arrived

    def views(self) -> Iterator[View]:
        return self._reader.views() if self._live is None else self._live.views()

    def close(self) -> None:
        (self._live or self._reader).close()

    def _set_rate(self, metadata: Metadata | None, fps: float | Fraction | None) -> bool:
        """Bring the source to the rate of the network. Return whether it has a constant one."""
        if fps is not None:
            return True
        how = shown(metadata, self._reader.source_fps)
        self.remark = how.remark
        self._reader.bring_to(how.fps, how.stride)
        return how.fps is not None

    def _live_source(self, model: Model, realtime: bool) -> LiveSource | None:
        if realtime and self._reader.is_live:
            raise ValueError(
                "--realtime, or realtime=: expected a source that waits for its reader, such as a "
                f"file. Received: {self._reader.source}, whose frames arrive in real time. Leave "
                "it out"
            )
        if not (realtime or self._reader.is_live):
            return None
        if not model.is_causal:
            raise ValueError(
                f"{model.name!r} looks into the future (symmetric temporal padding), so it cannot "
                "answer while frames arrive. Expected a file. Received: "
                f"{self._reader.source} in real time. Record it as a file, or train the network "
                'with temporal_padding="causal"'
            )
        return LiveSource(self._reader, realtime=realtime)


class OpenClip(Opened):
    """The clip of a file that the evaluation of a network takes.

    Args:
        metadata: what the network knows.
        size: height and width of its frames.
        source: a video file, or a folder of images.

    Raises:
        VideoError: the file cannot be read.
    """

    has_all_frames = False

    def __init__(
        self, metadata: Metadata, size: tuple[int, int], source: str | os.PathLike[str]
    ) -> None:
        self._framing = Cropped(size, shorter_side=metadata.shorter_side)
        self._video = FileVideo(source)
        timeline = self._video.timeline
        self._indices, self.remark = clip_frames(metadata, timeline)
        self._seconds = [float(timeline.seconds(index)) for index in self._indices.tolist()]
        self.frame_count = len(self._indices)

    def views(self) -> Iterator[View]:
        needed, positions = np.unique(self._indices, return_inverse=True)
        frames, part = self._video.read_framed(needed.tolist(), self._framing)
        for position, seconds in zip(positions.tolist(), self._seconds, strict=True):
            whole = functools.partial(self._whole, int(needed[position]))
            yield View(seconds, frames[position], part, whole)

    def _whole(self, index: int) -> np.ndarray:
        return self._video.read([index])[0]


def clip_frames(metadata: Metadata, timeline: Timeline) -> tuple[np.ndarray, str]:
    """Return the frames of a video that evaluation shows, int64 `[T]`, and a remark on them.

    Args:
        metadata: those of a network whose evaluation takes clips (`evaluated` is None).
        timeline: when the frames of the video are shown.
    """
    frames = metadata.frames or 1
    sampling, what = _sampling(metadata, timeline)
    remark = f"{frames} frames are shown, {what}, as in its evaluation"
    try:
        return sampling.clips(timeline, 1)[0], remark
    except ValueError:  # Too short for a network whose evaluation leaves such videos out.
        held, _ = _sampling(metadata, timeline, short="hold")
        fewer = f"a video of fewer frames than {frames}: the last frame is repeated"
        return held.clips(timeline, 1)[0], f"{remark}; {fewer}"


def _sampling(
    metadata: Metadata, timeline: Timeline, short: str | None = None
) -> tuple[MultiClipSampling, str]:
    frames, short = metadata.frames or 1, short or metadata.short
    if is_spread(metadata):
        return Segments(frames, "center", short), "spread over the video"
    how = shown(metadata, float(timeline.rate))
    if metadata.sampling == "dense" and how.fps is None:
        return Dense(frames, frames * how.stride, "center", short), "around its center"
    rate = f" at {how.fps:.4g} per second" if how.fps else ""
    stride, fps = how.stride, how.fps
    if metadata.resampled and metadata.fps:  # The window is centered at the rate before the stride.
        stride, fps = metadata.stride, metadata.fps * metadata.stride
    return Consecutive(frames, stride, fps, "center", short), f"around its center{rate}"


def takes_clips(metadata: Metadata | None) -> bool:
    """Return whether the evaluation of a network takes a clip of each video, not all of it."""
    return metadata is not None and metadata.evaluated is None and metadata.frames is not None


def is_file(source: str | os.PathLike[str]) -> bool:
    """Return whether any frame of a source can be read by number: a file, or a folder of images."""
    text = os.fspath(source)
    if "://" in text or is_camera(text) or text.lower().endswith((".m3u8", ".mpd")):
        return False
    return is_series(Path(text)) or (os.path.exists(text) and not is_pipe(text))


def pieces(views: Iterator[View], length: int) -> Iterator[tuple[Sequence[View], int]]:
    """Cut frames into clips, for a network that takes clips only.

    The last clip is completed by frames before it, so that all clips have one length if there are
    enough frames.

    Yields:
        The frames of a clip, and how many of them an earlier clip has had.
    """
    before: list[View] = []
    while piece := list(itertools.islice(views, length)):
        missing = before[len(piece) :] if before else []
        yield [*missing, *piece], len(missing)
        before = piece

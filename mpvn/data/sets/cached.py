"""Keep small data sets in memory, so that videos are decoded once.

| function | keeps | for |
|---|---|---|
| `in_memory` | each video, whole and in its own size | training: each clip is another one |
| `clips_in_memory` | of each video, the clip that was read last, as it was read | evaluation |

A video of 32 frames of 64x64 takes 0.4 MB, and one of 250 frames of 224x224 takes 38 MB. Its
optical flow with ten channels takes more than three times as much.

Limitations: Whole videos in memory are scaled as RGB, those of files before they are converted to
RGB. In clips that are scaled, pixels differ by about a level of 255, and by more at edges of
colors. So they are not for evaluation, which must see what a stream sees.
"""

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np

from mpvn.data.video.framing import Framed, Framing, Unchanged
from mpvn.data.video_set import Frames, VideoSet, VideoWrapper, read_framed


def in_memory(videos: VideoSet) -> VideoSet:
    """Return the same videos, each cached in memory, uncompressed, when it is first read.

    Failures are not cached: an unreadable video fails at each read.
    """
    return dataclasses.replace(videos, videos=tuple(_Whole(video) for video in videos.videos))


def clips_in_memory(videos: VideoSet) -> VideoSet:
    """Return the same videos, each with the clip that was read last in memory, bit-equal.

    Failures are not cached.
    """
    return dataclasses.replace(videos, videos=tuple(_LastClip(video) for video in videos.videos))


@dataclasses.dataclass(frozen=True)
class _Whole(VideoWrapper):
    """A video that keeps its decoded frames."""

    @functools.cached_property
    def _frames(self) -> Frames:
        return self.video.read(range(len(self.timeline)))

    def read(self, indices: Sequence[int]) -> Frames:
        return self._frames[np.asarray(indices, np.intp)]


@dataclasses.dataclass(frozen=True)
class _LastClip(VideoWrapper):
    """A video that keeps the clip that was read last."""

    _kept: dict[tuple[tuple[int, ...], Framing], Framed] = dataclasses.field(default_factory=dict)

    def read(self, indices: Sequence[int]) -> Frames:
        return self.read_framed(indices, Unchanged()).frames

    def read_framed(self, indices: Sequence[int], framing: Framing) -> Framed:
        clip = tuple(indices), framing
        framed = self._kept.get(clip)
        if framed is None:
            framed = read_framed(self.video, indices, framing)
            self._kept.clear()
            self._kept[clip] = framed
        return framed

"""Keep small data sets in memory: each video is decoded once, whole.

A video of 32 frames of 64x64 takes 0.4 MB, and one of 250 frames of 224x224 takes 38 MB. Its
optical flow with ten channels takes more than three times as much.

Limitations: Frames in memory are scaled as RGB, those of files before they are converted to RGB. In
clips that are scaled, pixels differ by about a level of 255, and by more at edges of colors.
"""

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np

from mpvn.data.video_set import Frames, VideoSet, VideoWrapper


def in_memory(videos: VideoSet) -> VideoSet:
    """Return the same videos, each cached in memory, uncompressed, when it is first read.

    Failures are not cached: an unreadable video fails at each read.
    """
    return dataclasses.replace(videos, videos=tuple(_Cached(video) for video in videos.videos))


@dataclasses.dataclass(frozen=True)
class _Cached(VideoWrapper):
    """A video that keeps its decoded frames."""

    @functools.cached_property
    def _frames(self) -> Frames:
        return self.video.read(range(len(self.timeline)))

    def read(self, indices: Sequence[int]) -> Frames:
        return self._frames[np.asarray(indices, np.intp)]

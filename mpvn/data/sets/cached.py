"""Small sets of videos in memory: read once, whole, and then as fast as memory.

A video of 32 frames of 64x64 takes 0.4 MB, one of 250 frames of 224x224 takes 38 MB; its optical
flow, of ten channels, more than three times as much.
"""

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np

from mpvn.data.video_set import Frames, VideoSet, VideoWrapper


def in_memory(videos: VideoSet) -> VideoSet:
    """The same videos, each kept in memory, uncompressed, from when it is first read.

    What cannot be read is not kept: it fails each time.
    """
    return dataclasses.replace(videos, videos=tuple(_Cached(video) for video in videos.videos))


@dataclasses.dataclass(frozen=True)
class _Cached(VideoWrapper):
    """A video whose frames stay where they were read to."""

    @functools.cached_property
    def _frames(self) -> Frames:
        return self.video.read(range(self.frame_count))

    def read(self, indices: Sequence[int]) -> Frames:
        return self._frames[np.asarray(indices, np.intp)]

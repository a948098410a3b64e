"""Videos in memory: the same frames, read once; what fails, fails each time."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest

from mpvn.data import VideoError, rendered_figures
from mpvn.data.clips.augmentation import Augmentation
from mpvn.data.clips.pipeline import ClipPipeline
from mpvn.data.clips.sampling import Consecutive
from mpvn.data.sets.cached import in_memory
from mpvn.data.video_set import Video, VideoSet


@dataclasses.dataclass(frozen=True)
class Counted:
    """A video that counts how often it is read, and is damaged at first if asked."""

    video: Video
    reads: list[int]
    failures: int = 0

    def __getattr__(self, name: str) -> object:
        return getattr(self.video, name)

    def read(self, indices: Sequence[int]) -> np.ndarray:
        self.reads.append(len(indices))
        if len(self.reads) <= self.failures:
            raise VideoError("not yet")
        return self.video.read(indices)


def clips(videos: VideoSet) -> list[np.ndarray]:
    sampling = Consecutive(5, stride=2, place="random")
    pipeline = ClipPipeline(videos, sampling, Augmentation((32, 32)), batch_size=2, training=True)
    return [batch["frames"].numpy() for batch in pipeline.dataset(batches=6)]


def test_clips_are_the_same_and_each_video_is_read_once() -> None:
    plain = rendered_figures(4, size=(32, 32), frames=12)
    reads: list[int] = []
    counted = [Counted(video, reads) for video in plain.videos]
    kept = in_memory(dataclasses.replace(plain, videos=counted))
    for found, expected in zip(clips(kept), clips(plain), strict=True):
        np.testing.assert_array_equal(found, expected)
    assert reads == [12] * 4
    assert kept.classes == plain.classes
    np.testing.assert_array_equal(kept.videos[1].joints([3, 1]), plain.videos[1].joints([3, 1]))


def test_a_video_that_cannot_be_read_is_asked_again() -> None:
    plain = rendered_figures(1, size=(32, 32), frames=3)
    kept = in_memory(dataclasses.replace(plain, videos=[Counted(plain.videos[0], [], 1)]))
    with pytest.raises(VideoError, match="not yet"):
        kept.videos[0].read([0])
    assert kept.videos[0].read([2, 2, 0]).shape == (3, 32, 32, 3)

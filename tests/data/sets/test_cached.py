"""Videos in memory: the same frames, and each video is read once."""

import dataclasses
import pathlib
from collections.abc import Sequence

import numpy as np
import pytest
from encoded_videos import encode

from mpvn.data import VideoError, rendered_figures
from mpvn.data.clips.augmentation import Augmentation
from mpvn.data.clips.pipeline import ClipPipeline
from mpvn.data.clips.sampling import Consecutive
from mpvn.data.sets.cached import clips_in_memory, in_memory
from mpvn.data.sets.files import FileVideo
from mpvn.data.video.framing import Cropped
from mpvn.data.video_set import Video, VideoSet, read_framed


@dataclasses.dataclass(frozen=True)
class CountedVideo:
    """A video that records its reads, and fails in the first `failures` of them."""

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


def test_clips_are_equal_and_each_video_is_read_once() -> None:
    original = rendered_figures(4, size=(32, 32), frames=12)
    reads: list[int] = []
    counted = [CountedVideo(video, reads) for video in original.videos]
    cached = in_memory(dataclasses.replace(original, videos=counted))
    for actual, expected in zip(clips(cached), clips(original), strict=True):
        np.testing.assert_array_equal(actual, expected)
    assert reads == [12] * 4
    assert cached.classes == original.classes
    np.testing.assert_array_equal(
        cached.videos[1].joints([3, 1]), original.videos[1].joints([3, 1])
    )


def test_clips_in_memory_have_the_pixels_of_the_file(tmp_path: pathlib.Path) -> None:
    """Videos in memory are scaled in RGB, so evaluation saw other pixels than streams."""
    file = FileVideo(encode(tmp_path / "a.mp4"), 1)
    videos = clips_in_memory(VideoSet("set", [file], ("a", "b")))
    (video,), framing = videos.videos, Cropped((16, 24))
    for indices in ([0, 3, 3, 9], [1, 2]):
        expected = file.read_framed(indices, framing)
        first, again = (read_framed(video, indices, framing) for _ in range(2))
        np.testing.assert_array_equal(first.frames, expected.frames)
        assert again is first
        assert again.placement == expected.placement
        np.testing.assert_array_equal(video.read(indices), file.read(indices))


def test_a_failed_read_is_repeated() -> None:
    original = rendered_figures(1, size=(32, 32), frames=3)
    cached = in_memory(
        dataclasses.replace(original, videos=[CountedVideo(original.videos[0], [], 1)])
    )
    with pytest.raises(VideoError, match="not yet"):
        cached.videos[0].read([0])
    assert cached.videos[0].read([2, 2, 0]).shape == (3, 32, 32, 3)

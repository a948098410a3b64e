"""Tiny fakes of data sets, in the layouts of the real ones.

Every video of a fake is uniformly gray. Its gray level is unique and increases by 4 with each
frame, so that a wrong video or frame shows as a wrong number.
"""

import functools
import json
import re
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mpvn.data import VideoWriter
from mpvn.data.video_set import Label, VideoSet

FRAMES = 8
SIZE = (32, 48)


class FakeSet:
    """Writes the files of a data set to the folder `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def video(self, name: str, level: int = 100, frames: int = FRAMES) -> None:
        """Write an MP4 file. FFmpeg detects formats by content, so `name` may have any suffix."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_encode(level, frames))

    def images(self, name: str, level: int = 100, frames: int = FRAMES, first: int = 1) -> None:
        """Write a folder of JPEGs, or of the format of the suffix of `name`."""
        suffix = Path(name).suffix or ".jpg"
        folder = (self.root / name).with_suffix("")
        folder.mkdir(parents=True)
        for index in range(frames):
            image = Image.fromarray(_gray(level + 4 * index))
            image.save(folder / f"{index + first:05d}{suffix}")

    def text(self, name: str, lines: Iterable[str]) -> None:
        """Write a text file."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{line}\n" for line in lines))

    def json(self, name: str, content: object) -> None:
        """Write a JSON file."""
        self.text(name, [json.dumps(content)])


def _gray(level: int) -> np.ndarray:
    return np.full((*SIZE, 3), level, np.uint8)


@functools.cache
def _encode(level: int, frames: int) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "video.mp4"
        with VideoWriter(path, 25) as writer:
            for index in range(frames):
                writer.write(_gray(level + 4 * index))
        return path.read_bytes()


def levels(videos: VideoSet) -> list[tuple[Label | None, int]]:
    """Return the label of each video, and its gray level, which identifies it."""
    results = []
    for video in videos.videos:
        assert len(video.timeline) >= 1
        # Coding changes a gray level by at most 1, and the levels of videos are multiples of 10.
        results.append((video.label, round(float(video.read([0]).mean()) / 10) * 10))
    return results


def assert_frames(videos: VideoSet, fps: float, count: int = FRAMES) -> None:
    """Assert that all videos have the right frames."""
    for video in videos.videos:
        assert (len(video.timeline), video.timeline.rate) == (count, fps)
        first, *rest = (float(frame.mean()) for frame in video.read(range(count)))
        assert rest == pytest.approx([first + 4 * n for n in range(1, count)], abs=1.5)
        assert video.read([count - 1, count - 1]).shape == (2, *SIZE, 3)


def raises(*parts: str) -> pytest.RaisesExc[ValueError]:
    """Expect a ValueError whose message contains these parts, in this order."""
    pattern = re.compile(".*".join(re.escape(part) for part in parts), re.DOTALL)
    return pytest.raises(ValueError, match=pattern)

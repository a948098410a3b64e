"""Clips of damaged files do not depend on the clips that were read before them.

Once, a read that met the damage made the video shorter for all later reads, so that a stopped and
continued run went on with other clips.
"""

import random
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from encoded_videos import OPEN_GOPS, SHORT_GOPS, encode

from mpvn.data import VideoError
from mpvn.data.sets.files import FileVideo

COUNT = 30


def blank(first: int, last: int = COUNT) -> Callable[[Path], None]:
    """Return a function that overwrites the packets from `first` on, whose places stay listed."""

    def damage(path: Path) -> None:
        content = path.read_bytes()
        with av.open(str(path)) as container:
            packets = [bytes(packet) for packet in container.demux(video=0) if packet.size]
        for packet in packets[first:last]:
            content = content.replace(packet, bytes(len(packet)))
        path.write_bytes(content)

    return damage


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: -path.stat().st_size // 4])


def read(video: FileVideo, indices: list[int]) -> np.ndarray | str:
    """Return frames, or the message of the error."""
    try:
        return video.read(indices)
    except VideoError as error:
        return str(error)


CASES: dict[str, tuple[Callable[[Path], None], str, str, dict[str, str]]] = {
    "end, AVI without times": (blank(22), "libx264", "avi", SHORT_GOPS),
    "end, AVI": (blank(22), "mpeg4", "avi", {"g": "12"}),
    "end, MP4": (blank(22), "libx264", "mp4", SHORT_GOPS),
    "end, open groups": (blank(22), "libx264", "mkv", OPEN_GOPS),
    "end, pictures on their own": (blank(22), "mjpeg", "mov", {"g": "1"}),
    "middle, MP4": (blank(14, 16), "libx264", "mp4", SHORT_GOPS),
    "middle, AVI": (blank(14, 16), "mpeg4", "avi", {"g": "12"}),
    "cut, transport stream": (cut, "libx264", "ts", SHORT_GOPS),
    "cut, Matroska": (cut, "libx264", "mkv", SHORT_GOPS),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.filterwarnings("ignore:.*a damaged one:RuntimeWarning")
def test_a_clip_does_not_depend_on_the_clips_before(case: str, tmp_path: Path) -> None:
    damage, codec, suffix, options = CASES[case]
    pixels = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    path = tmp_path / f"v.{suffix}"
    encode(path, codec, options=options, pix_fmt=pixels, count=COUNT)
    damage(path)
    count = len(FileVideo(path).timeline)
    clips = [list(range(start, start + 4)) for start in range(0, count - 3, 3)]
    alone = [read(FileVideo(path), clip) for clip in clips]
    for seed in range(3):
        video = FileVideo(path)
        for number in random.Random(seed).sample(range(len(clips)), len(clips)):
            again = read(video, clips[number])
            assert type(again) is type(alone[number]), (clips[number], again, alone[number])
            np.testing.assert_array_equal(again, alone[number])
        assert len(video.timeline) == count
    if case.startswith("end"):
        assert isinstance(alone[0], np.ndarray)

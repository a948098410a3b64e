"""Files with several video streams: the default is read, or the stream that is asked for."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition
from av.video.frame import VideoFrame
from video_files import gray, indices

from mpvn.data import VideoError, VideoReader
from mpvn.data.sets.files import FileVideo

SMALL, LARGE = (24, 40), (48, 64)
DEFAULT, COVER, NONE = Disposition.default, Disposition.attached_pic, Disposition(0)


def write(path: Path, streams: Sequence[tuple[tuple[int, int], Disposition]]) -> Path:
    """Write streams of 3 frames. Stream `n` shows frames 10 n to 10 n + 2; a cover has one."""
    with av.open(str(path), "w") as container:
        for size, disposition in streams:
            is_cover = disposition == COVER
            stream = container.add_stream("png" if is_cover else "libx264", rate=25)
            stream.height, stream.width = size
            stream.pix_fmt = "rgb24" if is_cover else "yuv420p"
            stream.disposition = disposition
        for number, (size, disposition) in enumerate(streams):
            stream = container.streams.video[number]
            for index in range(1 if disposition == COVER else 3):
                frame = VideoFrame.from_ndarray(gray(10 * number + index, *size), format="rgb24")
                frame.pts, frame.time_base = index, Fraction(1, 25)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ("name", "streams", "expected"),
    [
        ("preview.mp4", [(SMALL, NONE), (LARGE, DEFAULT)], 1),
        ("small_default.mkv", [(LARGE, NONE), (SMALL, DEFAULT)], 1),
        ("both_default.mp4", [(SMALL, DEFAULT), (LARGE, DEFAULT)], 1),
        ("no_flags.ts", [(SMALL, NONE), (LARGE, NONE), (SMALL, NONE)], 1),
        ("equal.mkv", [(LARGE, DEFAULT), (LARGE, DEFAULT)], 0),
        ("cover.mp4", [((96, 128), COVER), (SMALL, NONE)], 1),
    ],
)
def test_the_default_or_largest_video_is_read(
    name: str, streams: list[tuple[tuple[int, int], Disposition]], expected: int, tmp_path: Path
) -> None:
    """A 40x24 preview before the real video, which was flagged as default, was read instead."""
    path = write(tmp_path / name, streams)
    frames = [10 * expected + index for index in range(3)]
    with VideoReader(path) as video:
        assert (video.height, video.width) == streams[expected][0]
        assert indices(video) == frames
    assert indices(list(FileVideo(path).read(range(3)))) == frames


def test_another_stream_can_be_asked_for(tmp_path: Path) -> None:
    path = write(tmp_path / "two.mp4", [(SMALL, NONE), (LARGE, DEFAULT)])
    with VideoReader(path, stream=0) as video:
        assert indices(video) == [0, 1, 2]
        assert indices(video) == [0, 1, 2]


@pytest.mark.parametrize("number", [-1, 2])
def test_a_missing_stream_is_refused_with_those_there_are(number: int, tmp_path: Path) -> None:
    path = write(tmp_path / "two.mp4", [(SMALL, NONE), (LARGE, DEFAULT)])
    streams = r"0 \(h264, 40x24\), 1 \(h264, 64x48, default\)"
    with pytest.raises(VideoError, match=f"Received: {number}. Video streams: {streams}"):
        VideoReader(path, stream=number)


def test_a_song_with_a_cover_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "song.mp4"
    with av.open(str(path), "w") as container:
        sound = container.add_stream("aac", rate=8000, layout="mono")
        cover = container.add_stream("png", rate=25)
        cover.width, cover.height, cover.pix_fmt, cover.disposition = 40, 24, "rgb24", COVER
        samples = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        samples.sample_rate = 8000
        container.mux(cover.encode(VideoFrame.from_ndarray(gray(0, *SMALL), format="rgb24")))
        container.mux([*sound.encode(samples), *sound.encode(None)])
    with pytest.raises(VideoError, match="Received: only audio and cover pictures"):
        VideoReader(path)


def test_the_field_case(shared: Path) -> None:
    path = shared / "field" / "lohi.mp4"
    if not path.exists():
        pytest.skip(f"optional data: there is no {path}")
    with VideoReader(path) as video:
        assert (video.height, video.width) == (96, 160)


def test_a_folder_of_images_is_one_stream(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match="one video. Received: 1"):
        VideoReader(tmp_path, stream=1)

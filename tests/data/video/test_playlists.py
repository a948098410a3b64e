"""Playlists (HLS): finite ones come whole or raise an error, others are live."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import pytest
from av.video.frame import VideoFrame
from servers import serving_folder
from video_files import gray, indices

from mpvn.data import ConnectionLost, VideoReader

COUNT = 24  # frames, 2 per second: 6 parts of 2 seconds


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a playlist `a.m3u8` of 6 parts, `a0.ts` to `a5.ts`."""
    options = {"hls_time": "2", "hls_list_size": "0"}
    with av.open(str(tmp_path / "a.m3u8"), "w", format="hls", options=options) as container:
        stream = container.add_stream("libx264", rate=2, options={"g": "4", "bf": "0"})
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        for index in range(COUNT):
            frame = VideoFrame.from_ndarray(gray(index), format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, 2)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return tmp_path


@pytest.fixture
def url(folder: Path) -> Iterator[str]:
    with serving_folder(folder) as address:
        yield f"{address}/a.m3u8"


def set_end(playlist: Path, has_end: bool, parts: range) -> None:
    lines = ["#EXTM3U", "#EXT-X-VERSION:3", "#EXT-X-TARGETDURATION:2"]
    lines.append(f"#EXT-X-MEDIA-SEQUENCE:{parts.start}")
    for part in parts:
        lines += ["#EXTINF:2.0,", f"a{part}.ts"]
    playlist.write_text("\n".join([*lines, "#EXT-X-ENDLIST"] if has_end else lines) + "\n")


def test_a_playlist_with_an_end_is_finite(url: str, folder: Path) -> None:
    for source in (url, folder / "a.m3u8"):
        with VideoReader(source) as video:
            assert not video.is_live
            assert indices(video) == list(range(COUNT))


@pytest.mark.parametrize(("missing", "seconds"), [(2, "4.00 to 6.00"), (5, "10.00 to 12.00")])
def test_a_missing_part_is_an_error(missing: int, seconds: str, folder: Path, url: str) -> None:
    """FFmpeg passes over parts that it cannot open."""
    (folder / f"a{missing}.ts").unlink()
    for source in (url, folder / "a.m3u8"):
        with (
            pytest.raises(ConnectionLost, match=f"no frames from {seconds} s"),
            VideoReader(source) as video,
        ):
            list(video)


def test_a_playlist_that_grows_is_live_until_its_end(folder: Path, url: str) -> None:
    """Lost after part 3, it comes back with parts 1 to 5, and then ends."""
    playlist = folder / "a.m3u8"
    set_end(playlist, False, range(4))
    shown: list[int] = []
    with (
        pytest.warns(RuntimeWarning, match="Attempt 1 to open it again"),
        VideoReader(url, timeout=0.3, reconnect=5) as video,
    ):
        assert video.is_live
        for frame in video:
            shown += indices([frame])
            if shown[-1] == 15:
                set_end(playlist, False, range(1, 6))
            if shown[-1] == 23:
                set_end(playlist, True, range(1, 6))
    assert shown == list(range(4, COUNT))  # FFmpeg begins three parts before the end


def test_every_frame_of_a_growing_playlist_if_asked_for(folder: Path, url: str) -> None:
    set_end(folder / "a.m3u8", False, range(6))
    with VideoReader(url, live=False, timeout=0.3) as video:
        assert indices(video) == list(range(COUNT))

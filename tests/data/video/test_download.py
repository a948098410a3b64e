"""Videos behind http:// are finite: every frame comes, or an error."""

import base64
import struct
import threading
import time
from pathlib import Path

import encoded_videos
import pytest
from servers import Answer, serving
from video_files import encode, gray, indices

from mpvn.data import ConnectionLost, LiveSource, VideoError, VideoReader

FRAMES = list(range(30))


def content(folder: Path, name: str) -> bytes:
    data = encode(folder / name, map(gray, FRAMES)).read_bytes()
    if name == "far.mp4":  # its index is at the end, far behind the pictures
        index = data.rindex(b"moov") - 4
        data = data[:index] + struct.pack(">I4s", 200_000, b"free") + bytes(199_992) + data[index:]
    return data


@pytest.mark.parametrize("kind", ["length", "chunked", "close", "ranges", "parts"])
@pytest.mark.parametrize("name", ["a.ts", "far.mp4", "a.mkv"])
def test_every_frame_comes_whatever_the_server_states(name: str, kind: str, tmp_path: Path) -> None:
    """A server that states no length was taken for a camera, and its last frames were lost."""
    with (
        serving(Answer(content(tmp_path, name), kind=kind)) as server,
        VideoReader(server.url()) as video,
    ):
        assert not video.is_live
        assert indices(video) == FRAMES
        assert indices(video) == FRAMES
    if kind == "ranges" and name == "far.mp4":
        assert any("bytes=0-" not in request for request in server.requests)


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("kind", ["length", "chunked"])
@pytest.mark.parametrize("name", ["a.ts", "a.mp4", "a.avi"])
def test_a_cut_transfer_is_an_error_after_its_frames(
    name: str, kind: str, reset: bool, tmp_path: Path
) -> None:
    """A connection that broke in the middle ended the video without a word."""
    path = encoded_videos.encode(
        tmp_path / name, options={"g": "1"}, container_options={"movflags": "faststart"}, count=20
    )
    whole, size = list(VideoReader(path)), path.stat().st_size
    answer = Answer(path.read_bytes(), size * 6 // 10, kind, reset=reset)
    shown = []
    with (
        serving(answer) as server,
        pytest.raises(ConnectionLost, match="transfer was cut|reset by peer"),
        VideoReader(server.url()) as video,
    ):
        shown += video
    assert all((a == b).all() for a, b in zip(shown, whole, strict=False))
    assert 8 <= len(shown) < 13 or reset  # A reset may throw away what has arrived.
    assert server.connections == 1


def test_a_cut_transfer_of_a_file_with_its_index_at_the_end(tmp_path: Path) -> None:
    video_bytes = content(tmp_path, "far.mp4")
    with (
        serving(Answer(video_bytes, len(video_bytes) * 2 // 3)) as server,
        pytest.raises(ConnectionLost, match="cut after .* of"),
    ):
        VideoReader(server.url())


def test_a_silent_server_is_an_error_in_time(tmp_path: Path) -> None:
    answer = Answer(content(tmp_path, "a.ts"), 8000, hold=threading.Event())
    with (
        serving(answer) as server,
        pytest.raises(ConnectionLost, match="no answer in time"),
        VideoReader(server.url(), timeout=0.3) as video,
    ):
        list(video)


@pytest.mark.parametrize("end", ["close", "interrupt"])
def test_a_wait_for_an_answer_ends_with_the_reader(end: str, tmp_path: Path) -> None:
    """A reader did not know of a source that was still being opened, and could not close it."""
    silent = Answer(b"", kind="raw", hold=threading.Event())
    with (
        serving(Answer(content(tmp_path, "a.ts")), silent) as server,
        VideoReader(server.url(), timeout=20) as video,
    ):
        assert indices(video) == FRAMES
        timer = threading.Timer(0.2, getattr(video, end))
        timer.start()
        started = time.monotonic()
        with pytest.raises(VideoError, match="Received: a closed one"):
            next(iter(video))
        assert time.monotonic() - started < 2
        timer.join()


def test_headers_reach_the_server(tmp_path: Path) -> None:
    answer = Answer(content(tmp_path, "a.ts"))
    with serving(answer) as server:
        options = {"headers": "X-Key: 7\r\nX-Other: a:b\r\n", "user_agent": "me"}
        with VideoReader(server.url(path="/a b.ts"), options=options) as video:
            assert indices(video) == FRAMES
    for line in ("GET /a%20b.ts", "X-Key: 7", "X-Other: a:b", "User-Agent: me"):
        assert line.lower() in server.requests[0].lower()


def test_a_password_in_the_address_is_given_if_asked_for(tmp_path: Path) -> None:
    head = b'HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm="x"\r\n'
    refusal = Answer(head + b"Content-Length: 0\r\nConnection: close\r\n\r\n", kind="whole")
    with serving(refusal, Answer(content(tmp_path, "a.ts"))) as server:
        url = server.url().replace("//", "//me:p%40ss@")
        with VideoReader(url) as video:
            assert indices(video) == FRAMES
    assert "Authorization" not in server.requests[0]
    assert f"Basic {base64.b64encode(b'me:p@ss').decode()}" in server.requests[1]


def test_what_is_no_video_is_refused() -> None:
    page = b"<html>please log in</html>" * 50
    for content, message in ((page, "starts with b'<html>please"), (b"", "empty file")):
        with serving(Answer(content)) as server, pytest.raises(VideoError, match=message):
            VideoReader(server.url())


def pictures(folder: Path) -> bytes:
    """Return a stream of JPEG pictures as cameras send it."""
    path = encode(folder / "a.mjpeg", map(gray, FRAMES), codec="mjpeg", pix_fmt="yuvj420p")
    parts = path.read_bytes().split(b"\xff\xd8\xff")[1:]
    return b"".join(
        b"--frame\r\nContent-Type: image/jpeg\r\n\r\n\xff\xd8\xff" + part + b"\r\n"
        for part in parts
    )


@pytest.mark.parametrize(("kind", "is_live"), [("close", True), ("length", False)])
def test_pictures_without_an_end_are_a_camera(kind: str, is_live: bool, tmp_path: Path) -> None:
    answer = Answer(pictures(tmp_path), kind=kind, content_type="multipart/x-mixed-replace")
    with serving(answer) as server, VideoReader(server.url(), reconnect=0) as video:
        assert video.is_live == is_live


@pytest.mark.parametrize("live", [False, True])
def test_live_can_be_chosen(live: bool, tmp_path: Path) -> None:
    answer = Answer(content(tmp_path, "a.ts"), kind="close")
    with serving(answer) as server, VideoReader(server.url(), live=live, reconnect=0) as video:
        assert video.is_live == live
        if live:
            with pytest.raises(ValueError, match="a live source, whose frames"):
                LiveSource(video, realtime=True)

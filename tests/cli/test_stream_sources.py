"""`mpvn stream` of downloads, pipes and live sources."""

import os
import pathlib
import threading

import pytest
from command_line import assert_mistake, mpvn
from servers import Answer, serving
from video_files import encode, gray

from mpvn.data import VideoReader


@pytest.fixture
def content(tmp_path: pathlib.Path) -> bytes:
    return encode(tmp_path / "a.ts", map(gray, range(30))).read_bytes()


def test_a_download_loses_no_frame(
    content: bytes, model: pathlib.Path, capsys: pytest.CaptureFixture
) -> None:
    with serving(Answer(content, kind="chunked")) as server:
        assert mpvn("stream", server.url(), "--model", model) == 0
    printed = capsys.readouterr()
    assert "30 frames in" in printed.out
    assert "dropped" not in printed.out


def test_a_named_pipe_loses_no_frame(
    content: bytes, model: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture
) -> None:
    os.mkfifo(tmp_path / "pipe")
    thread = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(content,))
    thread.start()
    assert mpvn("stream", tmp_path / "pipe", "--model", model) == 0
    thread.join()
    assert "30 frames in" in capsys.readouterr().out


def test_a_cut_download_is_a_mistake_and_leaves_no_output(
    content: bytes, model: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    output = tmp_path / "out.mp4"
    with serving(Answer(content, len(content) * 8 // 10)) as server:
        arguments = ["stream", server.url(), "--model", model, "--output", output]
        assert_mistake("transfer was cut", *arguments)
    assert not output.exists()


def test_a_lost_broadcast_keeps_its_output(
    content: bytes, model: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture
) -> None:
    output = tmp_path / "out.mp4"
    with serving(Answer(content, kind="raw")) as server:
        arguments = ["stream", server.url("tcp"), "--model", model, "--live", "--reconnect", 0]
        assert mpvn(*arguments, "--output", output) == 2
    printed = capsys.readouterr()
    assert "is live: frames that the network is too slow for are dropped" in printed.err
    assert "the sender closed the connection" in printed.err
    assert f"written to {output}" in printed.out
    with VideoReader(output) as video:
        times = [seconds for seconds, _ in video.timed()]
    # The frames that were not dropped have the times of the source.
    assert times[0] == 0 and times[-1] <= 29 / 25 + 1e-3
    assert all(abs(25 * seconds - round(25 * seconds)) < 0.05 for seconds in times)


def test_a_live_source_cannot_be_paced(content: bytes, model: pathlib.Path) -> None:
    with serving(Answer(content, kind="raw")) as server:
        arguments = ["stream", server.url("tcp"), "--model", model, "--live", "--realtime"]
        assert_mistake("--realtime.*expected a source that waits.*in real time", *arguments)

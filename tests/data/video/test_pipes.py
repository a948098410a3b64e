"""Standard input and named pipes: every frame comes, once, and nothing hangs."""

import os
import pty
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from video_files import encode, gray, indices

from mpvn.data import ConnectionLost, LiveSource, VideoError, VideoReader
from mpvn.data.sets.files import FileVideo

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX pipes")

FRAMES = list(range(30))


@contextmanager
def standard_input(file: int) -> Iterator[None]:
    """Let file 0 be another open file in the block, and close that."""
    saved = os.dup(0)
    os.dup2(file, 0)
    os.close(file)
    try:
        yield
    finally:
        os.dup2(saved, 0)
        os.close(saved)


@contextmanager
def piped(content: bytes, pauses: bool = False) -> Iterator[int]:
    """Write to a pipe in a thread, and close it at the end. Yields where to read."""
    read, write = os.pipe()

    def run() -> None:
        with open(write, "wb", buffering=0) as file:
            for start in range(0, len(content), 5000):
                file.write(content[start : start + 5000])
                time.sleep(0.02 if pauses else 0)

    thread = threading.Thread(target=run)
    thread.start()
    yield read
    thread.join()


@pytest.mark.parametrize("name", ["-", "/dev/stdin", "pipe:0"])
def test_standard_input_is_read_to_its_end(name: str, tmp_path: Path) -> None:
    path = encode(tmp_path / "a.ts", map(gray, FRAMES))
    with piped(path.read_bytes()) as file, standard_input(file), VideoReader(name) as video:
        assert not video.is_live
        assert indices(video) == FRAMES
        with pytest.raises(VideoError, match="expected to be read once.*second iteration"):
            list(video)


@pytest.mark.parametrize("name", ["a.ts", "a.mkv", "a.mp4", "a.avi"])
def test_no_frame_is_lost_where_the_reader_or_the_writer_is_slow(name: str, tmp_path: Path) -> None:
    """Every source that was not a file counted as a camera, so that frames of a pipe were dropped.

    An MP4 file has its index at the end, which a pipe cannot be searched for.
    """
    content = encode(tmp_path / name, map(gray, FRAMES)).read_bytes()
    shown = []
    with piped(content, pauses=True) as file, standard_input(file), VideoReader("-") as video:
        for frame in video:
            time.sleep(0.002)
            shown += indices([frame])
    assert shown == FRAMES


def test_standard_input_from_a_file(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mp4", map(gray, FRAMES))
    with standard_input(os.open(path, os.O_RDONLY)), VideoReader("-") as video:
        assert indices(video) == FRAMES
        assert indices(video) == FRAMES


def test_a_named_pipe_waits_for_its_writer(tmp_path: Path) -> None:
    content = encode(tmp_path / "a.ts", map(gray, FRAMES)).read_bytes()
    os.mkfifo(tmp_path / "pipe")

    def write() -> None:
        time.sleep(0.2)
        (tmp_path / "pipe").write_bytes(content)

    thread = threading.Thread(target=write)
    thread.start()
    with VideoReader(tmp_path / "pipe") as video:
        assert indices(video) == FRAMES
        with pytest.raises(VideoError, match="second iteration"):
            list(video)
    thread.join()


def test_a_pipe_that_stays_silent(tmp_path: Path) -> None:
    """A wait for a pipe could not be interrupted: neither by a limit, nor by closing."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConnectionLost, match="no answer in time"):
        VideoReader(tmp_path / "pipe", timeout=0.2)


def test_closing_while_a_pipe_is_silent_does_not_wait(tmp_path: Path) -> None:
    content = encode(tmp_path / "a.ts", map(gray, FRAMES)).read_bytes()
    read, write = os.pipe()
    os.write(write, content)
    with standard_input(read):
        reader = VideoReader("-", live=True, timeout=20, options={"probesize": "64"})
        assert reader.is_live
        with LiveSource(reader) as live:
            next(live)
            started = time.monotonic()
        assert time.monotonic() - started < 1
    os.close(write)
    assert not [t for t in threading.enumerate() if t.name in {"mpvn-live", "mpvn-source"}]


def test_ctrl_c_ends_a_wait(tmp_path: Path) -> None:
    """FFmpeg waits without a look at signals."""
    os.mkfifo(tmp_path / "pipe")
    timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        VideoReader(tmp_path / "pipe")
    assert time.monotonic() - started < 2
    timer.join()
    assert not [t for t in threading.enumerate() if t.name == "mpvn-source"]


def test_an_error_of_the_consumer_leaves_no_thread(tmp_path: Path) -> None:
    content = encode(tmp_path / "a.ts", map(gray, FRAMES)).read_bytes()
    with (
        piped(content) as file,
        standard_input(file),
        pytest.raises(KeyError),
        VideoReader("-") as video,
    ):
        for _ in video:
            raise KeyError
    assert not [t for t in threading.enumerate() if t.name == "mpvn-source"]


def test_a_forgotten_reader_leaves_no_thread(tmp_path: Path) -> None:
    content = encode(tmp_path / "a.ts", map(gray, FRAMES)).read_bytes()
    with piped(content) as file, standard_input(file):
        VideoReader("-")
        threads = [t for t in threading.enumerate() if t.name == "mpvn-source"]
        for thread in threads:
            thread.join(5)
            assert not thread.is_alive()


def test_a_data_set_refuses_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(VideoError, match="Received: a pipe"):
        FileVideo(tmp_path / "pipe").read([0])


def test_nothing_at_standard_input() -> None:
    controller, terminal = pty.openpty()
    with standard_input(terminal), pytest.raises(VideoError, match="a terminal"):
        VideoReader("-")
    os.close(controller)
    with (
        standard_input(os.open("/dev/null", os.O_RDONLY)),
        pytest.raises(VideoError, match="empty file"),
    ):
        VideoReader("-")


def test_a_file_is_not_live(clip: Path) -> None:
    with pytest.raises(VideoError, match=r"expected a camera.*Received: a file"):
        VideoReader(clip, live=True)

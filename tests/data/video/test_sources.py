"""Sources that cannot be opened: the error states the cause and the fix."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np
import pytest
from video_files import encode, gray

from mpvn.data import VideoError, VideoReader


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match="does not exist.*Check the spelling"):
        VideoReader(tmp_path / "none.mp4")


def test_path_below_a_file(clip: Path) -> None:
    with pytest.raises(VideoError, match="does not exist"):
        VideoReader(clip / "inside.mp4")


def test_folder_without_images(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(VideoError, match="folder of images.*1 entries, none of them an image"):
        VideoReader(tmp_path)


def test_path_too_long(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match="File name too long"):
        VideoReader(tmp_path / ("a" * 300))


def test_empty_file(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    with pytest.raises(VideoError, match="empty file.*0 bytes"):
        VideoReader(tmp_path / "empty.mp4")


def test_mp4_truncated_before_the_index(clip: Path) -> None:
    clip.write_bytes(clip.read_bytes()[:-600])  # the index is at the end
    with pytest.raises(VideoError, match="'moov'.*cut short"):
        VideoReader(clip)


@pytest.mark.parametrize("name", ["text.mp4", "text.txt"])
def test_text_file(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("Once upon a time, there was no video.\n" * 20)
    with pytest.raises(VideoError, match="text.*not a video format.*right file"):
        VideoReader(tmp_path / name)


def test_audio_file(tmp_path: Path) -> None:
    path = tmp_path / "sound.wav"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), "s16", "mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(VideoError, match="expected a video stream. Received: only audio"):
        VideoReader(path)


def test_missing_camera() -> None:
    with pytest.raises(VideoError, match="camera:97: expected a camera.*Cameras found"):
        VideoReader("camera:97")


@pytest.mark.skipif(sys.platform != "linux", reason="names cameras by device file")
def test_missing_camera_device() -> None:
    with pytest.raises(VideoError, match="/dev/video97.*Cameras found"):
        VideoReader("/dev/video97")


@pytest.mark.parametrize("scheme", ["rtsp", "http"])
def test_unreachable_stream(scheme: str) -> None:
    with pytest.raises(VideoError, match="Connection refused.*that the sender is running"):
        VideoReader(f"{scheme}://127.0.0.1:9/none", timeout=2)


def test_silent_stream() -> None:
    with pytest.raises(VideoError, match="answers within 0.2 s.*no answer in time"):
        VideoReader("udp://127.0.0.1:47813", timeout=0.2)


def test_unknown_protocol() -> None:
    with pytest.raises(VideoError, match="Protocol not found"):
        VideoReader("nonsense://somewhere")


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="needs POSIX file permissions")
def test_no_permission() -> None:
    # Not in tmp_path, which only its owner may enter: only the file itself must be unreadable.
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        path = encode(Path(folder) / "unreadable.mp4", [gray(0)])
        path.chmod(0)
        with without_root_rights(), pytest.raises(VideoError, match="permission denied.*Grant"):
            VideoReader(path)


@contextmanager
def without_root_rights() -> Iterator[None]:
    """Run the block as another user if this one is root, who may read every file."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)

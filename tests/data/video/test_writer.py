"""Writing video files."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from video_files import gray, indices, quarters

from mpvn.data import VideoError, VideoReader, VideoWriter


@pytest.mark.parametrize("size", [(48, 64), (47, 63)])
def test_round_trip(tmp_path: Path, size: tuple[int, int]) -> None:
    path = tmp_path / "out.mp4"
    with VideoWriter(path, 25) as writer:
        for index in range(30):
            writer.write(gray(index, *size))
        assert not path.exists()
    with VideoReader(path) as video:
        assert (video.height, video.width, video.fps) == (48, 64, 25.0)
        assert indices(video) == list(range(30))
    assert [entry.name for entry in tmp_path.iterdir()] == ["out.mp4"]


def test_colors(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "out.mp4", 10) as writer:
        writer.write(quarters())
    (frame,) = VideoReader(tmp_path / "out.mp4")
    inner = np.ones((48, 64), bool)
    inner[22:26] = inner[:, 30:34] = False  # yuv420p blends the colors where quarters meet
    np.testing.assert_allclose(frame[inner].astype(int), quarters()[inner].astype(int), atol=8)


@pytest.mark.parametrize("fps", [25, 12.5, Fraction(30000, 1001)])
def test_rate(tmp_path: Path, fps: float | Fraction) -> None:
    with VideoWriter(tmp_path / "out.mp4", fps) as writer:
        for index in range(10):
            writer.write(gray(index))
    with VideoReader(tmp_path / "out.mp4") as video:
        assert video.fps == pytest.approx(float(fps))
        assert video.duration == pytest.approx(10 / float(fps), abs=1e-4)


def test_without_an_h264_encoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(av, "codecs_available", av.codecs_available - {"libx264"})
    with VideoWriter(tmp_path / "out.mp4", 25) as writer:
        for index in range(10):
            writer.write(gray(index, 47, 63))
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.streams.video[0].codec_context.name == "mpeg4"
    assert indices(VideoReader(tmp_path / "out.mp4")) == list(range(10))


def test_a_failure_leaves_no_file(tmp_path: Path) -> None:
    with (
        pytest.raises(RuntimeError, match="in the middle"),
        VideoWriter(tmp_path / "out.mp4", 25) as writer,
    ):
        writer.write(gray(0))
        raise RuntimeError("in the middle")
    assert list(tmp_path.iterdir()) == []


def test_a_failure_keeps_the_old_file(clip: Path) -> None:
    old = clip.read_bytes()
    with pytest.raises(VideoError), VideoWriter(clip, 25) as writer:
        writer.write(gray(0))
        writer.write(gray(0)[:10])
    assert clip.read_bytes() == old
    assert list(clip.parent.iterdir()) == [clip]


def test_success_replaces_the_old_file(clip: Path) -> None:
    with VideoWriter(clip, 25) as writer:
        writer.write(gray(7))
    assert indices(VideoReader(clip)) == [7]


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (gray(0).astype(np.float32), "uint8.*Received: dtype float32"),
        (gray(0)[..., 0], r"\[height, width, 3\]. Received: shape \[48, 64\]"),
        (np.zeros((4, 4, 4), np.uint8), r"Received: shape \[4, 4, 4\]"),
        (np.zeros((0, 4, 3), np.uint8), r"Received: shape \[0, 4, 3\]"),
        (gray(0).tolist(), "Received: list"),
    ],
)
def test_invalid_frames(tmp_path: Path, frame: np.ndarray, message: str) -> None:
    with pytest.raises(VideoError, match=message), VideoWriter(tmp_path / "a.mp4", 5) as out:
        out.write(frame)


def test_changed_size(tmp_path: Path) -> None:
    message = r"frame 1: .*first frame's shape \[48, 64, 3\]. Received: \[48, 60, 3\]"
    with pytest.raises(VideoError, match=message), VideoWriter(tmp_path / "a.mp4", 5) as out:
        out.write(gray(0))
        out.write(gray(0)[:, :60])


def test_invalid_paths_and_rates(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match="ends in .mp4.*Received: '.txt'"):
        VideoWriter(tmp_path / "a.txt", 25)
    with pytest.raises(VideoError, match="existing fold"):
        VideoWriter(tmp_path / "none" / "a.mp4", 25)
    with pytest.raises(VideoError, match="fps: expected a positive number"):
        VideoWriter(tmp_path / "a.mp4", 0)


def test_no_frames(tmp_path: Path) -> None:
    with (
        pytest.raises(VideoError, match="at least one frame"),
        VideoWriter(tmp_path / "a.mp4", 25),
    ):
        pass
    assert list(tmp_path.iterdir()) == []

"""Writing video files."""

import resource
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


# --- times --------------------------------------------------------------------------------------


def shown(path: Path) -> tuple[list[float], float]:
    """Return when each frame is shown and when the last one ends, in seconds, by PyAV alone."""
    with av.open(str(path)) as container:
        frames = [
            (frame.time, frame.duration * frame.time_base) for frame in container.decode(video=0)
        ]
    return [time for time, _ in frames], frames[-1][0] + float(frames[-1][1])


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv"])
@pytest.mark.parametrize("encoder", ["libx264", "mpeg4"])
def test_frames_are_shown_at_their_times(
    suffix: str, encoder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The output of a browser's recording of .66 s, which claims 1000 fps, lasted .02 s."""
    if encoder == "mpeg4":
        monkeypatch.setattr(av, "codecs_available", av.codecs_available - {"libx264"})
    times = [0, 0.033, 0.067, 0.1, 0.15, 0.4, 0.433, 0.61]
    with VideoWriter(tmp_path / f"out.{suffix}", fps=19.9999) as writer:
        for index, time in enumerate(times):
            writer.write(gray(index), time)
    read, end = shown(tmp_path / f"out.{suffix}")
    assert read == pytest.approx(times, abs=1e-9)
    assert end == pytest.approx(0.66, abs=0.001)
    assert indices(VideoReader(tmp_path / f"out.{suffix}")) == list(range(8))


@pytest.mark.parametrize("rate", [Fraction(24000, 1001), Fraction(60000, 1001), Fraction(7, 3)])
def test_times_at_a_constant_rate_are_exact(rate: Fraction, tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "out.mp4", rate) as writer:
        for index in range(10):
            writer.write(gray(index), float(index / rate))
    with av.open(str(tmp_path / "out.mp4")) as container:
        stream = container.streams.video[0]
        assert stream.average_rate == rate
        times = [frame.pts * stream.time_base for frame in container.decode(stream)]
    assert times == [index / rate for index in range(10)]


@pytest.mark.parametrize(
    ("times", "message"),
    [
        (
            (0, 0.5, 0.5),
            "frame 2: expected a later time than the last frame's, 0.5 s. Received: 0.5",
        ),
        ((0, 0.5, 0.25), "frame 2: expected a later time .* Received: 0.25 s"),
        ((0, None), "frame 1: expected a time, as for the frames before. Received: None"),
        ((None, 0.5), "frame 1: expected no time, as for the frames before. Received: 0.5"),
        ((-1,), "frame 0: expected a time in seconds, at least 0. Received: -1"),
        ((float("nan"),), "frame 0: expected a time in seconds, at least 0. Received: nan"),
    ],
)
def test_invalid_times(times: tuple, message: str, tmp_path: Path) -> None:
    with pytest.raises(VideoError, match=message), VideoWriter(tmp_path / "a.mp4", 5) as out:
        for time in times:
            out.write(gray(0), time)
    assert list(tmp_path.iterdir()) == []


# --- paths --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["2026-01-01T12:30:00.mp4", "50%d.mp4", "-y.mkv", "Grüße 你好.mov", "x" * 251 + ".mp4"]
)
def test_unusual_names(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FFmpeg read what is before a colon as a protocol."""
    monkeypatch.chdir(tmp_path)
    with VideoWriter(name, 25) as writer:
        writer.write(gray(3))
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert indices(VideoReader(tmp_path / name)) == [3]


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_ffmpeg_prints_nothing(suffix: str, tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    """Matroska has no option to write its index first, and FFmpeg said so."""
    with VideoWriter(tmp_path / f"out.{suffix}", 25) as writer:
        writer.write(gray(0))
    captured = capfd.readouterr()
    assert captured.out + captured.err == ""


@pytest.mark.parametrize("link", ["itself", "symlink", "hard link"])
def test_a_file_that_is_being_read_is_refused(link: str, clip: Path) -> None:
    path = clip if link == "itself" else clip.with_name("other.mp4")
    if link == "symlink":
        path.symlink_to(clip)
    elif link == "hard link":
        path.hardlink_to(clip)
    with VideoReader(clip) as video:
        with pytest.raises(VideoError, match="expected another file than .* being read"):
            VideoWriter(path, 25)
        assert len(list(video)) > 1
    with VideoWriter(path, 25) as writer:
        writer.write(gray(0))


@pytest.mark.parametrize("frames", [1, 40], ids=["at the end", "meanwhile"])
def test_a_full_disk_gets_a_message_and_leaves_no_file(frames: int, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (frames, 48, 64, 3), np.uint8)
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    with (
        pytest.raises(VideoError, match=r"out.mp4: .*Received: 'File too large'. Raise the limit"),
        VideoWriter(tmp_path / "out.mp4", 25) as writer,
    ):
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, most))
        try:
            for frame in noise:
                writer.write(frame)
            writer.close()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    assert list(tmp_path.iterdir()) == []

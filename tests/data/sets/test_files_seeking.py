"""`FileVideo.read`: the exact frames of every format, with as little decoding as possible."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from encoded_videos import (
    COUNT,
    EVEN_GOPS,
    OPEN_GOPS,
    demux,
    encode,
    mux,
    pack_b_frames,
    picture,
)
from PIL import Image

from mpvn.data import VideoError, VideoReader
from mpvn.data.sets.files import FileVideo
from mpvn.data.video import seeking
from mpvn.data.video.container import Container


def assert_exact(path: Path, rng: np.random.Generator) -> FileVideo:
    """Assert that random reads, forward and back, return the same frames as sequential decoding."""
    expected = np.stack(list(VideoReader(path)))
    video = FileVideo(path)
    assert len(video.timeline) == len(expected)
    for size in (1, 1, 1, 1, 4, 9):
        for _ in range(3):
            wanted = sorted(rng.integers(0, len(expected), size).tolist())
            np.testing.assert_array_equal(video.read(wanted), expected[wanted], err_msg=str(wanted))
    np.testing.assert_array_equal(video.read(range(len(expected))), expected)
    assert len(video.timeline) == len(expected)
    return video


# --- exact frames -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("short.mp4", "libx264", {"g": "12", "bf": "3"}),
        ("long.mp4", "libx264", {"g": "250", "bf": "3"}),
        ("open.mp4", "libx264", OPEN_GOPS),
        ("open.mkv", "libx264", OPEN_GOPS),
        ("open.ts", "libx264", OPEN_GOPS),
        # No real key frames: the picture is renewed column by column.
        ("refreshed.mp4", "libx264", {"g": "10", "x264-params": "intra-refresh=1"}),
        # The times of packets are not those of the frames.
        ("h264.avi", "libx264", {"g": "12", "bf": "3"}),
        ("raw.h264", "libx264", {"g": "12"}),  # No times at all.
        ("mpeg4.avi", "mpeg4", {"g": "12", "bf": "2"}),
        ("motion.avi", "mjpeg", {}),
        ("mpeg2.mpg", "mpeg2video", {"g": "12", "bf": "2"}),
        ("mpeg2.ts", "mpeg2video", {"g": "12", "bf": "2"}),
        ("vp9.webm", "libvpx-vp9", {"g": "12", "auto-alt-ref": "1", "lag-in-frames": "16"}),
        ("vp8.webm", "libvpx", {"g": "12"}),
        ("flash.flv", "libx264", {"g": "12", "bf": "2"}),
    ],
)
def test_codecs_and_containers(
    tmp_path: Path, rng: np.random.Generator, name: str, codec: str, options: dict[str, str]
) -> None:
    if codec not in av.codecs_available:
        pytest.skip(f"this FFmpeg cannot write {codec}")
    pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    video = assert_exact(encode(tmp_path / name, codec, options=options, pix_fmt=pix_fmt), rng)
    assert len(video.timeline) == COUNT
    assert video.timeline.rate == 25


def test_packed_b_frames(tmp_path: Path, rng: np.random.Generator) -> None:
    video = assert_exact(pack_b_frames(tmp_path / "packed.avi"), rng)
    assert len(video.timeline) == COUNT


def test_hidden_frames(tmp_path: Path, rng: np.random.Generator) -> None:
    """VP8 has frames that are never shown, only used to build others: one bit marks them."""
    packets = demux(encode(tmp_path / "plain.webm", "libvpx", options={"g": "12"}))
    for index in (5, 30):
        content, key = packets[index]
        packets[index] = bytes([content[0] & ~0x10]) + content[1:], key
    video = assert_exact(mux(tmp_path / "hidden.webm", "libvpx", packets), rng)
    assert len(video.timeline) == COUNT - 2


def test_frames_wrongly_marked_as_key_frames(tmp_path: Path, rng: np.random.Generator) -> None:
    packets = demux(encode(tmp_path / "plain.avi", "mpeg4", options={"g": "12", "bf": "0"}))
    path = mux(tmp_path / "wrong.mp4", "mpeg4", [(content, True) for content, _ in packets])
    assert len(assert_exact(path, rng).timeline) == COUNT


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
def test_variable_frame_rate(tmp_path: Path, rng: np.random.Generator, suffix: str) -> None:
    times = np.cumsum(rng.integers(5, 80, COUNT)).tolist()
    video = assert_exact(encode(tmp_path / f"variable.{suffix}", times=times), rng)
    assert video.timeline.rate == pytest.approx(
        (COUNT - 1) * 1000 / (times[-1] - times[0]), rel=0.05
    )


@pytest.mark.parametrize("rotation", [90, 180, -90])
def test_rotation(tmp_path: Path, rng: np.random.Generator, rotation: int) -> None:
    video = assert_exact(encode(tmp_path / "turned.mp4", rotation=rotation), rng)
    size = (48, 64) if rotation == 180 else (64, 48)
    assert video.read([30]).shape == (1, *size, 3)


def test_odd_sizes(tmp_path: Path, rng: np.random.Generator) -> None:
    path = encode(tmp_path / "odd.mkv", "ffv1", options={"g": "5"}, size=(47, 63), pix_fmt="bgr0")
    video = assert_exact(path, rng)
    np.testing.assert_array_equal(video.read([17])[0], picture(17)[:47, :63])


def test_a_file_cut_without_encoding(tmp_path: Path, rng: np.random.Generator) -> None:
    """The file contains the frames from the last key frame to the cut, marked as not shown."""
    times = [40 * (index - 17) for index in range(COUNT)]
    options = {"avoid_negative_ts": "disabled", "use_editlist": "1"}
    path = encode(tmp_path / "cut.mp4", times=times, container_options=options)
    assert len(assert_exact(path, rng).timeline) == COUNT - 17


def test_real_videos(shared: Path) -> None:
    for name in ("asl/no.mkv", "asl/want.mkv"):
        expected = list(VideoReader(shared / "clips" / name))
        video = FileVideo(shared / "clips" / name)
        assert len(video.timeline) == len(expected)
        for wanted in ([len(expected) - 1], [3, 20, 21, 40]):
            for index, frame in zip(wanted, video.read(wanted), strict=True):
                np.testing.assert_array_equal(frame, expected[index])
    path = shared / "clips" / "stream" / "one-by-one-person-detection.mp4"
    wanted = [95, 97, 109, 160]
    expected = list(itertools.islice(VideoReader(path), wanted[-1] + 1))
    for index, frame in zip(wanted, FileVideo(path).read(wanted), strict=True):
        np.testing.assert_array_equal(frame, expected[index])


# --- number of decoded frames -------------------------------------------------------------------


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A list that gets one entry for each decoded frame."""
    entries: list[int] = []
    decode = Container.decode

    def counted(self: Container, *arguments: object) -> Iterator[object]:
        for frame in decode(self, *arguments):  # type: ignore[arg-type]
            entries.append(0)
            yield frame

    monkeypatch.setattr(Container, "decode", counted)
    return entries


@pytest.mark.parametrize(
    ("wanted", "count"),
    [([0], 1), ([10], 1), ([29], 4), ([28, 29], 5), ([13, 22], 6), ([1, 44], 2 + 3)],
)
def test_only_wanted_frames_and_those_that_they_need_are_decoded(
    tmp_path: Path, decoded: list[int], wanted: list[int], count: int
) -> None:
    """Each group of ten is IbbPbbPbbP, and b refers to the I or P before and after it.

    Up to 22, without a seek after 13, these are shown: 10, 13, 16, 19, 20, 22; 23 comes after it.
    """
    options = {"g": "10", "bf": "2", "x264-params": "scenecut=0:b-adapt=0:b-pyramid=none"}
    video = FileVideo(encode(tmp_path / "clip.mp4", options=options))
    assert (len(video.timeline), video.timeline.rate, decoded) == (COUNT, 25, [])
    for _ in range(2):
        decoded.clear()
        video.read(wanted)
        assert len(decoded) == count


@pytest.mark.parametrize(
    ("name", "codec", "options", "wanted", "maximum"),
    [
        # Three frames that are shown before frame 20 follow it in the file.
        ("open.mp4", "libx264", OPEN_GOPS, 23, 4),
        ("open.mkv", "libx264", OPEN_GOPS, 23, 4),
        # Frames are stored in another order than they are shown.
        ("mpeg4.avi", "mpeg4", EVEN_GOPS, 25, 5),
        ("mpeg2.ts", "mpeg2video", EVEN_GOPS, 25, 5),
    ],
)
def test_decoding_in_other_containers(
    tmp_path: Path,
    decoded: list[int],
    name: str,
    codec: str,
    options: dict[str, str],
    wanted: int,
    maximum: int,
) -> None:
    video = FileVideo(encode(tmp_path / name, codec, options=options))
    for _ in range(2):
        decoded.clear()
        video.read([wanted])
        assert 1 <= len(decoded) <= maximum


def test_only_wanted_images_are_decoded(tmp_path: Path) -> None:
    for index in range(12):
        Image.fromarray(picture(index)).save(tmp_path / f"{index}.png")
    (tmp_path / "5.png").write_bytes(b"no image")
    folder = FileVideo(tmp_path, fps=12)
    assert (len(folder.timeline), folder.timeline.rate) == (12, 12)
    for index, frame in zip([2, 2, 10], folder.read([2, 2, 10]), strict=True):
        np.testing.assert_array_equal(frame, picture(index))
    with pytest.raises(VideoError, match=r"5.png does not decode"):
        folder.read([4, 5])


# --- files that are opened by their headers alone -----------------------------------------------


@pytest.mark.parametrize(
    ("name", "codec", "described"),
    [
        ("a.mp4", "libx264", True),
        ("a.mkv", "libx264", True),
        ("a.webm", "libvpx-vp9", True),
        ("a.ts", "libx264", False),
        ("a.mov", "mjpeg", False),
    ],
)
def test_headers_are_enough_to_open_a_file(
    tmp_path: Path, name: str, codec: str, described: bool
) -> None:
    pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    path = encode(tmp_path / name, codec, options={}, pix_fmt=pix_fmt)
    index = seeking.index_frames(path)
    assert index.described == described
    expected = list(VideoReader(path))[7:9]
    np.testing.assert_array_equal(FileVideo(path).read([7, 8]), expected)


def test_a_file_whose_headers_are_not_enough_is_probed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the first failure, it is probed at once, and frames are still sought."""
    path = encode(tmp_path / "a.mp4", options={"g": "10", "x264-params": "scenecut=0"})
    attempts: list[tuple[bool, int]] = []

    def decode(path: Path, index: seeking.FrameIndex, numbers: list[int]) -> Iterator[object]:
        attempts.append((index.described, len(index.keys)))
        if index.described:
            raise seeking.SeekError("frames are out of order")
        return seeking.decode(path, index, numbers)

    monkeypatch.setattr("mpvn.data.sets.files.decode", decode)
    video = FileVideo(path)
    expected = np.stack(list(VideoReader(path)))
    for wanted in ([33], [12, 13]):
        np.testing.assert_array_equal(video.read(wanted), expected[wanted])
    keys = COUNT // 10
    assert attempts == [(True, keys), (False, keys), (False, keys)]

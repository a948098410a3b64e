"""Damaged files: an error if strict; otherwise the frames that decode, with one warning."""

import warnings
from collections.abc import Callable, Container
from fractions import Fraction
from pathlib import Path

import av
import encoded_videos as textures
import numpy as np
import pytest
from video_files import encode, gray, indices

from mpvn.data import VideoError, VideoReader, VideoSet
from mpvn.data.clips.augmentation import Augmentation
from mpvn.data.clips.pipeline import ClipPipeline
from mpvn.data.clips.sampling import Whole
from mpvn.data.sets.files import FileVideo


@pytest.fixture(params=["mp4", "mkv", "avi"])
def truncated(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A file of 60 frames of noise, of which the last 40% of the bytes are missing."""
    random = np.random.default_rng(0)
    noise = [random.integers(0, 255, (48, 64, 3), np.uint8) for _ in range(60)]
    path = encode(
        tmp_path / f"truncated.{request.param}",
        noise,
        codec="mpeg4",
        options={"movflags": "faststart"} if request.param == "mp4" else None,
    )
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 6 // 10])
    return path


def test_frames_that_decode_are_returned_with_one_warning(truncated: Path) -> None:
    with pytest.warns(RuntimeWarning, match="damaged.*frames that decode") as caught:
        frames = list(VideoReader(truncated))
    assert 15 < len(frames) < 45
    assert len(caught) == 1


def test_strict_raises_an_error(truncated: Path) -> None:
    with pytest.raises(VideoError, match="damaged.*`strict=False`"):
        list(VideoReader(truncated, strict=True))


def test_undamaged_files_do_not_warn(tmp_path: Path) -> None:
    for suffix in ("mp4", "mkv", "avi", "ts"):
        path = encode(tmp_path / f"complete.{suffix}", map(gray, range(30)))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert indices(VideoReader(path, strict=True)) == list(range(30))


# --- what is damaged ----------------------------------------------------------------------------

COUNT = 30
GROUPS = {"g": "10", "bf": "0", "sc_threshold": "0"}


def texture(path: Path, codec: str) -> Path:
    """Write 30 frames at 25 per second, of which each tenth is a key frame."""
    pixels, options = ("yuvj420p", {}) if codec == "mjpeg" else ("yuv420p", GROUPS)
    return textures.encode(path, codec, options=options, pix_fmt=pixels, count=COUNT)


def packets(path: Path) -> list[bytes]:
    return [content for content, _ in textures.demux(path)]


def without(path: Path, missing: Container[int]) -> Path:
    """Write the file again, without some of its packets."""
    shorter = path.with_stem("shorter")
    with av.open(str(path)) as whole, av.open(str(shorter), "w") as output:
        stream = output.add_stream_from_template(whole.streams.video[0])
        for number, packet in enumerate(whole.demux(video=0)):
            if packet.size and number not in missing:
                packet.stream = stream
                output.mux(packet)
    return shorter


def flip_bits(path: Path, first: int = 3, last: int = 6) -> Path:
    """Flip 1 bit of 300 in the packets from `first` until before `last`, except in their heads."""
    content, random = path.read_bytes(), np.random.default_rng(1)
    for packet in packets(path)[first:last]:
        spoilt = bytearray(packet)
        for at in random.integers(len(packet) // 3, len(packet), len(packet) // 40):
            spoilt[at] ^= 1 << int(random.integers(8))
        content = content.replace(packet, bytes(spoilt))
    path.write_bytes(content)
    return path


def lose_chunks(path: Path) -> Path:
    """Overwrite three frames of an AVI file, and the heads by which they are found."""
    content, frames = path.read_bytes(), packets(path)
    first, last = (content.index(frames[number]) - 8 for number in (12, 15))
    path.write_bytes(content[:first] + bytes(last - first) + content[last:])
    return path


def pieces_of(path: Path) -> tuple[list[bytes], list[int]]:
    """Return the packets of an MPEG transport stream, and where its frames begin."""
    content = texture(path, "libx264").read_bytes()
    pieces = [content[at : at + 188] for at in range(0, len(content), 188)]
    # The first packet of a frame has a flag, and the number of the stream, 0x100.
    starts = [n for n, piece in enumerate(pieces) if piece[1] & 0x5F == 0x41]
    return pieces, [0, *starts[1:], len(pieces)]


def transport(path: Path, *parts: range) -> Path:
    """Write parts of an MPEG transport stream, each of some of its frames."""
    pieces, starts = pieces_of(path)
    chosen = [pieces[starts[part.start] : starts[part.stop]] for part in parts]
    path.write_bytes(b"".join(piece for part in chosen for piece in part))
    return path


def lose_transport_packet(path: Path) -> Path:
    """Leave out the first packet of a frame."""
    pieces, starts = pieces_of(path)
    del pieces[starts[14]]
    path.write_bytes(b"".join(pieces))
    return path


DAMAGE: dict[str, Callable[[Path], Path]] = {
    "bits of H.264": lambda p: flip_bits(texture(p / "v.mp4", "libx264")),
    "bits of H.264 in Matroska": lambda p: flip_bits(texture(p / "v.mkv", "libx264")),
    "bits of MPEG-4": lambda p: flip_bits(texture(p / "v.avi", "mpeg4")),
    "bits of MPEG-4 in MP4": lambda p: flip_bits(texture(p / "v.mp4", "mpeg4")),
    "bits of JPEG": lambda p: flip_bits(texture(p / "v.avi", "mjpeg")),
    "bits of JPEG in MOV": lambda p: flip_bits(texture(p / "v.mov", "mjpeg")),
    "lost frames of MPEG-4": lambda p: lose_chunks(texture(p / "v.avi", "mpeg4")),
    "lost frames of JPEG": lambda p: lose_chunks(texture(p / "v.avi", "mjpeg")),
    "lost frames of H.264": lambda p: lose_chunks(texture(p / "v.avi", "libx264")),
    "lost packet of a transport stream": lambda p: lose_transport_packet(p / "v.ts"),
    "lost frame of a transport stream": lambda p: transport(p / "v.ts", range(13), range(14, 30)),
    "lost picture of H.264": lambda p: without(texture(p / "v.mp4", "libx264"), {14}),
    "lost pictures of H.264, Matroska": lambda p: without(
        texture(p / "v.mkv", "libx264"), {11, 12}
    ),
    "begins between key frames": lambda p: without(texture(p / "v.mp4", "libx264"), range(5)),
    "begins between key frames, Matroska": lambda p: without(
        texture(p / "v.mkv", "libx264"), range(3)
    ),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_damage_is_an_error_or_one_warning(case: str, tmp_path: Path) -> None:
    path = DAMAGE[case](tmp_path)
    with pytest.raises(VideoError, match=r"damaged one.*`strict=False`"):
        list(VideoReader(path, strict=True))
    with pytest.warns(RuntimeWarning, match="damaged one") as caught:
        frames = list(VideoReader(path))
    assert len(caught) == 1
    assert COUNT // 2 < len(frames) <= COUNT


@pytest.mark.parametrize("case", DAMAGE)
def test_videos_of_data_sets_are_strict(case: str, tmp_path: Path) -> None:
    """Frames before the damage may be used; all of them never are."""
    path = DAMAGE[case](tmp_path)
    with pytest.raises(VideoError, match="damaged one"):
        video = FileVideo(path)
        video.read(range(len(video.timeline)))


def test_data_sets_report_what_is_damaged(tmp_path: Path) -> None:
    videos = [FileVideo(DAMAGE["bits of MPEG-4"](tmp_path), label=0)]
    videos += [FileVideo(texture(tmp_path / "whole.avi", "mpeg4"), label=0)]
    clips = ClipPipeline(VideoSet("two", videos, ("a",)), Whole(), Augmentation((24, 24)))
    assert len(list(clips.arrays())) == 1
    assert list(clips.skipped) == [videos[0].name]


def test_the_warning_counts_packets_without_a_picture(tmp_path: Path) -> None:
    """Decoders leave out frames that refer to missing ones, until the next key frame."""
    with pytest.warns(RuntimeWarning, match=r"5 packets have no picture"):
        frames = list(VideoReader(DAMAGE["begins between key frames"](tmp_path)))
    assert len(frames) == 20


B_FRAMES = {"g": "10", "bf": "2", "sc_threshold": "0"}


@pytest.mark.parametrize("options", [GROUPS, B_FRAMES, {**B_FRAMES, "x264-params": "open-gop=1"}])
def test_lost_pictures_of_h264_are_found_if_others_refer_to_them(
    options: dict[str, str], tmp_path: Path
) -> None:
    """FFmpeg fills their places without a word; later frames looked wrong, and no one said so."""
    path = textures.encode(tmp_path / "v.mp4", options=options, count=COUNT)
    right = list(VideoReader(path, strict=True))
    for lost in range(11, 20):
        shorter = without(path, {lost})
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            shown = list(VideoReader(shorter))
        wrong = [frame for frame in shown if not any(np.array_equal(frame, r) for r in right)]
        assert len(caught) == bool(wrong), (lost, len(wrong))


# --- what is not --------------------------------------------------------------------------------

WHOLE: dict[str, tuple[list[range], int]] = {
    "joined": ([range(30), range(30)], 60),
    "joined thrice": ([range(30)] * 3, 90),
    "begins between key frames": ([range(6, 30)], 20),  # with frame 10
    "the first was stopped": ([range(22), range(30)], 52),
    "the first was stopped at a key frame": ([range(20), range(10, 30)], 40),
}


@pytest.mark.parametrize("case", WHOLE)
def test_broadcasts_begin_end_and_are_joined_anywhere(case: str, tmp_path: Path) -> None:
    parts, count = WHOLE[case]
    path = transport(tmp_path / "v.ts", *parts)
    frames = list(VideoReader(path, strict=True))
    assert len(frames) == count
    np.testing.assert_array_equal(FileVideo(path).read(range(count)), np.stack(frames))


def test_a_picture_that_stays_is_no_missing_end(tmp_path: Path) -> None:
    """Matroska states the end of the last frame, which lasts 3 s."""
    path = tmp_path / "v.mkv"
    whole = encode(tmp_path / "whole.mkv", map(gray, range(5)))
    with av.open(str(whole)) as source, av.open(str(path), "w") as output:
        stream = output.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                packet.duration = 3000 if packet.pts == 160 else 40
                output.mux(packet)
    assert indices(VideoReader(path, strict=True)) == list(range(5))
    assert FileVideo(path).timeline.duration == Fraction(79, 25)


def test_avi_without_its_index(tmp_path: Path) -> None:
    """All frames are there; the first half of them is not all."""
    path = texture(tmp_path / "v.avi", "mpeg4")
    content = path.read_bytes()
    path.write_bytes(content[: content.index(b"idx1")])
    assert len(list(VideoReader(path, strict=True))) == COUNT
    path.write_bytes(content[: content.index(packets(path)[15]) - 8])
    with pytest.warns(RuntimeWarning, match=r"ends at 0.60 s of 1.20 s"):
        assert len(list(VideoReader(path))) == 15

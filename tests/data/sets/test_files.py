"""Videos of data sets: the frames asked for, exactly, and no more work than they need."""

import itertools
import pickle
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.stream import VideoStream
from PIL import Image

from mpvn.data import VideoError, VideoReader
from mpvn.data.sets.files import FileVideo
from mpvn.data.video.container import Container

COUNT = 50
SHORT_GOPS = {"g": "12", "bf": "2"}
_TEXTURE = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)


def picture(index: int) -> np.ndarray:
    """A texture that moves and grows brighter, so that every frame differs from every other."""
    return np.roll(_TEXTURE, (index, 2 * index), (0, 1)) // 2 + np.uint8(2 * index)


def encode(
    path: Path,
    codec: str = "libx264",
    *,
    options: Mapping[str, str] = SHORT_GOPS,
    container_options: dict[str, str] | None = None,
    times: Sequence[int] | None = None,
    rotation: float | None = None,
    size: tuple[int, int] = (48, 64),
    pix_fmt: str = "yuv420p",
    count: int = COUNT,
) -> Path:
    """Encodes pictures at 25 frames/s, or with `times` in milliseconds."""
    tick = Fraction(1, 25 if times is None else 1000)
    with av.open(str(path), "w", options=container_options or {}) as container:
        stream = container.add_stream(codec, rate=25, options=dict(options))
        assert isinstance(stream, VideoStream)
        stream.height, stream.width, stream.pix_fmt = *size, pix_fmt
        stream.codec_context.time_base = tick
        if rotation is not None:
            stream.set_display_rotation(rotation)
        for index in range(count):
            image = np.ascontiguousarray(picture(index)[: size[0], : size[1]])
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.time_base = tick
            frame.pts = index if times is None else times[index]
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def mux(path: Path, codec: str, packets: Iterable[tuple[bytes, bool]]) -> Path:
    """A file of coded frames, 25 each second, with whether they are called key frames."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        assert isinstance(stream, VideoStream)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        for index, (content, key) in enumerate(packets):
            packet = av.Packet(content)
            packet.stream, packet.time_base, packet.is_keyframe = stream, Fraction(1, 25), key
            packet.pts = packet.dts = index
            container.mux(packet)
    return path


def demux(path: Path) -> list[tuple[bytes, bool]]:
    with av.open(str(path)) as container:
        packets = container.demux(container.streams.video[0])
        return [(bytes(packet), packet.is_keyframe) for packet in packets if packet.size]


def pack_b_frames(path: Path) -> Path:
    """A DivX file that has a B-frame in one packet with the frame after it, as some of UCF101.

    What follows such a packet is a placeholder that holds no picture.
    """
    packets = demux(encode(path.with_name("plain.avi"), "mpeg4", options={"bf": "1", "g": "12"}))
    start = b"\x00\x00\x01\xb6"

    def is_b(content: bytes) -> bool:
        return start in content and content[content.index(start) + 4] >> 6 == 2

    user_data = re.compile(rb"\x00\x00\x01\xb2.*?(?=\x00\x00\x01\xb6)", re.DOTALL)
    packets[0] = user_data.sub(b"\x00\x00\x01\xb2DivX503b1393p", packets[0][0]), True
    packed: list[tuple[bytes, bool]] = []
    for (content, key), (following, _) in itertools.pairwise([*packets, (b"", False)]):
        if is_b(following):
            packed += [(content + following, key), (start + b"\x50\x4f", False)]
        elif not is_b(content):
            packed.append((content, key))
    return mux(path, "mpeg4", packed)


def assert_exact(path: Path, rng: np.random.Generator) -> FileVideo:
    """Reads here and there, in both directions, and compares with decoding everything."""
    every = np.stack(list(VideoReader(path)))
    video = FileVideo(path)
    assert video.frame_count == len(every)
    for size in (1, 1, 1, 1, 4, 9):
        for _ in range(3):
            wanted = sorted(rng.integers(0, len(every), size).tolist())
            np.testing.assert_array_equal(video.read(wanted), every[wanted], err_msg=str(wanted))
    np.testing.assert_array_equal(video.read(range(len(every))), every)
    assert video.frame_count == len(every)
    return video


OPEN_GOPS = {"g": "10", "bf": "3", "x264-params": "open-gop=1:scenecut=0:b-adapt=0"}
EVEN_GOPS = {"g": "12", "bf": "2", "sc_threshold": "1000000000"}


class TestFrameExact:
    """As decoding everything, in whatever way the file is made."""

    @pytest.mark.parametrize(
        ("name", "codec", "options"),
        [
            ("short.mp4", "libx264", {"g": "12", "bf": "3"}),
            ("long.mp4", "libx264", {"g": "250", "bf": "3"}),
            ("open.mp4", "libx264", OPEN_GOPS),
            ("open.mkv", "libx264", OPEN_GOPS),
            ("open.ts", "libx264", OPEN_GOPS),
            # Its key frames are none: the picture is renewed column by column.
            ("refreshed.mp4", "libx264", {"g": "10", "x264-params": "intra-refresh=1"}),
            # Its packets' times are not those of the frames.
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
        self,
        tmp_path: Path,
        rng: np.random.Generator,
        name: str,
        codec: str,
        options: dict[str, str],
    ) -> None:
        if codec not in av.codecs_available:
            pytest.skip(f"this FFmpeg cannot write {codec}")
        pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        video = assert_exact(encode(tmp_path / name, codec, options=options, pix_fmt=pix_fmt), rng)
        assert video.frame_count == COUNT
        assert video.fps == 25

    def test_packed_b_frames(self, tmp_path: Path, rng: np.random.Generator) -> None:
        video = assert_exact(pack_b_frames(tmp_path / "packed.avi"), rng)
        assert video.frame_count == COUNT

    def test_frames_that_are_never_shown(self, tmp_path: Path, rng: np.random.Generator) -> None:
        # VP8 has them to build others on; one bit of their first byte says so.
        packets = demux(encode(tmp_path / "plain.webm", "libvpx", options={"g": "12"}))
        for index in (5, 30):
            content, key = packets[index]
            packets[index] = bytes([content[0] & ~0x10]) + content[1:], key
        video = assert_exact(mux(tmp_path / "hidden.webm", "libvpx", packets), rng)
        assert video.frame_count == COUNT - 2

    def test_frames_wrongly_called_key_frames(
        self, tmp_path: Path, rng: np.random.Generator
    ) -> None:
        packets = demux(encode(tmp_path / "plain.avi", "mpeg4", options={"g": "12", "bf": "0"}))
        path = mux(tmp_path / "wrong.mp4", "mpeg4", [(content, True) for content, _ in packets])
        assert assert_exact(path, rng).frame_count == COUNT

    @pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
    def test_variable_rate(self, tmp_path: Path, rng: np.random.Generator, suffix: str) -> None:
        times = np.cumsum(rng.integers(5, 80, COUNT)).tolist()
        video = assert_exact(encode(tmp_path / f"variable.{suffix}", times=times), rng)
        assert video.fps == pytest.approx((COUNT - 1) * 1000 / (times[-1] - times[0]), rel=0.05)

    @pytest.mark.parametrize("rotation", [90, 180, -90])
    def test_rotation(self, tmp_path: Path, rng: np.random.Generator, rotation: int) -> None:
        video = assert_exact(encode(tmp_path / "turned.mp4", rotation=rotation), rng)
        turned = rotation != 180
        assert video.read([30]).shape == (1, *((64, 48) if turned else (48, 64)), 3)

    def test_odd_sizes(self, tmp_path: Path, rng: np.random.Generator) -> None:
        path = encode(
            tmp_path / "odd.mkv", "ffv1", options={"g": "5"}, size=(47, 63), pix_fmt="bgr0"
        )
        video = assert_exact(path, rng)
        np.testing.assert_array_equal(video.read([17])[0], picture(17)[:47, :63])

    def test_a_cut_without_coding_anew(self, tmp_path: Path, rng: np.random.Generator) -> None:
        # Frames from the key frame to the cut are in the file, marked as not to be shown.
        times = [40 * (index - 17) for index in range(COUNT)]
        options = {"avoid_negative_ts": "disabled", "use_editlist": "1"}
        path = encode(tmp_path / "cut.mp4", times=times, container_options=options)
        assert assert_exact(path, rng).frame_count == COUNT - 17

    def test_shared_clips(self, shared: Path) -> None:
        every: list[np.ndarray] = []
        for name in ("asl/no.mkv", "asl/want.mkv"):
            every = list(VideoReader(shared / "clips" / name))
            video = FileVideo(shared / "clips" / name)
            assert video.frame_count == len(every)
            for wanted in ([len(every) - 1], [3, 20, 21, 40]):
                for index, frame in zip(wanted, video.read(wanted), strict=True):
                    np.testing.assert_array_equal(frame, every[index])
        path = shared / "clips" / "stream" / "one-by-one-person-detection.mp4"
        wanted = [95, 97, 109, 260]
        expected = list(itertools.islice(VideoReader(path), 261))
        for index, frame in zip(wanted, FileVideo(path).read(wanted), strict=True):
            np.testing.assert_array_equal(frame, expected[index])


class TestWork:
    """How many frames are decoded."""

    @pytest.fixture
    def decoded(self, monkeypatch: pytest.MonkeyPatch) -> list[int]:
        """One entry for each frame decoded."""
        entries: list[int] = []
        frames = Container.frames

        def counted(self: Container, *arguments: object) -> Iterator[object]:
            for frame in frames(self, *arguments):  # type: ignore[arg-type]
                entries.append(0)
                yield frame

        monkeypatch.setattr(Container, "frames", counted)
        return entries

    @pytest.mark.parametrize(
        ("wanted", "work"),
        [([0], 1), ([10], 1), ([29], 10), ([28, 29], 10), ([13, 22], 13), ([1, 44], 2 + 5)],
    )
    def test_from_the_key_frame_to_the_last(
        self, tmp_path: Path, decoded: list[int], wanted: list[int], work: int
    ) -> None:
        options = {"g": "10", "bf": "2", "x264-params": "scenecut=0"}
        video = FileVideo(encode(tmp_path / "clip.mp4", options=options))
        assert (video.frame_count, video.fps, decoded) == (COUNT, 25, [])
        for _ in range(2):
            decoded.clear()
            video.read(wanted)
            assert len(decoded) == work

    @pytest.mark.parametrize(
        ("name", "codec", "options", "wanted", "work"),
        [
            # Three frames that are shown before the frame 20 follow it in the file.
            ("open.mp4", "libx264", OPEN_GOPS, 23, 4),
            ("open.mkv", "libx264", OPEN_GOPS, 23, 4),
            # Frames are stored in another order than they are shown.
            ("mpeg4.avi", "mpeg4", EVEN_GOPS, 25, 5),
            ("mpeg2.ts", "mpeg2video", EVEN_GOPS, 25, 5),
        ],
    )
    def test_of_other_containers(
        self,
        tmp_path: Path,
        decoded: list[int],
        name: str,
        codec: str,
        options: dict[str, str],
        wanted: int,
        work: int,
    ) -> None:
        video = FileVideo(encode(tmp_path / name, codec, options=options))
        for _ in range(2):
            decoded.clear()
            video.read([wanted])
            assert 1 <= len(decoded) <= work

    def test_only_the_images_asked_for(self, tmp_path: Path) -> None:
        for index in range(12):
            Image.fromarray(picture(index)).save(tmp_path / f"{index}.png")
        (tmp_path / "5.png").write_bytes(b"no image")
        folder = FileVideo(tmp_path, fps=12)
        assert (folder.frame_count, folder.fps) == (12, 12)
        for index, frame in zip([2, 2, 10], folder.read([2, 2, 10]), strict=True):
            np.testing.assert_array_equal(frame, picture(index))
        with pytest.raises(VideoError, match=r"5.png does not decode"):
            folder.read([4, 5])


class TestSection:
    """A part of a file, in seconds after its first frame."""

    @pytest.mark.parametrize(
        ("start", "end", "first", "count"),
        [
            (None, None, 0, 50),
            (0.4, 1.2, 10, 20),
            (0.41, 1.21, 11, 20),
            (1.0, None, 25, 25),
            (None, 0.04, 0, 1),
            (1.6, 99, 40, 10),
        ],
    )
    def test_frames_shown_from_start_until_before_end(
        self, tmp_path: Path, start: float | None, end: float | None, first: int, count: int
    ) -> None:
        path = encode(tmp_path / "clip.mp4")
        video = FileVideo(path, start=start, end=end)
        assert (video.frame_count, video.fps) == (count, 25)
        every = FileVideo(path).read(range(COUNT))
        np.testing.assert_array_equal(video.read(range(count)), every[first : first + count])

    def test_counts_from_the_first_frame(self, tmp_path: Path) -> None:
        times = [500, 540, 740, 1000, 1040]
        path = encode(tmp_path / "late.mkv", times=times, count=5)
        video = FileVideo(path, start=0.24, end=0.54)
        assert video.frame_count == 2
        np.testing.assert_array_equal(video.read([0, 1]), FileVideo(path).read([2, 3]))
        assert FileVideo(path, start=0.2402).frame_count == 2

    def test_named_with_its_times(self) -> None:
        assert FileVideo("a.mp4").name == "a.mp4"
        assert FileVideo("a.mp4", start=3, end=12.5).name == "a.mp4 (3 to 12.5 s)"

    def test_outside_the_file(self, tmp_path: Path) -> None:
        video = FileVideo(encode(tmp_path / "clip.mp4"), start=10, end=20)
        with pytest.raises(VideoError, match=r"\(10 to 20 s\).*received a video of 2.00 s"):
            _ = video.frame_count

    @pytest.mark.parametrize(("start", "end"), [(-1, None), (3, 3), (3, 2), (None, 0)])
    def test_impossible(self, start: float | None, end: float | None) -> None:
        with pytest.raises(VideoError, match="0 <= start < end"):
            FileVideo("a.mp4", start=start, end=end)


class TestJoints:
    def test_of_the_frames_asked_for(self, tmp_path: Path, rng: np.random.Generator) -> None:
        joints = rng.random((20, 3, 3)).astype(np.float32)
        video = FileVideo(encode(tmp_path / "a.mp4"), start=0.4, end=1.2, joints=joints)
        found = video.joints([0, 7, 7, 19])
        assert found is not None and found.dtype == np.float32
        np.testing.assert_array_equal(found, joints[[0, 7, 7, 19]])
        with pytest.raises(VideoError, match="its 20 frames"):
            video.joints([20])

    def test_none(self, tmp_path: Path) -> None:
        assert FileVideo(tmp_path / "a.mp4").joints([0]) is None

    def test_other_than_frames(self, tmp_path: Path) -> None:
        video = FileVideo(encode(tmp_path / "a.mp4"), joints=np.zeros((49, 3, 3), np.float32))
        with pytest.raises(VideoError, match="each of 50 frames, received 49"):
            _ = video.frame_count
        with pytest.raises(VideoError, match=r"\[frames, joints, 3\], received \[49, 3\]"):
            FileVideo("a.mp4", joints=np.zeros((49, 3), np.float32))


class TestErrors:
    def test_nothing_is_touched_before_it_is_asked_for(self, tmp_path: Path) -> None:
        video = FileVideo(tmp_path / "none.mp4", label=3)
        assert (video.label, video.name) == (3, str(tmp_path / "none.mp4"))
        for ask in (lambda: video.frame_count, lambda: video.fps, lambda: video.read([0])):
            with pytest.raises(VideoError, match="none.mp4.*does not exist"):
                ask()

    @pytest.mark.parametrize("indices", [[], [-1], [50], [3, 2]])
    def test_impossible_indices(self, tmp_path: Path, indices: list[int]) -> None:
        video = FileVideo(encode(tmp_path / "a.mp4"))
        with pytest.raises(VideoError, match="ascending indices of its 50 frames"):
            video.read(indices)

    def test_fps_of_a_file(self, tmp_path: Path) -> None:
        video = FileVideo(encode(tmp_path / "a.mp4"), fps=12)
        with pytest.raises(VideoError, match="`fps` for a folder of images only"):
            _ = video.frame_count

    def test_images_of_several_sizes(self, tmp_path: Path) -> None:
        for index, height in enumerate([20, 20, 40]):
            image = np.zeros((height, 30, 3), np.uint8)
            av.VideoFrame.from_ndarray(image, format="rgb24").save(str(tmp_path / f"{index}.png"))
        assert FileVideo(tmp_path).read([0, 1]).shape == (2, 20, 30, 3)
        with pytest.raises(VideoError, match=r"one size.*\(20, 30\) and \(40, 30\)"):
            FileVideo(tmp_path).read([0, 2])

    def test_a_file_cut_short_ends_with_its_last_whole_frame(self, tmp_path: Path) -> None:
        path = encode(tmp_path / "a.mp4", container_options={"movflags": "faststart"})
        every = list(VideoReader(path))
        content = path.read_bytes()
        path.write_bytes(content[: len(content) * 6 // 10])
        video = FileVideo(path)
        with pytest.warns(RuntimeWarning, match="damaged"):
            count = video.frame_count
        assert 10 < count < 40
        # The last ones may lack a frame that they are made of.
        np.testing.assert_array_equal(video.read(range(count - 4)), every[: count - 4])

    def test_damage_is_told_where_it_is_asked_for(self, tmp_path: Path) -> None:
        path = encode(tmp_path / "a.mkv", options={"g": "10", "bf": "0"})
        video = FileVideo(path)
        every = video.read(range(COUNT))
        content = bytearray(path.read_bytes())
        with av.open(str(path)) as container:
            packets = list(container.demux(video=0))
        place = content.index(bytes(packets[24]))
        content[place : place + packets[24].size] = b"\xff" * packets[24].size
        path.write_bytes(content)
        with pytest.raises(VideoError, match="damaged"):
            video.read([26])
        for wanted in ([3, 12], [37, 45]):
            np.testing.assert_array_equal(video.read(wanted), every[wanted])


def test_goes_to_other_processes(tmp_path: Path) -> None:
    video = FileVideo(encode(tmp_path / "a.mp4"), label=2)
    expected = video.read([30])
    for copy in (
        pickle.loads(pickle.dumps(video)),
        pickle.loads(pickle.dumps(FileVideo(video.name))),
    ):
        np.testing.assert_array_equal(copy.read([30]), expected)


def test_whole_files_do_not_warn(tmp_path: Path) -> None:
    for suffix in ("mp4", "mkv", "avi", "ts"):
        path = encode(tmp_path / f"whole.{suffix}", "mpeg4")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            FileVideo(path).read([COUNT - 1])

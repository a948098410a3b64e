"""Reading and writing video, on files made here by FFmpeg itself.

The frame with index i is evenly gray, of brightness 10 + 4 i, so that a frame too many, too few or
in the wrong place shows as a wrong number; coding changes a gray level by one at most.
"""

import csv
import gc
import http.server
import os
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from PIL import Image

from mpvn.data import VideoError, VideoReader, VideoWriter, draw_text
from mpvn.data.video.reader import frame_rate

CLIPS = Path(__file__).parents[4] / "shared" / "clips"
RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def level(index: int) -> int:
    return 10 + 4 * index


def gray(index: int, height: int = 48, width: int = 64) -> np.ndarray:
    return np.full((height, width, 3), level(index), np.uint8)


def quarters(height: int = 48, width: int = 64) -> np.ndarray:
    """Red, green over blue, white: tells every orientation from every other."""
    image = np.zeros((height, width, 3), np.uint8)
    image[: height // 2, : width // 2] = RED
    image[: height // 2, width // 2 :] = GREEN
    image[height // 2 :, : width // 2] = BLUE
    image[height // 2 :, width // 2 :] = WHITE
    return image


def encode(
    path: Path,
    images: Iterable[np.ndarray],
    *,
    times: Sequence[int] | None = None,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    image_format: str = "rgb24",
    options: dict[str, str] | None = None,
    rotation: tuple[float, bool] | None = None,
) -> Path:
    """Encodes at 25 frames/s, or with `times` in milliseconds."""
    tick = Fraction(1, 25 if times is None else 1000)
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream(codec, rate=25)
        assert isinstance(stream, VideoStream)
        stream.pix_fmt = pix_fmt
        stream.codec_context.time_base = tick
        if rotation is not None:
            stream.set_display_rotation(rotation[0], hflip=rotation[1])
        for index, image in enumerate(images):
            if index == 0:
                stream.height, stream.width = image.shape[:2]
            frame = VideoFrame.from_ndarray(image, format=image_format)
            frame.time_base = tick
            frame.pts = index if times is None else times[index]
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def save_image(path: Path, image: np.ndarray, image_format: str = "rgb24") -> None:
    """One PNG by FFmpeg's encoder."""
    codec = av.CodecContext.create("png", "w")
    codec.height, codec.width, codec.pix_fmt = image.shape[0], image.shape[1], image_format
    codec.time_base = Fraction(1, 25)
    frame = VideoFrame.from_ndarray(image, format=image_format)
    packets = [*codec.encode(frame), *codec.encode(None)]
    path.write_bytes(b"".join(bytes(packet) for packet in packets))


def indices(frames: Iterable[np.ndarray]) -> list[int]:
    """The index each frame shows; fails where a frame is not evenly of one level."""
    found = []
    for frame in frames:
        index = round((float(frame.mean()) - 10) / 4)
        assert np.abs(frame.astype(int) - level(index)).max() <= 1
        found.append(index)
    return found


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return encode(tmp_path / "clip.mp4", map(gray, range(30)))


def frames_alive() -> int:
    """Number of FFmpeg frames in memory, but for tiny ones, asked for their orientation only."""
    return sum(type(each) is VideoFrame and each.height > 2 for each in gc.get_objects())


class TestFrames:
    def test_every_frame_once_and_in_order(self, clip: Path) -> None:
        with VideoReader(clip) as video:
            frames = list(video)
            assert (video.height, video.width, video.fps) == (48, 64, 25.0)
            assert (video.frame_count, video.duration) == (30, 1.2)
        assert indices(frames) == list(range(30))
        assert all(
            f.dtype == np.uint8 and f.flags.writeable and f.flags.c_contiguous for f in frames
        )

    def test_memory_does_not_wait_for_the_garbage_collector(self, tmp_path: Path) -> None:
        # Reading every frame's side data once kept each frame in a reference cycle: 70 MB a pass.
        clip = encode(tmp_path / "clip.mp4", map(gray, range(60)))
        folder = tmp_path / "images"
        folder.mkdir()
        for index in range(60):
            save_image(folder / f"{index}.png", gray(index))
        gc.collect()
        gc.disable()
        try:
            for source in (clip, folder):
                most = max(frames_alive() for _ in VideoReader(source))
                assert most < 25  # FFmpeg itself holds as many as it has threads, at most 16.
        finally:
            gc.enable()

    def test_iterating_again_starts_again(self, clip: Path) -> None:
        with VideoReader(clip) as video:
            started = iter(video)
            first = [next(started) for _ in range(3)]
            assert indices(video) == list(range(30))
            assert indices([*first, *started]) == list(range(30))

    def test_times_are_seconds_from_the_first_frame(self, tmp_path: Path) -> None:
        path = encode(tmp_path / "late.mkv", map(gray, range(3)), times=[500, 540, 740])
        with VideoReader(path) as video:
            assert [time for time, _ in video.timed()] == pytest.approx([0, 0.04, 0.24])

    def test_a_closed_reader_says_so(self, clip: Path) -> None:
        with VideoReader(clip) as video:
            under_way = iter(video)
            next(under_way)
        with pytest.raises(VideoError, match="expected an open reader"):
            next(under_way)
        with pytest.raises(VideoError, match="expected an open reader"):
            list(video)

    def test_colors_and_odd_sizes(self, tmp_path: Path) -> None:
        path = encode(tmp_path / "odd.mkv", [quarters(47, 63)], codec="ffv1", pix_fmt="bgr0")
        (frame,) = VideoReader(path)
        np.testing.assert_array_equal(frame, quarters(47, 63))

    def test_gray_becomes_rgb(self, tmp_path: Path) -> None:
        images = [gray(index, 47, 63)[..., 0] for index in range(5)]
        path = encode(
            tmp_path / "gray.mkv", images, codec="ffv1", pix_fmt="gray", image_format="gray"
        )
        frames = list(VideoReader(path))
        assert {frame.shape for frame in frames} == {(47, 63, 3)}
        assert indices(frames) == list(range(5))

    def test_file_names_that_look_like_protocols_or_patterns(self, clip: Path) -> None:
        for name in ("http:a.mp4", "take%02d.mp4", "camera 1.mp4", "a#b?c=d.mp4"):
            assert indices(VideoReader(clip.rename(clip.with_name(name)))) == list(range(30))
            clip = clip.with_name(name)

    def test_sixteen_bit_gray_becomes_rgb(self, tmp_path: Path) -> None:
        image = np.full((8, 8), 128 * 257, np.uint16)
        path = encode(
            tmp_path / "deep.mkv",
            [image],
            codec="ffv1",
            pix_fmt="gray16le",
            image_format="gray16le",
        )
        (frame,) = VideoReader(path)
        assert np.abs(frame.astype(int) - 128).max() <= 1

    def test_alpha_is_composited_over_black(self, tmp_path: Path) -> None:
        image = np.zeros((8, 8, 4), np.uint8)
        image[:4] = (200, 100, 50, 128)
        image[4:] = (200, 100, 50, 255)
        path = encode(
            tmp_path / "alpha.mov", [image], codec="qtrle", pix_fmt="argb", image_format="rgba"
        )
        (frame,) = VideoReader(path)
        np.testing.assert_array_equal(frame[0, 0], [100, 50, 25])
        np.testing.assert_array_equal(frame[7, 7], [200, 100, 50])

    def test_palette_becomes_rgb(self, tmp_path: Path) -> None:
        paletted = Image.fromarray(quarters()).convert("P", palette=Image.Palette.ADAPTIVE)
        for name in ("palette.png", "palette.gif"):
            paletted.save(tmp_path / name)
            (frame,) = VideoReader(tmp_path / name)
            np.testing.assert_array_equal(frame, quarters())

    def test_transparent_palette_entry_is_black(self, tmp_path: Path) -> None:
        paletted = Image.fromarray(quarters()).convert("P", palette=Image.Palette.ADAPTIVE)
        paletted.save(tmp_path / "palette.png", transparency=paletted.getpixel((0, 0)))
        expected = quarters()
        expected[:24, :32] = 0
        (frame,) = VideoReader(tmp_path / "palette.png")
        np.testing.assert_array_equal(frame, expected)


class TestRotation:
    @pytest.mark.parametrize("mirrored", [False, True])
    @pytest.mark.parametrize("degrees", [0, 90, 180, -90])
    def test_display_matrix_is_honored(self, tmp_path: Path, degrees: int, mirrored: bool) -> None:
        path = encode(tmp_path / "turned.mp4", [quarters()] * 3, rotation=(degrees, mirrored))
        upright = np.rot90(quarters(), degrees // 90)
        if mirrored:
            upright = upright[:, ::-1]
        with VideoReader(path) as video:
            assert (video.height, video.width) == upright.shape[:2]
            for frame in video:
                for at in [(4, 4), (4, -4), (-4, 4), (-4, -4)]:
                    np.testing.assert_allclose(
                        frame[at].astype(int), upright[at].astype(int), atol=6
                    )

    @pytest.mark.parametrize(("orientation", "degrees"), [(1, 0), (3, 180), (6, -90), (8, 90)])
    def test_exif_orientation_of_images(
        self, tmp_path: Path, orientation: int, degrees: int
    ) -> None:
        # PyAV 18 fails on the side data of any image with EXIF: it has no name for that kind.
        exif = Image.Exif()
        exif[274] = orientation
        image = Image.fromarray(quarters())
        image.save(tmp_path / "a.jpg", exif=exif, quality=95, subsampling=0)
        (frame,) = VideoReader(tmp_path)
        upright = np.rot90(quarters(), degrees // 90)
        assert frame.shape == upright.shape
        for at in [(4, 4), (4, -4), (-4, 4), (-4, -4)]:
            np.testing.assert_allclose(frame[at].astype(int), upright[at].astype(int), atol=12)

    def test_size_counts_after_rotation(self, tmp_path: Path) -> None:
        path = encode(tmp_path / "turned.mp4", [quarters()], rotation=(90, False))
        (frame,) = VideoReader(path, size=(32, 12))
        assert frame.shape == (32, 12, 3)
        np.testing.assert_allclose(frame[2, 2], GREEN, atol=12)
        np.testing.assert_allclose(frame[-2, 2], RED, atol=12)


class TestSize:
    def test_covers_then_crops_the_middle(self, tmp_path: Path) -> None:
        image = np.zeros((40, 80, 3), np.uint8)
        image[:, 20:60] = WHITE  # Exactly what a square crop keeps.
        path = encode(tmp_path / "wide.mkv", [image], codec="ffv1", pix_fmt="bgr0")
        (frame,) = VideoReader(path, size=(20, 20))
        assert frame.shape == (20, 20, 3)
        assert frame[:, 1:-1].min() > 250  # The scaling filter touches the outermost column.

    @pytest.mark.parametrize("size", [(7, 13), (13, 7), (97, 51), (48, 64), (1, 1)])
    def test_any_size(self, clip: Path, size: tuple[int, int]) -> None:
        with VideoReader(clip, size=size) as video:
            assert (video.height, video.width) == size
            frames = list(video)
        assert {frame.shape for frame in frames} == {(*size, 3)}
        assert indices(frames) == list(range(30))

    @pytest.mark.parametrize("size", [(0, 5), (5, -1), (2.5, 3), (3,)])
    def test_impossible_sizes(self, clip: Path, size: tuple[int, int]) -> None:
        with pytest.raises(VideoError, match="size: expected"):
            VideoReader(clip, size=size)


class TestFrameRate:
    def test_dropping(self, clip: Path) -> None:
        with VideoReader(clip, fps=12.5) as video:
            assert (video.fps, video.frame_count) == (12.5, 15)
            assert indices(video) == list(range(0, 30, 2))

    def test_repeating(self, clip: Path) -> None:
        with VideoReader(clip, fps=50) as video:
            assert video.frame_count == 60
            assert indices(video) == [index for index in range(30) for _ in range(2)]

    def test_uneven_ratio(self, clip: Path) -> None:
        with VideoReader(clip, fps=10) as video:
            expected = [n * 25 // 10 for n in range(12)]
            assert video.frame_count == 12
            assert indices(video) == expected

    def test_same_rate_changes_nothing(self, clip: Path) -> None:
        assert indices(VideoReader(clip, fps=25)) == list(range(30))

    @pytest.mark.parametrize("suffix", ["mp4", "mkv"])
    def test_variable_rate(self, tmp_path: Path, suffix: str) -> None:
        times = [0, 40, 50, 60, 300, 310, 500]
        path = encode(tmp_path / f"variable.{suffix}", map(gray, range(7)), times=times)
        with VideoReader(path) as video:
            assert indices(video) == list(range(7))
        shown = indices(VideoReader(path, fps=20))
        newest = [max(i for i, t in enumerate(times) if t <= 50 * n) for n in range(11)]
        assert newest == [0, 2, 3, 3, 3, 3, 4, 5, 5, 5, 6]
        # How long the last frame lasts is the container's choice; all before it is not.
        assert shown[:11] == newest
        assert set(shown[11:]) <= {6}

    def test_times_of_a_converted_video(self, clip: Path) -> None:
        times = [time for time, _ in VideoReader(clip, fps=10).timed()]
        assert times == pytest.approx([n / 10 for n in range(12)])

    def test_repeated_frames_are_separate_arrays(self, clip: Path) -> None:
        seen = []
        for frame in VideoReader(clip, fps=75):
            seen.append(round((float(frame[0, 0, 0]) - 10) / 4))
            frame[:] = 255  # A consumer draws on its frame.
        assert seen == [index for index in range(30) for _ in range(3)]

    def test_rates_are_exact(self) -> None:
        assert frame_rate(30000 / 1001) == Fraction(30000, 1001)
        assert frame_rate(29.97) == Fraction(2997, 100)
        assert frame_rate(25) == 25

    @pytest.mark.parametrize("fps", [0, -1, float("nan"), float("inf")])
    def test_impossible_rates(self, clip: Path, fps: float) -> None:
        with pytest.raises(VideoError, match="fps: expected a positive number"):
            VideoReader(clip, fps=fps)


class TestImageFolder:
    def test_natural_order(self, tmp_path: Path) -> None:
        for index in range(12):
            save_image(tmp_path / f"frame{index}.png", gray(index))
        (tmp_path / "notes.txt").write_text("not an image")
        (tmp_path / ".frame0.png").write_text("what some systems leave behind")
        with VideoReader(tmp_path) as video:
            assert (video.frame_count, video.fps, video.duration) == (12, 25.0, 0.48)
            assert indices(video) == list(range(12))

    def test_fps_is_the_rate_of_the_folder(self, tmp_path: Path) -> None:
        for index in range(4):
            save_image(tmp_path / f"{index}.png", gray(index))
        with VideoReader(tmp_path, fps=10) as video:
            assert (video.frame_count, video.fps, video.duration) == (4, 10.0, 0.4)
            assert [time for time, _ in video.timed()] == pytest.approx([0, 0.1, 0.2, 0.3])

    def test_alpha_over_black(self, tmp_path: Path) -> None:
        image = np.full((6, 6, 4), (0, 200, 100, 51), np.uint8)
        save_image(tmp_path / "a.png", image, "rgba")
        (frame,) = VideoReader(tmp_path)
        np.testing.assert_array_equal(frame, np.full((6, 6, 3), (0, 40, 20), np.uint8))

    def test_names_that_look_like_patterns(self, tmp_path: Path) -> None:
        save_image(tmp_path / "100%d.png", quarters())
        (frame,) = VideoReader(tmp_path)
        np.testing.assert_array_equal(frame, quarters())

    def test_jpeg(self, tmp_path: Path) -> None:
        VideoFrame.from_ndarray(quarters(), format="rgb24").save(str(tmp_path / "a.jpg"))
        (frame,) = VideoReader(tmp_path)
        np.testing.assert_allclose(frame[4, 4], RED, atol=8)
        np.testing.assert_allclose(frame[-4, -4], WHITE, atol=8)

    def test_images_of_several_sizes_need_size(self, tmp_path: Path) -> None:
        save_image(tmp_path / "0.png", gray(0, 20, 30))
        save_image(tmp_path / "1.png", gray(1, 40, 30))
        with pytest.raises(VideoError, match=r"\(20, 30\).*received \(40, 30\).*`size=`"):
            list(VideoReader(tmp_path))
        assert indices(VideoReader(tmp_path, size=(10, 10))) == [0, 1]

    def test_a_damaged_image_is_left_out_with_one_warning(self, tmp_path: Path) -> None:
        for index in range(5):
            save_image(tmp_path / f"{index}.png", gray(index))
        for index in (1, 3):
            (tmp_path / f"{index}.png").write_bytes(b"no image")
        with pytest.warns(RuntimeWarning, match="1.png does not decode") as caught:
            assert indices(VideoReader(tmp_path)) == [0, 2, 4]
        assert len(caught) == 1
        with pytest.raises(VideoError, match="1.png does not decode"):
            list(VideoReader(tmp_path, strict=True))


class TestErrors:
    def test_missing(self, tmp_path: Path) -> None:
        with pytest.raises(VideoError, match="does not exist.*Check the spelling"):
            VideoReader(tmp_path / "none.mp4")

    def test_file_in_the_place_of_a_folder(self, clip: Path) -> None:
        with pytest.raises(VideoError, match="does not exist"):
            VideoReader(clip / "inside.mp4")

    def test_folder_without_images(self, tmp_path: Path) -> None:
        (tmp_path / "notes.txt").write_text("")
        with pytest.raises(VideoError, match="folder of images.*none among its 1 entries"):
            VideoReader(tmp_path)

    def test_impossible_path(self, tmp_path: Path) -> None:
        with pytest.raises(VideoError, match="File name too long"):
            VideoReader(tmp_path / ("a" * 300))

    def test_empty(self, tmp_path: Path) -> None:
        (tmp_path / "empty.mp4").touch()
        with pytest.raises(VideoError, match="empty one.*0 bytes"):
            VideoReader(tmp_path / "empty.mp4")

    def test_cut_before_the_index(self, clip: Path) -> None:
        clip.write_bytes(clip.read_bytes()[:-600])  # The index is at the end.
        with pytest.raises(VideoError, match="'moov'.*cut short"):
            VideoReader(clip)

    @pytest.mark.parametrize("name", ["text.mp4", "text.txt"])
    def test_text(self, tmp_path: Path, name: str) -> None:
        (tmp_path / name).write_text("Once upon a time, there was no video.\n" * 20)
        with pytest.raises(VideoError, match="text.*no video.*right file"):
            VideoReader(tmp_path / name)

    def test_audio_only(self, tmp_path: Path) -> None:
        path = tmp_path / "sound.wav"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), "s16", "mono")
            frame.sample_rate = 8000
            container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        with pytest.raises(VideoError, match="expected a video stream, received only audio"):
            VideoReader(path)

    def test_missing_camera(self) -> None:
        with pytest.raises(VideoError, match="camera:97: expected a camera.*cameras found"):
            VideoReader("camera:97")

    @pytest.mark.skipif(sys.platform != "linux", reason="names cameras by device file")
    def test_missing_camera_device(self) -> None:
        with pytest.raises(VideoError, match="/dev/video97.*cameras found"):
            VideoReader("/dev/video97")

    @pytest.mark.parametrize("scheme", ["rtsp", "http"])
    def test_unreachable_stream(self, scheme: str) -> None:
        with pytest.raises(VideoError, match="Connection refused.*that the sender runs"):
            VideoReader(f"{scheme}://127.0.0.1:9/none", timeout=2)

    def test_silent_stream(self) -> None:
        with pytest.raises(VideoError, match="answers within 0.2 s.*no answer in time"):
            VideoReader("udp://127.0.0.1:47813", timeout=0.2)

    def test_unknown_protocol(self) -> None:
        with pytest.raises(VideoError, match="Protocol not found"):
            VideoReader("nonsense://somewhere")

    @pytest.mark.skipif(not hasattr(os, "seteuid"), reason="needs POSIX file permissions")
    def test_no_permission(self) -> None:
        # Not below tmp_path, which only its owner may enter: here the file alone is closed.
        with tempfile.TemporaryDirectory() as folder:
            os.chmod(folder, 0o755)
            path = encode(Path(folder) / "closed.mp4", [gray(0)])
            path.chmod(0)
            with as_ordinary_user(), pytest.raises(VideoError, match="permission denied.*Grant"):
                VideoReader(path)


@contextmanager
def as_ordinary_user() -> Iterator[None]:
    """Root may read everything, so give root up for a while."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


class TestDamage:
    """A file cut in its data: what decodes comes, with one warning."""

    @pytest.fixture(params=["mp4", "mkv", "avi"])
    def cut(self, request: pytest.FixtureRequest, tmp_path: Path) -> Path:
        random = np.random.default_rng(0)
        noise = [random.integers(0, 255, (48, 64, 3), np.uint8) for _ in range(60)]
        path = encode(
            tmp_path / f"cut.{request.param}",
            noise,
            codec="mpeg4",
            options={"movflags": "faststart"} if request.param == "mp4" else None,
        )
        content = path.read_bytes()
        path.write_bytes(content[: len(content) * 6 // 10])
        return path

    def test_what_decodes_is_delivered(self, cut: Path) -> None:
        with pytest.warns(RuntimeWarning, match="damaged.*frames that decode") as caught:
            frames = list(VideoReader(cut))
        assert 15 < len(frames) < 45
        assert len(caught) == 1

    def test_strict_raises(self, cut: Path) -> None:
        with pytest.raises(VideoError, match="damaged.*`strict=False`"):
            list(VideoReader(cut, strict=True))

    def test_whole_files_do_not_warn(self, tmp_path: Path) -> None:
        for suffix in ("mp4", "mkv", "avi", "ts"):
            path = encode(tmp_path / f"whole.{suffix}", map(gray, range(30)))
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                assert indices(VideoReader(path, strict=True)) == list(range(30))


def test_file_behind_a_url(clip: Path) -> None:
    handler = partial(_QuietHandler, directory=str(clip.parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            with VideoReader(f"http://127.0.0.1:{server.server_port}/{clip.name}") as video:
                assert indices(video) == list(range(30))
            with pytest.raises(VideoError, match="404"):
                VideoReader(f"http://127.0.0.1:{server.server_port}/none.mp4")
        finally:
            server.shutdown()
            thread.join()


class _QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Nothing into the test's output."""


class TestWriter:
    @pytest.mark.parametrize("size", [(48, 64), (47, 63)])
    def test_round_trip(self, tmp_path: Path, size: tuple[int, int]) -> None:
        path = tmp_path / "out.mp4"
        with VideoWriter(path, 25) as writer:
            for index in range(30):
                writer.write(gray(index, *size))
            assert not path.exists()
        with VideoReader(path) as video:
            assert (video.height, video.width, video.fps) == (48, 64, 25.0)
            assert indices(video) == list(range(30))
        assert [entry.name for entry in tmp_path.iterdir()] == ["out.mp4"]

    def test_colors(self, tmp_path: Path) -> None:
        with VideoWriter(tmp_path / "out.mp4", 10) as writer:
            writer.write(quarters())
        (frame,) = VideoReader(tmp_path / "out.mp4")
        inner = np.ones((48, 64), bool)
        inner[22:26] = inner[:, 30:34] = False  # yuv420p blends colors where quarters meet.
        np.testing.assert_allclose(frame[inner].astype(int), quarters()[inner].astype(int), atol=8)

    @pytest.mark.parametrize("fps", [25, 12.5, Fraction(30000, 1001)])
    def test_rate(self, tmp_path: Path, fps: float | Fraction) -> None:
        with VideoWriter(tmp_path / "out.mp4", fps) as writer:
            for index in range(10):
                writer.write(gray(index))
        with VideoReader(tmp_path / "out.mp4") as video:
            assert video.fps == pytest.approx(float(fps))
            assert video.duration == pytest.approx(10 / float(fps), abs=1e-4)

    def test_without_an_h264_encoder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(av, "codecs_available", av.codecs_available - {"libx264"})
        with VideoWriter(tmp_path / "out.mp4", 25) as writer:
            for index in range(10):
                writer.write(gray(index, 47, 63))
        with av.open(str(tmp_path / "out.mp4")) as container:
            assert container.streams.video[0].codec_context.name == "mpeg4"
        assert indices(VideoReader(tmp_path / "out.mp4")) == list(range(10))

    def test_nothing_is_left_by_a_failure(self, tmp_path: Path) -> None:
        with (
            pytest.raises(RuntimeError, match="in the middle"),
            VideoWriter(tmp_path / "out.mp4", 25) as writer,
        ):
            writer.write(gray(0))
            raise RuntimeError("in the middle")
        assert list(tmp_path.iterdir()) == []

    def test_an_older_file_survives_a_failure(self, clip: Path) -> None:
        older = clip.read_bytes()
        with pytest.raises(VideoError), VideoWriter(clip, 25) as writer:
            writer.write(gray(0))
            writer.write(gray(0)[:10])
        assert clip.read_bytes() == older
        assert list(clip.parent.iterdir()) == [clip]

    def test_an_older_file_is_replaced_by_success(self, clip: Path) -> None:
        with VideoWriter(clip, 25) as writer:
            writer.write(gray(7))
        assert indices(VideoReader(clip)) == [7]

    @pytest.mark.parametrize(
        ("frame", "message"),
        [
            (gray(0).astype(np.float32), "uint8.*received dtype float32"),
            (gray(0)[..., 0], r"\[height, width, 3\], received shape \[48, 64\]"),
            (np.zeros((4, 4, 4), np.uint8), r"received shape \[4, 4, 4\]"),
            (np.zeros((0, 4, 3), np.uint8), r"received shape \[0, 4, 3\]"),
            (gray(0).tolist(), "received list"),
        ],
    )
    def test_wrong_frames(self, tmp_path: Path, frame: np.ndarray, message: str) -> None:
        with pytest.raises(VideoError, match=message), VideoWriter(tmp_path / "a.mp4", 5) as out:
            out.write(frame)

    def test_changed_size(self, tmp_path: Path) -> None:
        message = r"frame 1: .*first frame's shape \[48, 64, 3\], received \[48, 60, 3\]"
        with pytest.raises(VideoError, match=message), VideoWriter(tmp_path / "a.mp4", 5) as out:
            out.write(gray(0))
            out.write(gray(0)[:, :60])

    def test_wrong_targets(self, tmp_path: Path) -> None:
        with pytest.raises(VideoError, match="ending in .mp4.*received '.txt'"):
            VideoWriter(tmp_path / "a.txt", 25)
        with pytest.raises(VideoError, match="existing folder"):
            VideoWriter(tmp_path / "none" / "a.mp4", 25)
        with pytest.raises(VideoError, match="fps: expected a positive number"):
            VideoWriter(tmp_path / "a.mp4", 0)

    def test_no_frame(self, tmp_path: Path) -> None:
        with (
            pytest.raises(VideoError, match="at least one frame"),
            VideoWriter(tmp_path / "a.mp4", 25),
        ):
            pass
        assert list(tmp_path.iterdir()) == []


class TestDrawText:
    def test_dark_ground_and_light_letters_at_the_top_left(self) -> None:
        frame = np.full((120, 200, 3), 200, np.uint8)
        drawn = draw_text(frame, ["walking 0.91", "12.4 ms"])
        assert drawn.shape == frame.shape and drawn.dtype == np.uint8
        np.testing.assert_array_equal(frame, 200)
        rows, columns, _ = np.nonzero(drawn != frame)
        assert rows.min() < 10 and columns.min() < 10 and rows.max() < 60
        changed = drawn[rows.min() : rows.max(), columns.min() : columns.max()]
        assert np.median(changed) < 90 and changed.max() > 250

    def test_long_lines_shrink_to_fit(self) -> None:
        frame = np.full((224, 224, 3), 200, np.uint8)
        drawn = draw_text(frame, ["a line that is rather too long for so small a picture"])
        np.testing.assert_array_equal(drawn[:, -1], 200)

    def test_no_lines(self) -> None:
        np.testing.assert_array_equal(draw_text(gray(3), []), gray(3))


@pytest.mark.skipif(not CLIPS.is_dir(), reason=f"needs the real clips in {CLIPS}")
def test_real_clips() -> None:
    with (CLIPS / "MANIFEST.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["file"].startswith("stream/")]
    assert rows
    for row in rows:
        with VideoReader(CLIPS / row["file"], size=(36, 64), strict=True) as video:
            assert video.fps == pytest.approx(float(row["fps"]), abs=1e-2)
            assert video.frame_count == int(row["frames"])
            count, brightness = 0, []
            for frame in video:
                assert frame.shape == (36, 64, 3)
                brightness.append(float(frame.mean()))
                count += 1
        assert count == int(row["frames"])
        assert min(brightness) > 20 and max(brightness) < 235

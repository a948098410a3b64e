"""Opening files, image folders, network streams and cameras, and saying what is wrong with one.

FFmpeg opens them all, but each its own way, and what it says on failure helps few. Here each kind
is opened as it needs, its faults are told in words that name the remedy, and what comes out is the
same: decoded frames with their times, and what the source states of itself.

What it does not do well: sound is ignored; files are read front to back or from a key frame on, and
who wants single frames by number asks `seeking`.
"""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import av.device
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from mpvn.data.video.frames import Decoded, VideoError, turn_of

IMAGE_SUFFIXES = frozenset(
    {".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}
)
DEFAULT_FPS = 25
_TEXT_ART = frozenset({"adf", "bin", "idf", "tty", "xbin"})  # FFmpeg draws any .txt as a video.


class Key(NamedTuple):
    """A packet of a file from which decoding can begin. Times are ticks of the stream."""

    seek_to: int  # Where to seek: when it is decoded, or shown if that is sooner or alone known.
    time: int  # When its frame is shown.
    position: int  # In bytes; -1 where the format tells none.
    size: int  # In bytes.

    @classmethod
    def of(cls, packet: Packet) -> Key | None:
        """None for a packet that is no key frame, or has no time."""
        if not packet.is_keyframe or packet.pts is None:
            return None
        seek_to = packet.pts if packet.dts is None else min(packet.pts, packet.dts)
        return cls(seek_to, packet.pts, packet.pos if packet.pos is not None else -1, packet.size)


class Container:
    """A file, stream or camera that FFmpeg has opened."""

    def __init__(self, container: InputContainer, name: str, strict: bool, live: bool) -> None:
        self._container = container
        self._live = live
        self._damage = _Damage(name, strict)
        self._name = name
        try:
            self._stream = _picture_stream(container, name)
        except VideoError:
            container.close()
            raise
        # Decoding several frames at once is fastest, but holds each back by as many.
        self._stream.thread_type = "SLICE" if live else "AUTO"
        self.rate = self._stream.average_rate or self._stream.guessed_rate or None
        self.frame_count = self._stream.frames or None
        self.duration = None if live else _stated_duration(container, self._stream)
        self.time_base = self._stream.time_base
        self.codec = self._stream.codec_context.name

    def frames(self, key: Key | None = None) -> Iterator[Decoded]:
        """Decodes all frames, or, of a file, those from `key` on; none if it is not found."""
        period = 1 / self.rate if self.rate else Fraction(1, DEFAULT_FPS)
        end = Fraction(0)
        rotation, turn = 0, None
        for frame in self._decode(key):
            if turn is None or frame.rotation != rotation:
                rotation, turn = frame.rotation, turn_of(frame)
            base = frame.time_base or Fraction(0)
            shown_for = frame.duration * base or period
            time = end if frame.pts is None else frame.pts * base
            end = time + shown_for
            yield Decoded(time, shown_for, frame, turn)
        self.ends_at(end)

    def decode_one_by_one(self) -> None:
        """Decodes in the caller's thread: for a few frames, or many readers. Before any frame."""
        self._stream.thread_type = "NONE"

    def ends_at(self, end: Fraction) -> None:
        """Reports damage if the file states to end later than at `end` seconds.

        Matroska ends without an error when cut short, but states when this stream should end.
        """
        stated = _duration_tag(self._stream)
        period = 1 / self.rate if self.rate else Fraction(1, DEFAULT_FPS)
        if stated is not None and end < stated - 2 * period:
            self._damage.report(f"it ends at {float(end):.2f} s of {float(stated):.2f} s")

    def packets(self, key: Key | None = None) -> Iterator[Packet]:
        """What decoding would be given: whole packets, from `key` on, and an empty one at the end.

        Those of a file whose times change with where reading begins are not found by their key.
        """
        try:
            if key is not None:
                self._container.seek(key.seek_to, stream=self._stream)
            for packet in self._container.demux(self._stream):
                if key is not None and Key.of(packet) != key:
                    continue
                key = None
                if packet.is_corrupt:
                    self._damage.report("a packet is incomplete")
                else:
                    yield packet
        except av.FFmpegError as error:
            if self._live:
                raise VideoError(
                    f"{self._name}: expected more frames, received none ({error.strerror}). "
                    "The sender stopped or the connection was lost: open it again, or raise "
                    "`timeout=` if it pauses."
                ) from error
            self._damage.report(f"reading stops early ({error.strerror})")

    def close(self) -> None:
        self._container.close()

    def _decode(self, key: Key | None) -> Iterator[VideoFrame]:
        for packet in self.packets(key):
            try:
                decoded = self._stream.decode(packet)
            except av.FFmpegError as error:
                self._damage.report(f"a packet does not decode ({error.strerror})")
                continue
            yield from decoded


def _picture_stream(container: InputContainer, name: str) -> VideoStream:
    # A song's cover picture is a video stream by name only.
    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic:
            if stream.codec_context is None:
                raise VideoError(
                    f"{name}: expected a codec this FFmpeg build decodes, received an unknown one. "
                    "Convert the file, for example to H.264."
                )
            return stream
    kinds = sorted({stream.type for stream in container.streams})
    raise VideoError(
        f"{name}: expected a video stream, received only {' and '.join(kinds) or 'no stream'}. "
        "Give a file that holds pictures."
    )


def _stated_duration(container: InputContainer, stream: VideoStream) -> Fraction | None:
    if stream.duration is not None and stream.time_base is not None:
        return stream.duration * stream.time_base
    tag = _duration_tag(stream)
    if tag is not None or container.duration is None:
        return tag
    return Fraction(container.duration, av.time_base)


def _duration_tag(stream: VideoStream) -> Fraction | None:
    """Matroska's statement for one stream, such as 00:01:02.400000000."""
    match = re.fullmatch(r"(\d+):(\d+):(\d+(?:\.\d+)?)", stream.metadata.get("DURATION", ""))
    if match is None:
        return None
    hours, minutes, seconds = (Fraction(part) for part in match.groups())
    return (hours * 60 + minutes) * 60 + seconds


class ImageFolder:
    """The images of a folder, one after the other at an even rate."""

    def __init__(self, folder: Path, rate: Fraction | None, strict: bool) -> None:
        self._paths = images_in(folder)
        self._damage = _Damage(str(folder), strict)
        self.rate = rate or Fraction(DEFAULT_FPS)
        self.frame_count = len(self._paths)
        self.duration = len(self._paths) / self.rate

    def frames(self, wanted: Sequence[int] | None = None) -> Iterator[Decoded]:
        """Decodes all images, or those of the indices `wanted`."""
        period = 1 / self.rate
        for index in range(len(self._paths)) if wanted is None else wanted:
            frame = self._decode(self._paths[index])
            if frame is not None:
                yield Decoded(index * period, period, frame, turn_of(frame))

    def close(self) -> None:
        """Nothing stays open between two images."""

    def _decode(self, path: Path) -> VideoFrame | None:
        # By file object, since FFmpeg would take a name such as "50%d.png" for a pattern.
        try:
            with path.open("rb") as file, av.open(file, "r") as container:
                return next(container.decode(video=0))
        except (av.FFmpegError, IndexError, OSError, StopIteration) as error:
            self._damage.report(f"{path.name} does not decode ({error})")
        return None


def images_in(folder: Path) -> list[Path]:
    """The images of a folder, in natural order.

    Raises:
        VideoError: There are none.
    """
    paths = [
        path
        for path in folder.iterdir()
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")
    ]
    if not paths:
        raise VideoError(
            f"{folder}: expected a folder of images ({', '.join(sorted(IMAGE_SUFFIXES))}), received"
            f" one with none among its {sum(1 for _ in folder.iterdir())} entries. "
            "Give the folder that holds the images themselves, or a video file."
        )
    return sorted(paths, key=_natural_key)


def _natural_key(path: Path) -> tuple[list[str | int], str]:
    """Numbers compare as numbers; at odd positions, so that they never meet text."""
    parts = re.split(r"(\d+)", path.stem.casefold())
    return [int(part) if at % 2 else part for at, part in enumerate(parts)], path.name


class _Damage:
    """Reports damaged data: an error if strict, else one warning."""

    def __init__(self, name: str, strict: bool) -> None:
        self._name = name
        self._strict = strict
        self._reported = False

    def report(self, what: str) -> None:
        message = (
            f"{self._name}: expected a whole video, received a damaged one: {what}. "
            "Fetch or record it again."
        )
        if self._strict:
            raise VideoError(f"{message} Or give `strict=False` to get the frames that decode.")
        if not self._reported:
            self._reported = True
            warnings.warn(
                f"{message} The frames that decode are delivered.", RuntimeWarning, stacklevel=2
            )


# An opened source. It has rate, frame_count and duration (None: not stated), frames() and close().
Source = Container | ImageFolder


def open_source(
    source: str, rate: Fraction | None, strict: bool, timeout: float, options: dict[str, str]
) -> Source:
    """Opens a file, a folder of images, a URL or a camera.

    Args:
        source: As `VideoReader` takes it.
        rate: Frames per second of a folder of images; other sources have their own.
        strict: Whether damaged data is an error, or a warning.
        timeout: Seconds to wait for a stream or camera to open, and for its next data.
        options: FFmpeg options.

    Raises:
        VideoError: The source cannot be used; the message says why, and what to do.
    """
    if "://" in source:
        return _open_stream(source, strict, timeout, options)
    if source.startswith("camera:") or re.fullmatch(r"/dev/video\d+", source):
        return _open_camera(source, strict, timeout, options)
    return _open_path(Path(source), rate, strict, options)


def _open_path(path: Path, rate: Fraction | None, strict: bool, options: dict[str, str]) -> Source:
    try:
        if path.is_dir():
            return ImageFolder(path, rate, strict)
        if path.stat().st_size == 0 and path.is_file():
            raise VideoError(
                f"{path}: expected a video file, received an empty one (0 bytes). "
                "The copy or recording did not finish: do it again."
            )
        # With the protocol named, a colon in the path is not taken for one.
        container = av.open(f"file:{path}", "r", options=options)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise VideoError(
            f"{path}: expected a video file, a folder of images, a URL or a camera, received a path"
            f" that does not exist (seen from {Path.cwd()}). Check the spelling."
        ) from error
    except PermissionError as error:
        raise VideoError(
            f"{path}: expected a source this user may read, received 'permission denied'. "
            "Grant read access to it and to the folders above it."
        ) from error
    except av.InvalidDataError as error:
        raise VideoError(f"{path}: {_why_invalid(path)}") from error
    except (av.FFmpegError, OSError) as error:
        raise VideoError(
            f"{path}: expected a file FFmpeg can open, received '{_reason(error)}'. "
            "Convert it, for example to MP4 with H.264."
        ) from error
    if container.format.name in _TEXT_ART:
        container.close()
        raise VideoError(f"{path}: {_why_invalid(path)}")
    return Container(container, str(path), strict, live=False)


def _why_invalid(path: Path) -> str:
    with path.open("rb") as file:
        start = file.read(12)
    if start[4:8] in (b"ftyp", b"mdat", b"moov", b"wide", b"free"):
        return (
            "expected a whole MP4 or MOV file, received one whose index ('moov') is missing or "
            "broken. It was cut short, or its recording never closed: fetch or record it again."
        )
    return (
        f"expected a video file, received data that is no video FFmpeg knows (it begins {start!r})."
        " Check that this is the right file, and whole."
    )


def _open_stream(url: str, strict: bool, timeout: float, options: dict[str, str]) -> Container:
    if url.startswith("rtsp"):
        options = {"rtsp_transport": "tcp", **options}  # UDP loses packets on busy networks.
    try:
        container = av.open(url, "r", options=options, timeout=timeout)
    except (av.FFmpegError, OSError) as error:
        raise VideoError(
            f"{url}: expected a stream that answers within {timeout} s, received "
            f"'{_reason(error)}'. Check the address, that the sender runs, and that this machine "
            "reaches it; or raise `timeout=`."
        ) from error
    # A finite file behind a URL states its length, a broadcast does not.
    return Container(container, url, strict, live=container.duration is None)


def _open_camera(source: str, strict: bool, timeout: float, options: dict[str, str]) -> Container:
    name = source.removeprefix("camera:")
    if sys.platform == "darwin":
        driver, device = "avfoundation", name
        options = {"framerate": "30", **options}  # The driver's own default fails on most cameras.
    elif sys.platform == "win32":
        driver, device = "dshow", f"video={_windows_camera(name)}"
    else:
        driver, device = "v4l2", f"/dev/video{name}" if name.isdecimal() else name
    try:
        container = av.open(device, "r", format=driver, options=options, timeout=timeout)
    except (av.FFmpegError, OSError) as error:
        denied = isinstance(error, PermissionError)
        raise VideoError(
            f"{source}: expected a camera that opens, received '{_reason(error)}' from {driver} "
            f"{device!r}; cameras found: {_cameras(driver) or 'none'}. "
            + (
                "Let this user use cameras (on Linux: the group 'video')."
                if denied
                else "Plug it in, give one of those found, or end what else uses it."
            )
        ) from error
    return Container(container, source, strict, live=True)


def _cameras(driver: str) -> list[str]:
    if driver == "v4l2":
        return sorted(str(path) for path in Path("/dev").glob("video*"))
    return [
        device.description
        for device in av.device.enumerate_input_devices(driver)
        if "video" in device.media_types
    ]


def _windows_camera(name: str) -> str:
    """DirectShow knows cameras by name only; a number counts those it lists."""
    if not name.isdecimal():
        return name
    found = _cameras("dshow")
    return found[int(name)] if int(name) < len(found) else name


def _reason(error: Exception) -> str:
    if isinstance(error, av.error.ExitError):
        return "no answer in time"
    return getattr(error, "strerror", None) or str(error)

"""Open files, image folders, network streams and cameras.

FFmpeg opens each kind of source with its own options, and its error messages help few users. This
module sets the options and raises errors that state the cause and the fix. All kinds yield the same
decoded frames with times.

Limitations: audio is ignored. Files are read from the start or from a key frame; to read single
frames by number, use `seeking`.
"""

from __future__ import annotations

import re
import sys
from fractions import Fraction
from pathlib import Path

import av
import av.device

from mpvn.data.video.container import Container
from mpvn.data.video.errors import VideoError
from mpvn.data.video.image_folder import ImageFolder
from mpvn.data.video.image_series import is_series

Source = Container | ImageFolder
"""An open source: `rate`, `frame_count` and `duration` (None if not stated), `frames()`, `close()`.
"""

_TEXT_ART = frozenset({"adf", "bin", "idf", "tty", "xbin"})  # FFmpeg renders any .txt file as video


def open_source(
    source: str,
    rate: Fraction | None,
    strict: bool,
    timeout: float,
    options: dict[str, str],
    stream: int | None = None,
) -> Source:
    """Open a file, a folder of images, a URL or a camera.

    Args:
        source: See `VideoReader`.
        rate: Frames per second of a folder of images. Ignored for other sources, which have their
            own rate.
        strict: Whether damaged data is an error, or a warning.
        timeout: Seconds to wait for a stream or camera to open, and for its next data.
        options: FFmpeg options.
        stream: Number of the video stream. None for the default: see `choose_stream`.

    Raises:
        VideoError: The source cannot be used.
    """
    if "://" in source:
        return _open_stream(source, strict, timeout, options, stream)
    if source.startswith("camera:") or re.fullmatch(r"/dev/video\d+", source):
        return _open_camera(source, strict, timeout, options, stream)
    return _open_path(Path(source), rate, strict, options, stream)


def _open_path(
    path: Path, rate: Fraction | None, strict: bool, options: dict[str, str], stream: int | None
) -> Source:
    try:
        if is_series(path):
            return _open_folder(path, rate, strict, stream)
        if path.stat().st_size == 0 and path.is_file():
            raise VideoError(
                f"{path}: expected a video file. Received: an empty file (0 bytes). "
                "The copy or recording did not finish: repeat it."
            )
        # With an explicit protocol, FFmpeg does not read a colon in the path as the end of one.
        container = av.open(f"file:{path}", "r", options=options)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise VideoError(
            f"{path}: expected a video file, a folder of images, a URL or a camera. Received: a "
            f"path that does not exist (current folder: {Path.cwd()}). Check the spelling."
        ) from error
    except PermissionError as error:
        raise VideoError(
            f"{path}: expected a source that this user may read. Received: 'permission denied'. "
            "Grant read access to it and to its parent folders."
        ) from error
    except av.InvalidDataError as error:
        raise VideoError(f"{path}: {_explain_invalid_data(path)}") from error
    except (av.FFmpegError, OSError) as error:
        raise VideoError(
            f"{path}: expected a file that FFmpeg can open. Received: '{_reason(error)}'. "
            "Convert it, for example to MP4 with H.264."
        ) from error
    if container.format.name in _TEXT_ART:
        container.close()
        raise VideoError(f"{path}: {_explain_invalid_data(path)}")
    return Container(container, str(path), strict, live=False, stream=stream)


def _open_folder(path: Path, rate: Fraction | None, strict: bool, stream: int | None) -> Source:
    if stream:
        raise VideoError(
            f"{path}: expected stream 0: a folder of images is one video. Received: {stream}."
        )
    return ImageFolder(path, rate, strict)


def _explain_invalid_data(path: Path) -> str:
    with path.open("rb") as file:
        start = file.read(12)
    if start[4:8] in (b"ftyp", b"mdat", b"moov", b"wide", b"free"):
        return (
            "expected a complete MP4 or MOV file. Received: a file whose index ('moov') is missing "
            "or broken. It was cut short, or its recording was never closed: download or record it "
            "again."
        )
    return (
        "expected a video file. Received: data that is not a video format FFmpeg knows (it starts "
        f"with {start!r}). Check that this is the right file and that it is complete."
    )


def _open_stream(
    url: str, strict: bool, timeout: float, options: dict[str, str], stream: int | None
) -> Container:
    if url.startswith("rtsp"):
        options = {"rtsp_transport": "tcp", **options}  # UDP loses packets on busy networks
    try:
        container = av.open(url, "r", options=options, timeout=timeout)
    except (av.FFmpegError, OSError) as error:
        raise VideoError(
            f"{url}: expected a stream that answers within {timeout} s. Received: "
            f"'{_reason(error)}'. Check the address, that the sender is running, and that this "
            "machine can reach it; or increase `timeout=`."
        ) from error
    # A finite file behind a URL states its duration; a broadcast does not.
    return Container(container, url, strict, live=container.duration is None, stream=stream)


def _open_camera(
    source: str, strict: bool, timeout: float, options: dict[str, str], stream: int | None
) -> Container:
    name = source.removeprefix("camera:")
    if sys.platform == "darwin":
        driver, device = "avfoundation", name
        options = {"framerate": "30", **options}  # the driver's default fails on most cameras
    elif sys.platform == "win32":
        driver, device = "dshow", f"video={_windows_camera(name)}"
    else:
        driver, device = "v4l2", f"/dev/video{name}" if name.isdecimal() else name
    try:
        container = av.open(device, "r", format=driver, options=options, timeout=timeout)
    except (av.FFmpegError, OSError) as error:
        if isinstance(error, PermissionError):
            remedy = "Allow this user to use cameras (on Linux: the group 'video')."
        else:
            remedy = "Plug it in, pass one of those found, or close other programs that use it."
        raise VideoError(
            f"{source}: expected a camera that opens. Received: '{_reason(error)}' from {driver} "
            f"{device!r}. Cameras found: {_cameras(driver) or 'none'}. {remedy}"
        ) from error
    return Container(container, source, strict, live=True, stream=stream)


def _cameras(driver: str) -> list[str]:
    """Return the names of the cameras of this machine."""
    if driver == "v4l2":
        return sorted(str(path) for path in Path("/dev").glob("video*"))
    return [
        device.description
        for device in av.device.enumerate_input_devices(driver)
        if "video" in device.media_types
    ]


def _windows_camera(name: str) -> str:
    """Return the name of camera number `name`: DirectShow opens cameras by name only."""
    if not name.isdecimal():
        return name
    cameras = _cameras("dshow")
    return cameras[int(name)] if int(name) < len(cameras) else name


def _reason(error: Exception) -> str:
    if isinstance(error, av.error.ExitError):
        return "no answer in time"
    return getattr(error, "strerror", None) or str(error)

"""Open files, image folders, pipes, downloads, network streams and cameras.

FFmpeg opens each kind of source with its own options, and its error messages help few users. This
module sets the options and raises errors that state the cause and the fix. All kinds yield the same
decoded frames with times.

A source is live if its frames arrive in real time and do not wait for a slow reader. `is_live`
decides, for all of the package:

| source | live |
|---|---|
| file, folder of images | no |
| camera | yes |
| `rtsp`, `rtmp`, `rtp`, `udp`, `srt`, `rist`, `mms` | yes, unless it states its length |
| playlist (HLS, DASH) | yes, until it states its end |
| pictures one after the other (MJPEG) over HTTP | yes, unless the server states a length |
| anything else: downloads, `tcp`, pipes | no: no frame of them may be lost |

`live=` overrides it for sources that do not show it: a broadcast of MPEG-TS over HTTP, a camera's
pipe.

Limitations: audio is ignored. Files are read from the start or from a key frame; to read single
frames by number, use `seeking`. Playlists that need a password get it from FFmpeg's options only.
"""

from __future__ import annotations

import dataclasses
import os
import stat
import threading
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer

from mpvn.data.video.background import BackgroundSource, Decoding
from mpvn.data.video.cameras import is_camera, open_camera
from mpvn.data.video.container import PLAYLISTS, Container
from mpvn.data.video.download import Download
from mpvn.data.video.errors import VideoError
from mpvn.data.video.image_folder import ImageFolder
from mpvn.data.video.image_series import is_series
from mpvn.data.video.incoming import Incoming, Pipe
from mpvn.data.video.link import Link, error_reason, lost
from mpvn.data.video.playlist import FinitePlaylist
from mpvn.data.video.reconnecting import ReconnectingSource

Source = Container | ImageFolder | BackgroundSource
"""A source: `rate`, `frame_count` and `duration` (None if not stated), `is_live`, `frames()`,
`close()`. A `BackgroundSource` has these facts from its first frame on.
"""

DEFAULT_TIMEOUT = 10.0
"""Seconds to wait for a stream or camera."""

_LIVE_PROTOCOLS = frozenset(
    {"mmsh", "mmst", "rist", "rtmp", "rtmpe", "rtmps", "rtmpt", "rtmpte", "rtmpts", "rtp", "rtsp"}
    | {"rtsps", "srt", "srtp", "udp", "udplite"}
)
_PICTURES = frozenset({"mjpeg", "mpjpeg"})  # FFmpeg's names of formats, as below
_TEXT_ART = frozenset({"adf", "bin", "idf", "tty", "xbin"})  # FFmpeg renders any .txt file as video
_SNIFFED = 1024  # bytes that are read to decide how to open the source
_STANDARD_INPUT = frozenset({"-", "pipe:", "pipe:0", "/dev/stdin", "/dev/fd/0"})


@dataclasses.dataclass(frozen=True)
class _Request:
    """The arguments of `open_source`."""

    source: str
    strict: bool
    timeout: float | None
    options: dict[str, str]
    stream: int | None
    live: bool | None


def open_source(
    source: str,
    rate: Fraction | None,
    strict: bool,
    timeout: float | None,
    options: dict[str, str],
    stream: int | None = None,
    live: bool | None = None,
    reconnect: float = 0.0,
) -> Source:
    """Open a file, a folder of images, a pipe, a URL or a camera.

    Args:
        source: See `VideoReader`.
        rate: Frames per second of a folder of images. Ignored for other sources, which have their
            own rate.
        strict: Whether damaged data is an error, or a warning.
        timeout: Seconds to wait for a stream or camera to open, and for its next data. None for
            `DEFAULT_TIMEOUT`, or no limit for pipes.
        options: FFmpeg options.
        stream: Number of the video stream. None for the default: see `choose_stream`.
        live: Whether the source is live. None to decide by the source.
        reconnect: Seconds in which a live source is opened again after a loss.

    Raises:
        VideoError: The source cannot be used. A `BackgroundSource` raises it at its first frame.
    """
    request = _Request(source, strict, timeout, options, stream, live)
    if _is_here(source):
        return _open_path(Path(source), rate, request)

    def opened(stop: threading.Event) -> Decoding:
        if is_pipe(source):
            return _open_pipe(request, stop)
        container = _connect(request, stop)
        if not container.is_live:
            return FinitePlaylist(container, source) if container.is_playlist else container
        return ReconnectingSource(
            container, lambda: _connect(request, stop), source, stop, reconnect
        )

    return BackgroundSource(opened)


def is_pipe(source: str) -> bool:
    """Return whether the data of a source can be read only once: standard input or a pipe."""
    if "://" in source or is_camera(source):
        return False
    try:
        mode = os.fstat(0).st_mode if source in _STANDARD_INPUT else os.stat(source).st_mode
    except OSError:
        return source in _STANDARD_INPUT
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISBLK(mode))


def is_live(protocol: str, container: InputContainer, has_length: bool) -> bool:
    """Return whether the frames of a source arrive in real time. See the module's docstring.

    Args:
        protocol: `http`, for example.
        container: The open source.
        has_length: Whether the number of bytes is known.
    """
    if protocol in _LIVE_PROTOCOLS or container.format.name in PLAYLISTS:
        return container.duration is None
    return container.format.name in _PICTURES and protocol in {"http", "https"} and not has_length


def _is_here(source: str) -> bool:
    if "://" in source or is_camera(source) or is_pipe(source):
        return False
    # The files that a playlist names may be missing, or yet to come.
    return not (source.lower().endswith((".m3u8", ".mpd")) and os.path.isfile(source))


def _open_path(path: Path, rate: Fraction | None, request: _Request) -> Source:
    if request.live:
        raise VideoError(
            f"{path}: expected a camera, a stream or a pipe, because `live` is set. Received: a "
            "file, which waits for its reader. Leave `live` out; `LiveSource(realtime=True)` plays "
            "a file at its rate."
        )
    if str(path) in _STANDARD_INPUT:  # redirected from a file
        path = Path("/dev/stdin")
    try:
        if is_series(path):
            return _open_folder(path, rate, request)
        if path.stat().st_size == 0 and path.is_file():
            raise VideoError(
                f"{path}: expected a video file. Received: an empty file (0 bytes). "
                "The copy or recording did not finish: repeat it."
            )
        # With an explicit protocol, FFmpeg does not read a colon in the path as the end of one.
        container = av.open(f"file:{path}", "r", options=request.options)
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
        raise VideoError(f"{path}: {_explain_invalid_data(_start_of(path))}") from error
    except (av.FFmpegError, OSError) as error:
        raise VideoError(
            f"{path}: expected a file that FFmpeg can open. Received: '{error_reason(error)}'. "
            "Convert it, for example to MP4 with H.264."
        ) from error
    if container.format.name in _TEXT_ART:
        container.close()
        raise VideoError(f"{path}: {_explain_invalid_data(_start_of(path))}")
    return Container(container, str(path), request.strict, live=False, stream=request.stream)


def _open_folder(path: Path, rate: Fraction | None, request: _Request) -> ImageFolder:
    if request.stream:
        raise VideoError(
            f"{path}: expected stream 0: a folder of images is one video. "
            f"Received: {request.stream}."
        )
    return ImageFolder(path, rate, request.strict)


def _start_of(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(12)


def _explain_invalid_data(start: bytes) -> str:
    """Explain why a file that begins with these bytes cannot be opened."""
    if start[4:8] in (b"ftyp", b"mdat", b"moov", b"wide", b"free"):
        return (
            "expected a complete MP4 or MOV file. Received: a file whose index ('moov') is missing "
            "or broken. It was cut short, or its recording was never closed: download or record it "
            "again."
        )
    return (
        "expected a video file. Received: data that is not a video format FFmpeg knows (it starts "
        f"with {start[:12]!r}). Check that this is the right file and that it is complete."
    )


def _open_pipe(request: _Request, stop: threading.Event) -> Container:
    link = Link(request.source, stop)
    path = None if request.source in _STANDARD_INPUT else request.source
    try:
        pipe = Pipe(link, path, request.timeout)
    except OSError as error:
        raise VideoError(
            f"{request.source}: expected a pipe that a program writes a video to. Received: "
            f"'{error_reason(error)}'. Start the program first, as in `cat a.ts | mpvn stream -`."
        ) from error
    container = _open_incoming(pipe, request)
    live = bool(request.live)
    return Container(container, request.source, request.strict, live, request.stream, link)


def _connect(request: _Request, stop: threading.Event) -> Container:
    """Open a camera, a URL, or a playlist on this machine."""
    link = Link(request.source, stop)
    timeout = DEFAULT_TIMEOUT if request.timeout is None else request.timeout
    if is_camera(request.source):
        container = open_camera(request.source, timeout, request.options)
        live = True
    else:
        is_url = "://" in request.source
        url = request.source if is_url else f"file:{os.path.abspath(request.source)}"
        protocol = url.partition(":")[0].lower()
        try:
            download = _download(protocol, request, stop, timeout)
            if download is not None:
                link = download.link
                container = _open_incoming(download, request)
            else:
                container = _open_by_ffmpeg(protocol, url, request, timeout)
        except (av.FFmpegError, OSError) as error:
            raise VideoError(
                f"{request.source}: expected a stream that answers within {timeout} s. Received: "
                f"'{error_reason(error)}'. Check the address, that the sender is running, and that "
                "this machine can reach it; or increase `timeout=`."
            ) from error
        live = is_live(protocol, container, download is not None and download.size is not None)
    live = live if request.live is None else request.live
    return Container(container, request.source, request.strict, live, request.stream, link)


def _download(
    protocol: str, request: _Request, stop: threading.Event, timeout: float
) -> Download | None:
    """Ask an HTTP server. Return None for playlists and other protocols, which FFmpeg reads."""
    if protocol not in {"http", "https"}:
        return None
    download = Download(Link(request.source, stop), request.source, timeout, request.options)
    if not _lists_others(download.start(_SNIFFED)):
        return download
    download.close()
    return None


def _open_by_ffmpeg(protocol: str, url: str, request: _Request, timeout: float) -> InputContainer:
    options = request.options
    if protocol.startswith("rtsp"):
        options = {"rtsp_transport": "tcp", **options}  # UDP loses packets on busy networks
    if request.live is False:
        options = {"live_start_index": "0", **options}  # playlists begin near their end otherwise
    return av.open(url, "r", options=options, timeout=timeout)


def _lists_others(start: bytes) -> bool:
    """Return whether a file that begins so is a list of URLs (HLS, DASH, SDP), not a video."""
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    return text.startswith((b"#EXTM3U", b"v=0")) or (text.startswith(b"<") and b"<MPD" in text)


def _open_incoming(incoming: Incoming, request: _Request) -> InputContainer:
    """Open data that arrive from a pipe or a server."""
    link = incoming.link
    file: Any = incoming
    try:
        start = incoming.start(_SNIFFED)
        if not incoming.seekable() and _has_index_at_end(start):
            file = incoming.saved()
        if link.failure and (file is not incoming or not start):
            raise lost(link.name, link.failure)
        if not start:
            raise VideoError(
                f"{request.source}: expected a video. Received: an empty file (0 bytes). "
                "Check the program or server that sends it."
            )
        container = av.open(file, "r", options=request.options)
        if container.format.name in _TEXT_ART:
            container.close()
            raise VideoError(f"{request.source}: {_explain_invalid_data(start)}")
    except av.InvalidDataError as error:
        link.disconnect()
        if link.failure:
            raise lost(link.name, link.failure) from error
        raise VideoError(f"{request.source}: {_explain_invalid_data(start)}") from error
    except BaseException:
        link.disconnect()
        raise
    return container


def _has_index_at_end(start: bytes) -> bool:
    """Return whether an MP4 or MOV file that begins so has its pictures before their index."""
    position = 0
    while position + 8 <= len(start):
        size, kind = int.from_bytes(start[position : position + 4]), start[position + 4 :][:4]
        if kind not in {b"ftyp", b"free", b"skip", b"wide"} or size < 8:
            return kind == b"mdat"
        position += size
    return False

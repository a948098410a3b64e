"""Choose one of the video streams of a file.

A file may hold several videos: a preview before the real one, several cameras, several qualities,
the cover picture of a song. Players show the stream that the file flags as its default.
"""

from __future__ import annotations

from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from mpvn.data.video.errors import VideoError

_PICTURES = Disposition.attached_pic | Disposition.timed_thumbnails
"""Streams of pictures beside the video: the cover of a song, thumbnails for a time line."""


def choose_stream(container: InputContainer, name: str, number: int | None = None) -> VideoStream:
    """Return a video stream: the default of the file, else the one with the largest pictures.

    Where several streams are flagged as default, the largest of them is returned; of equally large
    streams, the first. Cover pictures and thumbnails are never chosen.

    Args:
        container: The open file.
        name: Name of the source, for messages.
        number: Number of the stream among all video streams, from 0, as in `v:0` of the ffmpeg
            program. It may be a cover picture.

    Raises:
        VideoError: There is no such stream, or no video, or its codec is unknown.
    """
    streams = container.streams.video
    if number is not None:
        if not 0 <= number < len(streams):
            raise VideoError(
                f"{name}: expected the number of a video stream. Received: {number}. "
                f"Video streams: {_described(streams)}."
            )
        stream = streams[number]
    else:
        videos = [stream for stream in streams if not stream.disposition & _PICTURES]
        if not videos:
            raise VideoError(
                f"{name}: expected a video stream. Received: only {_kinds(container)}. "
                "Pass a file that contains video."
            )
        stream = max(videos, key=_rank)
    if stream.codec_context is None:
        raise VideoError(
            f"{name}: expected a codec that this FFmpeg build decodes. Received: an unknown codec. "
            "Convert the file, for example to H.264, or pass the number of another stream as "
            f"`stream=`. Video streams: {_described(streams)}."
        )
    return stream


def _rank(stream: VideoStream) -> tuple[bool, int]:
    return bool(stream.disposition & Disposition.default), _area(stream)


def _area(stream: VideoStream) -> int:
    return 0 if stream.codec_context is None else stream.height * stream.width


def _described(streams: tuple[VideoStream, ...]) -> str:
    """Return for example `0 (h264, 40x24), 1 (h264, 160x96, default)`."""
    return ", ".join(f"{n} ({_facts(stream)})" for n, stream in enumerate(streams)) or "none"


def _facts(stream: VideoStream) -> str:
    if stream.codec_context is None:
        facts = ["unknown codec"]
    else:
        facts = [stream.codec_context.name, f"{stream.width}x{stream.height}"]
    if stream.disposition & _PICTURES:
        facts.append("pictures beside the video")
    if stream.disposition & Disposition.default:
        facts.append("default")
    return ", ".join(facts)


def _kinds(container: InputContainer) -> str:
    """Return the kinds of streams without video, for example `audio and cover pictures`."""
    kinds = {stream.type for stream in container.streams}
    names = sorted(kinds - {"video"}) + ["cover pictures"] * ("video" in kinds)
    return " and ".join(names) or "no stream"

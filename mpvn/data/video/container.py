"""Decode a file, stream or camera that FFmpeg has opened."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from mpvn.data.video.errors import Damage, VideoError
from mpvn.data.video.frames import Decoded, read_orientation
from mpvn.data.video.stream_choice import choose_stream
from mpvn.data.video.timeline import DEFAULT_FPS


class KeyFrame(NamedTuple):
    """A packet of a file where decoding can start. Times are in ticks of the stream."""

    seek_to: int  # decoding time, or presentation time if that is earlier or the only one known
    time: int  # presentation time
    position: int  # in bytes; -1 if the format does not store it
    size: int  # in bytes

    @classmethod
    def from_packet(cls, packet: Packet) -> KeyFrame | None:
        """Return the key frame in `packet`, or None if it has none or has no time."""
        if not packet.is_keyframe or packet.pts is None:
            return None
        seek_to = packet.pts if packet.dts is None else min(packet.pts, packet.dts)
        return cls(seek_to, packet.pts, packet.pos if packet.pos is not None else -1, packet.size)


class Container:
    """A file, stream or camera that FFmpeg has opened.

    Args:
        container: The open container. Closed if the constructor raises.
        name: Name of the source, for messages.
        strict: Whether damaged data is an error, or a warning.
        live: Whether frames arrive in real time, from a camera or a broadcast.
        stream: Number of the video stream. None for the default: see `choose_stream`.

    Attributes:
        rate: Average frames per second; None if not stated.
        frame_count: Number of frames; None if not stated.
        duration: Length in seconds; None if not stated or live.
        time_base: Seconds per tick; None if not stated.
        codec: FFmpeg's name of the codec.

    Raises:
        VideoError: There is no such video stream, or its codec is unknown.
    """

    def __init__(
        self,
        container: InputContainer,
        name: str,
        strict: bool,
        live: bool,
        stream: int | None = None,
    ) -> None:
        self._container = container
        self._live = live
        self._damage = Damage(name, strict)
        self._name = name
        try:
            self._stream = choose_stream(container, name, stream)
        except VideoError:
            container.close()
            raise
        # Decoding several frames in parallel is fastest, but delays each by that many frames.
        self._stream.thread_type = "SLICE" if live else "AUTO"
        self.rate = self._stream.average_rate or self._stream.guessed_rate or None
        self.frame_count = self._stream.frames or None
        self.duration = None if live else _stated_duration(container, self._stream)
        self.time_base = self._stream.time_base
        self.codec = self._stream.codec_context.name

    def frames(self, key: KeyFrame | None = None) -> Iterator[Decoded]:
        """Decode all frames, or those of a file from `key` on; none if `key` is not found."""
        period = 1 / self.rate if self.rate else Fraction(1, DEFAULT_FPS)
        end = Fraction(0)
        rotation, orientation = 0, None
        for frame in self._decode(key):
            if orientation is None or frame.rotation != rotation:
                rotation, orientation = frame.rotation, read_orientation(frame)
            tick = frame.time_base or Fraction(0)
            duration = frame.duration * tick or period
            time = end if frame.pts is None else frame.pts * tick
            end = time + duration
            yield Decoded(time, duration, frame, orientation)
        self.check_end(end)

    def decode_in_one_thread(self) -> None:
        """Decode in the caller's thread: faster for few frames or many readers.

        Call it before decoding the first frame.
        """
        self._stream.thread_type = "NONE"

    def check_end(self, end: Fraction) -> None:
        """Report damage if the file states a later end than `end`, in seconds.

        A truncated Matroska file ends without a decoding error, but states when the stream ends.
        """
        stated = _duration_tag(self._stream)
        period = 1 / self.rate if self.rate else Fraction(1, DEFAULT_FPS)
        if stated is not None and end < stated - 2 * period:
            self._damage.report(f"it ends at {float(end):.2f} s of {float(stated):.2f} s")

    def packets(self, key: KeyFrame | None = None) -> Iterator[Packet]:
        """Yield complete packets from `key` on, then an empty one that flushes the decoder.

        `key` is not found in formats whose timestamps depend on where reading starts.
        """
        try:
            if key is not None:
                self._container.seek(key.seek_to, stream=self._stream)
            for packet in self._container.demux(self._stream):
                if key is not None and KeyFrame.from_packet(packet) != key:
                    continue
                key = None
                if packet.is_corrupt:
                    self._damage.report("a packet is incomplete")
                else:
                    yield packet
        except av.FFmpegError as error:
            if self._live:
                raise VideoError(
                    f"{self._name}: expected more frames. Received: none ({error.strerror}). The "
                    "sender stopped or the connection was lost: open it again, or increase "
                    "`timeout=` if it pauses."
                ) from error
            self._damage.report(f"reading stops early: {error.strerror}")

    def close(self) -> None:
        """Close the container."""
        self._container.close()

    def _decode(self, key: KeyFrame | None) -> Iterator[VideoFrame]:
        for packet in self.packets(key):
            try:
                frames = self._stream.decode(packet)
            except av.FFmpegError as error:
                self._damage.report(f"a packet does not decode: {error.strerror}")
                continue
            yield from frames


def _stated_duration(container: InputContainer, stream: VideoStream) -> Fraction | None:
    """Return the length in seconds that the file states, or None."""
    if stream.duration is not None and stream.time_base is not None:
        return stream.duration * stream.time_base
    tag = _duration_tag(stream)
    if tag is not None or container.duration is None:
        return tag
    return Fraction(container.duration, av.time_base)


def _duration_tag(stream: VideoStream) -> Fraction | None:
    """Return the seconds in Matroska's tag for one stream, such as 00:01:02.400000000."""
    match = re.fullmatch(r"(\d+):(\d+):(\d+(?:\.\d+)?)", stream.metadata.get("DURATION", ""))
    if match is None:
        return None
    hours, minutes, seconds = (Fraction(part) for part in match.groups())
    return (hours * 60 + minutes) * 60 + seconds

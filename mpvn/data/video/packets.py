"""The packets of a file or stream that FFmpeg has opened, and what is missing between them."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from mpvn.data.video.errors import ConnectionLost, Damage
from mpvn.data.video.h264_numbers import PictureNumbers
from mpvn.data.video.link import Link

_THEORA_HEADER = b"\x80"
"""The first byte of a header is at least this, and that of a frame is less."""

_MOST_BEFORE_KEY = 250
"""Largest number of packets without a picture at the start of a joined format."""


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


class Packets:
    """The packets of a video stream. They are read once, or from key frames of a file.

    Args:
        container: The open container.
        stream: The stream.
        damage: Reports what is found damaged.
        joined: Whether the format is cut and joined at will, as broadcasts are.
        link: The connection; None for a file on this machine.
    """

    def __init__(
        self,
        container: InputContainer,
        stream: VideoStream,
        damage: Damage,
        joined: bool,
        link: Link | None,
    ) -> None:
        self._container = container
        self._stream = stream
        self._damage = damage
        self._joined = joined
        self._link = link
        self._codec = stream.codec_context.name
        self._extradata = bytes(stream.codec_context.extradata or b"")
        self._read_ahead: deque[Packet] = deque()
        self._failure: Exception | None = None  # that ended reading ahead
        self._demuxed: Iterator[Packet] | None = None

    def ahead(self, count: int) -> Sequence[Packet]:
        """Return the first packets, at most `count`, before `read` returns them."""
        self._demuxed = self._arriving()
        try:
            self._read_ahead += itertools.islice(self._demuxed, count)
        except (av.FFmpegError, ConnectionLost) as error:
            self._failure = error
        return self._read_ahead

    def read(self, key: KeyFrame | None = None) -> Iterator[Packet]:
        """Yield packets from `key` on, then an empty one that flushes the decoder.

        `key` is not found in formats whose timestamps depend on where reading starts.
        """
        is_theora = self._codec == "theora"
        try:
            for packet in self._from_start() if key is None else self._demux(key):
                if key is not None:
                    if KeyFrame.from_packet(packet) != key:
                        continue
                    key = None
                # Where Ogg files are joined, headers follow frames. Decoders refuse them.
                if is_theora and bytes(packet)[:1] >= _THEORA_HEADER:
                    continue
                if packet.is_corrupt and not self._joined:
                    self._damage.report_end("a packet is incomplete")
                    continue
                yield packet
        except av.FFmpegError as error:
            self._damage.report_end(f"reading stops early: {error.strerror}")

    def _from_start(self) -> Iterator[Packet]:
        """Yield all packets from the first key frame on, and report those that are missing."""
        searched = self._joined
        count = 0
        since_gap: int | None = None  # packets since one that may be incomplete
        numbers = PictureNumbers(self._extradata) if self._codec == "h264" else None
        for packet in self._demux(None):
            if searched:
                # A broadcast may begin between two key frames, with frames that do not decode.
                count += 1
                searched = not packet.is_keyframe and count <= _MOST_BEFORE_KEY
                if searched and packet.size:
                    continue
            # In joined formats, an incomplete packet may be at a seam. Then a key frame follows, or
            # the next but one: FFmpeg's parsers hold one packet back.
            since_gap = 0 if packet.is_corrupt and self._joined else since_gap
            if since_gap is not None and packet.size:
                since_gap = None if packet.is_keyframe and since_gap else since_gap + 1
                if since_gap == 3:
                    self._damage.report("packets are missing")
            if packet.has_sidedata("new_extradata"):
                numbers = None  # The file was joined of several, which count pictures differently.
            if numbers and numbers.is_gap_before(bytes(packet), packet.is_keyframe):
                self._damage.report("pictures are missing to which others refer")
            yield packet

    def _demux(self, key: KeyFrame | None) -> Iterator[Packet]:
        """Yield all packets from the start of the file, or from where a seek to `key` leads."""
        if key is not None:
            self._read_ahead.clear()
            self._failure = self._demuxed = None
            self._container.seek(key.seek_to, stream=self._stream)
        while self._read_ahead:
            yield self._read_ahead.popleft()
        if self._failure is not None:
            raise self._failure
        # `yield from` fails if PyAV's generator has ended.
        for packet in self._demuxed or self._arriving():  # noqa: UP028
            yield packet

    def _arriving(self) -> Iterator[Packet]:
        packets = self._container.demux(self._stream)
        return packets if self._link is None else self._link.whole(packets)


def has_frame(packet: Packet) -> bool:
    """Return whether a packet has a frame that is shown.

    Empty packets repeat the last frame. Discarded ones, left by a cut without re-encoding, are
    decoded but not shown.
    """
    return bool(packet.size) and not packet.is_discard

"""Decode a file, stream or camera that FFmpeg has opened."""

from __future__ import annotations

import functools
import itertools
from collections import deque
from collections.abc import Collection, Iterator
from fractions import Fraction
from typing import NamedTuple

import av
from av.container import InputContainer
from av.format import Flags
from av.packet import Packet
from av.video.frame import VideoFrame

from mpvn.data.video.clock import (
    BROADCAST_PAUSE,
    PAUSE,
    Clock,
    FrameTimes,
    Stamp,
    claimed_clock,
    measured_clock,
    raw_clock,
)
from mpvn.data.video.errors import ConnectionLost, Damage, VideoError
from mpvn.data.video.frames import Decoded, Orientation, read_orientation
from mpvn.data.video.h264_numbers import PictureNumbers
from mpvn.data.video.link import Link
from mpvn.data.video.stated import duration_tag, stated_duration
from mpvn.data.video.stream_choice import choose_stream

PLAYLISTS = frozenset({"dash", "hls"})
"""Formats that are lists of files."""

_MEASURED = 64
"""Number of packets from which the clock of a file is measured. They are read before the first
frame is shown, also from a pipe."""

_DECODING_TIMES_ONLY = frozenset({"avi", "asf"})
"""Formats that do not store when frames are shown."""

_DESCRIBING_FORMATS = frozenset({"matroska,webm", "mov,mp4,m4a,3gp,3g2,mj2"})
_DESCRIBING_CODECS = frozenset({"av1", "h264", "hevc", "mpeg4", "vp9"})

_ONE_PICTURE_PER_PACKET = frozenset({"h264", "hevc"})
"""Codecs whose decoders silently drop frames that refer to missing ones."""

_FIELD_CODECS = frozenset({"h264", "hevc", "vc1"})
_PROGRESSIVE = 1  # in FFmpeg's list of field orders, where 0 is unknown

_THEORA_HEADER = b"\x80"
"""The first byte of a header is at least this, and that of a frame is less."""

_MOST_BEFORE_KEY = 250
"""Largest number of packets without a picture at the start of a joined format."""

_SILENT_DECODERS = frozenset({"hevc", "mjpeg"})
"""FFmpeg's decoders that do not mark damaged frames, but raise errors if asked to."""


_FRAME_BYTES = 8  # the smallest size of a frame in a file


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
        link: The connection; None for a file on this machine.

    Attributes:
        damage: Reports what is found damaged.
        is_live: Whether frames arrive in real time.
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
        link: Link | None = None,
    ) -> None:
        self._container = container
        self._link = link
        self.is_live = live
        self.damage = Damage(name, strict)
        self._name = name
        try:
            self._stream = choose_stream(container, name, stream)
        except VideoError:
            self.close()
            raise
        # Decoding several frames in parallel is fastest, but delays each by that many frames.
        self._stream.thread_type = "SLICE" if live else "AUTO"
        self.frame_count = self._stream.frames or None
        self.duration = None if live else stated_duration(container, self._stream)
        self.time_base = self._stream.time_base
        self._format, self._size = container.format, container.size
        flags = Flags(container.format.flags)
        self._raw = Flags.no_timestamps in flags
        self._joined = live or Flags.ts_discont in flags
        if self._stream.codec_context.name in _SILENT_DECODERS:
            self._stream.codec_context.options = {"err_detect": "explode"}
        self._read_ahead: deque[Packet] = deque()  # packets that the clock was measured with
        self._failure: Exception | None = None  # that ended reading ahead
        self._demuxed: Iterator[Packet] | None = None
        self._order: deque[Stamp] = deque()  # stamps of packets, if clock.in_order
        self._in_order = False
        self.codec = self._stream.codec_context.name
        self._extradata = bytes(self._stream.codec_context.extradata or b"")

    @functools.cached_property
    def clock(self) -> Clock:
        """The clock of the source. That of a file is measured by reading its first packets."""
        clock = self._measure_clock()
        self._in_order = clock.in_order
        return clock

    def _measure_clock(self) -> Clock:
        rates = [r for r in (self._stream.average_rate, self._stream.guessed_rate) if r]
        pause = BROADCAST_PAUSE if self._joined else PAUSE
        if self.is_live:
            return claimed_clock(self.time_base, rates, pause)
        self._demuxed = self._arriving()
        try:
            self._read_ahead += itertools.islice(self._demuxed, _MEASURED)
        except (av.FFmpegError, ConnectionLost) as error:
            self._failure = error
        if self._raw:
            return raw_clock(rates)
        stamps = [self.stamp(packet) for packet in self._read_ahead if has_frame(packet)]
        decoding_times_only = self._format.name in _DECODING_TIMES_ONLY
        return measured_clock(stamps, self.time_base, rates, pause, decoding_times_only)

    @property
    def rate(self) -> Fraction | None:
        """Frames per second; None if unknown."""
        return self.clock.rate

    def frames(self) -> Iterator[Decoded]:
        """Decode all frames, with the times at which they are shown."""
        clock, times = self.clock, FrameTimes(self.clock)
        for frame, orientation in self.oriented_frames(None):
            time, duration = times.add(self._stamp(frame), frame.duration)
            seconds = (units * clock.unit for units in (time, duration, clock.slack(time)))
            yield Decoded(frame, orientation, *seconds)
        self.check_end(times.stated_end)

    def stamped_frames(self) -> Iterator[tuple[VideoFrame, int | None]]:
        """Decode all frames, with the time stamps by which the clock shows them, in ticks."""
        _ = self.clock
        for frame in self.decode():
            yield frame, self._stamp(frame)

    def oriented_frames(
        self, key: KeyFrame | None, wanted: Collection[int] | None = None
    ) -> Iterator[tuple[VideoFrame, Orientation]]:
        """Decode frames as `decode` does."""
        rotation, orientation = 0, None
        for frame in self.decode(key, wanted):
            if orientation is None or frame.rotation != rotation:
                rotation, orientation = frame.rotation, read_orientation(frame)
            yield frame, orientation

    def decode(
        self, key: KeyFrame | None = None, wanted: Collection[int] | None = None
    ) -> Iterator[VideoFrame]:
        """Decode all frames, or those of a file from `key` on; none if `key` is not found.

        Args:
            key: Where to start; None for the start of the file.
            wanted: Presentation times of frames, in ticks. With them, frames may be left out that
                no other frame needs, and decoding ends when these frames are complete. For decoders
                in one thread.
        """
        is_checked = wanted is None and self.codec in _ONE_PICTURE_PER_PACKET
        start: int | None = None
        missing = 0
        for packet in self.packets(key) if wanted is None else self._needed_packets(key, wanted):
            if is_checked and packet is not None and packet.pts is not None and has_frame(packet):
                start = packet.pts if start is None else start
                missing += packet.pts >= start  # Those shown before the key frame may not decode.
            try:
                frames = self._stream.decode(packet)
            except av.FFmpegError as error:
                self.damage.report(f"a packet does not decode: {error.strerror}")
                continue
            for frame in frames:
                if frame.is_corrupt:
                    self.damage.report("a frame was decoded from damaged data")
                missing -= 1
                is_checked = is_checked and not frame.interlaced_frame  # Fields may be apart.
                yield frame
        if is_checked and missing > 0:
            self.damage.report(f"{missing} packets have no picture")

    def _needed_packets(
        self, key: KeyFrame | None, wanted: Collection[int]
    ) -> Iterator[Packet | None]:
        """Yield packets up to the last of the wanted frames, then None, which flushes the decoder.

        Packets are in decoding order, so those that a frame refers to come before it.
        """
        missing = set(wanted)
        context = self._stream.codec_context
        for packet in self.packets(key):
            context.skip_frame = "DEFAULT" if packet.pts in wanted else "NONREF"
            yield packet
            missing.discard(packet.pts)
            if not missing:
                break
        else:
            return  # The packet at the end of the file has flushed the decoder.
        yield None

    def decode_in_one_thread(self) -> None:
        """Decode in the caller's thread: faster for few frames or many readers.

        Call it before decoding the first frame.
        """
        self._stream.thread_type = "NONE"

    def check_end(self, end: int) -> None:
        """Report damage if frames end earlier than the file states.

        Truncated Matroska files and AVI files end without a decoding error.

        Args:
            end: Where the latest frame ends, in units of the clock: see `Clock.stated_end`.
        """
        # AVI states the number of frames; a header that was never completed, an impossible one.
        count = self.frame_count or 0
        is_counted = self._format.name == "avi" and 0 < _FRAME_BYTES * count <= self._size
        stated = duration_tag(self._stream)
        if is_counted:
            stated = count * (self.time_base or Fraction(0))
        claimed = self._stream.average_rate or self._stream.guessed_rate
        lengths = [1 / rate for rate in (claimed, self.clock.rate) if rate]
        frame = max(self.clock.frame * self.clock.unit, *lengths)
        seconds = end * self.clock.unit
        if stated is None or seconds >= stated - 2 * frame:
            return
        problem = f"it ends at {float(seconds):.2f} s of {float(stated):.2f} s"
        # The frames of AVI have no times of their own: if all are listed, any may be missing.
        if is_counted and count == self._stream.duration:
            self.damage.report(problem)
        else:
            self.damage.report_end(problem)

    def packets(self, key: KeyFrame | None = None) -> Iterator[Packet]:
        """Yield packets from `key` on, then an empty one that flushes the decoder.

        `key` is not found in formats whose timestamps depend on where reading starts.
        """
        self._order.clear()
        is_theora = self.codec == "theora"
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
                    self.damage.report_end("a packet is incomplete")
                    continue
                if self._in_order and has_frame(packet):
                    self._order.append(self.stamp(packet))
                yield packet
        except av.FFmpegError as error:
            self.damage.report_end(f"reading stops early: {error.strerror}")

    def _from_start(self) -> Iterator[Packet]:
        """Yield all packets from the first key frame on, and report those that are missing."""
        searched = self._joined
        count = 0
        since_gap: int | None = None  # packets since one that may be incomplete
        numbers = PictureNumbers(self._extradata) if self.codec == "h264" else None
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
                    self.damage.report("packets are missing")
            if packet.has_sidedata("new_extradata"):
                numbers = None  # The file was joined of several, which count pictures differently.
            if numbers and numbers.is_gap_before(bytes(packet), packet.is_keyframe):
                self.damage.report("pictures are missing to which others refer")
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

    def stamp(self, packet: Packet) -> Stamp:
        """Return the time stamps of a packet; none in raw streams, where FFmpeg makes them up."""
        return Stamp() if self._raw else Stamp(packet.pts, packet.dts, packet.duration)

    def _stamp(self, frame: VideoFrame) -> int | None:
        if not self._in_order:
            return frame.pts
        return self._order.popleft().decoding if self._order else None

    def close(self) -> None:
        """Close the container."""
        self._container.close()
        if self._link is not None:
            self._link.disconnect()

    @property
    def is_described(self) -> bool:
        """Whether headers say of the video what a decoder needs to know before the first frame."""
        return self._format.name in _DESCRIBING_FORMATS and self.codec in _DESCRIBING_CODECS

    @property
    def is_interlaced(self) -> bool:
        """Whether frames may be stored as two fields, each in a packet of its own."""
        interlaced = self._stream.codec_context.field_order > _PROGRESSIVE
        return interlaced and self.codec in _FIELD_CODECS

    @property
    def is_playlist(self) -> bool:
        """Whether the source is a list of files."""
        return self._format.name in PLAYLISTS

    @property
    def is_complete(self) -> bool:
        """Whether the data ended where the sender had announced their end."""
        return self._link is None or self._link.complete


def has_frame(packet: Packet) -> bool:
    """Return whether a packet has a frame that is shown.

    Empty packets repeat the last frame. Discarded ones, left by a cut without re-encoding, are
    decoded but not shown.
    """
    return bool(packet.size) and not packet.is_discard

"""Decode a file, stream or camera that FFmpeg has opened."""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from fractions import Fraction

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
from mpvn.data.video.errors import Damage, VideoError
from mpvn.data.video.frames import Decoded, Orientation, read_orientation
from mpvn.data.video.link import Link
from mpvn.data.video.packets import KeyFrame, Packets, has_frame
from mpvn.data.video.stated import duration_tag, stated_duration
from mpvn.data.video.stream_choice import choose_stream
from mpvn.data.video.timeline import Timeline

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

_SILENT_DECODERS = frozenset({"hevc", "mjpeg"})
"""FFmpeg's decoders that do not mark damaged frames, but raise errors if asked to."""

_FRAME_BYTES = 8  # the smallest size of a frame in a file


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
        self._packets = Packets(container, self._stream, self.damage, self._joined, link)
        if self._stream.codec_context.name in _SILENT_DECODERS:
            self._stream.codec_context.options = {"err_detect": "explode"}
        self._order: deque[Stamp] = deque()  # stamps of packets, if clock.in_order
        self._in_order = False
        self.codec = self._stream.codec_context.name

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
        first = self._packets.ahead(_MEASURED)
        if self._raw:
            return raw_clock(rates)
        stamps = [self.stamp(packet) for packet in first if has_frame(packet)]
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
        self._check_end(times.stated_end)

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

    def timeline(self, stamps: Sequence[tuple[int | None, int | None]]) -> Timeline:
        """Return the timeline of all frames, given the stamp and the duration of each, in ticks.

        Reports damage if they end earlier than the file states.
        """
        self._check_end(max(self.clock.stated_end(*stamp) for stamp in stamps))
        return self.clock.timeline(stamps)

    def _check_end(self, end: int) -> None:
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
        """Yield packets as `Packets.read` does."""
        self._order.clear()
        for packet in self._packets.read(key):
            if self._in_order and has_frame(packet):
                self._order.append(self.stamp(packet))
            yield packet

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

"""Recordings that the ffmpeg program does not write itself: edit lists and packed B-frames."""

import pathlib
import struct
import tempfile
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction

import av
from recordings import FRAMES, MPEG, X264, X265, Recording, encode
from schedule import Schedule

RATE = Fraction(25)
TIMESCALE = 1000
"""Units per second of durations in an edit list."""


def edited_recordings() -> Iterator[Recording]:
    """Yield all recordings of this module."""
    b_frames, hevc = f"{X264} -bf 2", f"{X265} -tag:v hvc1"
    start, middle, end = range(0, 20), range(15, 33), range(30, FRAMES)
    for name, codec, parts in [
        ("trimmed_end.mp4", b_frames, [start]),
        ("trimmed_both.mov", b_frames, [middle]),
        ("trimmed_hevc.mp4", hevc, [middle]),
        ("trimmed_no_b.mp4", f"{X264} -bf 0", [middle]),
        ("middle_cut_out.mp4", f"{X264} -bf 0", [start, end]),
        ("middle_cut_out_b.mp4", b_frames, [start, end]),
        ("middle_cut_out.mov", "-c:v mjpeg -pix_fmt yuvj420p", [start, end]),
        ("parts_swapped.mp4", f"{X264} -bf 0", [end, start]),
    ]:
        numbers = [number for part in parts for number in part]
        yield Recording(name, Schedule.even(RATE, numbers), with_edits(codec, parts))
    whole = Schedule.even(RATE, range(FRAMES))
    yield Recording("packed_b.avi", whole, packed)


def with_edits(codec: str, parts: Sequence[range]) -> Callable[[pathlib.Path], None]:
    """Return a function that writes an MP4 file whose edit list shows parts of the frames."""

    def make(path: pathlib.Path) -> None:
        encode(path, Schedule.even(RATE, range(FRAMES)), f"{codec} -video_track_timescale 12800")
        path.write_bytes(_edited(path.read_bytes(), parts))

    return make


def _edited(boxes: bytes, parts: Sequence[range]) -> bytes:
    """Return MP4 boxes with another edit list. Each box is its size, its type, and its content."""
    result = b""
    while boxes:
        size, kind = struct.unpack(">I4s", boxes[:8])
        content, boxes = boxes[8:size], boxes[size:]
        if kind in (b"moov", b"trak", b"edts"):
            content = _edited(content, parts)
        elif kind == b"elst":
            content = _edit_list(content, parts)
        result += struct.pack(">I4s", 8 + len(content), kind) + content
    return result


def _edit_list(content: bytes, parts: Sequence[range]) -> bytes:
    """Return the content of an edit list that shows parts, given that of the whole."""
    *_, delay, _ = struct.unpack(">IIIiI", content)  # B-frames delay the first frame
    edits = [
        struct.pack(
            ">IiI",
            int(len(part) / RATE * TIMESCALE),
            delay + int(part.start / RATE * 12800),
            1 << 16,
        )
        for part in parts
    ]
    return struct.pack(">II", 0, len(edits)) + b"".join(edits)


def packed(path: pathlib.Path) -> None:
    """Write MPEG-4 video as DivX and Xvid do in AVI files: a B-frame shares the packet before it.

    packets   I   P   B   P   B      (in the order of decoding)
    packed    I   PB  N   PB  N      (N: an empty frame, so that there is one packet per frame)
    """
    shown, options = Schedule.even(RATE, range(FRAMES)), "-bf 1 -sc_threshold 1000000000"
    with tempfile.TemporaryDirectory() as folder:
        plain = pathlib.Path(folder) / "plain.avi"
        encode(plain, shown, f"-c:v mpeg4 {MPEG} {options}")
        with av.open(plain) as source, av.open(path, "w") as target:
            stream = target.add_stream_from_template(source.streams.video[0])
            frames = [bytes(packet) for packet in source.demux(video=0) if packet.size]
            for number, data in enumerate(_packed(frames)):
                packet = av.Packet(data)
                packet.stream, packet.time_base = stream, 1 / RATE
                packet.dts = packet.pts = number
                packet.is_keyframe = number == 0
                target.mux(packet)


def _packed(frames: Sequence[bytes]) -> Iterator[bytes]:
    start = b"\0\0\1\xb6"  # of a frame: its type is in the first two bits after it
    empty = start + b"\x50\x4f"  # a P-frame that is not coded
    following = [*frames[1:], empty]
    is_b = [frame[frame.index(start) + 4] >> 6 == 2 for frame in following]
    for frame, after, is_followed in zip(frames, following, is_b, strict=True):
        if frame[frame.index(start) + 4] >> 6 == 2:
            yield empty
        else:  # DivX's name ends with p for packed; it is as long as that of the encoder.
            named = frame.replace(b"Lavc59.37.100", b"DivX503b1393p")
            yield named + after if is_followed else named

"""Find missing pictures of H.264 by the numbers of its pictures.

FFmpeg's decoder fills the place of a picture that is missing, such as one lost on the way from a
camera, and decodes those that refer to it: they look wrong until the next key frame, without an
error. But reference pictures are numbered: `frame_num` of ITU-T H.264, 7.4.3.

number  0 1 2 3 3 4 6     (equal: the first of both is not referred to, or they are two fields)
                    ^ 5 is missing

Limitations: a missing key frame is not found, because numbers also start again where the header of
a picture says so, which is not read; nor are pictures of streams with several sequences.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import NamedTuple

_SLICE, _SLICE_OF_KEY_FRAME, _SEQUENCE = 1, 5, 7  # types of units
_START = b"\x00\x00\x01"
_SLICE_HEAD, _HEAD = 16, 512  # bytes of a slice, and of another unit, that may be read
_MOST_ZEROS = 32  # of a number
_WITH_CHROMA = frozenset({44, 83, 86, 100, 110, 118, 122, 128, 134, 135, 138, 139, 244})
"""Profiles that state how colors are stored."""


class _Sequence(NamedTuple):
    """What pictures have in common."""

    bits: int  # of the number of a picture
    separate_planes: bool
    allows_gaps: bool


class PictureNumbers:
    """Check the numbers of successive pictures.

    Args:
        extradata: What the container states of the stream, for the decoder.
    """

    def __init__(self, extradata: bytes) -> None:
        self._length_bytes = 0  # of the length before each unit; 0 if start codes separate them
        self._sequence: _Sequence | None = None
        self._newest: int | None = None  # number of the newest reference picture
        if extradata[:1] == b"\x01" and len(extradata) > 8:
            self._length_bytes = (extradata[4] & 3) + 1
            size = int.from_bytes(extradata[6:8], "big")
            if extradata[5] & 0x1F == 1:
                self._read_sequence(extradata[8 : 8 + size])
        else:
            self._update(extradata)

    def is_gap_before(self, packet: bytes, is_key_frame: bool) -> bool:
        """Return whether pictures are missing between this packet and the one before."""
        newest, self._newest = self._newest, None
        unit = self._update(packet)
        sequence = self._sequence
        if unit is None or sequence is None or sequence.allows_gaps:
            return False
        try:
            number = _picture_number(unit, sequence)
        except ValueError:  # It is damaged, as the decoder will report.
            return False
        self._newest = newest
        if unit[0] & 0x60 or is_key_frame:  # It is a reference picture.
            self._newest = number
        # Numbers start again at key frames, after the last one, and where a header says so.
        if is_key_frame or newest is None or number <= 1:
            return False
        return number not in (newest, newest + 1)

    def _update(self, packet: bytes) -> bytes | None:
        """Read the sequence, if a packet has one; return the head of its first slice."""
        for unit in self._units(packet):
            kind = unit[0] & 0x1F
            if kind == _SEQUENCE:
                self._read_sequence(unit)
            elif kind in (_SLICE, _SLICE_OF_KEY_FRAME):
                return unit[:_SLICE_HEAD]
        return None

    def _read_sequence(self, unit: bytes) -> None:
        try:
            self._sequence = _read_sequence(unit)
        except ValueError:
            self._sequence = None

    def _units(self, packet: bytes) -> Iterator[bytes]:
        """Yield the heads of the units of a packet."""
        at, size = 0, self._length_bytes
        while size and at + size < len(packet):
            length = int.from_bytes(packet[at : at + size], "big")
            if length:
                yield packet[at + size : at + size + min(length, _HEAD)]
            at += size + length
        at = -1 if size else packet.find(_START)
        while at >= 0 and at + 3 < len(packet):
            yield packet[at + 3 : at + 3 + _HEAD]
            at = packet.find(_START, at + 3)


class _Bits:
    """Read the bits of a unit, after the byte of its type. Raises ValueError if they end."""

    def __init__(self, unit: bytes) -> None:
        content = unit[1:].replace(b"\x00\x00\x03", b"\x00\x00")
        self._bits = f"{int.from_bytes(content):0{8 * len(content)}b}"
        self._at = 0

    def read(self, count: int) -> int:
        self._at += count
        if self._at > len(self._bits):
            raise ValueError("a unit is cut")
        return int(self._bits[self._at - count : self._at] or "0", 2)

    def exp_golomb(self) -> int:
        """Read n zeros, then a number of n + 1 bits, which is greater by 1."""
        zeros = self._bits.find("1", self._at) - self._at
        if not 0 <= zeros <= _MOST_ZEROS:
            raise ValueError("a unit is damaged")
        self._at += zeros
        return self.read(zeros + 1) - 1


def _picture_number(unit: bytes, sequence: _Sequence) -> int:
    bits = _Bits(unit)
    for _ in range(3):  # the first block, the kind, the parameters
        bits.exp_golomb()
    if sequence.separate_planes:
        bits.read(2)
    return bits.read(sequence.bits)


def _read_sequence(unit: bytes) -> _Sequence:
    """Read a sequence parameter set: ITU-T H.264, 7.3.2.1.1."""
    bits = _Bits(unit)
    profile = bits.read(8)
    bits.read(16)
    bits.exp_golomb()
    separate_planes = profile in _WITH_CHROMA and _skip_chroma(bits)
    number_bits = bits.exp_golomb() + 4
    order = bits.exp_golomb()
    if order == 0:
        bits.exp_golomb()
    elif order == 1:
        bits.read(1)
        for _ in range(2):
            bits.exp_golomb()
        for _ in range(bits.exp_golomb()):  # Damaged bits end soon.
            bits.exp_golomb()
    bits.exp_golomb()
    return _Sequence(number_bits, separate_planes, bool(bits.read(1)))


def _skip_chroma(bits: _Bits) -> bool:
    """Read how colors are stored. Return whether each has pictures of its own."""
    chroma = bits.exp_golomb()
    separate_planes = bool(bits.read(1)) if chroma == 3 else False
    for _ in range(2):
        bits.exp_golomb()
    bits.read(1)
    if bits.read(1):
        for number in range(12 if chroma == 3 else 8):
            if bits.read(1):
                _skip_scaling(bits, 16 if number < 6 else 64)
    return separate_planes


def _skip_scaling(bits: _Bits, size: int) -> None:
    last = 8
    for _ in itertools.repeat(None, size):
        code = bits.exp_golomb()
        last = (last + (code + 1) // 2 * (1 if code % 2 else -1)) % 256
        if last == 0:
            return

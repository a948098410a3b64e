"""Missing pictures of H.264, by bits that are written by hand."""

from collections.abc import Sequence

import numpy as np
import pytest

from mpvn.data.video.h264_numbers import PictureNumbers

BASELINE = f"{66:08b}" + "0" * 16 + "1"  # profile, constraints and level, number of the sequence
HIGH = f"{100:08b}" + "0" * 16 + "1" + "010" + "1" + "1" + "0" + "0"  # 4:2:0, 8 bits, no lists
FOUR_BITS = "1"  # of the number of a picture: 4 + 0
ORDERS = {2: "011", 0: "1" + "1", 1: "010" + "0" + "1" + "1" + "010" + "00110"}
TWO_REFERENCES = "011"
IDR, REFERENCE, OTHER = 0x65, 0x61, 0x01


def unit(first: int, bits: str) -> bytes:
    bits += "1"
    bits += "0" * (-len(bits) % 8)
    content = bytes([first, *(int(bits[at : at + 8], 2) for at in range(0, len(bits), 8))])
    return content.replace(b"\0\0\1", b"\0\0\3\1")  # It is no start code.


def sequence(profile: str = BASELINE, order: int = 2, allows_gaps: bool = False) -> bytes:
    return unit(0x67, profile + FOUR_BITS + ORDERS[order] + TWO_REFERENCES + str(int(allows_gaps)))


def picture(first: int, number: int, parameters: str = "1") -> bytes:
    """A slice from block 0 on, of kind 5 (P), with parameters 0, and its number in 4 bits."""
    return unit(first, "1" + "00110" + parameters + f"{number:04b}" + "1" * 40)


def gaps(pictures: Sequence[tuple[int, int]], extra: bytes, before: bytes = b"") -> list[int]:
    numbers = PictureNumbers(extra)
    found = []
    for at, (first, number) in enumerate(pictures):
        content = picture(first, number)
        packet = b"\0\0\1" + content if before == b"\0\0\1" else len(content).to_bytes(4) + content
        if numbers.is_gap_before(packet, first == IDR):
            found.append(at)
    return found


PICTURES = [(IDR, 0), (REFERENCE, 1), (OTHER, 2), (OTHER, 2), (REFERENCE, 2), (REFERENCE, 3)]
CASES: dict[str, tuple[list[tuple[int, int]], list[int]]] = {
    "whole": (PICTURES, []),
    "a picture to which others refer": ([*PICTURES[:4], (REFERENCE, 3), (OTHER, 4)], [4]),
    "a picture to which none refers": ([*PICTURES[:2], *PICTURES[3:]], []),
    "numbers end at 15": ([(IDR, 0), *((REFERENCE, n % 16) for n in range(1, 40))], []),
    "after the end of numbers": ([(REFERENCE, 14), (REFERENCE, 15), (REFERENCE, 2)], [2]),
    "key frames start again": ([(IDR, 0), (REFERENCE, 1), (IDR, 0), (REFERENCE, 1)], []),
    "two fields": ([(IDR, 0), (REFERENCE, 0), (REFERENCE, 1), (REFERENCE, 1)], []),
    "it begins anywhere": ([(REFERENCE, 9), (REFERENCE, 10)], []),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("profile", [BASELINE, HIGH])
@pytest.mark.parametrize("order", ORDERS)
def test_gaps(case: str, profile: str, order: int) -> None:
    pictures, expected = CASES[case]
    extra = sequence(profile, order)
    described = b"\1BBB\xff\xe1" + len(extra).to_bytes(2) + extra
    assert gaps(pictures, described) == expected
    assert gaps(pictures, b"\0\0\1" + extra, b"\0\0\1") == expected


def test_sequences_may_allow_gaps() -> None:
    extra = b"\0\0\1" + sequence(allows_gaps=True)
    assert gaps([(IDR, 0), (REFERENCE, 9)], extra, b"\0\0\1") == []


def test_bytes_that_keep_start_codes_away_are_no_content() -> None:
    numbers = PictureNumbers(b"\0\0\1" + sequence())
    parameters = "0" * 25 + "1" + "0" * 25
    for number, is_gap in ((5, False), (6, False), (8, True)):
        packet = b"\0\0\1" + picture(REFERENCE, number, parameters)
        assert packet.count(b"\0\0\3\1") == 1
        assert numbers.is_gap_before(packet, False) == is_gap


def test_damaged_bits_raise_nothing() -> None:
    random = np.random.default_rng(0)
    numbers = PictureNumbers(b"\0\0\1" + sequence())
    for size in range(200):
        content = random.integers(0, 256, size, np.uint8) * random.integers(0, 2, size, np.uint8)
        for start in (b"", b"\0\0\1\x67", b"\0\0\1\x61", b"\1BBB\xff\xe1\0"):
            numbers.is_gap_before(start + content.tobytes(), False)
            PictureNumbers(start + content.tobytes())

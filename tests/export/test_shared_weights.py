"""Weights that several models share: each different value is in the file once."""

import pathlib

from mpvn.export.shared_weights import NAME, SharedWeights


def test_equal_values_share_a_place_and_others_do_not(tmp_path: pathlib.Path) -> None:
    values = [b"abcd" * 9, b"abce" * 9, b"abcd" * 9, b"abcd" * 8, memoryview(b"abce" * 9), b""]
    with SharedWeights(tmp_path) as weights:
        places = [weights.add(value) for value in values]
    content = (tmp_path / NAME).read_bytes()
    for place, value in zip(places, values, strict=True):
        assert content[place : place + len(value)] == value
    assert places[0] == places[2] and places[1] == places[4]
    assert len({*places[:4]}) == 3
    assert all(place % 64 == 0 for place in places), "as OpenVINO and vector instructions want"

"""`--surgery`, and the networks that are online unless one asks for their offline form."""

import pytest
from command_line import assert_mistake, mpvn

SMALL = ("--size", 32, "--option", "width=0.1", "--option", "classes=3")


def test_shifted_networks_are_online_unless_asked_otherwise(capsys: pytest.CaptureFixture) -> None:
    """`mpvn stream --model tsm_mobilenet_v2` was refused: its default is the offline form."""
    assert mpvn("plan", "tsm_mobilenet_v2", *SMALL, "--subnetworks", 2) == 0
    printed = capsys.readouterr()
    assert "tsm_mobilenet_v2: the online form" in printed.err
    offline = ("--option", "temporal_padding=symmetric")
    assert_mistake("looks into the future", "plan", "tsm_mobilenet_v2", *SMALL, *offline,
                   "--subnetworks", 2)  # fmt: skip
    assert mpvn("plan", "tsm_mobilenet_v2", *SMALL, "--option", "shift=False") == 0
    assert "the online form" not in capsys.readouterr().err


def test_surgery_changes_the_network_that_is_planned(capsys: pytest.CaptureFixture) -> None:
    assert mpvn("plan", "simple_cnn", *SMALL, "--surgery", "shortcuts.offsets=(2,)",
                "--surgery", "recurrent.after=conv2") == 0  # fmt: skip
    nodes = int(capsys.readouterr().out.partition("nodes: ")[2].partition(" ")[0])
    assert mpvn("plan", "simple_cnn", *SMALL) == 0
    plain = int(capsys.readouterr().out.partition("nodes: ")[2].partition(" ")[0])
    assert nodes == plain + 4 + 2  # merges of units 2 to 5; a memory and a sum
    for text, message in (
        ("shfit", "surgery: expected one of shift, inflate, .*Received: 'shfit'"),
        ("shift.divisr=4", "surgery.shift: expected one of .*Received: 'divisr'"),
        ("shift.divisor=x", "surgery.shift.divisor: expected int. Received: 'x'"),
        ("shift=4", "--surgery: expected NAME or NAME.OPTION=VALUE"),
        ("shift", "No residual block was found in 'simple_cnn'"),
    ):
        assert_mistake(message, "plan", "simple_cnn", *SMALL, "--surgery", text)

"""`mpvn demo`: the report and the video of a short demo."""

import pathlib

import pytest
from command_line import assert_mistake, mpvn

from mpvn.data import VideoReader
from mpvn.demo import networks


@pytest.mark.usefixtures("eager", "short_par_densenet")
def test_demo_writes_its_report(
    video: pathlib.Path,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    """With a shorter network and fewer videos than the demo of a user."""
    monkeypatch.setattr(networks, "EVALUATION_VIDEOS", 2)
    options = ["--steps", 2, "--frames", 6, "--output", tmp_path / "demo"]
    assert mpvn("demo", "--video", video, *options) == 0
    assert "4 subnetworks, latency 2" in capsys.readouterr().out
    page = (tmp_path / "demo" / "report.html").read_text()
    assert page.count("<svg") == 4
    assert page.count("<img") == 10
    with VideoReader(tmp_path / "demo" / "seen.mp4") as annotated:
        assert sum(1 for _ in annotated) == 6


def test_demo_rejects_impossible_sizes(tmp_path: pathlib.Path) -> None:
    assert_mistake("Received: frames=0", "demo", "--frames", 0, "--output", tmp_path / "demo")

"""`--buffer` of `mpvn predict` and `mpvn benchmark`: the same answers, and how late they are."""

import json
import pathlib
import signal
from typing import Any

import pytest
from command_line import assert_mistake, mpvn
from encoded_videos import encode

from mpvn import cli
from mpvn.cli.predict import EXIT_FAILED
from mpvn.data import VideoReader
from mpvn.streaming import Stream, benchmark

PLAN = ["--subnetworks", 2, "--clocks", "1,2", "--runtime", "tensorflow"]


def rows(path: pathlib.Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Two videos, and between them a damaged one."""
    root = tmp_path_factory.mktemp("videos")
    encode(root / "a.mkv", count=15)
    path = encode(root / "b.mkv", count=40, codec="mjpeg", pix_fmt="yuvj420p", options={})
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    encode(root / "c.mkv", count=6)
    return root


def predicted(model: pathlib.Path, target: pathlib.Path, *arguments: object) -> list[dict]:
    options = ["--model", model, "--over-time", "--output", target, *PLAN, *arguments]
    assert mpvn("predict", *options) in (0, EXIT_FAILED)
    return rows(target)


def test_the_answers_of_several_videos_are_the_same(
    model: pathlib.Path,
    videos: pathlib.Path,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture,
) -> None:
    expected = predicted(model, tmp_path / "single.jsonl", videos)
    said = capsys.readouterr().err
    seen = tmp_path / "seen"
    arguments = [videos, "--buffer", 4, "--annotated", seen]
    found = predicted(model, tmp_path / "buffered.jsonl", *arguments)
    lines = capsys.readouterr().err
    assert "answers come up to 3 frames later than frame by frame" in lines
    assert "4 frames in one call" in lines and "frames later" not in said
    assert ("sources failed" in lines) == ("sources failed" in said)
    assert {pathlib.Path(row["video"]).name for row in found} == {"a.mkv", "b.mkv", "c.mkv"}
    for one, other in zip(found, expected, strict=True):
        assert (one["video"], one["seconds"]) == (other["video"], other["seconds"])
        assert one["value"] == pytest.approx(other["value"], rel=1e-4)
    with VideoReader(seen / "a.mp4") as reader:
        assert len([*reader]) == sum(row["video"].endswith("a.mkv") for row in found)


def test_an_interrupt_waits_for_the_answers_about_what_was_read(
    model: pathlib.Path,
    videos: pathlib.Path,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run_steps, read = Stream.run_steps, []

    def interrupted(self: Stream, frames: Any) -> Any:
        signal.raise_signal(signal.SIGINT)
        read.append(len(frames))
        return run_steps(self, frames)

    monkeypatch.setattr(Stream, "run_steps", interrupted)
    target = tmp_path / "steps.jsonl"
    arguments = ["predict", videos / "a.mkv", "--model", model, "--over-time", "--buffer", 4, *PLAN]
    before = signal.getsignal(signal.SIGINT)
    assert mpvn(*arguments, "--output", target) == cli.EXIT_INTERRUPTED
    assert len(read) == 1 and len(rows(target)) == read[0] >= 4
    assert signal.getsignal(signal.SIGINT) is before


def test_the_benchmark_measures_a_buffer_too(
    model: pathlib.Path,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    monkeypatch.setattr(benchmark, "TURN", 0.01)
    target = tmp_path / "speed.json"
    options = ["--seconds", 0.02, "--against", "none", "--json", target, "--buffer", 4]
    assert mpvn("benchmark", model, *PLAN, *options) == 0
    assert "4 frames in one call" in capsys.readouterr().out
    single, buffered = json.loads(target.read_text())["measured"].values()
    assert buffered["age_steps"]["mean"] == single["age_steps"]["mean"] + 1.5
    assert buffered["unevenness"] is None and buffered["frames"] % 4 == 0


@pytest.mark.parametrize(
    ("command", "options", "message"),
    [
        ("predict", ["--buffer", 0], "Invalid buffer. Expected a positive int"),
        ("predict", ["--buffer", 4, "--realtime"], "Frames of .* arrive in real time"),
        ("stream", ["--buffer", 4], "unrecognized arguments: --buffer 4"),
    ],
)
def test_wrong_buffers_get_one_message(
    command: str, options: list, message: str, model: pathlib.Path, videos: pathlib.Path
) -> None:
    assert_mistake(message, command, videos / "a.mkv", "--model", model, *PLAN, *options)

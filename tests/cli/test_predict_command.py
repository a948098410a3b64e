"""`mpvn predict`: answers as a table, rows, intervals and pictures; sources that cannot be read."""

import ast
import csv
import dataclasses
import json
import os
import pathlib
import re
import threading
import time
from typing import Any

import keras
import numpy as np
import pytest
from command_line import assert_mistake, mpvn
from encoded_videos import encode
from keras import layers
from servers import Answer, serving

from mpvn import Metadata, Plan, VideoNetwork, cli
from mpvn.cli.predict import EXIT_FAILED
from mpvn.data import VideoReader
from mpvn.pixels import to_signed
from mpvn.streaming import Stream

NAMES = ["hop", "jump", "walk"]
RATE = 12.5


@pytest.fixture(scope="module")
def network() -> VideoNetwork:
    """It answers one step late. The answer is "hop" in the dark, then "jump", then "walk"."""
    inputs = keras.Input((16, 16, 3))
    model = keras.Model(inputs, layers.Dense(3)(layers.GlobalAveragePooling2D()(inputs)))
    slopes = np.array([-60.0, 0.0, 60.0])
    model.set_weights([np.outer(np.ones(3) / 3, slopes), np.array([-26.0, 0.0, 21.0])])
    known = Metadata(
        task="action", names={"classes": NAMES}, latency=1, fps=RATE, frames=8, pixels="-1..1"
    )
    return VideoNetwork(model, Plan(model, 2), metadata=known)


@pytest.fixture(scope="module")
def model(network: VideoNetwork, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    path = tmp_path_factory.mktemp("models") / "network.keras"
    network.save(path)
    return path


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Two videos, 25 and 12.5 frames per second, a file that is none, and a note."""
    root = tmp_path_factory.mktemp("videos")
    (root / "late").mkdir()
    encode(root / "a.mkv", size=(45, 61), pix_fmt="yuv444p", count=20)
    encode(root / "late" / "b.mp4", times=[80 * n for n in range(12)], count=12)
    (root / "bad.mp4").write_bytes(b"not a video" * 9)
    (root / "notes.txt").write_text("a note")
    return root


@pytest.fixture(scope="module")
def logits(network: VideoNetwork, videos: pathlib.Path) -> dict[str, np.ndarray]:
    """The logits of the steps that count, by path."""
    found = {}
    for path in (videos / "a.mkv", videos / "late" / "b.mp4"):
        with VideoReader(path, size=(16, 16), fps=RATE) as reader:
            frames = to_signed(np.stack(list(reader)).astype("float32"))
        found[str(path)] = network(frames[None], training=False)[0, 1:].numpy()
    return found


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def rows(path: pathlib.Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_one_bad_file_does_not_stop_the_rest(
    model: pathlib.Path,
    videos: pathlib.Path,
    logits: dict[str, np.ndarray],
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture,
) -> None:
    table = tmp_path / "a.csv"
    assert mpvn("predict", videos, "--model", model, "--output", table) == EXIT_FAILED
    printed = capsys.readouterr()
    header, *cells = csv.reader(table.read_text().splitlines())
    assert header == ["video", "answer", "probability", *NAMES]
    assert [row[0] for row in cells] == list(logits)
    for row, expected in zip(cells, logits.values(), strict=True):
        mean = expected.mean(axis=0)
        np.testing.assert_allclose([float(cell) for cell in row[3:]], mean, atol=1e-5)
        best = int(mean.argmax())
        assert row[1] == NAMES[best]
        np.testing.assert_allclose(float(row[2]), softmax(mean)[best], rtol=1e-4)
        assert (
            f"{row[0]} " in printed.out and f"  {row[1]} {100 * float(row[2]):.1f} %" in printed.out
        )
    assert f"could not be read: {videos / 'bad.mp4'}: expected a video file" in printed.err
    assert "1 of 3 sources failed" in printed.err
    assert printed.err.count("shown at 12.5 per second, as in its training") == 1


def test_answers_over_time_are_those_of_numpy(
    model: pathlib.Path,
    videos: pathlib.Path,
    logits: dict[str, np.ndarray],
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture,
) -> None:
    steps, times, seen = tmp_path / "s.jsonl", tmp_path / "t.csv", tmp_path / "seen"
    pattern = videos / "**" / "[ab].*"
    arguments = ["predict", pattern, "--model", model, "--over-time", "--window", 0.3]
    arguments += ["--threshold", 0.6, "--output", steps, "--intervals", times, "--annotated", seen]
    assert mpvn(*arguments) == 0
    printed = capsys.readouterr().out
    found = rows(steps)
    _, *spans = csv.reader(times.read_text().splitlines())
    for path, expected in logits.items():
        mine = [row for row in found if row["video"] == path]
        windows = [expected[max(0, n - 3) : n + 1].mean(axis=0) for n in range(len(expected))]
        shares = softmax(np.stack(windows))
        np.testing.assert_allclose([r["seconds"] for r in mine], np.arange(len(shares)) / RATE)
        np.testing.assert_allclose([r["probability"] for r in mine], shares.max(1), rtol=1e-4)
        names = [
            NAMES[n] if p > 0.6 else None
            for n, p in zip(shares.argmax(1), shares.max(1), strict=True)
        ]
        assert [row["answer"] for row in mine] == names
        covered = [
            span[3]
            for span in spans
            if span[0] == path
            for _ in np.arange(float(span[1]), float(span[2]) - 0.01, 1 / RATE)
        ]
        assert covered == [name for name in names if name]
    assert len(spans) == printed.count(" s  ") >= 3
    assert sorted(path.name for path in seen.iterdir()) == ["a.mp4", "b.mp4"]
    with VideoReader(seen / "a.mp4") as reader:  # Even sides, as the format wants them.
        assert (reader.height, reader.width, len(list(reader))) == (46, 62, 9)


def test_a_network_of_clips_draws_its_answer_over_the_whole_video(
    network: VideoNetwork, videos: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    known = Metadata(
        task="action", names={"classes": NAMES}, sampling="segments", evaluated=None, frames=4
    )
    VideoNetwork(network.frame_model, metadata=known).save(tmp_path / "n.keras")
    arguments = ["--model", tmp_path / "n.keras", "--annotated", tmp_path / "seen.mkv"]
    assert mpvn("predict", videos / "a.mkv", *arguments) == 0
    with VideoReader(tmp_path / "seen.mkv") as seen, VideoReader(videos / "a.mkv") as original:
        pairs = list(zip(seen.timed(), original.timed(), strict=True))
    assert len(pairs) == 20
    for (seconds, drawn), (expected, frame) in pairs:
        assert abs(seconds - expected) < 1e-3
        grays = np.stack([drawn[:45, :61].mean(axis=-1), frame.mean(axis=-1)])
        parts = np.split(grays, [23], axis=1)
        above, below = (np.corrcoef(part.reshape(2, -1))[0, 1] for part in parts)
        assert above > below + 0.2  # The names are over the lower half.


def test_live_sources_are_followed_until_they_are_lost(
    network: VideoNetwork, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture
) -> None:
    content = encode(tmp_path / "a.ts", count=20).read_bytes()
    steps, model = tmp_path / "s.jsonl", tmp_path / "n.keras"
    known = dataclasses.replace(network.metadata, latency=0)  # An answer, however few frames come.
    VideoNetwork(network.frame_model, metadata=known).save(model)
    with serving(Answer(content, kind="raw")) as server:
        arguments = ["predict", server.url("tcp"), "--model", model, "--live", "--reconnect", 0]
        assert mpvn(*arguments, "--output", steps) == EXIT_FAILED
    printed = capsys.readouterr()
    assert "is live: frames that the network is too slow for are dropped" in printed.err
    assert "dropped\n" in printed.err and " ms, " in printed.err
    assert "the sender closed the connection" in printed.err
    assert all(row["answer"] in NAMES for row in rows(steps))
    os.mkfifo(tmp_path / "pipe")
    thread = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(content,))
    thread.start()
    assert mpvn("predict", tmp_path / "pipe", "--model", model) == 0
    thread.join()
    assert "%" in capsys.readouterr().out


@pytest.mark.parametrize("steps", [0, 5])
def test_an_interrupt_completes_the_annotated_video(
    steps: int,
    model: pathlib.Path,
    videos: pathlib.Path,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run_step, seen = Stream.run_step, tmp_path / "seen.mp4"
    left = iter([True] * steps)

    def step(self: Stream, frame: np.ndarray) -> Any:
        if not next(left, False):
            raise KeyboardInterrupt
        return run_step(self, frame)

    monkeypatch.setattr(Stream, "run_step", step)
    arguments = ["predict", videos / "a.mkv", "--model", model, "--annotated", seen]
    assert mpvn(*arguments) == cli.EXIT_INTERRUPTED
    assert seen.exists() == (steps > 0)
    if steps:
        with VideoReader(seen) as reader:
            assert len(list(reader)) == steps - 1  # The last step has no answer yet.


@pytest.mark.parametrize("steps", [None, 5], ids=["to its end", "until Ctrl-C"])
def test_a_source_in_real_time_ends_with_the_speed(
    steps: int | None,
    model: pathlib.Path,
    videos: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    run_step, arrivals = Stream.step, [0.0]

    def step(self: Stream, frame: np.ndarray, arrived: float) -> Any:
        if self.statistics.frames == steps:
            raise KeyboardInterrupt
        assert arrivals[-1] < arrived < time.perf_counter()
        arrivals.append(arrived)
        return run_step(self, frame, arrived)

    monkeypatch.setattr(Stream, "step", step)
    arguments = ["predict", videos / "a.mkv", "--model", model, "--realtime", "--fps", 50]
    assert mpvn(*arguments) == (0 if steps is None else cli.EXIT_INTERRUPTED)
    said = capsys.readouterr().err
    assert "latency per step in ms: median" in said
    assert re.search(r"age of information: mean 1, worst 1 steps; mean [\d.]+, worst", said)
    assert re.search(r"dropped \d+ frames", said)
    assert steps is None or f"{steps} frames in" in said


def test_an_interrupt_leaves_complete_lines(
    model: pathlib.Path,
    videos: pathlib.Path,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import mpvn.prediction.predictor as predictor

    opened = predictor.Predictor.open

    def second(self: Any, source: str, **options: Any) -> Any:
        if source.endswith("b.mp4"):
            raise KeyboardInterrupt
        return opened(self, source, **options)

    monkeypatch.setattr(predictor.Predictor, "open", second)
    arguments = ["predict", videos / "a.mkv", videos / "late", "--model", model]
    assert mpvn(*arguments, "--output", tmp_path / "a.jsonl") == cli.EXIT_INTERRUPTED
    (row,) = rows(tmp_path / "a.jsonl")
    assert row["video"] == str(videos / "a.mkv") and sorted(row["scores"]) == NAMES


def test_a_submission_has_a_line_for_each_source(
    model: pathlib.Path, videos: pathlib.Path, logits: dict[str, np.ndarray], tmp_path: pathlib.Path
) -> None:
    path = tmp_path / "s.csv"
    arguments = ["--submission", path, "--submission-for", "jester"]
    assert mpvn("predict", videos, "--model", model, *arguments) == EXIT_FAILED
    means = {pathlib.Path(key).stem: value.mean(axis=0) for key, value in logits.items()}
    means["bad"] = np.mean(list(means.values()), axis=0)
    lines = [f"{name};{NAMES[means[name].argmax()]}" for name in ("a", "bad", "b")]
    assert path.read_text().splitlines() == lines


def test_several_labels_hold_at_the_same_time(
    network: VideoNetwork, videos: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    """No label is less likely than a half, unless the user says so."""
    names = {"classes": NAMES}
    known = Metadata(task="multi_label_action", names=names, fps=RATE, pixels="-1..1")
    VideoNetwork(network.frame_model, metadata=known).save(tmp_path / "n.keras")
    found, steps = tmp_path / "i.jsonl", tmp_path / "s.csv"
    arguments = ["predict", videos / "a.mkv", "--model", tmp_path / "n.keras", "--over-time"]
    assert mpvn(*arguments, "--intervals", found, "--output", steps) == 0
    _, *cells = csv.reader(steps.read_text().splitlines())
    likely = np.array([row[4:] for row in cells], np.float64) >= 0  # Logits.
    assert (likely.sum(axis=1) == 2).any() and not likely.all(axis=0)[[0, 2]].any()
    for number, name in enumerate(NAMES):
        spans = [row for row in rows(found) if row["name"] == name]
        times = [n / RATE for n in np.flatnonzero(likely[:, number])]
        for row in spans:
            inside = [time for time in times if row["start"] - 1e-6 <= time < row["end"] - 1e-6]
            assert len(inside) == round((row["end"] - row["start"]) * RATE)
            times = [time for time in times if time not in inside]
            assert row["probability"] >= 0.5
        assert times == []


def test_joints_have_rows_over_time(
    videos: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture
) -> None:
    inputs = keras.Input((16, 16, 3))
    heatmaps = keras.Model(inputs, layers.Conv2D(2, 1)(inputs))
    joints = {"joints": ("left hand", "head")}
    known = Metadata(task="keypoints", names=joints, fps=RATE, size=(16, 16), pixels="-1..1")
    VideoNetwork(heatmaps, metadata=known).save(tmp_path / "n.keras")
    start = ["predict", videos / "a.mkv", "--model", tmp_path / "n.keras"]
    assert mpvn(*start) == 0  # Without a file, they are lines of JSON.
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["seconds"] for line in lines] == [round(n / RATE, 6) for n in range(10)]
    assert all(0 <= joint["x"] <= 60 for line in lines for joint in line["joints"].values())
    assert mpvn(*start, "--output", tmp_path / "a.csv") == 0
    header, first, *_ = csv.reader((tmp_path / "a.csv").read_text().splitlines())
    parts = [f"{name} {part}" for name in joints["joints"] for part in ("x", "y", "confidence")]
    assert header == ["video", "seconds", *parts]
    assert float(first[2]) == lines[0]["joints"]["left hand"]["x"]
    assert_mistake("--over-time: expected a network with scores of classes", *start, "--over-time")


def test_the_python_code_of_the_page_runs(
    model: pathlib.Path,
    videos: pathlib.Path,
    logits: dict[str, np.ndarray],
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "network.keras").symlink_to(model)
    (tmp_path / "walk.mp4").symlink_to(videos / "a.mkv")
    page = pathlib.Path(__file__).parents[2] / "docs" / "predict.md"
    (block,) = re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    exec(compile(block, str(page), "exec"), {})
    *steps, last = capsys.readouterr().out.splitlines()
    assert [line[:6] for line in steps] == [f"{n / RATE:.2f} s" for n in range(9)]
    shares = softmax(logits[str(videos / "a.mkv")].mean(axis=0))
    assert ast.literal_eval(last) == [
        (NAMES[shares.argmax()], pytest.approx(shares.max(), rel=1e-4))
    ]


def test_mistakes(
    model: pathlib.Path, videos: pathlib.Path, network: VideoNetwork, tmp_path: pathlib.Path
) -> None:
    video = videos / "a.mkv"
    start = ["predict", video, "--model", model]
    assert_mistake("pattern.*without matches", "predict", videos / "*.avi", "--model", model)
    (tmp_path / "empty").mkdir()
    assert_mistake("a folder with videos", "predict", tmp_path / "empty", "--model", model)
    late = ["predict", video, videos / "late", "--model", model]
    assert_mistake("a folder for 2 videos", *late, "--annotated", tmp_path / "a.mp4")
    assert_mistake("replaces nothing that is read", *start, "--annotated", video)
    other = encode(tmp_path / "x.mp4", count=2)
    both = ["predict", other, video, "--model", model, "--annotated", tmp_path]
    assert_mistake("replaces nothing that is read", *both)
    assert_mistake("expected --over-time", *start, "--intervals", tmp_path / "i.csv")
    assert_mistake("both or neither", *start, "--submission", tmp_path / "s.csv")
    assert_mistake("at least 1", *start, "--top", 0)
    assert_mistake("ends in .jsonl, .csv", *start, "--output", tmp_path / "a.xls")
    network.export(tmp_path / "served", verbose=False)
    served = ["predict", video, "--model", tmp_path / "served"]
    assert_mistake("Received: --subnetworks", *served, "--subnetworks", 2)
    assert mpvn(*served, "--top", 1) == 0

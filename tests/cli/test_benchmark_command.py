"""`mpvn benchmark`: its table, its JSON, and wrong inputs."""

import json
import pathlib

import keras
import pytest
from command_line import assert_mistake, mpvn

from mpvn.machine import OtherProcesses
from mpvn.runtime import choose
from mpvn.streaming import benchmark


@pytest.fixture(autouse=True)
def short_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "TURN", 0.01)


def test_it_prints_a_table_and_writes_the_numbers(
    model: pathlib.Path,
    video: pathlib.Path,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture,
) -> None:
    target = tmp_path / "speed.json"
    options = ["--subnetworks", 2, "--clocks", "1,2", "--batch", 2, "--fps", 2]
    options += ["--seconds", 0.05, "--video", video, "--json", target]
    assert mpvn("benchmark", model, *options) == 0
    printed = capsys.readouterr().out
    assert printed.splitlines()[0].split()[:4] == ["frames/s", "x", "plain", "Keras"]
    assert "age at 2 frames/s" in printed and "MiB in this process" in printed
    stored = json.loads(target.read_text())
    assert (stored["batch"], stored["subnetworks"], stored["period"]) == (2, 2, 2)
    assert stored["environment"]["keras"] == keras.__version__
    plain, ours, *_ = stored["measured"].values()
    assert (plain["age_steps"], ours["age_steps"]["worst"]) == ({"mean": 0, "worst": 0}, 2)
    assert ours["rated_age"]["worst"] > 1000 > plain["rated_age"]["worst"]  # two steps at 2/s
    assert ours["frames"] % 4 == 0  # whole periods of two streams
    assert ours["state_bytes"] > 0


def test_what_is_fastest_runs_in_other_commands(
    model: pathlib.Path,
    video: pathlib.Path,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    monkeypatch.setenv("MPVN_CACHE", str(tmp_path))
    monkeypatch.setattr(OtherProcesses, "share", lambda self: 0.0)
    ways = [("tensorflow", "block", False), ("tensorflow", "pattern", False)]
    monkeypatch.setattr(choose, "_CANDIDATES", ways)
    assert mpvn("benchmark", model, "--seconds", 0.03, "--against", "none") == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "is fastest" in line]
    assert mpvn("stream", video, "--model", model, "--frames", 2) == 0
    assert f"small runs on {line.split(' is fastest')[0]}\n" in capsys.readouterr().err
    monkeypatch.setattr(OtherProcesses, "share", lambda self: 1.0)
    assert mpvn("benchmark", model, "--seconds", 0.01, "--clocks", "none") == 0
    assert "was fastest. This is not kept" in capsys.readouterr().out


def test_it_can_do_without_a_comparison(model: pathlib.Path, capsys: pytest.CaptureFixture) -> None:
    assert (
        mpvn("benchmark", model, "--seconds", 0.02, "--against", "none", "--fps", "30000/1001") == 0
    )
    printed = capsys.readouterr().out
    assert "age at 29.97 frames/s" in printed and "plain Keras" not in printed


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--seconds", 0], "--seconds: expected a number above 0"),
        (["--seconds", "nan"], "--seconds: expected a number above 0"),
        (["--fps", -1], "--fps: expected a number above 0"),
        (["--batch", 0], "--batch: expected at least 1"),
        (["--threads", 0], "--threads: expected at least 1"),
        (["--runtime", "network", "--precision", "bfloat16"], "Expected a compiled runtime"),
        (["--runtime", "onnx"], "invalid choice: 'onnx'"),
        (["--video", "none.mp4"], "none.mp4"),
        (["--json", "speed.csv"], "ends in .json"),
    ],
)
def test_wrong_options_get_one_message(options: list, message: str, model: pathlib.Path) -> None:
    assert_mistake(message, "benchmark", model, *options)


def test_a_saved_model_is_no_model_to_benchmark(tmp_path: pathlib.Path) -> None:
    (tmp_path / "saved_model.pb").write_bytes(b"")
    assert_mistake("mpvn stream", "benchmark", tmp_path)


def test_a_model_without_pictures_cannot_be_shown_any(tmp_path: pathlib.Path) -> None:
    vector = keras.Input((10,))
    path = tmp_path / "vector.keras"
    keras.Model(vector, keras.layers.Dense(2)(vector)).save(path)
    assert_mistake(r"inputs of shape \[None, 10\]", "benchmark", path)

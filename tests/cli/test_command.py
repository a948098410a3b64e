"""The command as a process: help, exit codes, quiet start, closed pipes, interrupts."""

import argparse
import os
import pathlib
import subprocess
import sys

import keras
import pytest
from bare_package import BARE
from command_line import assert_mistake, mpvn, process_arguments

from mpvn import cli


def test_help_shows_examples_and_does_not_import_tensorflow() -> None:
    _, *arguments = process_arguments("stream", "--help")
    result = subprocess.run(
        [sys.executable, "-X", "importtime", *arguments], capture_output=True, text=True, check=True
    )
    assert "examples:" in result.stdout
    assert "mpvn" in result.stderr
    assert "tensorflow" not in result.stderr


def test_versions_are_printed(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as exit_:
        mpvn("--version")
    assert exit_.value.code == 0
    printed = capsys.readouterr().out
    assert printed.startswith("mpvn 0.1.0 (Python 3.")
    assert f"Keras {keras.__version__}, TensorFlow 2." in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["plan", "seen.mp4"], "seen.mp4 could not be loaded as a Keras model.*no .keras archive"),
        (
            ["export", "cut.keras", "out"],
            "cut.keras could not be loaded.*no .keras archive, or cut",
        ),
        (["plan", "a/b"], "There is no model at a/b. Expected a .keras file, the folder of a run"),
        (["train", "--config", "seen.mp4"], "no config 'seen.mp4'.*Received: a file of another"),
        (["train", "--config", "."], "no config '.'.*Received: a folder"),
        (["sweep", "--config", "none.py"], "no config 'none.py'.*Received: nothing at that path"),
        (["compare", "seen.mp4", "--output", "c.svg"], "finished sweep. Received: a file. Run"),
        (["eval", "run/network.keras"], "network.keras is not .* a file. Give its folder, run$"),
        (["eval", "none"], "none is not the folder of a run: there is nothing at that path"),
    ],
)
def test_a_path_of_another_kind_gets_one_message(
    arguments: list[str], message: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keras answered with a paragraph on formats, Python with the first letter of a video."""
    monkeypatch.chdir(tmp_path)
    for name in ("seen.mp4", "cut.keras"):
        pathlib.Path(name).write_bytes(b"\x1a\x45\x00")
    pathlib.Path("run").mkdir()
    for name in ("config.json", "network.keras"):
        pathlib.Path("run", name).write_text("{}")
    assert_mistake(message, *arguments)


def command_names() -> list[str]:
    commands = argparse.ArgumentParser().add_subparsers()
    for command in cli.COMMANDS:
        command.add_parser(commands)
    return list(commands.choices)


@pytest.mark.parametrize("name", command_names())
def test_every_command_has_help_with_examples(name: str, capsys: pytest.CaptureFixture) -> None:
    assert f"\n    mpvn {name} " in cli.__doc__
    with pytest.raises(SystemExit) as exit_:
        mpvn(name, "--help")
    assert exit_.value.code == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f"usage: mpvn {name}")
    assert f"examples:\n  mpvn {name}" in printed


def test_unknown_option_is_an_error_unless_the_command_takes_overrides(
    capsys: pytest.CaptureFixture,
) -> None:
    with pytest.raises(SystemExit) as exit_:
        mpvn("models", "--config.seed=1")
    assert exit_.value.code == cli.EXIT_MISTAKE
    assert "unrecognized arguments: --config.seed=1" in capsys.readouterr().err


def test_process_prints_the_plan_and_no_startup_messages(model: pathlib.Path) -> None:
    result = subprocess.run(
        process_arguments("plan", model), capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    assert "step   0   cost" in result.stdout


def test_mistake_gets_one_message_and_code_2() -> None:
    assert_mistake("^mpvn: .*'MobileNetV9'", "plan", "MobileNetV9")


def test_closed_pipe_is_not_an_error() -> None:
    """`mpvn plan ... | head` ended with a stack trace; a short output, with a message of Python."""
    program = f"""{BARE}
from mpvn import cli
cli.models.run = lambda _: print("text")
sys.exit(cli.main(["models"]))
"""
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": ""},
    )
    process.stdout.close()
    assert process.wait() == cli.EXIT_PIPE_CLOSED
    assert process.stderr.read() == ""
    process.stderr.close()


@pytest.mark.parametrize("command", ["train", "demo"])
def test_interrupted_training_ends_with_one_message(
    command: str,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    """An interrupted demo ended with a stack trace."""
    from mpvn import training
    from mpvn.demo import networks

    def interrupted(*_: object, **__: object) -> None:
        raise training.Interrupted("stopped after 3 batches")

    config = tmp_path / "config.py"
    config.write_text("from mpvn.training import base_config as get_config\n")
    monkeypatch.setattr(training, "train", interrupted)
    monkeypatch.setattr(networks, "train", interrupted)
    options = ["--config", config] if command == "train" else ["--output", tmp_path / "demo"]
    assert mpvn(command, *options) == cli.EXIT_INTERRUPTED
    assert capsys.readouterr().err.endswith("mpvn: stopped after 3 batches\n")

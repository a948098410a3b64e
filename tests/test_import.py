"""`import mpvn`: modules are imported when they are used, and classes are registered with Keras."""

import importlib
import pathlib
import sys

import keras
import pytest

import mpvn


def test_modules_are_attributes_of_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("models", "data", "training", "tasks", "report", "sideways", "export"):
        monkeypatch.delattr(mpvn, name, raising=False)
        assert name in dir(mpvn)
        assert getattr(mpvn, name) is importlib.import_module(f"mpvn.{name}")
    assert mpvn.models.par_densenet.__module__ == "mpvn.models.par_densenet"
    assert "VideoNetwork" in dir(mpvn)
    with pytest.raises(AttributeError, match="module 'mpvn' has no attribute 'modls'"):
        _ = mpvn.modls


def test_the_classes_are_registered() -> None:
    registered = keras.saving.get_custom_objects()
    assert registered["mpvn>VideoNetwork"] is mpvn.VideoNetwork
    assert any(name.startswith("mpvn>") and "Keypoint" in name for name in registered)


SCRIPT = "from mpvn.cli import main\nmain()\n"
OTHER_SCRIPT = "import mpvn, keras\nkeras.models.load_model('network.keras')\n"


@pytest.mark.parametrize(
    ("name", "text", "is_command"),
    [
        ("mpvn", SCRIPT, True),
        ("mpvn", OTHER_SCRIPT, False),
        ("mpvn.py", OTHER_SCRIPT, False),
        ("mpvn.ipynb", OTHER_SCRIPT, False),
        ("mpvn", None, False),
        ("pytest", SCRIPT, False),
    ],
)
def test_only_the_installed_script_is_the_command(
    name: str,
    text: str | None,
    is_command: bool,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A user's script of the same name must load saved networks."""
    program = tmp_path / name
    if text is not None:
        program.write_text(text)
    monkeypatch.setattr(sys, "argv", [str(program), "plan"])
    assert mpvn._is_command() is is_command


@pytest.mark.parametrize(
    ("process", "argv", "is_command"),
    [
        (["python", "-m", "mpvn.cli"], ["-m"], True),
        (["python", "-X", "dev", "-m", "mpvn.cli", "plan", "-m"], ["-m", "plan", "-m"], True),
        (["python", "-mmpvn.cli", "plan"], ["-m", "plan"], True),
        (["python", "-m", "package.of.others", "mpvn.cli"], ["-m", "mpvn.cli"], False),
        (["python", "-m", "mpvn.cli.sweep"], ["-m"], False),
        (["python", "-c", "import mpvn"], ["-c"], False),
        (["python"], [""], False),
        (["embedded"], [], False),
    ],
)
def test_only_the_module_of_the_command_is_the_command(
    process: list[str], argv: list[str], is_command: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "orig_argv", process)
    monkeypatch.setattr(sys, "argv", argv)
    assert mpvn._is_command() is is_command

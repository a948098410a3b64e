"""Numbers of a config out of range, and config files that are none, are refused by name."""

import pathlib
from typing import Any

import pytest
from ml_collections import ConfigDict
from ml_collections.config_dict import FieldReference

from mpvn.training import base_config, build, load_config, override
from mpvn.training.config import _defaults
from mpvn.training.ranges import RANGES


def numeric_keys(tree: dict[str, Any], prefix: str = "") -> set[str]:
    """Return the dotted keys that hold numbers, also those that are None by default."""
    keys = set()
    for key, value in tree.items():
        kind = value.get_type() if isinstance(value, FieldReference) else type(value)
        numbers = isinstance(value, tuple) and any(isinstance(each, float) for each in value)
        if isinstance(value, dict):
            keys |= numeric_keys(value, f"{prefix}{key}.")
        elif kind in (int, float) or numbers:
            keys.add(f"{prefix}{key}")
    return keys


def test_every_number_has_a_range() -> None:
    sequences = {"optimizer.boundaries"}  # Empty by default.
    assert set(RANGES) == numeric_keys(_defaults()) | sequences


@pytest.mark.parametrize("key", RANGES)
def test_a_number_below_its_range_is_refused_by_name(key: str) -> None:
    allowed = RANGES[key]
    low = allowed.low if allowed.above else allowed.low - 1
    value = (int(low), 1) if "scale" in key and "views" not in key else int(low)
    value = (value,) if key == "optimizer.boundaries" else value
    with pytest.raises(ValueError, match=f"^config.{key}: expected a number .* Received"):
        override(base_config(), [f"--config.{key}={value}"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("clip.fps=-5", "config.clip.fps: expected a number above 0. Received: -5.0."),
        ("clip.fps=nan", "config.clip.fps: expected a number above 0. Received: nan."),
        ("clip.fps=inf", "config.clip.fps: expected a number above 0. Received: inf."),
        ("training.checkpoint_every=0", "expected a number at least 1. Received: 0."),
        ("augmentation.scale=(0.9,0.1)", "and at most 1, in ascending order. Received: .0.9, 0.1"),
        ("optimizer.boundaries=(9,3)", r"in ascending order. Received: \(9, 3\)"),
        ("seed=4294967296", "at least 0 and below 4294967296. Received: 4294967296"),
        ("augmentation.hue=0.6", "at least 0 and at most 0.5. Received: 0.6"),
    ],
)
def test_messages(change: str, message: str) -> None:
    """`checkpoint_every=0` ended with a division by zero after the network was built."""
    with pytest.raises(ValueError, match=message):
        override(base_config(), [f"--config.{change}"])


def test_all_faults_are_named_also_in_a_config_made_by_code() -> None:
    config = base_config()
    config.clip.fps, config.training.batch_size = -5.0, 0
    with pytest.raises(ValueError, match=r"clip.fps: .*\nconfig.training.batch_size: "):
        build(config)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def x(:\n", r"Received: SyntaxError: .*line 1"),
        ("\0\1", "Received: SyntaxError: .*null bytes"),
        ("import nothing_there\n", "Received: line 1: ModuleNotFoundError: No module named"),
        ("def get_config():\n    return foo\n", "Received: line 2: NameError: name 'foo'"),
        ("import sys\nsys.exit(3)\n", "Received: line 2: SystemExit: 3"),
        ('{"seed": null}\n', "expected a Python file with .* Received: line 1: NameError"),
        ("a = 1\n", r"expected a function get_config\(\). Received: none"),
        ("get_config = 3\n", "Received: TypeError: 'int' object is not callable"),
        ("get_config = dict\n", r"expected get_config\(\) to return a config.* Received: dict"),
    ],
)
def test_a_file_that_is_no_config_is_refused(
    text: str, message: str, tmp_path: pathlib.Path
) -> None:
    path = tmp_path / "config.py"
    path.write_text(text)
    with pytest.raises(ValueError, match=f"config.py: {message}|config.py: .*{message}"):
        load_config(path)


def test_a_config_without_keys_is_refused() -> None:
    with pytest.raises(ValueError, match="clip.frames: .*no such key. Start from base_config"):
        override(ConfigDict({"model": {"name": "vgg8", "options": {}}, **OTHERS}), [])


OTHERS = {
    "data": {"name": "rendered_figures", "train": {}, "evaluation": {}},
    "task": {"name": "keypoints", "options": {}},
}

"""Training on real, encoded video with the command alone; needs the fixture `shared`."""

import pathlib
import shutil

import pytest

from mpvn import cli

CLASS_FOLDERS = pathlib.Path(__file__).parents[2] / "configs" / "class_folders.py"
WORDS = ("bird", "book", "eat")
CONFIG = f"""
from mpvn.training import load_config

def get_config():
    config = load_config({str(CLASS_FOLDERS)!r})
    config.model.name = "simple_cnn"  # memorizes in seconds
    config.model.size = 32
    config.model.options = {{"width": 0.5, "batch_norm": False}}
    config.optimizer.learning_rate = 0.003
    config.data.in_memory = True
    config.clip.frames = 8
    config.training.steps = 70
    config.training.batch_size = 3
    return config
"""


@pytest.fixture
def words(shared: pathlib.Path, tmp_path: pathlib.Path) -> pathlib.Path:
    """Three class folders, each with one clip of a word in sign language."""
    clips = shared / "clips" / "asl"
    if not clips.is_dir():
        pytest.skip(f"optional data: there is no folder {clips}")
    for word in WORDS:
        (tmp_path / "words" / word).mkdir(parents=True)
        shutil.copy(clips / f"{word}.mkv", tmp_path / "words" / word)
    return tmp_path / "words"


def test_words_are_memorized(
    words: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture
) -> None:
    """Far above the chance of 1 in 3, and the stored network gives the same accuracy."""
    config, run = tmp_path / "config.py", tmp_path / "run"
    config.write_text(CONFIG)
    options = [f"--config.data.path={words}", "--config.data.evaluation.split=train"]
    arguments = ["train", "--config", str(config), "--run", str(run), *options]
    assert cli.main(arguments) == 0
    trained = metrics(capsys.readouterr().out)
    assert trained["clip_top1"] == 1.0
    assert trained["accuracy"] > 0.5
    assert cli.main(["eval", str(run), "--checkpoint=last"]) == 0
    assert metrics(capsys.readouterr().out)["clip_top1"] == trained["clip_top1"]


def metrics(printed: str) -> dict[str, float]:
    """Return the printed lines with a name and a number."""
    pairs = [line.split() for line in printed.splitlines() if len(line.split()) == 2]
    return {name: float(value) for name, value in pairs if value.replace(".", "").isdigit()}

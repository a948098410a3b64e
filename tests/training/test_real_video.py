"""Training on real, encoded video with the command alone; needs the fixture `shared`."""

import pathlib
import shutil

import numpy as np
import pytest
from streamed import Streamed, predictions, stream

from mpvn import cli
from mpvn.data.sets.files import FileVideo
from mpvn.data.video.framing import Cropped

CLASS_FOLDERS = pathlib.Path(__file__).parents[2] / "configs" / "finetune_parallel.py"
WORDS = ("bird", "book", "eat")
CONFIG = f"""
from mpvn.training import load_config

def get_config():
    config = load_config({str(CLASS_FOLDERS)!r})
    config.model.name = "simple_cnn"  # memorizes in seconds
    config.model.size = 32
    config.model.options = {{"width": 0.5, "norm": None}}
    config.plan.subnetworks = 1
    config.task.mask_uninformed = False  # all steps of a stream count
    config.augmentation.brightness = config.augmentation.contrast = 0.0
    config.optimizer.warm_up = 0
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


def test_words_are_memorized_and_recognized_in_a_stream(
    words: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture
) -> None:
    """Far above the chance of 1 in 3, and the stored network gives the same accuracy.

    A stream at the 8 frames per second of the run, of videos at 30, sees the same and says the same
    as the evaluation: by the plan of the run, and by another one with several clock rates.
    """
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
    rewired = ["--config.plan.subnetworks=3", "--config.plan.clocks=auto"]
    table = tmp_path / "predictions.csv"
    assert cli.main(["eval", str(run), "--predictions", str(table), *rewired]) == 0
    late = predictions(table)
    for word in WORDS:
        video = words / word / f"{word}.mkv"
        timeline = FileVideo(video).timeline
        seconds = np.array([float(timeline.seconds(n)) for n in range(len(timeline))])
        assert_evaluated(stream(video, run), video, seconds)
        assert f"answer: {word} " in capsys.readouterr().out
        if word != WORDS[-1]:
            continue
        scores = stream(video, run, "--subnetworks", 3, "--clocks", "auto").scores
        np.testing.assert_allclose(scores.mean(axis=0), late[word], rtol=1e-4, atol=1e-4)


def assert_evaluated(streamed: Streamed, video: pathlib.Path, seconds: np.ndarray) -> None:
    """Check the frames of a stream at 8 per second, from the times of those of the file."""
    count = len(streamed.frames)
    np.testing.assert_allclose(streamed.seconds, np.arange(count) / 8, atol=1e-6)
    # The file counts in milliseconds: allow one.
    newest = [int(np.flatnonzero(seconds <= n / 8 + 0.001)[-1]) for n in range(count)]
    assert seconds[-1] - 0.125 < (count - 1) / 8 < seconds[-1] + 0.06
    expected = FileVideo(video).read_framed(newest, Cropped((32, 32))).frames
    np.testing.assert_array_equal(streamed.frames, expected)


def metrics(printed: str) -> dict[str, float]:
    """Return the printed lines with a name and a number."""
    pairs = [line.split() for line in printed.splitlines() if len(line.split()) == 2]
    return {name: float(value) for name, value in pairs if value.replace(".", "").isdigit()}

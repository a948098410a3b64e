"""What is wrong with data or settings is told by the command in one message, with exit code 2.

The message names the file or the key, and says how to mend it.
"""

import json
import pathlib
import re
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image
from rendered_video import write_rendered_video

from mpvn import cli

CONFIGS = pathlib.Path(__file__).parents[2] / "configs"

Data = Callable[[pathlib.Path], list[str]]

CONFIG = """
from mpvn.training import base_config

def get_config():
    config = base_config()
    config.task.name = "action"
    config.clip.frames = 4
    config.model.name = "simple_cnn"
    config.model.size = 32
    config.model.options = {"width": 0.1, "batch_norm": True}
    config.training.steps = 2
    config.training.batch_size = 2
    config.data.name = "folder"
    config.data.train = {"split": ""}
    config.data.evaluation = {"split": ""}
    return config
"""


@pytest.fixture
def config(tmp_path: pathlib.Path) -> pathlib.Path:
    path = tmp_path / "config.py"
    path.write_text(CONFIG)
    return path


def mpvn(*arguments: object) -> int:
    return cli.main([*map(str, arguments)])


def video(path: pathlib.Path, frames: int = 8) -> pathlib.Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_rendered_video(path, frames, size=(32, 48))
    return path


def set_with(root: pathlib.Path, **frames: int) -> list[str]:
    """A folder of one class folder for each name, with two videos of that many frames."""
    for name, count in frames.items():
        for number in range(2):
            video(root / name / f"{number}.mp4", count)
    return [f"--config.data.path={root}"]


# --- refused ------------------------------------------------------------------------------------


def no_path(root: pathlib.Path) -> list[str]:
    return []


def missing_folder(root: pathlib.Path) -> list[str]:
    return [f"--config.data.path={root}/nowhere"]


def empty_folder(root: pathlib.Path) -> list[str]:
    root.mkdir()
    return [f"--config.data.path={root}"]


def empty_class(root: pathlib.Path) -> list[str]:
    (root / "run").mkdir(parents=True)
    return set_with(root, jump=8)


def too_few_to_hold_some_out(root: pathlib.Path) -> list[str]:
    for name in ("jump", "run"):
        video(root / name / "0.mp4")
    return ["--config", str(CONFIGS / "class_folders.py"), f"--config.data.path={root}"]


def no_class_list(root: pathlib.Path) -> list[str]:
    root.mkdir()
    config = CONFIGS / "par_densenet_action.py"
    return ["--config", str(config), f"--config.data.path={root}"]


def short_videos(root: pathlib.Path) -> list[str]:
    return [*set_with(root, jump=8, run=8), "--config.clip.frames=12"]


def unreadable_videos(root: pathlib.Path) -> list[str]:
    arguments = set_with(root, jump=8, run=8)
    (root / "jump" / "1.mp4").write_bytes(b"no video")
    return [*arguments, "--config.data.on_error=raise"]


def misspelled_key(root: pathlib.Path) -> list[str]:
    return ["--config.training.step=3"]


def misspelled_set(root: pathlib.Path) -> list[str]:
    return ["--config.data.name=ucf11"]


def misspelled_option(root: pathlib.Path) -> list[str]:
    misspelled = CONFIG.replace('train = {"split"', 'train = {"splt"')
    (root.parent / "config.py").write_text(misspelled)
    return set_with(root, jump=8, run=8)


def one_class(root: pathlib.Path) -> list[str]:
    return set_with(root, jump=8)


def without_joints(root: pathlib.Path) -> list[str]:
    return [
        *set_with(root, jump=8, run=8),
        "--config.task.name=keypoints",
        "--config.model.name=par_densenet",
    ]


def table(root: pathlib.Path, *rows: str) -> list[str]:
    video(root / "a.mp4")
    (root / "list.csv").write_text("\n".join(["path,label", *rows]))
    return ["--config.data.name=csv", f"--config.data.path={root / 'list.csv'}"]


def gap_in_labels(root: pathlib.Path) -> list[str]:
    video(root / "b.mp4")
    return table(root, "a.mp4,0", "b.mp4,7")


def row_without_label(root: pathlib.Path) -> list[str]:
    return table(root, "a.mp4,jump", "b.mp4")


def video_not_there(root: pathlib.Path) -> list[str]:
    return table(root, "a.mp4,jump", "b.mp4,run")


def missing_joints(root: pathlib.Path) -> list[str]:
    """PoseTrack with a joint less than its category names."""
    images = []
    for number in range(4):
        name = f"images/train/walk/{number:05d}.jpg"
        images.append({"id": number, "file_name": name})
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((32, 48, 3), np.uint8)).save(root / name)
    person = {"image_id": 0, "track_id": 0, "keypoints": [20, 10, 1]}
    categories = [{"keypoints": ["left_hand", "right_hand"]}]
    content = {"images": images, "annotations": [person], "categories": categories}
    annotations = root / "annotations" / "train" / "walk.json"
    annotations.parent.mkdir(parents=True)
    annotations.write_text(json.dumps(content))
    return [
        "--config.data.name=posetrack",
        "--config.data.train.split=train",
        f"--config.data.path={root}",
    ]


REFUSED: list[tuple[Data, str]] = [
    (no_path, "config.data.path must say where folder is on disk"),
    (missing_folder, "Expected class folders in .*nowhere.* Put the videos"),
    (empty_folder, "set: 1 problem:\n  Expected class folders. Received: none\nPut the videos"),
    (empty_class, "set/run: expected videos. Received: none\nPut the videos"),
    (too_few_to_hold_some_out, "set: Split val is empty with fraction=0.8"),
    (no_class_list, "Mini-Kinetics: expected class_list, a text file"),
    (short_videos, r'0.mp4: .* at least 12 frames. Received: 8 .* set short="loop"'),
    (unreadable_videos, r"jump/1.mp4: expected a video"),
    (misspelled_key, 'Did you mean "steps"'),
    (misspelled_set, "config.data.name: known are .*ucf101.*Received: 'ucf11'"),
    (one_class, "needs at least 2 classes, and .* has one: jump. Add videos of another"),
    (without_joints, "needs joints, and set has none. Give another .* such as jhmdb or posetrack"),
    (misspelled_option, "config.data.train: folder takes split, fraction, seed. Received: 'splt'"),
    (gap_in_labels, "list.csv: 6 problems:\n  No video has the label 1.*Number the labels"),
    (row_without_label, "list.csv: 1 problem:\n  line 3: expected path, label. Received: 'b.mp4'"),
    (video_not_there, "list.csv: 1 problem:\n  line 3: .*b.mp4 does not exist"),
    (missing_joints, "walk.json: expected 6 keypoints. Received: 3"),
]


@pytest.mark.parametrize(
    ("data", "message"), REFUSED, ids=lambda case: getattr(case, "__name__", "")
)
def test_a_mistake_gets_one_message(
    data: Data,
    message: str,
    config: pathlib.Path,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture,
) -> None:
    run = tmp_path / "run"
    assert mpvn("train", "--config", config, "--run", run, *data(tmp_path / "set")) == 2
    said = capsys.readouterr().err
    assert said.count("mpvn: ") == 1 and "Traceback" not in said
    assert re.search(f"mpvn: .*{message}", said, re.DOTALL), said
    assert not (run / "network.keras").exists()


# --- left out -----------------------------------------------------------------------------------


def test_what_cannot_be_read_is_left_out_and_told_of(
    config: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture
) -> None:
    """At the end of training, and of evaluation; and nothing is told where all could be read."""
    arguments = set_with(tmp_path / "set", jump=8, run=8)
    assert mpvn("train", "--config", config, "--run", tmp_path / "whole", *arguments) == 0
    assert "jump/1.mp4" not in capsys.readouterr().err
    (tmp_path / "set" / "jump" / "1.mp4").write_bytes(b"no video")
    assert mpvn("train", "--config", config, "--run", tmp_path / "run", *arguments) == 0
    report = re.compile("skipped.*jump/1.mp4: expected a video file", re.DOTALL | re.IGNORECASE)
    assert report.search(capsys.readouterr().err)
    assert mpvn("eval", tmp_path / "run") == 0
    assert report.search(capsys.readouterr().err)


# --- checkpoints --------------------------------------------------------------------------------


def test_a_checkpoint_of_another_architecture_is_refused(
    config: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture
) -> None:
    run = tmp_path / "run"
    data = set_with(tmp_path / "set", jump=8, run=8)
    assert mpvn("train", "--config", config, "--run", run, *data) == 0
    capsys.readouterr()
    assert mpvn("eval", run, "--config.model.options.width=0.2") == 2
    said = capsys.readouterr().err
    assert re.search(r"mpvn: .*best.npz is of another network .*the run's own config", said, re.S)
    assert "Traceback" not in said
    (run / "checkpoints" / "best.npz").unlink()
    assert mpvn("eval", run) == 2
    assert re.search(r"mpvn: .*best.npz is no checkpoint", capsys.readouterr().err)

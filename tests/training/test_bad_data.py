"""The command refuses bad data and bad configs with one message and exit code 2.

The message names the file or the key, and says how to fix it.
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
from mpvn.training import RunFolder, build

CONFIGS = pathlib.Path(__file__).parents[2] / "configs"

Data = Callable[[pathlib.Path], list[str]]

CONFIG = f"""
import sys
sys.path[:0] = [{str(pathlib.Path(__file__).parents[1])!r}]
from small_runs import small_config

def get_config():
    config = small_config(clip__frames=4, training__steps=2)
    config.data.name = "folder"
    config.data.train = {{"split": None}}
    config.data.evaluation = {{"split": None}}
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
    """Write a folder for each class, with two videos of that many frames; return its override."""
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
    return ["--config", str(CONFIGS / "finetune_parallel.py"), f"--config.data.path={root}"]


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
    return ["--config.data.train.splt=train"]


def one_class(root: pathlib.Path) -> list[str]:
    return set_with(root, jump=8)


def without_joints(root: pathlib.Path) -> list[str]:
    return [
        *set_with(root, jump=8, run=8),
        "--config.task.name=keypoints",
        "--config.model.name=par_densenet",
        "--config.model.options={}",
    ]


def table(root: pathlib.Path, *rows: str) -> list[str]:
    video(root / "a.mp4")
    (root / "list.csv").write_text("\n".join(["path,label", *rows]))
    return ["--config.data.name=csv", f"--config.data.path={root / 'list.csv'}"]


def fractions_as_labels(root: pathlib.Path) -> list[str]:
    video(root / "b.mp4")
    return table(root, "a.mp4,0.0", "b.mp4,7.0")


def row_without_label(root: pathlib.Path) -> list[str]:
    return table(root, "a.mp4,jump", "b.mp4")


def video_not_there(root: pathlib.Path) -> list[str]:
    return table(root, "a.mp4,jump", "b.mp4,run")


def missing_joints(root: pathlib.Path) -> list[str]:
    """PoseTrack with one joint fewer than its category names."""
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
        "--config.data.evaluation.split=val",
        f"--config.data.path={root}",
    ]


REFUSED: list[tuple[Data, str]] = [
    (no_path, "config.data.path: expected where folder is on disk. Received: None. Add --conf"),
    (missing_folder, "Expected class folders in .*nowhere.* Put the videos"),
    (empty_folder, "set: 1 problem:\n  Expected class folders. Received: none\nPut the videos"),
    (empty_class, "set/run: expected videos. Received: none\nPut the videos"),
    (too_few_to_hold_some_out, "set: Split val is empty with fraction=0.8"),
    (no_class_list, "Mini-Kinetics: expected class_list, a text file"),
    (short_videos, r'0.mp4: .* at least 12 frames. Received: 8 .* set short="loop"'),
    (unreadable_videos, r"jump/1.mp4: expected a video"),
    (misspelled_key, "config.training has no key 'step'.*Did you mean 'steps'"),
    (misspelled_set, "config.data.name. Expected one of .*ucf101.*Received: 'ucf11'"),
    (one_class, "needs at least 2 classes. Received: .* with one, jump. Add videos of another"),
    (
        without_joints,
        "needs joints. Received: set without any. .* such as keypoint_videos or posetrack",
    ),
    (misspelled_option, "config.data.train: folder has no option 'splt'.*Did you mean 'split'"),
    (fractions_as_labels, "list.csv: 2 problems:\n  line 2: expected a name or a whole number"),
    (row_without_label, "list.csv: 1 problem:\n  line 3: expected path, label. Received: 'b.mp4'"),
    (video_not_there, "list.csv: 1 problem:\n  line 3: .*b.mp4 does not exist"),
    (missing_joints, "walk.json: .* keypoints: expected 6 numbers. Received: 3"),
]


@pytest.mark.parametrize(
    ("data", "message"), REFUSED, ids=lambda case: getattr(case, "__name__", "")
)
def test_bad_data_gets_one_message(
    data: Data,
    message: str,
    config: pathlib.Path,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture,
) -> None:
    run = tmp_path / "run"
    assert mpvn("train", "--config", config, "--run", run, *data(tmp_path / "set")) == 2
    printed = capsys.readouterr().err
    assert printed.count("mpvn: ") == 1 and "Traceback" not in printed
    assert re.search(f"mpvn: .*{message}", printed, re.DOTALL), printed
    assert not (run / "network.keras").exists()


# --- skipped ------------------------------------------------------------------------------------


def test_unreadable_videos_are_skipped_and_reported(
    config: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture
) -> None:
    """At the end of training, and of evaluation."""
    arguments = set_with(tmp_path / "set", jump=8, run=8)
    (tmp_path / "set" / "jump" / "1.mp4").write_bytes(b"no video")
    run = tmp_path / "run"
    assert mpvn("train", "--config", config, "--run", run, *arguments) == 0
    printed = capsys.readouterr()
    assert f"written to {run}" in printed.out
    report = re.compile("skipped.*jump/1.mp4: expected a video f", re.DOTALL | re.IGNORECASE)
    assert report.search(printed.err)
    assert mpvn("eval", run) == 0
    assert report.search(capsys.readouterr().err)
    experiment = build(RunFolder(run).config(), to_train=False)
    assert experiment.training.videos.classes == ("jump", "run")

"""What belongs to a run: names of classes and joints, frame rate, which videos."""

import json
import pathlib
from typing import Any

import keras
import numpy as np
import pytest
from marked_videos import MarkedVideo
from ml_collections import ConfigDict
from small_runs import small_config, untrained_run
from video_files import encode, gray

from mpvn import cli
from mpvn.data import VideoSet
from mpvn.data.sets.files import FileVideo
from mpvn.training import RunData, RunFolder, build, evaluate_ensemble, evaluate_views, train
from mpvn.training.evaluation import load_weights
from mpvn.training.run_data import check_names


def write_classes(root: pathlib.Path, *names: str) -> pathlib.Path:
    for name in names:
        (root / name).mkdir(parents=True, exist_ok=True)
        encode(root / name / "0.avi", map(gray, range(8)), codec="mjpeg", pix_fmt="yuvj420p")
    return root


def on_folder(root: pathlib.Path, **changes: Any) -> ConfigDict:
    config = small_config(
        data__name="folder", data__path=str(root), clip__evaluated=None, **changes
    )
    config.data.train = config.data.evaluation = {"split": None}
    return config


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run on the classes jump, run and walk, as if it were trained."""
    path = tmp_path_factory.mktemp("classes")
    return untrained_run(path / "r", on_folder(write_classes(path / "set", "jump", "run", "walk")))


# --- data.json ----------------------------------------------------------------------------------


def test_the_folder_of_a_run_keeps_what_belongs_to_it(run: RunFolder) -> None:
    data = run.data
    assert data is not None
    known = data.metadata
    assert known.names == {"classes": ["jump", "run", "walk"]}
    assert (known.fps, known.stride, known.size, known.channels) == (25.0, 1, (16, 16), 3)
    assert (known.task, known.pixels, known.sampling) == ("action", "-1..1", "consecutive")
    assert not known.resampled
    assert keras.saving.load_model(run.network).metadata == known
    assert data.training["videos"] == 3
    assert data.training["by_class"] == {"jump": 1, "run": 1, "walk": 1}
    stored = json.loads((run.path / "data.json").read_text())
    assert stored["version"] == 2
    assert RunData.from_json(stored) == data


@pytest.mark.parametrize(
    ("changes", "fps", "stride"),
    [
        ({}, 30.0, 1),
        ({"clip.fps": 12.5, "clip.stride": 2}, 6.25, 2),
        ({"clip.sampling": "dense", "clip.window": 24}, 7.5, 4),
        ({"clip.sampling": "segments"}, None, 1),
    ],
)
def test_the_frame_rate_is_that_of_clips_or_videos(
    changes: dict[str, Any], fps: float | None, stride: int
) -> None:
    """Of three videos of 30, 30 and 10 frames per second, and one that cannot be read."""
    whole = [MarkedVideo(n, fps=rate) for n, rate in enumerate([30, 30, 10])]
    videos = VideoSet("marked", [FileVideo("nowhere.mp4"), *whole])
    config = small_config()
    config.update_from_flattened_dict(changes)
    known = RunData.of(config, {}, videos, videos).metadata
    assert (known.fps, known.stride, known.resampled) == (fps, stride, "clip.fps" in changes)


def test_a_damaged_file_is_named(run: RunFolder, copied: RunFolder) -> None:
    path = copied.path / "data.json"
    whole = path.read_text()
    for content in (whole[:40], "[]", whole.replace('"version": 2', '"version": 3'), "{}"):
        path.write_text(content)
        with pytest.raises(ValueError, match="data.json is damaged.*Restore the file"):
            _ = copied.data


# --- other names --------------------------------------------------------------------------------

OTHER = {
    "renamed": (("jog", "jump", "walk"), "missing: run; new: jog; moved: jump is number 1, not 0"),
    "added": (("jump", "run", "sit", "walk"), "new: sit; moved: walk is number 3, not 2"),
    "left out": (("jump", "walk"), "missing: run; moved: walk is number 1, not 2"),
    "capital letter": (
        ("Walk", "jump", "run"),
        "missing: walk; new: Walk; moved: jump is number 1",
    ),
}


@pytest.mark.parametrize("case", OTHER)
def test_evaluating_on_other_classes_is_refused(
    case: str, run: RunFolder, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture
) -> None:
    """Once, accuracy fell from .667 to .333 without a word when a class folder was renamed."""
    names, message = OTHER[case]
    root = write_classes(tmp_path / "set", *names)
    arguments = ["eval", str(run.path), f"--config.data.path={root}"]
    assert cli.main(arguments) == 2
    printed = capsys.readouterr().err
    assert "best.npz belongs to a network that was trained on other classes" in printed
    assert message in printed and "Traceback" not in printed


def test_views_and_ensembles_are_refused_too(run: RunFolder, tmp_path: pathlib.Path) -> None:
    root = write_classes(tmp_path / "set", "jog", "jump", "walk")
    experiment = build(on_folder(root), to_train=False)
    before = experiment.network.get_weights()
    for evaluation in (
        lambda: load_weights(experiment, run.best),
        lambda: evaluate_views(experiment, run.best),
        lambda: evaluate_ensemble([experiment, experiment], [run.best, run.best]),
    ):
        with pytest.raises(ValueError, match="missing: run; new: jog"):
            evaluation()
    for old, new in zip(before, experiment.network.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_the_same_classes_elsewhere_are_evaluated(run: RunFolder, tmp_path: pathlib.Path) -> None:
    root = write_classes(tmp_path / "elsewhere", "jump", "run", "walk")
    assert load_weights(build(on_folder(root), to_train=False), run.best)["step"] == 0


def test_joints_in_another_order_are_refused() -> None:
    with pytest.raises(ValueError, match="moved: left is number 1, not 0, right is number 0, not"):
        check_names({"joints": ["left", "right"]}, {"joints": ["right", "left"]}, "run")
    with pytest.raises(ValueError, match="Expected its 3 classes.*missing: c"):
        check_names({"classes": ["a", "b", "c"]}, {"classes": ["a", "b"]}, "run")
    # Classes of the set do not matter to a network that finds joints.
    check_names({"joints": ["left"]}, {"joints": ["left"]}, "run")
    check_names({"joints": ["left"]}, {}, "run")


def test_teachers_and_initial_weights_of_other_classes(
    run: RunFolder, tmp_path: pathlib.Path
) -> None:
    """Weights may come from any other classes, but not where a head would be taken over shifted."""
    other = on_folder(write_classes(tmp_path / "set", "jog", "jump", "walk"))
    with other.unlocked():
        other.teacher = str(run.path)
    with pytest.raises(ValueError, match="config.teacher: .*trained on other classes.*new: jog"):
        build(other)
    other.teacher, other.model.initial = None, str(run.path)
    with pytest.raises(ValueError, match="config.model.initial: .*moved: jump is number 1, not 0"):
        build(other)
    unrelated = on_folder(
        write_classes(tmp_path / "unrelated", "sit", "stand"), model__initial=str(run.path)
    )
    build(unrelated)


# --- other videos -------------------------------------------------------------------------------


def test_going_on_with_other_videos_is_refused(tmp_path: pathlib.Path) -> None:
    """Once, a class added to the folder of a stopped run shifted the labels of the rest of it."""
    root = write_classes(tmp_path / "set", "jump", "run")
    config = on_folder(root)
    folder = untrained_run(tmp_path / "r", config)
    folder.network.unlink()
    before = {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()}

    def refused(message: str) -> None:
        with pytest.raises(ValueError, match=message):
            train(config, folder.path)
        files = {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()}
        assert files == before

    encode(root / "run" / "1.avi", map(gray, range(8)), codec="mjpeg", pix_fmt="yuvj420p")
    refused(r"began with other videos.*training videos.*: 3 videos, not 2 \(run: 2, not 1\)")
    (root / "run" / "0.avi").unlink()
    refused("Received: 2 videos, some with other names or labels. Restore the videos, or begin")
    (root / "run" / "1.avi").rename(root / "run" / "0.avi")
    (root / "run").rename(root / "swim")
    refused("trained on other classes.*missing: run; new: swim")
    write_classes(root, "run")
    refused("Expected its 2 classes in their order.*Received: new: swim. Give the classes")


def test_a_run_without_the_file_says_so_once(
    copied: RunFolder, recwarn: pytest.WarningsRecorder
) -> None:
    (copied.path / "data.json").unlink()
    copied.network.unlink()
    with pytest.warns(RuntimeWarning, match="has no data.json, so its classes"):
        train(small_config(), copied.path)
    assert copied.data is not None
    copied.network.unlink()
    train(small_config(), copied.path)

"""`mpvn eval --predictions` and `--submission`, and several labels per video, by command alone."""

import csv
import pathlib

import numpy as np
import pytest
from fake_sets import FakeSet
from small_runs import small_config, untrained_run

from mpvn import cli
from mpvn.training import RunFolder, build, evaluate_clips

GESTURES = ("Swiping Left", "Swiping Right", "No gesture")
PREFIX = "jester-v1"
TEST = ["--config.data.evaluation.split=test"]


@pytest.fixture(scope="module")
def jester(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run on Jester. Of the test split, video 20 is broken."""
    fake = FakeSet(tmp_path_factory.mktemp("jester"))
    fake.text(f"{PREFIX}-labels.csv", GESTURES)
    fake.text(f"{PREFIX}-train.csv", [f"{n};{name}" for n, name in enumerate(GESTURES)])
    fake.text(f"{PREFIX}-validation.csv", [f"3;{GESTURES[0]}"])
    fake.text(f"{PREFIX}-test.csv", ["30", "20", "10"])
    for number in (0, 1, 2, 3, 10, 20, 30):
        fake.images(f"20bn-{PREFIX}/{number}", 40 + 7 * number % 150, frames=3)
    (fake.root / f"20bn-{PREFIX}" / "20" / "00002.jpg").write_bytes(b"broken")
    config = small_config(clip__frames=3, data__name="jester", data__path=str(fake.root))
    config.data.train, config.data.evaluation = {}, {"split": "val"}
    return untrained_run(tmp_path_factory.mktemp("runs") / "run", config)


def test_a_submission_and_the_predictions_of_a_test_split(
    jester: RunFolder, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture
) -> None:
    submission, predictions = tmp_path / "submission.csv", tmp_path / "predictions.csv"
    files = ["--submission", str(submission), "--predictions", str(predictions)]
    assert cli.main(["eval", str(jester.path), *files, *TEST]) == 0
    printed = capsys.readouterr()
    assert "no labels, so there are no metrics" in printed.out
    assert f"written to {submission}" in printed.out
    assert "1 of 3 videos could not be read. Their lines are guesses" in printed.err
    assert f"20bn-{PREFIX}/20" in printed.err
    header, *rows = csv.reader(predictions.read_text().splitlines())
    assert header == ["video", *GESTURES]
    assert [pathlib.Path(row[0]).name for row in rows] == ["30", "10"]
    config = jester.config()
    config.data.evaluation.split = "test"
    scores = evaluate_clips(build(config, to_train=False), jester.best)
    values = np.array([row[1:] for row in rows], np.float32)
    np.testing.assert_array_equal(values, scores.scores)
    best = [GESTURES[each.argmax()] for each in (values[0], values.mean(axis=0), values[1])]
    assert submission.read_text().splitlines() == [
        f"{number};{name}" for number, name in zip((30, 20, 10), best, strict=True)
    ]


def test_videos_without_labels_are_refused_by_name(
    jester: RunFolder, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture
) -> None:
    """By evaluation and training; each before it reads a video."""
    run, early = str(jester.path), ["--early", str(tmp_path / "early.svg")]
    for arguments in ([run], [run, "--views"], [run, *early], [run, run, "--views"]):
        assert cli.main(["eval", *arguments, *TEST]) == cli.EXIT_MISTAKE
        message = capsys.readouterr().err
        assert "Jester test: expected videos with labels" in message
        assert "mpvn eval RUN --predictions FILE" in message
    for split in ("train", "evaluation"):
        config = jester.config()
        config.data[split].split = "test"
        with pytest.raises(ValueError, match="Jester test: expected videos with labels to train"):
            build(config)


def test_mistakes(jester: RunFolder, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture) -> None:
    run, file = str(jester.path), str(tmp_path / "file.csv")
    early = ["--early", str(tmp_path / "early.svg")]
    assert cli.main(["eval", run, "--predictions", file, *early]) == cli.EXIT_MISTAKE
    assert "Leave out --early" in capsys.readouterr().err
    data = pathlib.Path(jester.config().data.path)
    inside = str(data / f"{PREFIX}-test.csv")
    assert cli.main(["eval", run, "--submission", inside, *TEST]) == cli.EXIT_MISTAKE
    assert "outside of the folders that are read" in capsys.readouterr().err
    other = ["--config.data.name=rendered_figures", "--config.data.evaluation={}"]
    assert cli.main(["eval", run, "--submission", file, *other]) == cli.EXIT_MISTAKE
    assert "a format of submissions" in capsys.readouterr().err
    assert not pathlib.Path(file).exists()


def test_fused_networks_write_one_submission(jester: RunFolder, tmp_path: pathlib.Path) -> None:
    submission, run = tmp_path / "fused.csv", str(jester.path)
    arguments = ["--views", "--submission", str(submission), "--json", str(tmp_path / "x.json")]
    options = ["--config.views.scale=16", "--config.views.size=16"]
    assert cli.main(["eval", run, run, *arguments, *options, *TEST]) == 0
    assert [line.split(";")[0] for line in submission.read_text().splitlines()] == [
        "30",
        "20",
        "10",
    ]


CONFIG = """
from small_runs import small_config
def get_config():
    return small_config(task__name="multi_label_action", data__name="csv", training__steps=2)
"""
CSV = ["path,labels,label,split", "0.mp4,x,walk;wave,train", "1.mp4,x,,train", "2.mp4,x,jump,train"]
CSV += ["3.mp4,x,walk,test", "4.mp4,x,wave;jump,test"]


@pytest.mark.filterwarnings("ignore:.*expected videos of each class")
def test_a_csv_file_with_several_labels_per_video(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture
) -> None:
    fake = FakeSet(tmp_path)
    for at in range(5):
        fake.video(f"{at}.mp4", 40 + 20 * at)
    fake.text("list.csv", CSV)
    (tmp_path / "config.py").write_text(CONFIG)
    run = str(tmp_path / "run")
    given = ["--config", str(tmp_path / "config.py"), "--run", run]
    given += [f"--config.data.path={fake.root / 'list.csv'}"]
    for split in ("train", "evaluation"):
        name = {"train": "train", "evaluation": "test"}[split]
        given += [f"--config.data.{split}={{'split': '{name}', 'separator': ';'}}"]
    assert cli.main(["train", *given]) == 0
    trained = capsys.readouterr().out
    assert cli.main(["eval", run]) == 0
    evaluated = capsys.readouterr().out
    for name in ("clip_map", "map_classes", "cross_entropy"):
        (line,) = (line for line in evaluated.splitlines() if line.startswith(name))
        assert line in trained
    assert "map_classes          3.0" in evaluated
    views = ["--views", "--config.views.scale=16", "--config.views.size=16"]
    table = tmp_path / "table.csv"
    assert cli.main(["eval", run, *views, "--predictions", str(table)]) == 0
    assert "weighted_map" in capsys.readouterr().out
    assert table.read_text().startswith("video,jump,walk,wave\n")
    assert cli.main(["eval", run, "--early", str(tmp_path / "x.svg")]) == cli.EXIT_MISTAKE
    assert "config.task.name=action. Received: MultiLabelActions" in capsys.readouterr().err
    assert cli.main(["eval", run, "--config.task.name=action"]) == cli.EXIT_MISTAKE
    assert "any number of labels. Set config.task.name=multi_label_action" in (
        capsys.readouterr().err
    )

"""The report of a run: of every task, finished or not, whatever there is of it yet."""

import pathlib
import re

import keras
import numpy as np
import pytest
from ml_collections import ConfigDict

from mpvn.report.run import MAX_ROWS, write_run_report
from mpvn.training import Experiment, RunFolder, base_config, build, train
from mpvn.training.checkpoint import save_checkpoint

TASKS = {
    "action": ("simple_cnn", 0.25),
    "keypoints": ("par_densenet", 0.05),
    "autoencoding": ("autoencoder", 0.1),
    "future_frame": ("full_res", 0.1),
}


def config(task: str = "action", **changes: object) -> ConfigDict:
    """A few batches of a narrow network."""
    name, width = TASKS[task]
    asked = base_config()
    asked.data.train = {"count": 4, "frames": 12}
    asked.data.evaluation = {"count": 2, "frames": 12}
    asked.clip.frames = 12
    asked.task.name = task
    asked.model.name, asked.model.size, asked.model.options = name, 32, {"width": width}
    asked.training.steps, asked.training.batch_size = 4, 2
    asked.update_from_flattened_dict(changes)
    return asked


def begun(path: pathlib.Path, asked: ConfigDict) -> tuple[RunFolder, Experiment]:
    """A run that has not got to its first report of the loss."""
    folder = RunFolder(path)
    folder.begin(asked)
    return folder, build(asked)


def evaluated(folder: RunFolder, experiment: Experiment, step: int, best: bool) -> None:
    folder.write(step=step, split="train", loss=1.0 / step)
    folder.write(step=step, split="evaluation", loss=2.0 / step, pck_10=step / 100)
    if best:
        save_checkpoint(folder.best, experiment.network, experiment.optimizers, {"step": step})


@pytest.mark.parametrize("task", TASKS)
def test_every_task_has_a_report(task: str, tmp_path: pathlib.Path) -> None:
    folder, experiment = begun(tmp_path, config(task, **{"task.latency": 1}))
    evaluated(folder, experiment, 4, best=True)
    written = write_run_report(folder, experiment)
    page = written.read_text()
    assert written == tmp_path / "report.html"
    assert page.count("<svg") == 3
    assert page.count("<img") == (4 if task == "future_frame" else 5)
    assert "after 4 batches: pck 10 0.04, loss 0.5." in page
    assert "not finished" not in page
    assert "<dd>data.train.count = 4\ndata.train.frames = 12\n" in page
    assert "clip.stride" not in page
    assert "tensorflow" in page


def test_a_run_as_training_leaves_it(tmp_path: pathlib.Path) -> None:
    folder = train(config(), tmp_path / "run")
    page = write_run_report(folder, build(folder.config())).read_text()
    assert "clip top1" in page
    assert "lowest loss in 1 evaluation." in page


def test_a_run_that_has_just_begun_says_so(tmp_path: pathlib.Path) -> None:
    folder, experiment = begun(tmp_path, config())
    page = write_run_report(folder, experiment).read_text()
    assert "Not evaluated yet." in page
    assert "The run is not finished: 0 of 4 batches." in page
    assert (page.count("<svg"), page.count("<img")) == (2, 0)


def test_the_best_weights_are_shown_not_the_last(tmp_path: pathlib.Path) -> None:
    folder, experiment = begun(tmp_path, config(**{"training.steps": 100}))
    expected = experiment.network.get_weights()
    evaluated(folder, experiment, 30, best=True)
    experiment.network.set_weights([weights + 1 for weights in expected])
    for step in range(31, 60):
        evaluated(folder, experiment, step, best=False)
    page = write_run_report(folder, experiment).read_text()
    for weights, old in zip(experiment.network.get_weights(), expected, strict=True):
        np.testing.assert_array_equal(weights, old)
    assert "after 30 batches: pck 10 0.3, loss 0.0667. This is the lowest loss in 30 eval" in page
    assert "The run is not finished: 59 of 100 batches." in page
    steps = [int(step) for step in re.findall(r'<tr>\s*<td class="number">(\d+)</td>', page)]
    assert steps == [30, *range(60 - MAX_ROWS, 60)]


def test_damaged_videos_are_told_of_and_the_next_is_shown(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, experiment = begun(tmp_path, config(**{"clip.evaluated": 12}))
    first = experiment.evaluation.videos.videos[0]
    evaluated(folder, experiment, 4, best=True)
    read = type(first).read

    def damaged(self: object, indices: list[int]) -> np.ndarray:
        if self == first:
            raise OSError("cut off in the middle")
        return read(self, indices)

    monkeypatch.setattr(type(first), "read", damaged)
    page = write_run_report(folder, experiment).read_text()
    assert list(folder.skipped) == [first.name]
    assert "cut off in the middle" in page
    assert page.count("<img") == 5


def test_long_videos_are_cut(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mpvn.training.run.MOST_SHOWN", 3)
    folder, experiment = begun(tmp_path, config(**{"task.latency": 2}))
    evaluated(folder, experiment, 4, best=True)
    seen: list[int] = []
    call = keras.Model.__call__

    def noted(model: keras.Model, frames: np.ndarray) -> object:
        seen.append(frames.shape[1])
        return call(model, frames)

    monkeypatch.setattr(type(experiment.network), "__call__", noted)
    page = write_run_report(folder, experiment).read_text()
    assert seen == [5]
    assert re.findall(r"<figcaption>step (\d+)<", page) == ["2", "3", "4"]

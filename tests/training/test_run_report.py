"""The report of a run: finished or not, with whatever results there are."""

import csv
import pathlib
import re
from typing import Any

import keras
import numpy as np
import pytest
from ml_collections import ConfigDict
from small_runs import small_config

from mpvn.report.run import MAX_ROWS, write_run_report
from mpvn.training import Experiment, RunFolder, build
from mpvn.training.checkpoint import save_checkpoint


def config(**changes: Any) -> ConfigDict:
    config = small_config(clip__frames=8, training__steps=4)
    config.data.evaluation.count = 2
    config.update_from_flattened_dict(changes)
    return config


def started(path: pathlib.Path, config: ConfigDict) -> tuple[RunFolder, Experiment]:
    """Return a run that has not reported a loss yet."""
    folder = RunFolder(path)
    folder.start(config)
    return folder, build(config)


def evaluated(folder: RunFolder, experiment: Experiment, step: int, best: bool) -> None:
    folder.write(step=step, split="train", loss=1.0 / step)
    folder.write(step=step, split="evaluation", loss=2.0 / step, pck_10=step / 100)
    if best:
        save_checkpoint(folder.best, experiment.network, experiment.optimizers, {"step": step})


def test_the_report_of_a_trained_run(trained: RunFolder) -> None:
    page = write_run_report(trained, build(trained.config(), to_train=False)).read_text()
    assert "clip top1" in page
    assert "lowest loss in 2 evaluations." in page
    assert "Videos by label (rows) and by predicted class" in page
    scores, classes, confusion = (
        list(csv.reader((trained.evaluation / f"{name}.csv").read_text().splitlines()))
        for name in ("scores", "classes", "confusion")
    )
    names, videos = scores[0][1:], build(trained.config(), to_train=False).evaluation.videos
    counts = np.zeros((len(names), len(names)), int)
    for video, (name, *row) in zip(videos.videos, scores[1:], strict=True):
        assert video.name == name
        counts[video.label, np.argmax(np.array(row, float))] += 1
    assert confusion[0] == ["label", *names]
    assert [list(map(int, row[1:])) for row in confusion[1:]] == counts.tolist()
    for number, (name, total, accuracy, taken, times) in enumerate(classes[1:]):
        row, errors = counts[number], counts[number] * (np.arange(len(names)) != number)
        assert (name, int(total), int(times)) == (names[number], row.sum(), errors.max())
        assert accuracy == ("" if not row.sum() else f"{row[number] / row.sum():.6g}")
        assert taken == ("" if not errors.any() else names[int(errors.argmax())])


def test_a_run_without_results_says_so(tmp_path: pathlib.Path) -> None:
    folder, experiment = started(tmp_path, config())
    page = write_run_report(folder, experiment).read_text()
    assert "Not evaluated yet." in page
    assert "The run is not finished: 0 of 4 batches." in page
    assert (page.count("<svg"), page.count("<img")) == (2, 0)


def test_the_report_shows_the_best_weights_not_the_last(tmp_path: pathlib.Path) -> None:
    folder, experiment = started(tmp_path, config(**{"training.steps": 100}))
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


def test_skipped_videos_are_listed_and_the_next_is_shown(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, experiment = started(tmp_path, config(**{"clip.evaluated": 8}))
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
    assert page.count("<img") == 5 + 1  # steps of the video, and the worst videos


def test_long_videos_are_truncated(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mpvn.training.evaluation.MOST_SHOWN", 3)
    folder, experiment = started(tmp_path, config(**{"task.latency": 2}))
    evaluated(folder, experiment, 4, best=True)
    seen: list[int] = []
    call = keras.Model.__call__

    def noted(model: keras.Model, frames: np.ndarray) -> object:
        seen.append(frames.shape[1])
        return call(model, frames)

    monkeypatch.setattr(type(experiment.network), "__call__", noted)
    page = write_run_report(folder, experiment).read_text()
    assert seen[0] == 5
    assert re.findall(r"<figcaption>step (\d+)<", page) == ["2", "3", "4"]

"""Faults of a run's folder and of the disk: one message, exit code 2, nothing half-written."""

import os
import pathlib
import re
import resource
from collections.abc import Callable
from typing import Any

import pytest
from small_runs import small_config

from mpvn import cli
from mpvn.data import VideoError
from mpvn.training import RunFolder, build, evaluate, train
from mpvn.training.hyperparameter_sweep import Cell

CONFIG = f"""
import sys
sys.path[:0] = [{str(pathlib.Path(__file__).parents[1])!r}]
from small_runs import small_config as get_config
"""


def cut(path: pathlib.Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def remove(path: pathlib.Path) -> None:
    path.unlink()


@pytest.fixture
def mpvn(
    copied: RunFolder, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture
) -> Callable[..., tuple[int, str]]:
    """Run a command on the copied run; return the exit code and the message."""
    (tmp_path / "config.py").write_text(CONFIG)

    def run(command: str, *arguments: str) -> tuple[int, str]:
        run = [str(copied.path)] if command == "eval" else ["--run", str(copied.path)]
        config = [] if command == "eval" else ["--config", str(tmp_path / "config.py")]
        code = cli.main([command, *config, *run, *arguments])
        message = capsys.readouterr().err
        assert "Traceback" not in message
        return code, message

    return run


FAULTS: dict[str, tuple[str, Callable, str, str]] = {
    "config is cut": ("config.json", cut, "eval", "config.json is damaged. Expected what the run"),
    "no config": ("config.json", remove, "eval", "copied is not the folder of a run: it has no co"),
    "config to train": ("config.json", cut, "train", "config.json is damaged. Expected what the r"),
    "best is cut": ("checkpoints/best.npz", cut, "eval", "best.npz is damaged: it is cut, or is"),
    "no best": ("checkpoints/best.npz", remove, "eval", "Expected a checkpoint. Received: nothing"),
    "no metrics": ("metrics.jsonl", remove, "train", "expected the row of an evaluation. Received"),
    "skipped is cut": ("skipped.json", cut, "train", "skipped.json is damaged"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_damaged_and_missing_files_are_named(
    fault: str, copied: RunFolder, mpvn: Callable[..., tuple[int, str]]
) -> None:
    name, damage, command, expected = FAULTS[fault]
    if name == "skipped.json":
        (copied.path / name).write_text('{"skipped": {"a.mp4": "gone"}}')
    damage(copied.path / name)
    code, message = mpvn(command)
    assert code == 2
    assert re.search(rf"mpvn: .*{expected}", message), message


def test_a_config_of_another_version_is_named(copied: RunFolder) -> None:
    path = copied.path / "config.json"
    path.write_text(path.read_text().replace('"seed": 0', '"seed": {}'))
    with pytest.raises(ValueError, match="config.json is damaged.*config of another version.*seed"):
        copied.config()


def test_cut_and_foreign_rows_are_left_out(copied: RunFolder) -> None:
    path = copied.path / "metrics.jsonl"
    rows = list(copied.rows())
    lines = path.read_text().splitlines()
    path.write_text("\n".join(["12", "{}", "null", *lines, lines[-1][:20]]))
    assert list(copied.rows()) == rows
    copied.drop_rows_after(4)
    copied.write(step=5, split="train", loss=1.0)
    assert [row["step"] for row in copied.rows()] == [3, 3, 4, 5]


def test_a_cut_network_is_named_where_it_teaches(copied: RunFolder) -> None:
    cut(copied.network)
    for key in ("teacher", "model.initial"):
        config = small_config()
        config.update_from_flattened_dict({key: str(copied.path)})
        with pytest.raises(ValueError, match="network.keras cannot be loaded.*writes a new one"):
            build(config)


def test_the_best_is_found_again_if_it_is_deleted(copied: RunFolder) -> None:
    """The remedy that a damaged one names: the weights of the last batch take its place."""
    cut(copied.best)
    copied.network.unlink()
    with pytest.raises(ValueError, match="best.npz is damaged.*delete it and train on"):
        train(small_config(), copied.path)
    copied.best.unlink()
    assert train(small_config(), copied.path).finished
    assert copied.best.exists()


def test_results_of_a_sweep_that_are_cut_are_computed_again(
    copied: RunFolder, tmp_path: pathlib.Path
) -> None:
    (tmp_path / "results.json").write_text('{"config": {"see')
    assert not Cell(tmp_path, copied.path, ()).done


def test_an_evaluation_without_a_readable_video_has_no_loss(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Keras returns 0, which was the best from then on."""
    experiment = build(small_config(clip__evaluated=None), to_train=False)
    videos = experiment.evaluation.videos.videos
    read = type(videos[0]).read

    def damaged(self: Any, indices: list[int], *arguments: Any, **options: Any) -> Any:
        if self.name in (videos[0].name, videos[1].name):
            raise VideoError("cut off")
        return read(self, indices, *arguments, **options)

    monkeypatch.setattr(type(videos[0]), "read", damaged)
    with pytest.raises(VideoError, match="clips to evaluate among 2 of 4 videos. Received: none"):
        evaluate(experiment, first=2)


# --- numbers of the config ----------------------------------------------------------------------


def test_a_command_names_the_key(mpvn: Callable[..., tuple[int, str]], copied: RunFolder) -> None:
    run = copied.path.parent / "new"
    code, message = mpvn("train", "--run", str(run), "--config.training.checkpoint_every=0")
    assert code == 2
    assert "mpvn: config.training.checkpoint_every: expected a number at least 1" in message
    assert not run.exists()


# --- the disk -----------------------------------------------------------------------------------


def test_a_full_disk_leaves_the_checkpoint_before(
    copied: RunFolder,
    mpvn: Callable[..., tuple[int, str]],
    small_disk: Callable[[int], None],
) -> None:
    copied.network.unlink()
    before = {
        path: path.read_bytes() for path in copied.last.parent.iterdir() if path != copied.best
    }
    copied.best.unlink()  # so that it is written again
    small_disk(copied.last.stat().st_size // 2)
    code, message = mpvn("train")
    small_disk(resource.RLIM_INFINITY)
    assert code == 2
    assert "File too large" in message and "best.npz" in message
    assert {path: path.read_bytes() for path in copied.last.parent.iterdir()} == before
    assert mpvn("train")[0] == 0


def test_metrics_on_a_full_disk(copied: RunFolder) -> None:
    path = copied.path / "metrics.jsonl"
    path.unlink()
    path.symlink_to("/dev/full")
    with pytest.raises(OSError, match="metrics.jsonl: expected a path .*No space left on device"):
        copied.write(step=1, split="train")
    assert os.path.islink(path)

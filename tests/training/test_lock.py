"""One training, or one sweep, in a folder at a time; a dead process does not hold it."""

import errno
import fcntl
import json
import os
import pathlib
import signal
import subprocess
import sys

import pytest
from bare_package import BARE
from small_runs import small_config

from mpvn import cli
from mpvn.training import RunFolder, lock, train
from mpvn.training.lock import FolderLock

HOLDER = """
import runpy, time
with runpy.run_path({module!r})["FolderLock"]({folder!r}, "training"):
    print("locked", flush=True)
    time.sleep(60)
"""
"""It imports neither TensorFlow nor `mpvn.training`, which does."""


def content(folder: pathlib.Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_a_second_training_is_refused_and_changes_nothing(
    copied: RunFolder, capsys: pytest.CaptureFixture
) -> None:
    copied.network.unlink()  # else the run is finished, and there is nothing to do
    with FolderLock(copied.path, "training"):
        before = content(copied.path)
        with pytest.raises(ValueError, match=f"copied is in use.*held by process {os.getpid()} on"):
            train(small_config(), copied.path)
        assert content(copied.path) == before
        assert cli.main(["eval", str(copied.path)]) == 0
    assert "clip_top1" in capsys.readouterr().out


def test_two_sweeps_in_a_folder(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture) -> None:
    config = pathlib.Path(__file__).parents[2] / "configs" / "rendered_keypoints.py"
    arguments = ["sweep", "--config", str(config), "--grid", "seed=0", "--output", str(tmp_path)]
    with FolderLock(tmp_path, "sweep"):
        assert cli.main(arguments) == 2
    assert "is in use. Expected one sweep at a time" in capsys.readouterr().err
    assert content(tmp_path) == {}


def test_a_killed_process_does_not_hold_the_folder(tmp_path: pathlib.Path) -> None:
    code = BARE + HOLDER.format(module=lock.__file__, folder=str(tmp_path))
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "locked\n"
    with pytest.raises(ValueError, match=f"is in use.*held by process {process.pid} on .*, since"):
        FolderLock(tmp_path, "training").__enter__()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert (tmp_path / "lock").exists()
    with FolderLock(tmp_path, "training"):
        assert json.loads((tmp_path / "lock").read_text())["process"] == os.getpid()
    assert not (tmp_path / "lock").exists()


def test_the_folder_is_free_after_an_error_and_gone_if_it_is_empty(tmp_path: pathlib.Path) -> None:
    for _ in range(2):
        with pytest.raises(ValueError, match="config.data.name"):
            train(small_config(data__name="ucf11"), tmp_path / "new")
        assert not (tmp_path / "new").exists()


def test_a_lock_that_its_holder_deletes_meanwhile_is_not_taken(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between opening the file and locking it; else two processes lock two files of one name."""
    path, flock = tmp_path / "lock", fcntl.flock
    path.write_text("{}")

    def delayed(*arguments: object) -> None:
        monkeypatch.setattr(fcntl, "flock", flock)
        path.unlink()
        flock(*arguments)

    monkeypatch.setattr(fcntl, "flock", delayed)
    with (
        FolderLock(tmp_path, "training"),
        pytest.raises(ValueError, match="is in use"),
        FolderLock(tmp_path, "training"),
    ):
        pass


def test_file_systems_without_locks_are_used_with_a_warning(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", fails)
    with pytest.warns(RuntimeWarning, match="cannot be locked"), FolderLock(tmp_path, "training"):
        pass


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file" / "run", pathlib.Path("/proc/run"), tmp_path / "file"):
        with pytest.raises(ValueError, match=f"{folder} cannot be used for training.* Received: "):
            train(small_config(), folder)

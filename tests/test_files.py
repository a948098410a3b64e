"""Atomic writes: the new content is complete, or the old content stays."""

import os
import pathlib
import signal
import subprocess
import sys

import pytest
from bare_package import BARE

from mpvn.files import AtomicPath, WriteError, write_atomically


def test_new_content_replaces_old(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "notes.txt"
    write_atomically(path, "old")
    write_atomically(path, b"new")
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_folder_appears_only_when_complete(tmp_path: pathlib.Path) -> None:
    target = tmp_path / "model"
    with AtomicPath(target) as folder:
        folder.mkdir()
        (folder / "weights").write_text("1")
        assert not target.exists()
    assert (target / "weights").read_text() == "1"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("kind", ["file", "folder", "nothing"])
def test_failure_keeps_old_content_and_leaves_no_temporary(
    kind: str, tmp_path: pathlib.Path
) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), AtomicPath(path) as temporary:
        if kind == "file":
            temporary.write_text("half of the n")
        elif kind == "folder":
            temporary.mkdir()
            (temporary / "weights").write_text("1")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_failed_rename_leaves_no_temporary(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="no space left"):
        write_atomically(tmp_path / "notes.txt", "new")
    assert list(tmp_path.iterdir()) == []


# --- what other writers have left ---------------------------------------------------------------


def test_what_a_killed_writer_left_is_removed_at_the_next_writing(tmp_path: pathlib.Path) -> None:
    """Partial files of killed processes stayed for ever."""
    path = tmp_path / "notes.txt"
    program = BARE + (
        "import os, signal\n"
        "from mpvn.files import AtomicPath\n"
        "AtomicPath(sys.argv[1]).temporary.write_text('half')\n"
        "AtomicPath(sys.argv[1]).temporary.mkdir()\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", program, path], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert len(list(tmp_path.rglob("notes.txt"))) == 2
    write_atomically(path, "whole")
    assert list(tmp_path.rglob("*")) == [path]
    assert path.read_text() == "whole"


def test_what_a_living_writer_has_written_stays(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "notes.txt"
    with AtomicPath(path) as temporary:
        temporary.write_text("slow")
        write_atomically(path, "quick")
        assert path.read_text() == "quick"
        assert temporary.read_text() == "slow"
    assert path.read_text() == "slow"
    assert list(tmp_path.rglob("*")) == [path]


# --- unusual targets ----------------------------------------------------------------------------


def test_of_a_link_the_file_behind_it_is_replaced(tmp_path: pathlib.Path) -> None:
    path, link = tmp_path / "notes.txt", tmp_path / "link.txt"
    path.write_text("old")
    link.symlink_to(path)
    write_atomically(link, "new")
    assert link.is_symlink()
    assert path.read_text() == "new"


def test_a_pipe_is_written_to_and_not_replaced(tmp_path: pathlib.Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_atomically(pipe, "through")
    assert os.read(reader, 100) == b"through"
    os.close(reader)
    assert pipe.is_fifo()
    with pytest.raises(WriteError, match="pipe: .*Received: 'a device or a pipe'"):
        _ = AtomicPath(pipe).temporary


@pytest.mark.parametrize("name", ["x" * 255, "ü" * 127, "a b:c%d", "-n"])
def test_unusual_names_are_written(name: str, tmp_path: pathlib.Path) -> None:
    write_atomically(tmp_path / name, "1")
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("/dev/full", "/dev/full: expected .* 'No space left on device'. Free space"),
        ("none/a.txt", "none/a.txt: .*Received: 'No such file or directory'. Create its folder"),
        ("file/a.txt", "file/a.txt: .*Received: 'Not a directory'. Choose another path"),
        ("folder", "folder: .*Received: 'Is a directory'. Choose another path"),
        ("x" * 256, "xx: .*Received: 'File name too long'. Choose a shorter name"),
    ],
)
def test_a_fault_names_the_path_and_the_remedy(
    target: str, message: str, tmp_path: pathlib.Path
) -> None:
    (tmp_path / "file").write_text("1")
    (tmp_path / "folder").mkdir()
    with pytest.raises(WriteError, match=message):
        write_atomically(tmp_path / target, "1")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "folder"]

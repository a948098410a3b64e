"""Atomic writes: the new content is complete, or the old content stays."""

import os
import pathlib

import pytest

from mpvn.files import AtomicPath, write_atomically


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

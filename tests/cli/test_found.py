"""Which videos the sources of a command are."""

import os
import pathlib

import numpy as np
import pytest
from video_files import gray, save_image

from mpvn.cli.found import find_sources
from mpvn.cli.mistakes import Mistake


@pytest.fixture
def folder(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    monkeypatch.chdir(tmp_path)
    for name in (
        "v/b.mp4",
        "v/a.MTS",
        "v/deep/er/a.mkv",
        "v/.hidden.mp4",
        "v/readme.txt",
        "w/a.mp4",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "images").mkdir()
    for number in range(2):
        save_image(tmp_path / "images" / f"{number}.png", np.ascontiguousarray(gray(number)))
    return tmp_path


def sources(*given: str) -> list[tuple[str, str]]:
    return [(each.source, each.name) for each in find_sources(given)]


def test_folders_are_searched_and_files_taken_as_they_are(
    folder: pathlib.Path, capsys: pytest.CaptureFixture
) -> None:
    inside = [("v/a.MTS", "a"), ("v/b.mp4", "b"), ("v/deep/er/a.mkv", "deep/er/a")]
    assert sources("v") == inside
    assert sources("v", "v/b.mp4", "./v/a.MTS") == inside  # Each once.
    assert sources("images", "any.thing") == [("images", "images"), ("any.thing", "any")]
    assert capsys.readouterr().err == ""
    (folder / "v" / "sound.mp3").write_bytes(b"")
    assert sources("v") == inside
    assert "passed over 1 files or folders without a video: sound.mp3" in capsys.readouterr().err


def test_globs_stand_for_what_matches(folder: pathlib.Path, capsys: pytest.CaptureFixture) -> None:
    assert sources("?/*.m*") == [("v/b.mp4", "b"), ("w/a.mp4", "a")]
    assert sources("*/") == [
        ("images", "images"),
        *[("v/a.MTS", "a"), ("v/b.mp4", "b"), ("v/deep/er/a.mkv", "deep/er/a")],
        ("w/a.mp4", "a-2"),  # No annotated video replaces another.
    ]
    assert sources("images/*") == [("images/*", "images")]
    assert "readme" not in capsys.readouterr().err
    assert sources("v/[br]*") == [("v/b.mp4", "b")]
    assert "passed over 1 files or folders without a video: v/readme.txt" in capsys.readouterr().err
    odd = folder / "w" / "a[1].mp4"
    odd.write_bytes(b"")
    assert sources(os.path.relpath(odd)) == [("w/a[1].mp4", "a[1]")]


def test_cameras_and_streams_are_not_searched(folder: pathlib.Path) -> None:
    names = ["rtsp://10.0.0.7/a?b=1", "camera:0", "-", "/dev/video0"]
    assert [source for source, _ in sources(*names)] == names
    assert [name for _, name in sources(*names)] == [
        "rtsp_10_0_0_7_a_b_1",
        "camera_0",
        "input",
        "dev_video0",
    ]


def test_nothing_to_read_is_a_mistake(folder: pathlib.Path) -> None:
    (folder / "empty").mkdir()
    for given, message in (("empty", "a folder with videos"), ("*.avi", "without matches")):
        with pytest.raises(Mistake, match=message):
            find_sources([given])
    with pytest.raises(Mistake, match="videos among the files that match"):
        find_sources(["v/*.txt"])

"""Which files and folders of a class are videos, and what is said about the others."""

import os
import warnings
from pathlib import Path

import pytest
from fake_sets import FakeSet, levels, raises

from mpvn.data import SETS
from mpvn.data.sets.finding import Finder


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def found(folder: Path) -> tuple[list[str], list[str]]:
    """Return the videos and what was passed over, relative to the folder."""
    finder = Finder()
    videos = finder.videos_in(folder)
    assert finder.problems == []
    return (
        [str(path.relative_to(folder)) for path in videos],
        [str(path.relative_to(folder)) for path in finder.passed_over],
    )


def test_videos_of_any_ending_and_depth_are_read(fake: FakeSet) -> None:
    """Endings such as .mts, and videos one folder deeper, were passed over without a word."""
    names = ["a.MTS", "b.3gp", "c.gif", "day 1/anna/d.m2ts", "day 1/e.Ts", "f.mp4"]
    for at, name in enumerate(names):
        fake.video(f"walk/{name}", 20 + 10 * at)
    fake.images("walk/day 2/frames", 80)
    fake.images("walk/g", 90)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        videos = SETS["folder"](fake.root)
    expected = [(0, level) for level in (20, 30, 40, 50, 60, 80, 70, 90)]
    assert levels(videos) == expected


def test_what_may_be_missed_is_counted_and_named(tmp_path: Path) -> None:
    touch(tmp_path, "stray.avi", "jump/0.mp4", "jump/0.mp3", "jump/0.txt", "jump/Thumbs.db")
    touch(tmp_path, "jump/._0.mp4", "jump/.trash/1.mp4", "jump/__MACOSX/2.mp4", "jump/0.json")
    touch(tmp_path, "jump/cover.jpg", "jump/x/1.mp4", "jump/x/1.jpg", "jump/LICENSE", "notes.md")
    touch(tmp_path, "jump/GX01.LRV")
    touch(tmp_path, "jump/lost frames/.DS_Store")
    with pytest.warns(RuntimeWarning) as caught:
        assert len(SETS["folder"](tmp_path).videos) == 2
    (warning,) = caught
    message = str(warning.message)
    assert "passed over 7 files or folders that are not videos of a class" in message
    names = "jump/cover.jpg, jump/0.mp3, jump/GX01.LRV, jump/LICENSE, jump/lost frames"
    assert f": {names}, and 2 " in message
    kinds = ".jpg (2), .mp3 (1), .lrv (1), no ending (1), folder (1), .avi (1)"
    assert f"Of each kind: {kinds}." in message


def test_videos_beside_the_folders_of_splits_are_named(tmp_path: Path) -> None:
    touch(tmp_path, "train/a/1.mp4", "val/a/2.mp4", "holdout/a/3.mp4", "lists/train.txt")
    with pytest.warns(RuntimeWarning, match="passed over 1 files .*: holdout/a/3.mp4."):
        SETS["folder"](tmp_path, "val")


def test_a_folder_of_images_is_one_video(tmp_path: Path) -> None:
    touch(tmp_path, "v/1.jpg", "v/2.jpg", "v/a.json", "s/w/1.png", "s/t.mkv", "x/1.jpg", "x/1.mp4")
    assert found(tmp_path) == (["s/t.mkv", "s/w", "v", "x/1.mp4"], ["x/1.jpg"])


def test_images_beside_folders_of_videos_are_refused(tmp_path: Path) -> None:
    touch(tmp_path, "a/v/cover.jpg", "a/v/clip/1.jpg")
    with raises("1 problem", "a/v: expected images, or folders of videos. Received: both, cover"):
        SETS["folder"](tmp_path)


def test_images_of_a_class_are_no_videos(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.jpg", "a/2.jpg", "b/1.mp4")
    with raises(
        "1 problem", "a: expected videos. Received: 2 other files, such as 1.jpg", "folders"
    ):
        SETS["folder"](tmp_path)


def test_links_are_followed_and_loops_are_not(tmp_path: Path) -> None:
    touch(tmp_path, "data/a/x/1.mp4", "elsewhere/y/2.mp4", "elsewhere/3.mp4")
    top = tmp_path / "data" / "a"
    os.symlink(tmp_path / "elsewhere", top / "link")
    os.symlink(top, top / "x" / "loop")
    os.symlink("..", top / "up")
    os.symlink(top, tmp_path / "elsewhere" / "back")
    os.symlink("nowhere", top / "broken.mp4")
    assert found(top) == (["broken.mp4", "link/3.mp4", "link/y/2.mp4", "x/1.mp4"], [])


def test_folders_with_other_names_of_splits_are_not_classes(tmp_path: Path) -> None:
    touch(tmp_path, "Training/a/1.mp4", "Validation/a/2.mp4")
    with raises("split: expected one of train, val, because", "a folder for each. Received: None"):
        SETS["folder"](tmp_path)
    assert SETS["folder"](tmp_path, "val").classes == ("a",)


def test_videos_that_may_be_there_twice_are_named(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.mp4", "a/1/01.jpg", "a/2.avi", "a/2.MKV", "a/v1.5.mp4", "a/v1.6.mp4")
    with pytest.warns(
        RuntimeWarning, match="4 videos .* twice, .*: a/1, a/1.mp4, a/2.MKV, a/2.avi"
    ):
        SETS["folder"](tmp_path)

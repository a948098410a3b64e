"""The reader of CSV files, `SETS["csv"]`."""

from collections.abc import Mapping

import pytest
from fake_sets import FakeSet, assert_frames, levels, raises

from mpvn.data import SETS


@pytest.fixture
def videos(fake: FakeSet) -> FakeSet:
    for at in range(4):
        fake.video(f"videos/{at}.mp4", 40 + 20 * at)
    return fake


def test_paths_and_names_of_classes(videos: FakeSet) -> None:
    videos.text("list.csv", ["videos/2.mp4,walk", "", "videos/0.mp4,jump", "videos/1.mp4,walk"])
    found = SETS["csv"](videos.root / "list.csv")
    assert (found.name, found.classes) == ("list", ("jump", "walk"))
    assert levels(found) == [(1, 80), (0, 40), (1, 60)]
    assert_frames(found, 25)


def test_named_columns_and_numbers_of_classes(videos: FakeSet) -> None:
    rows = ["label,note,split,path"]
    rows += [f'{at % 2},"a, b",{"train" if at < 3 else "test"},videos/{at}.mp4' for at in range(4)]
    videos.text("list.csv", rows)
    train = SETS["csv"](videos.root / "list.csv", "train")
    assert (train.name, train.classes) == ("list train", ("0", "1"))
    assert levels(train) == [(0, 40), (1, 60), (0, 80)]
    test = SETS["csv"](videos.root / "list.csv", "test", classes=["no", "yes", "perhaps"])
    assert test.classes == ("no", "yes", "perhaps")
    assert levels(test) == [(1, 100)]
    assert len(SETS["csv"](videos.root / "list.csv").videos) == 4


def test_numbers_that_are_names_of_classes(videos: FakeSet) -> None:
    videos.text("list.csv", ["videos/0.mp4,7", "videos/1.mp4,3"])
    found = SETS["csv"](videos.root / "list.csv", classes=["7", "3"])
    assert levels(found) == [(0, 40), (1, 60)]


@pytest.mark.parametrize(
    ("rows", "arguments", "parts"),
    [
        ([], {}, ["Expected rows. Received: none"]),
        (["path,name"], {}, ["Expected a column label", "Expected rows"]),
        (["videos/0.mp4"], {}, ["line 1: expected path, label. Received: 'videos/0.mp4'"]),
        (["videos/0.mp4,a,b,c"], {}, ["line 1"]),
        (["videos/0.mp4,a"], {"split": "train"}, ["line 1: expected path, label, split"]),
        (
            ["videos/0.mp4,a,fit"],
            {"split": "train"},
            ["split: expected one of fit. Received: 'train'"],
        ),
        (["videos/0.mp4,0", "videos/1.mp4,2"], {}, ["No video has the label 1", "`classes`"]),
        (
            ["videos/0.mp4,2", "videos/1.mp4,1"],
            {"classes": ["a", "b"]},
            ["1 problem", "line 1: expected a label in 0 .. 1. Received: 2"],
        ),
        (
            ["videos/0.mp4,c", "videos/1.mp4,a"],
            {"classes": ["a", "b"]},
            ["1 problem", "line 1: expected a known class. Received: 'c'", "The classes are a, b"],
        ),
        (
            ["videos/0.mp4,a", "videos/9.mp4,a", "videos/0.mp4,b"],
            {},
            ["2 problems", "line 2: ", "9.mp4 does not exist", "line 3: videos/0.mp4 is a dupl"],
        ),
    ],
)
def test_errors(
    videos: FakeSet, rows: list[str], arguments: Mapping[str, object], parts: list[str]
) -> None:
    videos.text("list.csv", rows)
    with raises("list.csv", *parts):
        SETS["csv"](videos.root / "list.csv", **arguments)


def test_other_files(videos: FakeSet) -> None:
    with raises("Expected a CSV file", "none.csv"):
        SETS["csv"](videos.root / "none.csv")
    (videos.root / "list.csv").write_bytes(b"\xff\xfe\x00")
    with raises("list.csv: expected text in UTF-8"):
        SETS["csv"](videos.root / "list.csv")

"""The reader of CSV files, `SETS["csv"]`."""

from collections.abc import Mapping

import pytest
from fake_sets import FakeSet, assert_frames, levels, raises

from mpvn.data import SETS
from mpvn.data.video_set import NO_MIRROR


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
    with pytest.warns(RuntimeWarning, match="list test: .* none of 1 class: no. They are in other"):
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
        (["path,name"], {}, ["Expected a column label"]),
        (["path,label"], {}, ["Expected rows. Received: none"]),
        (["videos/0.mp4"], {}, ["line 1: expected path, label. Received: 'videos/0.mp4'"]),
        (["videos/0.mp4,a", "videos/1.mp4"], {}, ["1 problem", "line 2: expected path, label."]),
        (["path,label,label", "a,b,c"], {}, ["Expected one column label. Received: 2"]),
        (["videos/0.mp4,a", "./videos/0.mp4,a"], {}, ["line 2: ", "is a duplicate of line 1"]),
        (["videos/0.mp4,1", "videos/1.mp4,01"], {}, ["line 1: 1 and 01 are the same number"]),
        (["videos/0.mp4,1.0", "videos/1.mp4,2"], {}, ["line 1: expected a name or a whole", "1.0"]),
        (["videos/0.mp4,1", "videos/1.mp4,nan"], {}, ["line 2: expected a whole number", "nan"]),
        (["videos/0.mp4,None", "videos/1.mp4,-1"], {}, ["line 1: expected a whole number"]),
        (["path,label,start,end", *["videos/0.mp4,a,0,1"] * 2], {}, ["line 3: ", "duplicate"]),
        (["videos/0.mp4,-1"], {"classes": ["a"]}, ["its number in 0 .. 0. Received: '-1'"]),
        (["videos/0.mp4,a"], {"classes": ["a", "a"]}, ["classes: expected different names"]),
        (["videos/0.mp4,a,b,c"], {}, ["line 1"]),
        (["videos/0.mp4,a"], {"split": "train"}, ["line 1: expected path, label, split"]),
        (
            ["videos/0.mp4,a,fit"],
            {"split": "train"},
            ["split: expected one of fit. Received: 'train'"],
        ),
        (
            ["videos/0.mp4,2", "videos/1.mp4,1"],
            {"classes": ["a", "b"]},
            ["1 problem", "line 1: expected a class, or its number in 0 .. 1. Received: '2'"],
        ),
        (
            ["videos/0.mp4,c", "videos/1.mp4,a"],
            {"classes": ["a", "b"]},
            ["1 problem", "line 1: expected a class, ", "Received: 'c'", "The classes are a, b"],
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
    with raises(*parts):
        SETS["csv"](videos.root / "list.csv", **arguments)


def test_sections_of_files(videos: FakeSet) -> None:
    """The columns start and end were ignored like any other, so that whole files were read."""
    rows = ["0.5,walk,videos/0.mp4,2", "2,run,videos/0.mp4,", ",sit,videos/1.mp4,1/4"]
    videos.text("list.csv", ["Start,label,path,END", *rows])
    found = SETS["csv"](videos.root / "list.csv").videos
    sections = [video.name.rpartition("mp4")[2] for video in found]
    assert sections == [" (0.5 to 2 s)", " (2 to end s)", " (0 to 0.25 s)"]


@pytest.mark.parametrize("section", ["2,1", "1,1", "-1,", "nan,2", "0:01,0:02", ",0", "a,", "1/0,"])
def test_sections_that_are_none(videos: FakeSet, section: str) -> None:
    videos.text("list.csv", ["path,label,start,end", f"videos/0.mp4,a,{section}"])
    received = section.replace(",", " to ")
    with raises(f"line 2: expected a section in seconds. Received: {received}"):
        SETS["csv"](videos.root / "list.csv")


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (("Run", "run"), "'Run' and 'run'"),
        (("caf\u00e9", "cafe\u0301"), r"'cafe\\u0301' and 'caf\\xe9'"),
        (("run fast", "run\u00a0fast"), r"'run fast' and 'run\\xa0fast'"),
        (("run fast", "run  fast"), "'run  fast' and 'run fast'"),
    ],
)
def test_names_that_are_almost_the_same(
    videos: FakeSet, names: tuple[str, str], shown: str
) -> None:
    videos.text("list.csv", [f"videos/{at}.mp4,{name}" for at, name in enumerate(names)])
    with pytest.warns(RuntimeWarning, match=f"list: expected classes .* Received: {shown}. They"):
        assert len(SETS["csv"](videos.root / "list.csv").classes) == 2


def test_other_files(videos: FakeSet) -> None:
    with raises("Expected a CSV file", "none.csv"):
        SETS["csv"](videos.root / "none.csv")
    (videos.root / "list.csv").write_bytes(b"videos/0.mp4,a\r\nvideos/1.mp4,caf\xe9\r\n")
    with raises("list.csv: expected text in UTF-8. Received: other data in line 2", "Write lines"):
        SETS["csv"](videos.root / "list.csv")


@pytest.mark.parametrize(
    ("given", "names", "numbers"),
    [
        (["-1", "1", "0"], ("-1", "0", "1"), [0, 2, 1]),
        (["10", "7", "3"], ("3", "7", "10"), [2, 1, 0]),
        (["1", "2", "3"], ("1", "2", "3"), [0, 1, 2]),
        (["02", "01", "10"], ("01", "02", "10"), [1, 0, 2]),
        (["2", "walk", "10"], ("10", "2", "walk"), [1, 2, 0]),
    ],
)
def test_any_whole_numbers_are_labels_in_numeric_order(
    videos: FakeSet, given: list[str], names: tuple[str, ...], numbers: list[int]
) -> None:
    """The labels -1, 0 and 1 were taken for names, so that -1 was class 0 beside 0 as class 1."""
    videos.text("list.csv", [f"videos/{at}.mp4,{label}" for at, label in enumerate(given)])
    found = SETS["csv"](videos.root / "list.csv")
    assert found.classes == names
    assert [video.label for video in found.videos] == numbers


def test_numbers_say_nothing_about_mirror_images(videos: FakeSet) -> None:
    videos.text("list.csv", ["videos/0.mp4,0", "videos/1.mp4,1"])
    assert SETS["csv"](videos.root / "list.csv").mirrored_labels == (NO_MIRROR, NO_MIRROR)
    assert SETS["csv"](videos.root / "list.csv", mirror="same").mirrored_labels is None
    with raises("mirror: expected one of names, same, never. Received: 'yes'"):
        SETS["csv"](videos.root / "list.csv", mirror="yes")

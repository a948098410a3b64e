"""CSV files whose videos have any number of labels."""

from collections.abc import Mapping

import pytest
from fake_sets import FakeSet, levels, raises

from mpvn.data import SETS
from mpvn.data.video_set import NO_MIRROR


@pytest.fixture
def videos(fake: FakeSet) -> FakeSet:
    for at in range(4):
        fake.video(f"{at}.mp4", 40 + 20 * at)
    return fake


def test_names_with_a_separator(videos: FakeSet) -> None:
    """The third video has no class. Classes of other splits are numbered, too."""
    rows = [
        "path,label,split",
        "2.mp4,walk; wave,a",
        "0.mp4,jump,a",
        "1.mp4,,a",
        "3.mp4,wave;jump,b",
    ]
    videos.text("list.csv", rows)
    found = SETS["csv"](videos.root / "list.csv", separator=";")
    assert (found.classes, found.multi_label) == (("jump", "walk", "wave"), True)
    assert levels(found) == [((1, 2), 80), ((0,), 40), ((), 60), ((0, 2), 100)]
    found = SETS["csv"](videos.root / "list.csv", "a", separator=";")
    assert levels(found) == [((1, 2), 80), ((0,), 40), ((), 60)]
    with pytest.warns(RuntimeWarning, match="none of 1 class: walk"):
        found = SETS["csv"](videos.root / "list.csv", "b", separator=";")
    assert levels(found) == [((0, 2), 100)]


@pytest.mark.parametrize(
    ("rows", "separator"),
    [
        (["0.mp4;walk,wave", "1.mp4;wave"], ","),
        (['0.mp4,"walk,wave"', "1.mp4,wave"], ","),
        (["0.mp4\twalk | wave", "1.mp4\twave"], "|"),
        (["0.mp4,walk and wave", "1.mp4,wave"], " and "),
    ],
)
def test_other_separators(videos: FakeSet, rows: list[str], separator: str) -> None:
    videos.text("list.csv", rows)
    found = SETS["csv"](videos.root / "list.csv", separator=separator)
    assert found.classes == ("walk", "wave")
    assert levels(found) == [((0, 1), 40), ((1,), 60)]


def test_numbers_and_mirror_images(videos: FakeSet) -> None:
    videos.text("list.csv", ["0.mp4,2|0", "1.mp4,1", "2.mp4,"])
    names = ["step left", "step right", "turn left"]
    found = SETS["csv"](videos.root / "list.csv", classes=names, separator="|")
    assert levels(found) == [((0, 2), 40), ((1,), 60), ((), 80)]
    assert found.mirrored_labels == (1, 0, NO_MIRROR)
    assert SETS["csv"](videos.root / "list.csv", separator="|").classes == ("0", "1", "2")


def test_without_a_separator_a_video_has_one_label(videos: FakeSet) -> None:
    videos.text("list.csv", ["0.mp4,walk;wave", "1.mp4,wave"])
    found = SETS["csv"](videos.root / "list.csv", separator="")
    assert (found.classes, found.multi_label) == (("walk;wave", "wave"), False)


@pytest.mark.parametrize(
    ("rows", "arguments", "parts"),
    [
        (
            ["0.mp4,a", "1.mp4,a;;b", "2.mp4,a;b;a", "3.mp4,b;"],
            {},
            [
                "3 problems",
                "line 2: expected different labels with ';'",
                "a;;b",
                "line 3",
                "line 4",
            ],
        ),
        (["0.mp4,a;b", "1.mp4"], {}, ["1 problem", "line 2: expected path, label"]),
        (["0.mp4,a;c"], {"classes": ["a", "b"]}, ["1 problem", "line 1: expected a class", "'c'"]),
        (["0.mp4,0;2"], {"classes": ["a", "b"]}, ["line 1: ", "its number in 0 .. 1", "'2'"]),
        (["0.mp4,1;01"], {}, ["line 1: 1 and 01 are the same number"]),
    ],
)
def test_errors(
    videos: FakeSet, rows: list[str], arguments: Mapping[str, object], parts: list[str]
) -> None:
    videos.text("list.csv", rows)
    with raises("list.csv", *parts):
        SETS["csv"](videos.root / "list.csv", separator=";", **arguments)

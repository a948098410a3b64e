"""The reader of Charades."""

import pytest
from fake_sets import FakeSet, assert_frames, levels, raises

from mpvn.data import SETS

COLUMNS = "id,subject,scene,quality,relevance,verified,script,objects,descriptions,actions,length"
ACTIONS = ("Holding some clothes", "Putting clothes somewhere", "Taking some clothes")


def row(identifier: str, actions: str) -> str:
    """Return a line with commas, doubled quotes and semicolons in its texts."""
    texts = '"He says ""no"", then sits.",chair;floor,"One; another, too."'
    return f"{identifier},HR43,Kitchen,6,7,Yes,{texts},{actions},24.83"


@pytest.fixture
def files(fake: FakeSet) -> FakeSet:
    names = [f"c{number:03d} {name}" for number, name in enumerate(ACTIONS)]
    fake.text("Charades/Charades_v1_classes.txt", names)
    train = [
        row("46GP8", "c002 11.90 21.20;c000 0.00 12.60;c002 24 30.5"),
        row("N11GT", ""),
        row("0IH69", "c001 0.00 9.10"),
    ]
    fake.text("Charades/Charades_v1_train.csv", [COLUMNS, *train])
    test = [row("YSKX3", "c001 1 2"), row("AAAAA", "")]
    fake.text("Charades/Charades_v1_test.csv", [COLUMNS, *test])
    for at, name in enumerate(("46GP8", "N11GT", "0IH69", "YSKX3", "AAAAA")):
        fake.video(f"Charades_v1_480/{name}.mp4", 40 + 20 * at)
    return fake


def test_all_actions_of_a_video_are_its_labels(files: FakeSet) -> None:
    train = SETS["charades"](files.root)
    assert (train.name, train.classes, train.multi_label) == ("Charades train", ACTIONS, True)
    assert levels(train) == [((0, 2), 40), ((), 60), ((1,), 80)]
    assert_frames(train, 25)


def test_videos_without_actions(files: FakeSet) -> None:
    """The evaluation of Charades ignores them; training does not."""
    assert levels(SETS["charades"](files.root, "test")) == [((1,), 100)]
    assert levels(SETS["charades"](files.root, "test", empty=True)) == [((1,), 100), ((), 120)]
    assert levels(SETS["charades"](files.root, "train", empty=False)) == [((0, 2), 40), ((1,), 80)]


def test_frames(files: FakeSet) -> None:
    for at, name in enumerate(("YSKX3", "AAAAA")):
        files.images(f"Charades_v1_rgb/{name}", 140 + 20 * at)
        for path in (files.root / "Charades_v1_rgb" / name).iterdir():
            path.rename(path.with_name(f"{name}-0{path.name}"))
    found = SETS["charades"](files.root, "test", videos="Charades_v1_rgb", empty=True)
    assert levels(found) == [((1,), 140), ((), 160)]
    assert_frames(found, 24)
    with raises("Charades_v1_train.csv", "46GP8 does not exist"):
        SETS["charades"](files.root, videos="Charades_v1_rgb")


def test_line_breaks_in_quotes(files: FakeSet) -> None:
    lines = [COLUMNS, row("46GP8", "c000 0 1").replace("another", "\n46GP8,c001 0 1\nanother")]
    files.text("Charades/Charades_v1_train.csv", lines)
    assert levels(SETS["charades"](files.root)) == [((0,), 40)]


@pytest.mark.parametrize(
    ("lines", "parts"),
    [
        ([COLUMNS, row("46GP8", "c002 1 2;c003 1 2")], ["line 2: expected actions such as c092"]),
        ([COLUMNS, row("46GP8", "c002 1")], ["line 2: expected actions"]),
        ([COLUMNS, row("46GP8", "c002 1 2;")[:-6] + "x 1 2,3"], ["line 2: expected actions"]),
        ([COLUMNS, row("46GP8", "c000 one 2")], ["line 2: expected actions"]),
        ([COLUMNS, row("46GP8", "c000 1 2; ")], ["line 2: expected actions"]),
        (
            [COLUMNS, row("Z", ""), row("N11GT", "")],
            ["1 problem", "line 2", "Z.mp4 does not exist"],
        ),
        ([COLUMNS, row("N11GT", ""), row("N11GT", "")], ["line 3: the video N11GT is a duplicate"]),
        ([COLUMNS, "46GP8,c000 0 1"], ["line 2: expected values of id, subject"]),
        ([COLUMNS, row("", "")], ["line 2: expected values of id"]),
        ([COLUMNS, row("46GP8", '"c000 0 1')], ["line 2: expected CSV. Received: other text"]),
        ([COLUMNS.replace("actions", "action")], ["Expected a column actions"]),
        ([COLUMNS], ["Expected rows. Received: none"]),
    ],
)
def test_errors_of_annotations(files: FakeSet, lines: list[str], parts: list[str]) -> None:
    files.text("Charades/Charades_v1_train.csv", lines)
    with raises("Charades_v1_train.csv", *parts):
        SETS["charades"](files.root)


def test_other_errors(files: FakeSet) -> None:
    read = SETS["charades"]
    with raises("split: expected one of train, test. Received: 'val'"):
        read(files.root, "val")
    with raises("videos: expected one of Charades_v1, ", "Received: 'mp4'"):
        read(files.root, videos="mp4")
    with raises("the videos", "Charades_v1"):
        read(files.root, videos="Charades_v1")
    files.text("Charades/Charades_v1_classes.txt", ["c000 Holding", "c002 Taking"])
    with raises("Charades_v1_classes.txt", "line 2: expected c001 NAME. Received: 'c002 Taking'"):
        read(files.root)

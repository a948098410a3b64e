"""The readers of Something-Something, versions 1 and 2, and of Jester."""

import pytest
from fake_sets import FakeSet, assert_frames, levels, raises

from mpvn.data import SETS
from mpvn.data.video_set import NO_MIRROR

V1 = "something-something-v1"
V2 = "something-something-v2"
ACTIONS = (
    "Pulling something from left to right",
    "Pulling something from right to left",
    "Pushing something so it spins",
    "Turning the camera left while filming something",
)
GESTURES = (
    "Swiping Left",
    "Swiping Right",
    "Swiping Down",
    "Sliding Two Fingers Left",
    "Sliding Two Fingers Right",
    "Turning Hand Clockwise",
    "Turning Hand Counterclockwise",
    "No gesture",
)


@pytest.fixture
def version_1(fake: FakeSet) -> FakeSet:
    fake.text(f"{V1}-labels.csv", ACTIONS)
    fake.text(f"{V1}-train.csv", [f"7;{ACTIONS[2]}", f"100218;{ACTIONS[1]}"])
    fake.text(f"{V1}-validation.csv", [f"3;{ACTIONS[0]}"])
    for identifier, level in ((7, 60), (100218, 80), (3, 100)):
        fake.images(f"20bn-{V1}/{identifier}", level)
    return fake


@pytest.fixture
def version_2(fake: FakeSet) -> FakeSet:
    labels = {name: str(n) for n, name in reversed(list(enumerate(ACTIONS)))}
    fake.json(f"labels/{V2}-labels.json", labels)
    entry = {
        "id": "78687",
        "label": "pulling mug from right to left",
        "template": "Pulling [something] from right to left",
        "placeholders": ["mug"],
    }
    fake.json(f"labels/{V2}-train.json", [entry, {"id": 5, "template": ACTIONS[3]}])
    fake.json("labels/validation.json", [{"id": "6", "template": ACTIONS[0]}])
    for identifier, level in ((78687, 60), (5, 80), (6, 100)):
        fake.video(f"20bn-{V2}/{identifier}.webm", level)
    return fake


def test_something_something_v1(version_1: FakeSet) -> None:
    train = SETS["something_something_v1"](version_1.root)
    assert train.name == "Something-Something V1 train"
    assert (train.classes, train.mirrored_labels) == (ACTIONS, (1, 0, 2, NO_MIRROR))
    assert levels(train) == [(2, 60), (1, 80)]
    assert_frames(train, 12)
    assert levels(SETS["something_something_v1"](version_1.root, "val")) == [(0, 100)]


def test_something_something_v2(version_2: FakeSet) -> None:
    train = SETS["something_something_v2"](version_2.root)
    assert train.name == "Something-Something V2 train"
    assert (train.classes, train.mirrored_labels) == (ACTIONS, (1, 0, 2, NO_MIRROR))
    assert levels(train) == [(1, 60), (3, 80)]
    assert_frames(train, 25)
    assert levels(SETS["something_something_v2"](version_2.root, "val")) == [(0, 100)]


def test_errors_of_version_1(version_1: FakeSet) -> None:
    read = SETS["something_something_v1"]
    with raises("split: expected one of train, val, test. Received: 'dev'"):
        read(version_1.root, "dev")
    (version_1.root / f"20bn-{V1}" / "9").mkdir()
    (version_1.root / f"20bn-{V1}" / "10").touch()
    rows = ["7;Juggling", "8;", *(f"{identifier};{ACTIONS[0]}" for identifier in (8, 9, 10))]
    version_1.text(f"{V1}-train.csv", rows)
    with raises(
        "5 problems",
        "line 1: expected ID;CLASS with a known class. Received: '7;Juggling'",
        "line 2",
        "line 3: the folder",
        "8 does not exist",
        "line 4",
        "9 contains no images",
        "10 contains no images",
    ):
        read(version_1.root)
    with raises("folders of frames", f"20bn-{V1}"):
        read(version_1.root.parent)


def test_errors_of_version_2(version_2: FakeSet) -> None:
    read = SETS["something_something_v2"]
    entries = [
        {"id": "1"},
        {"id": "2", "template": "Juggling"},
        {"id": "3", "template": ACTIONS[0]},
    ]
    version_2.json(f"labels/{V2}-train.json", entries)
    with raises(
        "3 problems",
        "entry 0: expected id and template",
        "entry 1: expected a known class. Received: 'Juggling'",
        "3.webm does not exist",
    ):
        read(version_2.root)
    version_2.json(f"labels/{V2}-train.json", {})
    with raises("expected a JSON list. Received: a dict"):
        read(version_2.root)
    version_2.text(f"labels/{V2}-labels.json", ["{"])
    with raises("labels.json: expected JSON"):
        read(version_2.root)
    version_2.json(f"labels/{V2}-labels.json", {"A": "0", "B": "2", "C": "0"})
    with raises("2 problems", "'A': expected a unique number", "Received: 0", "'C'"):
        read(version_2.root)
    with raises("the videos", f"20bn-{V2}", "1.webm"):
        read(version_2.root.parent)


def test_jester(fake: FakeSet) -> None:
    fake.text("jester-v1-labels.csv", GESTURES)
    fake.text("jester-v1-train.csv", ["34870;Swiping Right", "56557;No gesture"])
    fake.text("jester-v1-validation.csv", ["9223;Turning Hand Clockwise"])
    for identifier, level in ((34870, 60), (56557, 80), (9223, 100)):
        fake.images(f"20bn-jester-v1/{identifier}", level)
    train = SETS["jester"](fake.root)
    assert (train.name, train.classes) == ("Jester train", GESTURES)
    assert train.mirrored_labels == (1, 0, 2, 4, 3, 6, 5, 7)
    assert levels(train) == [(1, 60), (7, 80)]
    assert_frames(train, 12)
    assert levels(SETS["jester"](fake.root, "val")) == [(5, 100)]
    (fake.root / "jester-v1-train.csv").unlink()
    with raises("Expected a list in the file", "jester-v1-train.csv", "jester-v1-labels.csv"):
        SETS["jester"](fake.root)

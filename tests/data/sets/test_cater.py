"""The reader of CATER."""

import pytest
from fake_sets import FakeSet, assert_frames, levels, raises

from mpvn.data import SETS
from mpvn.data.video_set import NO_MIRROR


@pytest.fixture
def cater(fake: FakeSet) -> FakeSet:
    for n, level in ((3, 60), (14, 80), (15, 100)):
        fake.video(f"videos/CATER_new_{n:06d}.avi", level)
    lists = {"train": ["000003.avi 35", "000014.avi 0"], "val": ["000015.avi 14"]}
    for split, rows in lists.items():
        fake.text(f"lists/localize/{split}.txt", [f"CATER_new_{row}" for row in rows])
    fake.text("lists/actions_present/train.txt", ["CATER_new_000003.avi 1,5,9"])
    return fake


def test_localization(cater: FakeSet) -> None:
    train = SETS["cater"](cater.root)
    assert (train.name, len(train.classes)) == ("CATER localize train", 36)
    assert train.classes[14] == "column 2, row 2"
    assert train.mirrored_labels == (NO_MIRROR,) * 36
    assert levels(train) == [(35, 60), (0, 80)]
    assert_frames(train, 25)
    assert levels(SETS["cater"](cater.root, "val")) == [(14, 100)]


def test_errors(cater: FakeSet) -> None:
    with raises(
        "expected one of localize", "'actions_present', which gives a video several labels"
    ):
        SETS["cater"](cater.root, task="actions_present")
    with raises("a list of videos", "localize_4x4"):
        SETS["cater"](cater.root, task="localize_4x4")
    rows = ["CATER_new_000003.avi 36", "CATER_new_000003.avi 1,2", "CATER_new_000001.avi 3"]
    cater.text("lists/localize/train.txt", rows)
    with raises(
        "3 problems",
        "line 1: expected a video and a label in 0 .. 35",
        "line 2",
        "01.avi does not exist",
    ):
        SETS["cater"](cater.root)

"""The reader of UCF101."""

import pytest
from fake_sets import FakeSet, assert_frames, levels, raises

from mpvn.data import SETS


@pytest.fixture
def ucf101(fake: FakeSet) -> FakeSet:
    names = ["ApplyEyeMakeup", "Archery", "BabyCrawling"]
    for at, name in enumerate(names):
        for group in (1, 2, 8):
            level = 20 + 60 * at + 10 * (group % 7)
            fake.video(f"UCF-101/{name}/v_{name}_g0{group}_c01.avi", level)
    lists = "ucfTrainTestlist"
    fake.text(f"{lists}/classInd.txt", [f"{at + 1} {name}" for at, name in enumerate(names)])
    for fold, test_group in ((1, 1), (2, 2)):
        fake.text(
            f"{lists}/trainlist0{fold}.txt",
            [
                f"{name}/v_{name}_g0{group}_c01.avi {at + 1}"
                for at, name in enumerate(names)
                for group in (1, 2, 8)
                if group != test_group
            ],
        )
        fake.text(
            f"{lists}/testlist0{fold}.txt",
            [f"{name}/v_{name}_g0{test_group}_c01.avi" for name in names],
        )
    return fake


def test_folds(ucf101: FakeSet) -> None:
    train = SETS["ucf101"](ucf101.root)
    assert (train.name, train.mirrored_labels) == ("UCF101 train 1", None)
    assert train.classes == ("ApplyEyeMakeup", "Archery", "BabyCrawling")
    assert levels(train) == [(n, 20 + 60 * n + 10 * group) for n in range(3) for group in (2, 1)]
    assert_frames(train, 25)
    assert levels(SETS["ucf101"](ucf101.root, "test")) == [(0, 30), (1, 90), (2, 150)]
    assert levels(SETS["ucf101"](ucf101.root, "test", fold=2)) == [(0, 40), (1, 100), (2, 160)]


def test_class_folders_in_the_root(ucf101: FakeSet) -> None:
    lists = (ucf101.root / "ucfTrainTestlist").rename(ucf101.root.parent / "lists")
    assert len(SETS["ucf101"](ucf101.root / "UCF-101", lists=lists).videos) == 6


def test_errors(ucf101: FakeSet) -> None:
    with raises("expected one of train, test. Received: 'val'"):
        SETS["ucf101"](ucf101.root, "val")
    with raises("fold: expected one of 1, 2, 3. Received: '4'"):
        SETS["ucf101"](ucf101.root, fold=4)
    with raises("a list of videos", "trainlist03.txt", "UCF101TrainTestSplits"):
        SETS["ucf101"](ucf101.root, fold=3)
    ucf101.text(
        "ucfTrainTestlist/trainlist01.txt",
        ["Archery/v_Archery_g01_c01.avi 3", "Boxing/v.avi 4", "Archery/none.avi 2"],
    )
    with raises(
        "trainlist01.txt: 3 problems",
        "line 1: expected class 2",
        "line 2: expected CLASS/VIDEO with a known class",
        "line 3: ",
        "none.avi does not exist",
        "UCF101.rar",
    ):
        SETS["ucf101"](ucf101.root)
    ucf101.text("ucfTrainTestlist/classInd.txt", ["1 A", "3 B"])
    with raises("classInd.txt", "line 2: expected '2 CLASS'. Received: '3 B'"):
        SETS["ucf101"](ucf101.root)
    with raises("Expected the official lists in the folder", "ucfTrainTestlist"):
        SETS["ucf101"](ucf101.root / "UCF-101")

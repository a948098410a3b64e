"""The reader of HMDB51."""

import pytest
from fake_sets import FakeSet, assert_frames, levels, raises

from mpvn.data import SETS

LISTS = "testTrainMulti_7030_splits"


@pytest.fixture
def hmdb51(fake: FakeSet) -> FakeSet:
    for at, name in enumerate(["wave", "brush_hair"]):
        videos = [f"{name} #{n}(a).avi" for n in range(4)]
        for n, video in enumerate(videos):
            fake.video(f"hmdb51_org/{name}/{video}", 30 + 100 * at + 20 * n)
        for fold, codes in ((1, "1120"), (2, "0211")):
            fake.text(
                f"{LISTS}/{name}_test_split{fold}.txt",
                [f"{video} {code} " for video, code in zip(videos, codes, strict=True)],
            )
    return fake


def test_folds_leave_out_unused_videos(hmdb51: FakeSet) -> None:
    train = SETS["hmdb51"](hmdb51.root, "train")
    assert (train.name, train.classes) == ("HMDB51 train 1", ("brush_hair", "wave"))
    assert levels(train) == [(0, 130), (0, 150), (1, 30), (1, 50)]
    assert_frames(train, 25)
    assert levels(SETS["hmdb51"](hmdb51.root, "test")) == [(0, 170), (1, 70)]
    assert levels(SETS["hmdb51"](hmdb51.root, "test", fold=2)) == [(0, 150), (1, 50)]


def test_errors(hmdb51: FakeSet) -> None:
    with raises("Expected files CLASS_test_split3.txt"):
        SETS["hmdb51"](hmdb51.root, fold=3)
    hmdb51.text(f"{LISTS}/wave_test_split1.txt", ["a.avi 3", "b.avi 2", "c"])
    with raises(
        "3 problems",
        "wave_test_split1.txt, line 1: expected a video and 0, 1 or 2. Received: 'a.avi 3'",
        "line 3",
        "expected train videos",
        "hmdb51_org.rar",
    ):
        SETS["hmdb51"](hmdb51.root)
    hmdb51.text(f"{LISTS}/wave_test_split1.txt", ["b.avi 1"])
    hmdb51.video("hmdb51_org/clap/a.avi")
    with raises("2 problems", "clap: expected a list for this class", "wave/b.avi does not exist"):
        SETS["hmdb51"](hmdb51.root)
    with raises("the official lists", "test_train_splits"):
        SETS["hmdb51"](hmdb51.root / "hmdb51_org")

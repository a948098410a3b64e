"""The reader of class folders, `SETS["folder"]`."""

from pathlib import Path

import pytest
from fake_sets import FakeSet, assert_frames, levels, raises

from mpvn.data import SETS
from mpvn.data.video_set import NO_MIRROR


@pytest.fixture
def classes(fake: FakeSet) -> Path:
    for at, name in enumerate(["wave", "jump"]):
        for number in range(10):
            fake.video(f"{name}/{number}.mp4", 20 + 100 * at + 10 * number, 2)
    fake.text("README.txt", ["not a class"])
    fake.text("jump/notes.txt", ["not a video"])
    return fake.root


def test_classes_are_in_the_order_of_their_names(classes: Path) -> None:
    videos = SETS["folder"](classes)
    assert (videos.name, videos.classes) == ("set", ("jump", "wave"))
    assert (videos.mirrored_labels, videos.joints) == (None, ())
    expected = [(0, 120 + 10 * n) for n in range(10)] + [(1, 20 + 10 * n) for n in range(10)]
    assert levels(videos) == expected


def test_a_fraction_of_each_class_is_for_training(classes: Path) -> None:
    def names(split: str, seed: int = 0) -> set[str]:
        videos = SETS["folder"](classes, split, fraction=0.7, seed=seed)
        assert videos.classes == ("jump", "wave")
        counts = [[video.label for video in videos.videos].count(n) for n in (0, 1)]
        assert counts == ([7, 7] if split == "train" else [3, 3])
        return {video.name for video in videos.videos}

    assert len(names("train") | names("val")) == 20
    defaults = [SETS["folder"](classes, split) for split in ("train", "val")]
    assert [len(videos.videos) for videos in defaults] == [16, 4]
    assert [videos.note.partition(", ")[2] for videos in defaults] == [
        "80 % of the videos of each class",
        "20 % of the videos of each class",
    ]
    assert names("val") == names("val")
    assert names("val") != names("val", seed=1)
    before = names("val")
    (classes / "jump" / "README.md").write_text("Not a video: must not change the fraction.")
    assert names("val") == before


def test_folders_of_splits(fake: FakeSet) -> None:
    for at, split in enumerate(["train", "val"]):
        fake.video(f"{split}/turn left/a.mp4", 40 + 100 * at)
        fake.images(f"{split}/turn right/b", 60 + 100 * at)
        fake.video(f"{split}/left hand/c.mp4", 80 + 100 * at)
    train, val = SETS["folder"](fake.root, "train"), SETS["folder"](fake.root, "val")
    assert (train.name, val.name) == ("set train", "set val")
    assert train.classes == val.classes == ("left hand", "turn left", "turn right")
    assert train.mirrored_labels == (NO_MIRROR, 2, 1)
    assert levels(train) == [(0, 80), (1, 40), (2, 60)]
    assert levels(val) == [(0, 180), (1, 140), (2, 160)]
    assert_frames(train, 25)


def test_errors(classes: Path, fake: FakeSet) -> None:
    folder = SETS["folder"]
    with raises("Expected class folders in the folder", "none", "root/CLASS/"):
        folder(fake.root / "none")
    with raises("split: expected train or val, because there is a fraction. Received: None"):
        folder(classes, fraction=0.5)
    with raises("between 0 and 1", "1.5"):
        folder(classes, "train", fraction=1.5)
    with raises("split: expected one of train, val.", "'test'"):
        folder(classes, "test", fraction=0.5)
    (classes / "empty").mkdir()
    (classes / "also empty").mkdir()
    with raises("2 problems", "also empty: expected videos. Received: none", "set/empty"):
        folder(classes)


@pytest.mark.parametrize("names", [("Training", "validation"), ("train", "test")])
def test_folders_of_splits_have_several_names(names: tuple[str, str], fake: FakeSet) -> None:
    """Where there is no folder val, test is evaluated on."""
    for number, split in enumerate(names):
        for name in "ab":
            fake.video(f"{split}/{name}/{number}.mp4")
    for split, folder in zip(("train", "val"), names, strict=True):
        videos = SETS["folder"](fake.root, split)
        assert videos.classes == ("a", "b")
        assert videos.note == f"{fake.root / folder}/CLASS/VIDEO"
        assert {Path(video.name).stem for video in videos.videos} == {str(names.index(folder))}


def test_a_class_may_be_called_like_a_split(fake: FakeSet) -> None:
    """A folder train once hid the classes beside it."""
    for name in ("train", "bus", "car"):
        fake.video(f"{name}/0.mp4")
    assert SETS["folder"](fake.root).classes == ("bus", "car", "train")


def test_wrong_layouts_are_told(fake: FakeSet) -> None:
    folder = SETS["folder"]
    fake.video("a/train/0.mp4")
    fake.video("a/val/0.mp4")
    with raises("set/a: expected videos. Received: folders of splits, train, val", "root/CLASS/"):
        folder(fake.root, "train")
    with raises("expected one folder for the split val. Received: val, valid"):
        for name in ("train", "val", "valid"):
            fake.video(f"b/{name}/x/0.mp4")
        folder(fake.root / "b", "train")
    with raises("expected a folder val or test, to evaluate on. Received: train alone"):
        fake.video("c/train/x/0.mp4")
        folder(fake.root / "c", "val")
    with raises(
        "set/d: 1 problem", "Expected class folders. Received: 2 files, such as 0.mp4. If it"
    ):
        fake.video("d/0.mp4")
        fake.video("d/1.mp4")
        folder(fake.root / "d", "train")


def test_splits_must_have_the_same_classes(fake: FakeSet) -> None:
    fake.video("train/a/1.mp4")
    fake.video("val/b/1.mp4")
    with raises("2 problems", "train/b: expected a folder", "val/a: expected a folder"):
        SETS["folder"](fake.root, "train")
    fake.video("train/b/1.mp4")
    fake.video("val/a/1.mp4")
    with raises("split: expected one of train, val. Received: 'test'"):
        SETS["folder"](fake.root, "test")
    with raises("fraction: expected None"):
        SETS["folder"](fake.root, "train", fraction=0.5)


def test_small_classes_are_in_both_splits(fake: FakeSet) -> None:
    """A class of one or two videos vanished from a split."""
    for number in range(10):
        fake.video(f"big/{number}.mp4")
    for name in ("two/0.mp4", "two/1.mp4", "one/0.mp4"):
        fake.video(name)

    def counts(split: str, fraction: float) -> list[int]:
        videos = SETS["folder"](fake.root, split, fraction=fraction)
        return [[video.label for video in videos.videos].count(label) for label in range(3)]

    assert [counts("train", 0.95), counts("train", 0.05)] == [[9, 1, 1], [1, 1, 1]]
    for fraction, expected in ((0.95, [1, 0, 1]), (0.05, [9, 0, 1])):
        with pytest.warns(RuntimeWarning, match="set val: .* none of 1 class: one. Their only"):
            assert counts("val", fraction) == expected


def test_videos_of_the_same_name_are_different(fake: FakeSet) -> None:
    for person in "abcdefgh":
        fake.video(f"run/{person}/1.mp4")
    halves = [SETS["folder"](fake.root, split, fraction=0.5) for split in ("train", "val")]
    names = [{video.name for video in videos.videos} for videos in halves]
    assert [len(each) for each in names] == [4, 4]
    assert len(names[0] | names[1]) == 8
    assert sorted(names[0]) != sorted(str(fake.root / f"run/{p}/1.mp4") for p in "abcd")


def test_folders_whose_names_are_almost_the_same_are_named(fake: FakeSet) -> None:
    for name in ("Run", "run ", "walk"):
        fake.video(f"{name}/0.mp4")
    with pytest.warns(RuntimeWarning, match="different names. Received: 'Run' and 'run '. They"):
        assert SETS["folder"](fake.root).classes == ("Run", "run ", "walk")


def test_classes_that_are_numbers_are_in_numeric_order(fake: FakeSet) -> None:
    for name in ("10", "9", "1"):
        fake.video(f"{name}/0.mp4")
    videos = SETS["folder"](fake.root)
    assert (videos.classes, videos.mirrored_labels) == (("1", "9", "10"), (NO_MIRROR,) * 3)
    assert SETS["folder"](fake.root, mirror="same").mirrored_labels is None
    fake.video("01/0.mp4")
    with raises("1 problem", "1 and 01 are the same number"):
        SETS["folder"](fake.root)


def test_the_images_of_a_video_may_be_chosen(fake: FakeSet) -> None:
    for name, level in (("rgb", 60), ("depth", 160)):
        fake.images(f"run/{name}", level)
        for path in sorted((fake.root / "run" / name).iterdir()):
            (fake.root / "run/a").mkdir(exist_ok=True)
            path.rename(fake.root / "run/a" / f"{name}_{path.name}")
        (fake.root / "run" / name).rmdir()
    with raises("2 series: depth_*", "rgb_*", "Choose the frames"):
        levels(SETS["folder"](fake.root))
    chosen = SETS["folder"](fake.root, images="rgb_*")
    assert levels(chosen) == [(0, 60)]
    assert_frames(chosen, 25)
    fake.text("list.csv", ["run/a/depth_*,run"])
    assert levels(SETS["csv"](fake.root / "list.csv")) == [(0, 160)]

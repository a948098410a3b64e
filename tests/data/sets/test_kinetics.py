"""The readers of Kinetics-400, Kinetics-600 and Mini-Kinetics."""

import csv
from collections.abc import Mapping

import pytest
from fake_sets import FakeSet, assert_frames, levels, raises

from mpvn.data import SETS

CLASSES = ["air drumming", "zumba", *(f"class {n:03d}" for n in range(398))]


def write_annotations(fake: FakeSet, name: str, split: str, identifiers: Mapping[str, str]) -> None:
    """Write one row for each class, with an identifier of a video if one is given."""
    rows = [["label", "youtube_id", "time_start", "time_end", "split"]]
    for at, label in enumerate(CLASSES):
        rows.append([label, identifiers.get(label, f"gone{at:07d}"), str(at), str(at + 10), split])
    path = fake.root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)


@pytest.fixture
def kinetics(fake: FakeSet) -> FakeSet:
    identifiers = {
        "air drumming": "-aaaaaaaaaa",
        "zumba": "b_bbbbbbbbb",
        "class 004": "ccccccccccc",
    }
    write_annotations(fake, "annotations/train.csv", "train", identifiers)
    return fake


@pytest.mark.parametrize(
    "folders", [("train/air drumming", "train/zumba"), ("air_drumming", "zumba"), ("train", ".")]
)
def test_layouts(kinetics: FakeSet, folders: tuple[str, str]) -> None:
    kinetics.video(f"{folders[0]}/-aaaaaaaaaa_000000_000010.mp4", 60)
    kinetics.video(f"{folders[1]}/b_bbbbbbbbb_000001_000011.mkv", 80)
    train = SETS["kinetics400"](kinetics.root, skip_missing=True)
    assert train.name == "Kinetics-400 train"
    assert train.classes == tuple(sorted(CLASSES))
    assert levels(train) == [(0, 60), (399, 80)]
    assert_frames(train, 25)


def test_whole_uploads_are_cut_to_the_section(kinetics: FakeSet) -> None:
    kinetics.video("b_bbbbbbbbb.mp4", 20, frames=40)
    (video,) = SETS["kinetics400"](kinetics.root, skip_missing=True).videos
    assert len(video.timeline) == 15
    assert video.read([0]).mean() == pytest.approx(20 + 4 * 25, abs=1.5)


def test_splits(kinetics: FakeSet) -> None:
    write_annotations(kinetics, "annotations/validate.csv", "val", {"zumba": "ddddddddddd"})
    kinetics.video("train/b_bbbbbbbbb_000001_000011.mp4", 60)
    kinetics.video("val/ddddddddddd_000001_000011.mp4", 80)
    for split, level in (("train", 60), ("val", 80)):
        videos = SETS["kinetics400"](kinetics.root, split, skip_missing=True)
        assert levels(videos) == [(399, level)]


def test_one_file_of_annotations_for_all_splits(kinetics: FakeSet) -> None:
    path = kinetics.root / "all.csv"
    rows = (kinetics.root / "annotations/train.csv").read_text().splitlines()
    others = [row.replace("aaaaa", "eeeee").replace(",train", ",test") for row in rows[1:]]
    kinetics.text("all.csv", rows + others)
    kinetics.video("-eeeeeeeeee_000000_000010.mp4", 120)
    test = SETS["kinetics400"](kinetics.root, "test", annotations=path, skip_missing=True)
    assert (test.name, levels(test)) == ("Kinetics-400 test", [(0, 120)])


def test_mini_kinetics(kinetics: FakeSet) -> None:
    kinetics.video("-aaaaaaaaaa_000000_000010.mp4", 60)
    kinetics.video("b_bbbbbbbbb_000001_000011.mp4", 80)
    kinetics.video("ccccccccccc_000006_000016.mp4", 100)
    kinetics.text("mini.txt", ["zumba", "class 004"])
    mini = SETS["mini_kinetics"](kinetics.root, class_list=kinetics.root / "mini.txt")
    assert (mini.name, mini.classes) == ("Mini-Kinetics train", ("zumba", "class 004"))
    assert levels(mini) == [(0, 80), (1, 100)]
    kinetics.text("videos.txt", ["ccccccccccc", "ffffffffffff"])
    lists = {"class_list": kinetics.root / "mini.txt", "video_list": kinetics.root / "videos.txt"}
    assert levels(SETS["mini_kinetics"](kinetics.root, **lists)) == [(1, 100)]
    with raises("Mini-Kinetics: expected class_list", "does not contain the list"):
        SETS["mini_kinetics"](kinetics.root)
    kinetics.text("mini.txt", ["zumba", "Zumba", "zumba"])
    with raises(
        "2 problems", "line 2: the annotations have no class 'Zumba'", "'zumba' is a duplicate"
    ):
        SETS["mini_kinetics"](kinetics.root, class_list=kinetics.root / "mini.txt")


def test_missing_videos(kinetics: FakeSet) -> None:
    with raises(
        "400 problems",
        "The video -aaaaaaaaaa_000000_000010 of class 'air drumming' is missing",
        "and 395 more",
        "skip_missing=True",
    ):
        SETS["kinetics400"](kinetics.root)
    with raises("expected at least one video"):
        SETS["kinetics400"](kinetics.root, skip_missing=True)


def test_errors(kinetics: FakeSet) -> None:
    with raises("expected 600 classes. Received: 400", "class_list"):
        SETS["kinetics600"](kinetics.root)
    with raises("Expected annotations", "val.csv", "validate.csv", "label,youtube_id"):
        SETS["kinetics400"](kinetics.root, "val")
    kinetics.text("annotations/train.csv", ["label,youtube_id", "zumba,b"])
    with raises("2 problems", "a column time_start", "a column time_end"):
        SETS["kinetics400"](kinetics.root)
    kinetics.text(
        "annotations/train.csv",
        ["label,youtube_id,time_start,time_end,split", "zumba,b,9,3,train", ",c,1,2,train"],
    )
    with raises("2 problems", "line 2", "line 3"):
        SETS["kinetics400"](kinetics.root)

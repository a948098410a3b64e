"""Readers of data sets, on tiny fakes in the layouts of the real ones.

Every video of a fake is evenly gray, of a brightness of its own that grows by 4 with each frame, so
that a video or a frame in the wrong place shows as a wrong number.
"""

import csv
import functools
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mpvn.data import VideoWriter
from mpvn.data.sets.layout import mirrored_by_words, raise_faults
from mpvn.data.sets.registry import SETS
from mpvn.data.video_set import NO_MIRROR, VideoSet

FRAMES = 8
SIZE = (32, 48)


def gray(level: int) -> np.ndarray:
    return np.full((*SIZE, 3), level, np.uint8)


@functools.cache
def encoded(level: int, frames: int, folder: Path) -> bytes:
    path = folder / f"{level}-{frames}.mp4"
    with VideoWriter(path, 25) as writer:
        for index in range(frames):
            writer.write(gray(level + 4 * index))
    return path.read_bytes()


class Fake:
    """Writes the files of a data set. FFmpeg tells a file's format by its content, not its name."""

    def __init__(self, root: Path, scratch: Path) -> None:
        self.root = root
        self._scratch = scratch

    def video(self, name: str, level: int = 100, frames: int = FRAMES) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(level, frames, self._scratch))

    def images(self, name: str, level: int = 100, frames: int = FRAMES, first: int = 1) -> None:
        suffix = Path(name).suffix or ".jpg"
        folder = (self.root / name).with_suffix("")
        folder.mkdir(parents=True)
        for index in range(frames):
            Image.fromarray(gray(level + 4 * index)).save(folder / f"{index + first:05d}{suffix}")

    def text(self, name: str, lines: Iterable[str]) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{line}\n" for line in lines))

    def json(self, name: str, content: object) -> None:
        self.text(name, [json.dumps(content)])


@pytest.fixture
def fake(tmp_path: Path) -> Fake:
    (tmp_path / "scratch").mkdir()
    (tmp_path / "set").mkdir()
    return Fake(tmp_path / "set", tmp_path / "scratch")


def levels(videos: VideoSet) -> list[tuple[int | None, int]]:
    """Of each video its label and its brightness, which says which one it is."""
    found = []
    for video in videos.videos:
        assert video.frame_count >= 1
        # Coding changes a gray level by one at most, and levels of videos are multiples of 10.
        found.append((video.label, round(float(video.read([0]).mean()) / 10) * 10))
    return found


def assert_frames(videos: VideoSet, fps: float, count: int = FRAMES) -> None:
    """All videos, frame by frame."""
    for video in videos.videos:
        assert (video.frame_count, video.fps) == (count, fps)
        first, *later = (float(frame.mean()) for frame in video.read(range(count)))
        assert later == pytest.approx([first + 4 * n for n in range(1, count)], abs=1.5)
        shape = video.read([count - 1, count - 1]).shape
        assert shape == (2, *SIZE, 3)


def raises(*parts: str) -> pytest.RaisesExc[ValueError]:
    """A ValueError of these parts, in this order."""
    pattern = re.compile(".*".join(re.escape(part) for part in parts), re.DOTALL)
    return pytest.raises(ValueError, match=pattern)


class TestFolder:
    @pytest.fixture
    def classes(self, fake: Fake) -> Path:
        for at, name in enumerate(["wave", "jump"]):
            for number in range(10):
                fake.video(f"{name}/{number}.mp4", 20 + 100 * at + 10 * number, 2)
        fake.text("README.txt", ["not a class"])
        fake.text("jump/notes.txt", ["not a video"])
        return fake.root

    def test_classes_in_the_order_of_their_names(self, classes: Path) -> None:
        videos = SETS["folder"](classes)
        assert (videos.name, videos.classes) == ("set", ("jump", "wave"))
        assert (videos.mirrored_labels, videos.joints) == (None, ())
        expected = [(0, 120 + 10 * n) for n in range(10)] + [(1, 20 + 10 * n) for n in range(10)]
        assert levels(videos) == expected

    def test_a_fraction_of_each_class(self, classes: Path) -> None:
        def names(split: str, seed: int = 0) -> set[str]:
            videos = SETS["folder"](classes, split, fraction=0.7, seed=seed)
            assert videos.classes == ("jump", "wave")
            counts = [[video.label for video in videos.videos].count(n) for n in (0, 1)]
            assert counts == ([7, 7] if split == "train" else [3, 3])
            return {video.name for video in videos.videos}

        assert len(names("train") | names("val")) == 20
        assert names("val") == names("val")
        assert names("val") != names("val", seed=1)
        kept = names("val")
        (classes / "jump" / "README.md").write_text("Another file changes nothing.")
        assert names("val") == kept

    def test_folders_of_splits(self, fake: Fake) -> None:
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

    def test_errors(self, classes: Path, fake: Fake) -> None:
        folder = SETS["folder"]
        with raises("a folder of class folders", "none", "root/CLASS/"):
            folder(fake.root / "none")
        with raises("split and fraction both or neither", "split 'train', fraction None"):
            folder(classes, "train")
        with raises("between 0 and 1", "1.5"):
            folder(classes, "train", fraction=1.5)
        with raises("split: expected one of train, val", "'test'"):
            folder(classes, "test", fraction=0.5)
        (classes / "empty").mkdir()
        (classes / "also empty").mkdir()
        with raises("2 faults", "also empty: expected videos, received none", "set/empty"):
            folder(classes)

    def test_splits_with_other_classes(self, fake: Fake) -> None:
        fake.video("train/a/1.mp4")
        fake.video("val/b/1.mp4")
        with raises("2 faults", "train/b: expected a folder", "val/a: expected a folder"):
            SETS["folder"](fake.root, "train")
        with raises("split: expected one of train, val. Received: 'test'"):
            SETS["folder"](fake.root, "test")
        with raises("fraction: expected None"):
            SETS["folder"](fake.root, "train", fraction=0.5)


class TestTable:
    @pytest.fixture
    def videos(self, fake: Fake) -> Fake:
        for at in range(4):
            fake.video(f"videos/{at}.mp4", 40 + 20 * at)
        return fake

    def test_paths_and_names(self, videos: Fake) -> None:
        videos.text("list.csv", ["videos/2.mp4,walk", "", "videos/0.mp4,jump", "videos/1.mp4,walk"])
        found = SETS["csv"](videos.root / "list.csv")
        assert (found.name, found.classes) == ("list", ("jump", "walk"))
        assert levels(found) == [(1, 80), (0, 40), (1, 60)]
        assert_frames(found, 25)

    def test_numbers_of_named_columns(self, videos: Fake) -> None:
        rows = ["label,note,split,path"]
        rows += [
            f'{at % 2},"a, b",{"train" if at < 3 else "test"},videos/{at}.mp4' for at in range(4)
        ]
        videos.text("list.csv", rows)
        train = SETS["csv"](videos.root / "list.csv", "train")
        assert (train.name, train.classes) == ("list train", ("0", "1"))
        assert levels(train) == [(0, 40), (1, 60), (0, 80)]
        test = SETS["csv"](videos.root / "list.csv", "test", classes=["no", "yes", "perhaps"])
        assert test.classes == ("no", "yes", "perhaps")
        assert levels(test) == [(1, 100)]
        assert len(SETS["csv"](videos.root / "list.csv").videos) == 4

    def test_classes_that_are_named_by_numbers(self, videos: Fake) -> None:
        videos.text("list.csv", ["videos/0.mp4,7", "videos/1.mp4,3"])
        found = SETS["csv"](videos.root / "list.csv", classes=["7", "3"])
        assert levels(found) == [(0, 40), (1, 60)]

    @pytest.mark.parametrize(
        ("rows", "arguments", "parts"),
        [
            ([], {}, ["there are no rows"]),
            (["path,name"], {}, ["expected a column label", "there are no rows"]),
            (["videos/0.mp4"], {}, ["line 1: expected path, label, received 'videos/0.mp4'"]),
            (["videos/0.mp4,a,b,c"], {}, ["line 1"]),
            (["videos/0.mp4,a"], {"split": "train"}, ["line 1: expected path, label, split"]),
            (
                ["videos/0.mp4,a,fit"],
                {"split": "train"},
                ["split: expected one of fit. Received: 'train'"],
            ),
            (["videos/0.mp4,0", "videos/1.mp4,2"], {}, ["no video has the label 1", "`classes`"]),
            (
                ["videos/0.mp4,2", "videos/1.mp4,1"],
                {"classes": ["a", "b"]},
                ["1 fault", "line 1: expected a label in 0 .. 1, received 2"],
            ),
            (
                ["videos/0.mp4,c", "videos/1.mp4,a"],
                {"classes": ["a", "b"]},
                ["1 fault", "line 1: there is no class 'c'", "The classes are a, b"],
            ),
            (
                ["videos/0.mp4,a", "videos/9.mp4,a", "videos/0.mp4,b"],
                {},
                ["2 faults", "line 2: there is no", "9.mp4", "line 3: videos/0.mp4 is there twice"],
            ),
        ],
    )
    def test_errors(
        self,
        videos: Fake,
        rows: list[str],
        arguments: Mapping[str, object],
        parts: list[str],
    ) -> None:
        videos.text("list.csv", rows)
        with raises("list.csv", *parts):
            SETS["csv"](videos.root / "list.csv", **arguments)

    def test_another_file(self, videos: Fake) -> None:
        with raises("expected a CSV file", "none.csv"):
            SETS["csv"](videos.root / "none.csv")
        (videos.root / "list.csv").write_bytes(b"\xff\xfe\x00")
        with raises("list.csv: expected text in UTF-8"):
            SETS["csv"](videos.root / "list.csv")


class TestUCF101:
    @pytest.fixture
    def ucf101(self, fake: Fake) -> Fake:
        names = ["ApplyEyeMakeup", "Archery", "BabyCrawling"]
        for at, name in enumerate(names):
            for group in (1, 2, 8):
                level = 20 + 60 * at + 10 * (group % 7)
                fake.video(f"UCF-101/{name}/v_{name}_g0{group}_c01.avi", level)
        lists = "ucfTrainTestlist"
        fake.text(f"{lists}/classInd.txt", [f"{at + 1} {name}" for at, name in enumerate(names)])
        for fold, tested in ((1, 1), (2, 2)):
            fake.text(
                f"{lists}/trainlist0{fold}.txt",
                [
                    f"{name}/v_{name}_g0{group}_c01.avi {at + 1}"
                    for at, name in enumerate(names)
                    for group in (1, 2, 8)
                    if group != tested
                ],
            )
            fake.text(
                f"{lists}/testlist0{fold}.txt",
                [f"{name}/v_{name}_g0{tested}_c01.avi" for name in names],
            )
        return fake

    def test_folds(self, ucf101: Fake) -> None:
        train = SETS["ucf101"](ucf101.root)
        assert (train.name, train.mirrored_labels) == ("UCF101 train 1", None)
        assert train.classes == ("ApplyEyeMakeup", "Archery", "BabyCrawling")
        assert levels(train) == [
            (n, 20 + 60 * n + 10 * group) for n in range(3) for group in (2, 1)
        ]
        assert_frames(train, 25)
        assert levels(SETS["ucf101"](ucf101.root, "test")) == [(0, 30), (1, 90), (2, 150)]
        assert levels(SETS["ucf101"](ucf101.root, "test", 2)) == [(0, 40), (1, 100), (2, 160)]

    def test_class_folders_without_a_folder_around_them(self, ucf101: Fake) -> None:
        lists = (ucf101.root / "ucfTrainTestlist").rename(ucf101.root.parent / "lists")
        assert len(SETS["ucf101"](ucf101.root / "UCF-101", lists=lists).videos) == 6

    def test_errors(self, ucf101: Fake) -> None:
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
            "trainlist01.txt: 3 faults",
            "line 1: expected class 2",
            "line 2: expected CLASS/VIDEO of a known class",
            "line 3: there is no",
            "UCF101.rar",
        ):
            SETS["ucf101"](ucf101.root)
        ucf101.text("ucfTrainTestlist/classInd.txt", ["1 A", "3 B"])
        with raises("classInd.txt", "line 2: expected '2 CLASS', received '3 B'"):
            SETS["ucf101"](ucf101.root)
        with raises("the official lists", "ucfTrainTestlist", "no folder"):
            SETS["ucf101"](ucf101.root / "UCF-101")


class TestHMDB51:
    @pytest.fixture
    def hmdb51(self, fake: Fake) -> Fake:
        for at, name in enumerate(["wave", "brush_hair"]):
            videos = [f"{name} #{n}(a).avi" for n in range(4)]
            for n, video in enumerate(videos):
                fake.video(f"hmdb51_org/{name}/{video}", 30 + 100 * at + 20 * n)
            for fold, uses in ((1, "1120"), (2, "0211")):
                fake.text(
                    f"testTrainMulti_7030_splits/{name}_test_split{fold}.txt",
                    [f"{video} {use} " for video, use in zip(videos, uses, strict=True)],
                )
        return fake

    def test_folds_leave_out_what_they_do_not_use(self, hmdb51: Fake) -> None:
        train = SETS["hmdb51"](hmdb51.root, "train")
        assert (train.name, train.classes) == ("HMDB51 train 1", ("brush_hair", "wave"))
        assert levels(train) == [(0, 130), (0, 150), (1, 30), (1, 50)]
        assert_frames(train, 25)
        assert levels(SETS["hmdb51"](hmdb51.root, "test")) == [(0, 170), (1, 70)]
        assert levels(SETS["hmdb51"](hmdb51.root, "test", 2)) == [(0, 150), (1, 50)]

    def test_errors(self, hmdb51: Fake) -> None:
        lists = "testTrainMulti_7030_splits"
        with raises("no files CLASS_test_split3.txt"):
            SETS["hmdb51"](hmdb51.root, fold=3)
        hmdb51.text(f"{lists}/wave_test_split1.txt", ["a.avi 3", "b.avi 2", "c"])
        with raises(
            "3 faults",
            "wave_test_split1.txt, line 1: expected a video and 0, 1 or 2, received 'a.avi 3'",
            "line 3",
            "no train videos",
            "hmdb51_org.rar",
        ):
            SETS["hmdb51"](hmdb51.root)
        hmdb51.text(f"{lists}/wave_test_split1.txt", ["b.avi 1"])
        hmdb51.video("hmdb51_org/clap/a.avi")
        with raises("2 faults", "clap: there is no list of this class", "wave/b.avi"):
            SETS["hmdb51"](hmdb51.root)
        with raises("the official lists", "test_train_splits"):
            SETS["hmdb51"](hmdb51.root / "hmdb51_org")


class TestKinetics:
    CLASSES = ["air drumming", "zumba", *(f"class {n:03d}" for n in range(398))]

    def annotations(self, fake: Fake, name: str, split: str, present: Mapping[str, str]) -> None:
        """All classes, of one upload each; those `present` of the identifiers given."""
        rows = [["label", "youtube_id", "time_start", "time_end", "split"]]
        for at, label in enumerate(self.CLASSES):
            rows.append([label, present.get(label, f"gone{at:07d}"), str(at), str(at + 10), split])
        path = fake.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="") as file:
            csv.writer(file).writerows(rows)

    @pytest.fixture
    def kinetics(self, fake: Fake) -> Fake:
        present = {
            "air drumming": "-aaaaaaaaaa",
            "zumba": "b_bbbbbbbbb",
            "class 004": "ccccccccccc",
        }
        self.annotations(fake, "annotations/train.csv", "train", present)
        return fake

    @pytest.mark.parametrize(
        "folders",
        [("train/air drumming", "train/zumba"), ("air_drumming", "zumba"), ("train", ".")],
    )
    def test_layouts(self, kinetics: Fake, folders: tuple[str, str]) -> None:
        kinetics.video(f"{folders[0]}/-aaaaaaaaaa_000000_000010.mp4", 60)
        kinetics.video(f"{folders[1]}/b_bbbbbbbbb_000001_000011.mkv", 80)
        train = SETS["kinetics400"](kinetics.root, skip_missing=True)
        assert train.name == "Kinetics-400 train"
        assert train.classes == tuple(sorted(self.CLASSES))
        assert levels(train) == [(0, 60), (399, 80)]
        assert_frames(train, 25)

    def test_whole_uploads_are_cut(self, kinetics: Fake) -> None:
        kinetics.video("b_bbbbbbbbb.mp4", 20, frames=40)
        (video,) = SETS["kinetics400"](kinetics.root, skip_missing=True).videos
        assert video.frame_count == 15
        assert video.read([0]).mean() == pytest.approx(20 + 4 * 25, abs=1.5)

    def test_splits(self, kinetics: Fake) -> None:
        self.annotations(kinetics, "annotations/validate.csv", "val", {"zumba": "ddddddddddd"})
        kinetics.video("train/b_bbbbbbbbb_000001_000011.mp4", 60)
        kinetics.video("val/ddddddddddd_000001_000011.mp4", 80)
        for split, level in (("train", 60), ("val", 80)):
            videos = SETS["kinetics400"](kinetics.root, split, skip_missing=True)
            assert levels(videos) == [(399, level)]

    def test_one_file_for_all_splits(self, kinetics: Fake) -> None:
        path = kinetics.root / "all.csv"
        rows = (kinetics.root / "annotations/train.csv").read_text().splitlines()
        others = [row.replace("aaaaa", "eeeee").replace(",train", ",test") for row in rows[1:]]
        kinetics.text("all.csv", rows + others)
        kinetics.video("-eeeeeeeeee_000000_000010.mp4", 120)
        test = SETS["kinetics400"](kinetics.root, "test", annotations=path, skip_missing=True)
        assert (test.name, levels(test)) == ("Kinetics-400 test", [(0, 120)])

    def test_mini(self, kinetics: Fake) -> None:
        kinetics.video("-aaaaaaaaaa_000000_000010.mp4", 60)
        kinetics.video("b_bbbbbbbbb_000001_000011.mp4", 80)
        kinetics.video("ccccccccccc_000006_000016.mp4", 100)
        kinetics.text("mini.txt", ["zumba", "class 004"])
        mini = SETS["mini_kinetics"](kinetics.root, class_list=kinetics.root / "mini.txt")
        assert (mini.name, mini.classes) == ("Mini-Kinetics train", ("zumba", "class 004"))
        assert levels(mini) == [(0, 80), (1, 100)]
        kinetics.text("videos.txt", ["ccccccccccc", "ffffffffffff"])
        lists = {
            "class_list": kinetics.root / "mini.txt",
            "video_list": kinetics.root / "videos.txt",
        }
        assert levels(SETS["mini_kinetics"](kinetics.root, **lists)) == [(1, 100)]
        with raises("Mini-Kinetics: expected class_list", "has no such list"):
            SETS["mini_kinetics"](kinetics.root)
        kinetics.text("mini.txt", ["zumba", "Zumba", "zumba"])
        with raises(
            "2 faults", "line 2: the annotations know no class 'Zumba'", "'zumba' is there"
        ):
            SETS["mini_kinetics"](kinetics.root, class_list=kinetics.root / "mini.txt")

    def test_missing_videos(self, kinetics: Fake) -> None:
        with raises(
            "400 faults",
            "there is no video -aaaaaaaaaa_000000_000010 of class 'air drumming'",
            "and 395 more",
            "skip_missing=True",
        ):
            SETS["kinetics400"](kinetics.root)
        with raises("there are no videos"):
            SETS["kinetics400"](kinetics.root, skip_missing=True)

    def test_errors(self, kinetics: Fake) -> None:
        with raises("expected 600 classes, received 400", "class_list"):
            SETS["kinetics600"](kinetics.root)
        with raises("expected annotations", "val.csv", "validate.csv", "label,youtube_id"):
            SETS["kinetics400"](kinetics.root, "val")
        kinetics.text("annotations/train.csv", ["label,youtube_id", "zumba,b"])
        with raises("2 faults", "a column time_start", "a column time_end"):
            SETS["kinetics400"](kinetics.root)
        kinetics.text(
            "annotations/train.csv",
            ["label,youtube_id,time_start,time_end,split", "zumba,b,9,3,train", ",c,1,2,train"],
        )
        with raises("2 faults", "line 2", "line 3"):
            SETS["kinetics400"](kinetics.root)


V1 = "something-something-v1"
V2 = "something-something-v2"


class TestSomethingSomething:
    CLASSES = (
        "Pulling something from left to right",
        "Pulling something from right to left",
        "Pushing something so it spins",
        "Turning the camera left while filming something",
    )

    @pytest.fixture
    def first(self, fake: Fake) -> Fake:
        fake.text(f"{V1}-labels.csv", self.CLASSES)
        fake.text(f"{V1}-train.csv", [f"7;{self.CLASSES[2]}", f"100218;{self.CLASSES[1]}"])
        fake.text(f"{V1}-validation.csv", [f"3;{self.CLASSES[0]}"])
        for identifier, level in ((7, 60), (100218, 80), (3, 100)):
            fake.images(f"20bn-{V1}/{identifier}", level)
        return fake

    @pytest.fixture
    def second(self, fake: Fake) -> Fake:
        labels = {name: str(n) for n, name in reversed(list(enumerate(self.CLASSES)))}
        fake.json(f"labels/{V2}-labels.json", labels)
        entry = {
            "id": "78687",
            "label": "pulling mug from right to left",
            "template": "Pulling [something] from right to left",
            "placeholders": ["mug"],
        }
        fake.json(f"labels/{V2}-train.json", [entry, {"id": 5, "template": self.CLASSES[3]}])
        fake.json("labels/validation.json", [{"id": "6", "template": self.CLASSES[0]}])
        for identifier, level in ((78687, 60), (5, 80), (6, 100)):
            fake.video(f"20bn-{V2}/{identifier}.webm", level)
        return fake

    def test_version_1(self, first: Fake) -> None:
        train = SETS["something_something_v1"](first.root)
        assert train.name == "Something-Something V1 train"
        assert (train.classes, train.mirrored_labels) == (self.CLASSES, (1, 0, 2, NO_MIRROR))
        assert levels(train) == [(2, 60), (1, 80)]
        assert_frames(train, 12)
        assert levels(SETS["something_something_v1"](first.root, "val")) == [(0, 100)]

    def test_version_2(self, second: Fake) -> None:
        train = SETS["something_something_v2"](second.root)
        assert train.name == "Something-Something V2 train"
        assert (train.classes, train.mirrored_labels) == (self.CLASSES, (1, 0, 2, NO_MIRROR))
        assert levels(train) == [(1, 60), (3, 80)]
        assert_frames(train, 25)
        assert levels(SETS["something_something_v2"](second.root, "val")) == [(0, 100)]

    def test_errors_of_version_1(self, first: Fake) -> None:
        read = SETS["something_something_v1"]
        with raises("expected train or val, since the test videos have no labels"):
            read(first.root, "test")
        (first.root / f"20bn-{V1}" / "9").mkdir()
        rows = ["7;Juggling", "8;", f"8;{self.CLASSES[0]}", f"9;{self.CLASSES[0]}"]
        first.text(f"{V1}-train.csv", rows)
        with raises(
            "4 faults",
            "line 1: expected ID;CLASS of a known class, received '7;Juggling'",
            "line 2",
            "line 3: there is no folder",
            "line 4",
            "has no images",
        ):
            read(first.root)
        with raises("folders of frames", f"20bn-{V1}"):
            read(first.root.parent)

    def test_errors_of_version_2(self, second: Fake) -> None:
        read = SETS["something_something_v2"]
        second.json(
            f"labels/{V2}-train.json",
            [
                {"id": "1"},
                {"id": "2", "template": "Juggling"},
                {"id": "3", "template": self.CLASSES[0]},
            ],
        )
        with raises("3 faults", "entry 0: expected an id", "no class 'Juggling'", "no ", "3.webm"):
            read(second.root)
        second.json(f"labels/{V2}-train.json", {})
        with raises("expected a JSON list, received a dict"):
            read(second.root)
        second.text(f"labels/{V2}-labels.json", ["{"])
        with raises("labels.json: expected JSON"):
            read(second.root)
        second.json(f"labels/{V2}-labels.json", {"A": "0", "B": "2", "C": "0"})
        with raises("2 faults", "'A': expected a number of its own", "received 0", "'C'"):
            read(second.root)
        with raises("the videos", f"20bn-{V2}", "1.webm"):
            read(second.root.parent)


class TestJester:
    CLASSES = (
        "Swiping Left",
        "Swiping Right",
        "Swiping Down",
        "Sliding Two Fingers Left",
        "Sliding Two Fingers Right",
        "Turning Hand Clockwise",
        "Turning Hand Counterclockwise",
        "No gesture",
    )

    def test_splits_and_mirror_images(self, fake: Fake) -> None:
        fake.text("jester-v1-labels.csv", self.CLASSES)
        fake.text("jester-v1-train.csv", ["34870;Swiping Right", "56557;No gesture"])
        fake.text("jester-v1-validation.csv", ["9223;Turning Hand Clockwise"])
        for identifier, level in ((34870, 60), (56557, 80), (9223, 100)):
            fake.images(f"20bn-jester-v1/{identifier}", level)
        train = SETS["jester"](fake.root)
        assert (train.name, train.classes) == ("Jester train", self.CLASSES)
        assert train.mirrored_labels == (1, 0, 2, 4, 3, 6, 5, 7)
        assert levels(train) == [(1, 60), (7, 80)]
        assert_frames(train, 12)
        assert levels(SETS["jester"](fake.root, "val")) == [(5, 100)]
        (fake.root / "jester-v1-train.csv").unlink()
        with raises("jester-v1-train.csv", "there is no file", "jester-v1-labels.csv"):
            SETS["jester"](fake.root)


class TestCATER:
    @pytest.fixture
    def cater(self, fake: Fake) -> Fake:
        for n, level in ((3, 60), (14, 80), (15, 100)):
            fake.video(f"videos/CATER_new_{n:06d}.avi", level)
        lists = {"train": ["000003.avi 35", "000014.avi 0"], "val": ["000015.avi 14"]}
        for split, rows in lists.items():
            fake.text(f"lists/localize/{split}.txt", [f"CATER_new_{row}" for row in rows])
        fake.text("lists/actions_present/train.txt", ["CATER_new_000003.avi 1,5,9"])
        return fake

    def test_localization(self, cater: Fake) -> None:
        train = SETS["cater"](cater.root)
        assert (train.name, len(train.classes)) == ("CATER localize train", 36)
        assert train.classes[14] == "column 2, row 2"
        assert train.mirrored_labels == (NO_MIRROR,) * 36
        assert levels(train) == [(35, 60), (0, 80)]
        assert_frames(train, 25)
        assert levels(SETS["cater"](cater.root, "val")) == [(14, 100)]

    def test_errors(self, cater: Fake) -> None:
        with raises("'actions_present' gives a video several labels", "localize"):
            SETS["cater"](cater.root, task="actions_present")
        with raises("a list of videos", "localize_4x4"):
            SETS["cater"](cater.root, task="localize_4x4")
        rows = ["CATER_new_000003.avi 36", "CATER_new_000003.avi 1,2", "CATER_new_000001.avi 3"]
        cater.text("lists/localize/train.txt", rows)
        with raises(
            "3 faults", "line 1: expected a video and a label in 0 .. 35", "line 2", "no ", "01.avi"
        ):
            SETS["cater"](cater.root)


class TestJHMDB:
    def positions(self, level: int) -> np.ndarray:
        """MATLAB's `[2, 15, frames]`, from 1 on: the last joint is outside of the picture."""
        rng = np.random.default_rng(level)
        positions = rng.uniform(1, 31, (2, 15, FRAMES))
        positions[:, 14] = [[48.6], [10]]
        positions[:, 13] = [[48.4], [32.4]]
        return positions

    @pytest.fixture
    def jhmdb(self, fake: Fake) -> Fake:
        io = pytest.importorskip("scipy.io", reason="JHMDB's joints are read by SciPy")
        for at, name in enumerate(["wave", "catch"]):
            rows = []
            for n, use in ((0, 1), (1, 2), (2, 1)):
                level = 20 + 60 * at + 20 * n
                fake.images(f"Rename_Images/{name}/v {n}.png", level)
                path = fake.root / "joint_positions" / name / f"v {n}" / "joint_positions.mat"
                path.parent.mkdir(parents=True)
                io.savemat(path, {"pos_img": self.positions(level), "scale": np.ones(FRAMES)})
                rows.append(f"v {n}.avi {use}")
            fake.text(f"splits/{name}_test_split1.txt", rows)
        return fake

    def test_classes_frames_and_joints(self, jhmdb: Fake) -> None:
        train = SETS["jhmdb"](jhmdb.root)
        assert (train.name, train.classes) == ("JHMDB train 1", ("catch", "wave"))
        assert levels(train) == [(0, 80), (0, 120), (1, 20), (1, 60)]
        assert_frames(train, 30)
        assert levels(SETS["jhmdb"](jhmdb.root, "test")) == [(0, 100), (1, 40)]
        assert len(train.joints) == 15
        assert (train.joints[3], train.joints[4]) == ("right_shoulder", "left_shoulder")
        assert train.mirrored_joints[3:5] == (4, 3)
        joints = train.videos[1].joints([2, 5])
        assert joints is not None
        expected = self.positions(120)[:, :, [2, 5]].transpose(2, 1, 0) - 1
        np.testing.assert_allclose(joints[..., :2], expected, rtol=1e-6)
        np.testing.assert_array_equal(joints[..., 2], [[1] * 14 + [0]] * 2)

    def test_errors(self, jhmdb: Fake) -> None:
        import scipy.io

        joints = jhmdb.root / "joint_positions" / "wave"
        scipy.io.savemat(joints / "v 0/joint_positions.mat", {"pos_img": np.ones((2, 15, 3))})
        (joints / "v 2/joint_positions.mat").unlink()
        for image in (jhmdb.root / "Rename_Images/catch/v 0").iterdir():
            image.unlink()
        with raises(
            "3 faults",
            "v 0: expected a folder of images",
            "expected pos_img [2, 15, 8], received [2, 15, 3]",
            "there is no",
            "Rename_Images.tar.gz",
        ):
            SETS["jhmdb"](jhmdb.root)
        (joints / "v 1/joint_positions.mat").write_bytes(b"none" * 100)
        with raises("v 1", "expected a MATLAB file"):
            SETS["jhmdb"](jhmdb.root, "test")

    def test_without_scipy(self, fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
        fake.images("Rename_Images/wave/v.png")
        fake.text("joint_positions/wave/v/joint_positions.mat", ["MATLAB 5.0 MAT-file"])
        fake.text("splits/wave_test_split1.txt", ["v.avi 1"])
        monkeypatch.setitem(sys.modules, "scipy", None)
        with pytest.raises(ImportError, match="pip install scipy"):
            SETS["jhmdb"](fake.root)


class TestPoseTrack:
    JOINTS = ["nose", "head_bottom", "left_wrist", "right_wrist"]

    def person(self, image: int, track: int, value: float) -> dict[str, object]:
        keypoints = [value, value + 1, 1, 0, 0, 0, value + 2, value + 3, 1.0, 5, 6, 2]
        return {"image_id": 100 + image, "track_id": track, "keypoints": keypoints, "bbox": []}

    def content(self, name: str, people: list[dict[str, object]], split: str = "train") -> object:
        images = [
            {"id": 100 + n, "file_name": f"images/{split}/{name}/{n:05d}.jpg", "is_labeled": n > 1}
            for n in range(FRAMES)
        ]
        return {
            "images": images,
            "annotations": people,
            "categories": [{"name": "person", "keypoints": self.JOINTS}],
        }

    @pytest.fixture
    def posetrack(self, fake: Fake) -> Fake:
        people = [self.person(2, 0, 1), self.person(3, 0, 2)]
        people += [self.person(n, 4, 10 * n) for n in (2, 3, 6)]
        people += [{"image_id": 107, "track_id": 9, "keypoints": []}]
        fake.images("images/train/000001_bonn_train", 40, first=0)
        fake.json(
            "annotations/train/000001_bonn_train.json", self.content("000001_bonn_train", people)
        )
        fake.images("images/val/000342_mpii_test", 100, first=0)
        every = [self.person(n, 0, n) for n in range(FRAMES)]
        content = self.content("000342_mpii_test", every, "val")
        fake.json("annotations/val/000342_mpii_test.json", content)
        return fake

    def test_the_person_who_is_in_most_frames(self, posetrack: Fake) -> None:
        train = SETS["posetrack"](posetrack.root)
        assert (train.name, train.classes) == ("PoseTrack 2018 train", ())
        assert train.joints == tuple(self.JOINTS)
        assert train.mirrored_joints == (0, 1, 3, 2)
        (video,) = train.videos
        assert (video.label, video.frame_count, video.fps) == (None, 5, 25)
        assert video.read([0]).mean() == pytest.approx(40 + 4 * 2, abs=1.5)
        joints = video.joints(range(5))
        assert joints is not None and joints.shape == (5, 4, 3)
        np.testing.assert_array_equal(joints[1], [[30, 31, 1], [0, 0, 0], [32, 33, 1], [5, 6, 1]])
        assert joints[[2, 3]].max() == 0  # Not annotated.
        assert joints[4, 0, 0] == 60
        assert_frames(SETS["posetrack"](posetrack.root, "val"), 25)

    def test_errors(self, posetrack: Fake) -> None:
        def add(name: str, content: object) -> None:
            posetrack.json(f"annotations/train/{name}.json", content)

        name = "000001_bonn_train"
        add("a", {"images": []})
        add("b", self.content("none", [self.person(2, 0, 1)]))
        add("c", self.content(name, []))
        add("d", self.content(name, [{"image_id": 100, "track_id": 0, "keypoints": [1, 2, 3]}]))
        add("e", self.content(name, [self.person(50, 0, 1)]))
        add(
            "f",
            {**self.content(name, [self.person(2, 0, 1)]), "categories": [{"keypoints": ["x"]}]},
        )  # type: ignore[dict-item]
        with raises(
            "6 faults",
            "a.json: expected a list annotations, received NoneType",
            "b.json: there is no folder of images",
            "c.json: expected a person with keypoints, received none",
            "d.json: expected 12 keypoints, received 3",
            "e.json: there is no image 150, which has a person",
            "and 1 more",
        ):
            SETS["posetrack"](posetrack.root)
        for each in "abcde":
            (posetrack.root / f"annotations/train/{each}.json").unlink()
        with raises("1 fault", "f.json: expected the joints"):
            SETS["posetrack"](posetrack.root)
        (posetrack.root / "annotations/train/f.json").unlink()
        (posetrack.root / f"images/train/{name}/00003.jpg").unlink()
        with raises("1 images are not in", "as 00003.jpg"):
            SETS["posetrack"](posetrack.root)
        (posetrack.root / f"annotations/train/{name}.json").unlink()
        with raises("there are no JSON files", "annotations/train/000001_bonn_train.json"):
            SETS["posetrack"](posetrack.root)
        with raises("expected one of train, val. Received: 'test'"):
            SETS["posetrack"](posetrack.root, "test")


class TestLayout:
    @pytest.mark.parametrize(
        ("classes", "mirrored"),
        [
            (("left", "right"), (1, 0)),
            (("swipe_left", "swipe_right", "up"), (1, 0, 2)),
            (("Turning CLOCKWISE", "Turning COUNTERCLOCKWISE"), (1, 0)),
            (("left to right", "right to left", "left"), (1, 0, NO_MIRROR)),
            (("upright", "bright", "cleft"), None),
            (("counter-clockwise", "clockwise"), (NO_MIRROR, NO_MIRROR)),
        ],
    )
    def test_mirror_images_by_words(
        self, classes: tuple[str, ...], mirrored: tuple[int, ...] | None
    ) -> None:
        assert mirrored_by_words(classes) == mirrored

    @pytest.mark.parametrize(("count", "lines"), [(1, 3), (5, 7), (6, 8), (1000, 8)])
    def test_five_faults_and_a_count(self, count: int, lines: int) -> None:
        with pytest.raises(ValueError) as caught:
            raise_faults("list.txt", [f"fault {n}" for n in range(count)], "Mend it.")
        message = str(caught.value).splitlines()
        assert len(message) == lines
        assert message[0] == f"list.txt: {count} fault{'s' * (count > 1)}:"
        assert message[1] == "  fault 0"
        assert message[-1] == "Mend it."
        if count > 5:
            assert message[-2] == f"  and {count - 5} more"

    def test_no_faults(self) -> None:
        raise_faults("list.txt", [], "")


@pytest.mark.parametrize(("name", "reader"), SETS.items(), ids=SETS)
def test_every_reader_names_what_is_missing(
    fake: Fake, name: str, reader: Callable[..., VideoSet]
) -> None:
    arguments = {"class_list": "classes.txt"} if name == "mini_kinetics" else {}
    with raises("expected ", str(fake.root / "none"), "there is no f"):
        reader(fake.root / "none", **arguments)
    empty = fake.root / "empty.csv" if name == "csv" else fake.root
    (fake.root / "empty.csv").touch()
    with raises(str(fake.root)):
        reader(empty, **arguments)


def test_importing_needs_neither_tensorflow_nor_scipy() -> None:
    # The package around it does import TensorFlow, hence a bare one stands in.
    program = (
        "import sys, types\n"
        "package = types.ModuleType('mpvn'); package.__path__ = ['mpvn']\n"
        "sys.modules['mpvn'] = package\n"
        "import mpvn.data.sets.registry\n"
        "sys.exit(bool({'tensorflow', 'keras', 'scipy', 'pandas'} & set(sys.modules)))\n"
    )
    root = Path(__file__).parents[3]
    assert subprocess.run([sys.executable, "-c", program], cwd=root, check=False).returncode == 0

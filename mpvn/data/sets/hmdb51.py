"""HMDB51 (Kuehne et al. 2011): 6,766 videos of 51 actions, in three official folds."""

import os
from pathlib import Path

from mpvn.data.sets.files import FileVideo
from mpvn.data.sets.layout import (
    PathCache,
    check_choice,
    find_folder,
    folders_in,
    raise_problems,
    read_lines,
)
from mpvn.data.video_set import VideoSet

SPLITS = {"train": "1", "test": "2"}
"""The code of each split in the lists; 0 marks videos that the fold does not use."""

_REMEDY = (
    "Unpack hmdb51_org.rar, the archive of each class inside it, and test_train_splits.rar from "
    "https://serre-lab.clps.brown.edu/resource/hmdb-a-large-human-motion-database/ into one "
    "folder, so that it contains hmdb51_org/CLASS/*.avi and "
    "testTrainMulti_7030_splits/CLASS_test_split1.txt, ..."
)


def hmdb51(root: str | os.PathLike[str], split: str = "train", *, fold: int = 1) -> VideoSet:
    """Read one fold of HMDB51, without the videos that the fold does not use.

    Args:
        root: The folder that contains the lists, and either `hmdb51_org/` or the class folders.
        split: `"train"` or `"test"`.
        fold: 1, 2 or 3.

    Raises:
        ValueError: Folders, lists or listed videos are missing, or a list has another format.
    """
    root = find_folder([Path(root)], "HMDB51", _REMEDY)
    names = ("testTrainMulti_7030_splits", "test_train_splits")
    lists = find_folder([root / name for name in names], "the official lists", _REMEDY)
    if (lists / names[0]).is_dir():
        lists = lists / names[0]
    folders = find_folder([root / "hmdb51_org", root], "class folders", _REMEDY)
    videos_by_class = read_fold(lists, split, fold, _REMEDY)
    classes = tuple(sorted(videos_by_class))
    paths = PathCache()
    videos: list[FileVideo] = []
    other_folders = {*names, "hmdb51_org"}
    problems = [
        f"{folders / name}: expected a list for this class in {lists}"
        for name in folders_in(folders)
        if name not in videos_by_class and name not in other_folders
    ]
    for label, name in enumerate(classes):
        for video in videos_by_class[name]:
            if not paths.exists(folders / name / video):
                problems.append(f"{folders / name / video} does not exist, but is in the lists")
            videos.append(FileVideo(folders / name / video, label))
    raise_problems(str(folders), problems, _REMEDY)
    return VideoSet(f"HMDB51 {split} {fold}", videos, classes)


def read_fold(lists: Path, split: str, fold: int, remedy: str) -> dict[str, list[str]]:
    """Return the videos of a split by class, read from the files `CLASS_test_splitN.txt`.

    Their lines are a video and 1 (train), 2 (test) or 0 (not used). JHMDB has the same format.

    Args:
        lists: The folder of the files.
        split: `"train"` or `"test"`.
        fold: 1, 2 or 3.
        remedy: The end of error messages.
    """
    check_choice("split", split, SPLITS)
    check_choice("fold", str(fold), ("1", "2", "3"))
    ending = f"_test_split{fold}.txt"
    paths = sorted(path for path in lists.glob(f"*{ending}") if not path.name.startswith("."))
    videos: dict[str, list[str]] = {}
    problems = [] if paths else [f"Expected files CLASS{ending}. Received: none"]
    for path in paths:
        selected = videos.setdefault(path.name.removesuffix(ending), [])
        for line, text in read_lines(path, remedy):
            name, _, code = text.rpartition(" ")
            if not name or code not in {"0", *SPLITS.values()}:
                problems.append(
                    f"{path.name}, line {line}: expected a video and 0, 1 or 2. Received: {text!r}"
                )
            elif code == SPLITS[split]:
                selected.append(name.strip())
        if not selected:
            problems.append(f"{path.name}: expected {split} videos. Received: none")
    raise_problems(str(lists), problems, remedy)
    return videos

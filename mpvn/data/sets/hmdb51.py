"""HMDB51 (Kuehne et al. 2011): 6,766 videos of 51 actions, in three official folds."""

import os
from pathlib import Path

from mpvn.data.sets.files import FileVideo
from mpvn.data.sets.layout import (
    Listing,
    choice,
    folder_among,
    folders_in,
    raise_faults,
    read_lines,
)
from mpvn.data.video_set import VideoSet

SPLITS = {"train": "1", "test": "2"}
_MEND = (
    "Unpack hmdb51_org.rar, the archive of each class within it, and test_train_splits.rar, of "
    "https://serre-lab.clps.brown.edu/resource/hmdb-a-large-human-motion-database/, in one folder: "
    "it then holds hmdb51_org/CLASS/*.avi and testTrainMulti_7030_splits/CLASS_test_split1.txt, ..."
)


def hmdb51(root: str | os.PathLike[str], split: str = "train", fold: int = 1) -> VideoSet:
    """One fold of HMDB51. Videos that the fold does not use (0 in its lists) are left out.

    Args:
        root: The folder of `hmdb51_org/`, or of the class folders themselves, and of the lists.
        split: `"train"` or `"test"`.
        fold: 1, 2 or 3.

    Raises:
        ValueError: Folders, lists or listed videos are missing; a list is of another form.
    """
    root = folder_among([Path(root)], "HMDB51", _MEND)
    names = ("testTrainMulti_7030_splits", "test_train_splits")
    lists = folder_among([root / name for name in names], "the official lists", _MEND)
    if (lists / names[0]).is_dir():
        lists = lists / names[0]
    folders = folder_among([root / "hmdb51_org", root], "class folders", _MEND)
    fold_lists = read_fold(lists, split, fold, _MEND)
    classes = tuple(sorted(fold_lists))
    listing = Listing()
    videos: list[FileVideo] = []
    others = {*names, "hmdb51_org"}
    faults = [
        f"{folders / name}: there is no list of this class in {lists}"
        for name in folders_in(folders)
        if name not in fold_lists and name not in others
    ]
    for label, name in enumerate(classes):
        for video in fold_lists[name]:
            if not listing.has(folders / name / video):
                faults.append(f"there is no {folders / name / video}, which the lists name")
            videos.append(FileVideo(folders / name / video, label))
    raise_faults(str(folders), faults, _MEND)
    return VideoSet(f"HMDB51 {split} {fold}", videos, classes)


def read_fold(lists: Path, split: str, fold: int, mend: str) -> dict[str, list[str]]:
    """The videos of a split by class, of files `CLASS_test_splitN.txt` in the folder `lists`.

    Their lines are a video and 1 (train), 2 (test) or 0 (not used). JHMDB has the same.
    """
    choice("split", split, SPLITS)
    choice("fold", str(fold), ("1", "2", "3"))
    ending = f"_test_split{fold}.txt"
    paths = sorted(path for path in lists.glob(f"*{ending}") if not path.name.startswith("."))
    videos: dict[str, list[str]] = {}
    faults = [] if paths else [f"there are no files CLASS{ending}"]
    for path in paths:
        chosen = videos.setdefault(path.name.removesuffix(ending), [])
        for line, text in read_lines(path, mend):
            name, _, use = text.rpartition(" ")
            if not name or use not in {"0", *SPLITS.values()}:
                faults.append(
                    f"{path.name}, line {line}: expected a video and 0, 1 or 2, received {text!r}"
                )
            elif use == SPLITS[split]:
                chosen.append(name.strip())
        if not chosen:
            faults.append(f"{path.name}: there are no {split} videos")
    raise_faults(str(lists), faults, mend)
    return videos

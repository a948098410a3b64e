"""UCF101 (Soomro et al. 2012): 13,320 videos of 101 actions, in three official folds."""

import os
from pathlib import Path

from mpvn.data.sets.files import FileVideo
from mpvn.data.sets.layout import (
    Listing,
    choice,
    file_among,
    folder_among,
    raise_faults,
    read_lines,
)
from mpvn.data.video_set import VideoSet

_MEND = (
    "Unpack UCF101.rar and UCF101TrainTestSplits-RecognitionTask.zip, of "
    "https://www.crcv.ucf.edu/data/UCF101.php, in one folder: it then holds "
    "UCF-101/CLASS/v_CLASS_gXX_cYY.avi and ucfTrainTestlist/classInd.txt, trainlist01.txt, ..."
)


def ucf101(
    root: str | os.PathLike[str],
    split: str = "train",
    fold: int = 1,
    *,
    lists: str | os.PathLike[str] | None = None,
) -> VideoSet:
    """One fold of UCF101.

    Args:
        root: The folder of `UCF-101/`, or of the class folders themselves.
        split: `"train"` or `"test"`.
        fold: 1, 2 or 3.
        lists: The folder of the official lists; None for `root/ucfTrainTestlist`.

    Raises:
        ValueError: Folders, lists or listed videos are missing; a list is of another form.
    """
    root = folder_among([Path(root)], "UCF101", _MEND)
    choice("split", split, ("train", "test"))
    choice("fold", str(fold), ("1", "2", "3"))
    folders = folder_among([root / "UCF-101", root], "class folders", _MEND)
    texts = folder_among(
        [Path(lists)] if lists else [root / "ucfTrainTestlist"], "the official lists", _MEND
    )
    classes = _classes(file_among([texts / "classInd.txt"], "the list of the classes", _MEND))
    path = file_among([texts / f"{split}list0{fold}.txt"], "a list of videos", _MEND)
    numbers = {name: label for label, name in enumerate(classes)}
    listing = Listing()
    videos: list[FileVideo] = []
    faults: list[str] = []
    for line, text in read_lines(path, _MEND):
        name, _, number = text.partition(" ")
        label = numbers.get(name.split("/")[0])
        if label is None or name.count("/") != 1:
            faults.append(f"line {line}: expected CLASS/VIDEO of a known class, received {text!r}")
        elif number and number.strip() != str(label + 1):
            faults.append(f"line {line}: expected class {label + 1}, received {text!r}")
        elif not listing.has(folders / name):
            faults.append(f"line {line}: there is no {folders / name}")
        else:
            videos.append(FileVideo(folders / name, label))
    raise_faults(str(path), faults, _MEND)
    return VideoSet(f"UCF101 {split} {fold}", videos, classes)


def _classes(path: Path) -> tuple[str, ...]:
    """Lines such as `1 ApplyEyeMakeup`, counted from 1."""
    names: list[str] = []
    faults: list[str] = []
    for line, text in read_lines(path, _MEND):
        number, _, name = text.partition(" ")
        if number != str(len(names) + 1) or not name:
            faults.append(f"line {line}: expected '{len(names) + 1} CLASS', received {text!r}")
        names.append(name.strip())
    raise_faults(str(path), faults, _MEND)
    return tuple(names)

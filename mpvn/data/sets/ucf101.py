"""UCF101 (Soomro et al. 2012): 13,320 videos of 101 actions, in three official folds."""

import os
from pathlib import Path

from mpvn.data.sets.files import FileVideo
from mpvn.data.sets.layout import (
    PathCache,
    check_choice,
    find_file,
    find_folder,
    raise_problems,
    read_lines,
)
from mpvn.data.video_set import VideoSet

_REMEDY = (
    "Unpack UCF101.rar and UCF101TrainTestSplits-RecognitionTask.zip from "
    "https://www.crcv.ucf.edu/data/UCF101.php into one folder, so that it contains "
    "UCF-101/CLASS/v_CLASS_gXX_cYY.avi and ucfTrainTestlist/classInd.txt, trainlist01.txt, ..."
)


def ucf101(
    root: str | os.PathLike[str],
    split: str = "train",
    *,
    fold: int = 1,
    lists: str | os.PathLike[str] | None = None,
) -> VideoSet:
    """Read one fold of UCF101.

    Args:
        root: The folder that contains `UCF-101/`, or the class folders themselves.
        split: `"train"` or `"test"`.
        fold: 1, 2 or 3.
        lists: The folder of the official lists. Default: `root/ucfTrainTestlist`.

    Raises:
        ValueError: Folders, lists or listed videos are missing, or a list has another format.
    """
    root = find_folder([Path(root)], "UCF101", _REMEDY)
    check_choice("split", split, ("train", "test"))
    check_choice("fold", str(fold), ("1", "2", "3"))
    folders = find_folder([root / "UCF-101", root], "class folders", _REMEDY)
    texts = find_folder(
        [Path(lists)] if lists else [root / "ucfTrainTestlist"], "the official lists", _REMEDY
    )
    classes = _read_classes(find_file([texts / "classInd.txt"], "the list of classes", _REMEDY))
    path = find_file([texts / f"{split}list0{fold}.txt"], "a list of videos", _REMEDY)
    numbers = {name: label for label, name in enumerate(classes)}
    paths = PathCache()
    videos: list[FileVideo] = []
    problems: list[str] = []
    for line, text in read_lines(path, _REMEDY):
        name, _, number = text.partition(" ")
        label = numbers.get(name.split("/")[0])
        if label is None or name.count("/") != 1:
            problems.append(
                f"line {line}: expected CLASS/VIDEO with a known class. Received: {text!r}"
            )
        elif number and number.strip() != str(label + 1):
            problems.append(f"line {line}: expected class {label + 1}. Received: {text!r}")
        elif not paths.exists(folders / name):
            problems.append(f"line {line}: {folders / name} does not exist")
        else:
            videos.append(FileVideo(folders / name, label))
    raise_problems(str(path), problems, _REMEDY)
    return VideoSet(f"UCF101 {split} {fold}", videos, classes)


def _read_classes(path: Path) -> tuple[str, ...]:
    """Return the classes of lines such as `1 ApplyEyeMakeup`, numbered from 1."""
    names: list[str] = []
    problems: list[str] = []
    for line, text in read_lines(path, _REMEDY):
        number, _, name = text.partition(" ")
        if number != str(len(names) + 1) or not name:
            problems.append(f"line {line}: expected '{len(names) + 1} CLASS'. Received: {text!r}")
        names.append(name.strip())
    raise_problems(str(path), problems, _REMEDY)
    return tuple(names)

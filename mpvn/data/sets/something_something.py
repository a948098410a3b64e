"""Something-Something (Goyal et al. 2017): 174 actions on objects, versions 1 and 2.

If an action has a side, its mirror image is the action to the other side, which is another class.
"""

import os
from pathlib import Path

from mpvn.data.sets.files import FileVideo
from mpvn.data.sets.layout import (
    PathCache,
    check_choice,
    find_folder,
    raise_problems,
    read_json,
)
from mpvn.data.sets.mirror import mirrored_labels
from mpvn.data.sets.twenty_bn import find_list, find_split_list, read_frame_folders
from mpvn.data.video_set import VideoSet

_PREFIX = "something-something-v"
_REMEDY_1 = (
    f"Unpack the videos so that root/20bn-{_PREFIX}1/1/00001.jpg, ... exist. Put the lists "
    f"{_PREFIX}1-labels.csv, {_PREFIX}1-train.csv and {_PREFIX}1-validation.csv into root or "
    "root/labels."
)
_REMEDY_2 = (
    f"Unpack the videos so that root/20bn-{_PREFIX}2/1.webm, ... exist. Put the lists "
    f"{_PREFIX}2-labels.json, {_PREFIX}2-train.json and {_PREFIX}2-validation.json (or "
    "labels.json, train.json and validation.json) into root or root/labels."
)


def something_something(
    root: str | os.PathLike[str], split: str = "train", *, version: int = 2
) -> VideoSet:
    """Read one split of Something-Something.

    Args:
        root: The folder that contains the folder of videos and the lists.
        split: `"train"`, `"val"` or `"test"`, whose videos have no labels.
        version: 1, folders of frames, or 2, WebM files.

    Raises:
        ValueError: Folders, lists or listed videos are missing, or templates are unknown.
    """
    check_choice("version", str(version), ("1", "2"))
    remedy = _REMEDY_1 if version == 1 else _REMEDY_2
    root = find_folder([Path(root)], "Something-Something", remedy)
    if version == 1:
        return read_frame_folders(root, f"{_PREFIX}1", "Something-Something V1", split, remedy)
    return _read_version_2(root, split)


def _read_version_2(root: Path, split: str) -> VideoSet:
    folder = find_folder([root / f"20bn-{_PREFIX}2"], "the videos", _REMEDY_2)
    classes = _read_classes(find_list(root, [f"{_PREFIX}2-labels.json", "labels.json"], _REMEDY_2))
    path = find_split_list(root, f"{_PREFIX}2", split, "json", _REMEDY_2)
    numbers = {name: label for label, name in enumerate(classes)}
    required = ["id"] if split == "test" else ["id", "template"]
    paths, seen = PathCache(), set[Path]()
    videos: list[FileVideo] = []
    problems: list[str] = []
    for index, entry in enumerate(read_json(path, list, _REMEDY_2)):
        if not isinstance(entry, dict) or not set(required) <= entry.keys():
            expected = " and ".join(required)
            problems.append(f"entry {index}: expected {expected}. Received: {entry!r}")
            continue
        name = str(entry.get("template", "")).replace("[", "").replace("]", "")
        video = folder / f"{entry['id']}.webm"
        if name not in numbers and "template" in entry:
            problems.append(f"entry {index}: expected a known class. Received: {name!r}")
        elif video in seen:
            problems.append(f"entry {index}: {entry['id']} is a duplicate")
        elif not paths.exists(video):
            problems.append(f"entry {index}: {video} does not exist")
        else:
            videos.append(FileVideo(video, numbers.get(name)))
            seen.add(video)
    raise_problems(str(path), problems, _REMEDY_2)
    return VideoSet(f"Something-Something V2 {split}", videos, classes, mirrored_labels(classes))


def _read_classes(path: Path) -> tuple[str, ...]:
    """Return the keys of `{"Approaching something with your camera": "0", ...}` by their values."""
    labels = {name: str(number) for name, number in read_json(path, dict, _REMEDY_2).items()}
    expected = {str(number) for number in range(len(labels))}
    problems = [
        f"{name!r}: expected a unique number from 0 to {len(labels) - 1}. Received: {number}"
        for name, number in labels.items()
        if number not in expected or list(labels.values()).count(number) > 1
    ]
    raise_problems(str(path), problems, _REMEDY_2)
    return tuple(sorted(labels, key=lambda name: int(labels[name])))

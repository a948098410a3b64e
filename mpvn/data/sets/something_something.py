"""Something-Something (Goyal et al. 2017): 174 actions on objects, versions 1 and 2.

Where the action has a side, a mirror image is the action to the other side, and a class of its own.
"""

import os
from pathlib import Path

from mpvn.data.sets.files import FileVideo
from mpvn.data.sets.layout import (
    Listing,
    choice,
    folder_among,
    mirrored_by_words,
    raise_faults,
    read_json,
)
from mpvn.data.sets.twenty_bn import frame_folders, named_list, split_list
from mpvn.data.video_set import VideoSet

_PREFIX = "something-something-v"
_MEND_1 = (
    f"Unpack the videos so that there is root/20bn-{_PREFIX}1/1/00001.jpg, ..., and put beside "
    f"that folder, or into root/labels, the lists {_PREFIX}1-labels.csv, {_PREFIX}1-train.csv and "
    f"{_PREFIX}1-validation.csv."
)
_MEND_2 = (
    f"Unpack the videos so that there is root/20bn-{_PREFIX}2/1.webm, ..., and put beside that "
    f"folder, or into root/labels, the lists {_PREFIX}2-labels.json, {_PREFIX}2-train.json and "
    f"{_PREFIX}2-validation.json, also named labels.json, train.json and validation.json."
)


def something_something(
    root: str | os.PathLike[str], split: str = "train", version: int = 2
) -> VideoSet:
    """One split of Something-Something.

    Args:
        root: The folder of the videos' folder and of the lists.
        split: `"train"` or `"val"`.
        version: 1, folders of frames, or 2, WebM files.

    Raises:
        ValueError: Folders, lists or listed videos are missing; templates are unknown.
    """
    choice("version", str(version), ("1", "2"))
    mend = _MEND_1 if version == 1 else _MEND_2
    root = folder_among([Path(root)], "Something-Something", mend)
    if version == 1:
        return frame_folders(root, f"{_PREFIX}1", "Something-Something V1", split, mend)
    return _version_2(root, split)


def _version_2(root: Path, split: str) -> VideoSet:
    folder = folder_among([root / f"20bn-{_PREFIX}2"], "the videos", _MEND_2)
    classes = _classes(named_list(root, [f"{_PREFIX}2-labels.json", "labels.json"], _MEND_2))
    path = split_list(root, f"{_PREFIX}2", split, "json", _MEND_2)
    numbers = {name: label for label, name in enumerate(classes)}
    listing = Listing()
    videos: list[FileVideo] = []
    faults: list[str] = []
    for at, entry in enumerate(read_json(path, list, _MEND_2)):
        if not isinstance(entry, dict) or not {"id", "template"} <= entry.keys():
            faults.append(f"entry {at}: expected an id and a template, received {entry!r}")
            continue
        name = str(entry["template"]).replace("[", "").replace("]", "")
        video = folder / f"{entry['id']}.webm"
        if name not in numbers:
            faults.append(f"entry {at}: there is no class {name!r}")
        elif not listing.has(video):
            faults.append(f"entry {at}: there is no {video}")
        else:
            videos.append(FileVideo(video, numbers[name]))
    raise_faults(str(path), faults, _MEND_2)
    return VideoSet(f"Something-Something V2 {split}", videos, classes, mirrored_by_words(classes))


def _classes(path: Path) -> tuple[str, ...]:
    """The keys of `{"Approaching something with your camera": "0", ...}` in order of the values."""
    labels = {name: str(number) for name, number in read_json(path, dict, _MEND_2).items()}
    expected = {str(number) for number in range(len(labels))}
    faults = [
        f"{name!r}: expected a number of its own from 0 to {len(labels) - 1}, received {number}"
        for name, number in labels.items()
        if number not in expected or list(labels.values()).count(number) > 1
    ]
    raise_faults(str(path), faults, _MEND_2)
    return tuple(sorted(labels, key=lambda name: int(labels[name])))

"""The format that Something-Something and Jester share: lists, and folders of frames."""

from collections.abc import Sequence
from pathlib import Path

from mpvn.data.sets.files import FileVideo
from mpvn.data.sets.layout import (
    PathCache,
    check_choice,
    find_file,
    find_folder,
    has_images,
    raise_problems,
    read_lines,
)
from mpvn.data.sets.mirror import mirrored_labels
from mpvn.data.video_set import VideoSet

FPS = 12.0
"""Frames per second of the folders of frames."""

_SPLITS = {"train": "train", "val": "validation", "test": "test"}


def find_split_list(root: Path, prefix: str, split: str, suffix: str, remedy: str) -> Path:
    """Return the path of the list of a split."""
    name = _SPLITS[check_choice("split", split, _SPLITS)]
    return find_list(root, [f"{prefix}-{name}.{suffix}", f"{name}.{suffix}"], remedy)


def find_list(root: Path, names: Sequence[str], remedy: str) -> Path:
    """Return the first existing list with one of these names, in `root` or its folders of lists."""
    folders = (root, root / "labels", root / "annotations")
    return find_file([folder / name for folder in folders for name in names], "a list", remedy)


def read_frame_folders(root: Path, prefix: str, title: str, split: str, remedy: str) -> VideoSet:
    """Read a set of folders `20bn-PREFIX/ID/00001.jpg` and two lists.

    `PREFIX-labels.csv` has a class on each line; `PREFIX-train.csv` and `PREFIX-validation.csv`
    have lines `ID;CLASS`; `PREFIX-test.csv` has lines `ID`, because the classes are not published.
    """
    folders = find_folder([root / f"20bn-{prefix}"], "folders of frames", remedy)
    labels = find_list(root, [f"{prefix}-labels.csv"], remedy)
    classes = tuple(text for _, text in read_lines(labels, remedy))
    rows = find_split_list(root, prefix, split, "csv", remedy)
    numbers = {name: label for label, name in enumerate(classes)}
    paths, seen = PathCache(), set[str]()
    videos: list[FileVideo] = []
    problems: list[str] = []
    for line, text in read_lines(rows, remedy):
        identifier, _, name = text.partition(";")
        if name not in numbers and (name or split != "test"):
            problems.append(
                f"line {line}: expected ID;CLASS with a known class. Received: {text!r}"
            )
        elif not paths.exists(folders / identifier):
            problems.append(f"line {line}: the folder {folders / identifier} does not exist")
        elif not has_images(folders / identifier):
            problems.append(f"line {line}: {folders / identifier} contains no images")
        elif identifier in seen:
            problems.append(f"line {line}: {identifier} is a duplicate")
        else:
            videos.append(FileVideo(folders / identifier, numbers.get(name), fps=FPS))
            seen.add(identifier)
    raise_problems(str(rows), problems, remedy)
    return VideoSet(f"{title} {split}", videos, classes, mirrored_labels(classes))

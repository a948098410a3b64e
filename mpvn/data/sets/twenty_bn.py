"""What Something-Something and Jester have in common: lists, and folders of frames."""

from collections.abc import Sequence
from pathlib import Path

from mpvn.data.sets.files import FileVideo
from mpvn.data.sets.layout import (
    Listing,
    choice,
    file_among,
    folder_among,
    has_images,
    mirrored_by_words,
    raise_faults,
    read_lines,
)
from mpvn.data.video_set import VideoSet

FPS = 12.0
"""Frames per second of the folders of frames."""

_SPLITS = {"train": "train", "val": "validation"}


def split_list(root: Path, prefix: str, split: str, suffix: str, mend: str) -> Path:
    """The list of a split, beside the videos or in a folder of lists."""
    if split == "test":
        raise ValueError("split: expected train or val, since the test videos have no labels")
    name = _SPLITS[choice("split", split, _SPLITS)]
    return named_list(root, [f"{prefix}-{name}.{suffix}", f"{name}.{suffix}"], mend)


def named_list(root: Path, names: Sequence[str], mend: str) -> Path:
    """The first that is there of lists of these names."""
    folders = (root, root / "labels", root / "annotations")
    return file_among([folder / name for folder in folders for name in names], "a list", mend)


def frame_folders(root: Path, prefix: str, title: str, split: str, mend: str) -> VideoSet:
    """A set of folders `20bn-PREFIX/ID/00001.jpg` and two lists.

    `PREFIX-labels.csv` has a class on each line, `PREFIX-train.csv` and its like `ID;CLASS`.
    """
    folders = folder_among([root / f"20bn-{prefix}"], "folders of frames", mend)
    labels = named_list(root, [f"{prefix}-labels.csv"], mend)
    classes = tuple(text for _, text in read_lines(labels, mend))
    rows = split_list(root, prefix, split, "csv", mend)
    numbers = {name: label for label, name in enumerate(classes)}
    listing = Listing()
    videos: list[FileVideo] = []
    faults: list[str] = []
    for line, text in read_lines(rows, mend):
        identifier, _, name = text.partition(";")
        if name not in numbers:
            faults.append(f"line {line}: expected ID;CLASS of a known class, received {text!r}")
        elif not listing.has(folders / identifier):
            faults.append(f"line {line}: there is no folder {folders / identifier}")
        elif not has_images(folders / identifier):
            faults.append(f"line {line}: {folders / identifier} has no images")
        else:
            videos.append(FileVideo(folders / identifier, numbers[name], fps=FPS))
    raise_faults(str(rows), faults, mend)
    return VideoSet(f"{title} {split}", videos, classes, mirrored_by_words(classes))

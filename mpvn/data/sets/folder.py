"""Videos in a folder for each class."""

import hashlib
import os
from pathlib import Path

from mpvn.data.sets.files import FileVideo
from mpvn.data.sets.layout import (
    choice,
    folder_among,
    folders_in,
    mirrored_by_words,
    raise_faults,
    videos_in,
)
from mpvn.data.video_set import VideoSet

_SPLITS = ("train", "val", "test")
_MEND = (
    "Put the videos (files, or folders of images) into root/CLASS/, or into root/train/CLASS/, "
    "root/val/CLASS/ and root/test/CLASS/."
)


def folder(
    root: str | os.PathLike[str],
    split: str | None = None,
    *,
    fraction: float | None = None,
    seed: int = 0,
) -> VideoSet:
    """Videos of `root/CLASS/VIDEO`, or of `root/SPLIT/CLASS/VIDEO`.

    A video is a file or a folder of images. Classes are numbered in the order of their names, over
    all splits. Classes whose names differ in the words left and right, or clockwise and
    counterclockwise, are mirror images; where only one of the two exists, it is never mirrored.

    Args:
        root: The folder.
        split: `"train"`, `"val"` or `"test"`. None or "" for all videos, where there are no such
            folders.
        fraction: Without such folders, how many videos of each class are `"train"`, from 0 to 1;
            the others are `"val"`. Which ones depends on nothing but `seed` and the names. 0 is
            None.
        seed: Chooses them.

    Raises:
        ValueError: The layout is another; classes without videos; folders that only some splits
            have.

    Example:
        >>> train = folder("clips", "train", fraction=0.8)
        >>> val = folder("clips", "val", fraction=0.8)
    """
    split, fraction = split or None, fraction or None
    root = folder_among([Path(root)], "a folder of class folders", _MEND)
    by_split = any(name in _SPLITS for name in folders_in(root))
    if by_split and fraction is not None:
        raise ValueError(
            f"fraction: expected None (or 0), since {root} has a folder for each split. "
            f"Received: {fraction}"
        )
    if not by_split and (split is None) != (fraction is None):
        raise ValueError(
            f"{root} has no folder train, val or test: expected split and fraction both or neither."
            f" Received: split {split!r}, fraction {fraction!r}. Give fraction=0.8, for example, "
            "or split the folder."
        )
    if fraction is not None and not 0 < fraction < 1:
        raise ValueError(f"fraction: expected a number between 0 and 1. Received: {fraction}")
    if by_split:
        choice("split", str(split), [name for name in _SPLITS if (root / name).is_dir()])
        classes = _classes_of_splits(root)
        top = root / str(split)
    else:
        if split is not None:
            choice("split", split, ("train", "val"))
        classes, top = tuple(folders_in(root)), root
    videos: list[FileVideo] = []
    faults = [] if classes else ["there is no class folder"]
    for label, name in enumerate(classes):
        found = videos_in(top / name)
        if not found:
            faults.append(f"{top / name}: expected videos, received none")
        if fraction is not None:
            found = _part(found, split == "train", fraction, seed, name)
        videos += [FileVideo(path, label) for path in found]
    raise_faults(str(root), faults, _MEND)
    if not videos:
        raise ValueError(
            f"{root}: fraction {fraction} leaves no videos to the split {split}: its classes have "
            "too few. Give another fraction, more videos, or the split train for evaluation too"
        )
    title = root.absolute().name if split is None else f"{root.absolute().name} {split}"
    return VideoSet(title, videos, classes, mirrored_by_words(classes))


def _classes_of_splits(root: Path) -> tuple[str, ...]:
    names = {split: folders_in(root / split) for split in _SPLITS if (root / split).is_dir()}
    classes = sorted(set().union(*names.values()))
    raise_faults(
        str(root),
        [
            f"{root / split / name}: expected a folder of this class, as other splits have"
            for split, present in names.items()
            for name in classes
            if name not in present
        ],
        _MEND,
    )
    return tuple(classes)


def _part(videos: list[Path], first: bool, fraction: float, seed: int, name: str) -> list[Path]:
    """The first or the other part of the videos of a class, in an order drawn by their names."""

    def drawn(path: Path) -> bytes:
        return hashlib.sha256(f"{seed}/{name}/{path.name}".encode()).digest()

    count = round(fraction * len(videos))
    order = sorted(videos, key=drawn)
    return sorted(order[:count] if first else order[count:])

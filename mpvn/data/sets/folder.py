"""Videos in one folder per class."""

import hashlib
import os
from pathlib import Path

from mpvn.data.sets.files import FileVideo
from mpvn.data.sets.layout import (
    check_choice,
    find_folder,
    folders_in,
    mirrored_labels,
    raise_problems,
    videos_in,
)
from mpvn.data.video_set import VideoSet

_SPLITS = ("train", "val", "test")
_REMEDY = (
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
    """Read videos from `root/CLASS/VIDEO` or `root/SPLIT/CLASS/VIDEO`.

    A video is a file or a folder of images. Classes are numbered in the order of their names, over
    all splits. Two classes are mirror images if their names differ in the words left and right, or
    clockwise and counterclockwise. A class with such a word but without its counterpart is never
    mirrored.

    Args:
        root: The folder.
        split: `"train"`, `"val"` or `"test"`. None or "": all videos, if there are no folders of
            splits.
        fraction: Without folders of splits, the fraction of the videos of each class that belong to
            `"train"`, between 0 and 1. The others belong to `"val"`. The choice depends only on
            `seed` and the names of the videos. 0 is the same as None.
        seed: Seed of this choice.

    Raises:
        ValueError: The layout is different; a class has no videos; only some splits have a class.

    Example:
        >>> train = folder("clips", "train", fraction=0.8)
        >>> val = folder("clips", "val", fraction=0.8)
    """
    split, fraction = split or None, fraction or None
    root = find_folder([Path(root)], "class folders", _REMEDY)
    top, classes = _find_classes(root, split, fraction)
    videos: list[FileVideo] = []
    problems = [] if classes else ["Expected class folders. Received: none"]
    for label, name in enumerate(classes):
        paths = videos_in(top / name)
        if not paths:
            problems.append(f"{top / name}: expected videos. Received: none")
        if fraction is not None:
            paths = _part(paths, split == "train", fraction, seed, name)
        videos += [FileVideo(path, label) for path in paths]
    raise_problems(str(root), problems, _REMEDY)
    if not videos:
        raise ValueError(
            f"{root}: Split {split} is empty with fraction={fraction}, because the classes have "
            "too few videos. Change fraction, add videos, or evaluate on the split train."
        )
    title = root.absolute().name if split is None else f"{root.absolute().name} {split}"
    return VideoSet(title, videos, classes, mirrored_labels(classes))


def _find_classes(
    root: Path, split: str | None, fraction: float | None
) -> tuple[Path, tuple[str, ...]]:
    """Return the folder that contains the class folders, and their names."""
    has_splits = any(name in _SPLITS for name in folders_in(root))
    if has_splits and fraction is not None:
        raise ValueError(
            f"fraction: expected None or 0, because {root} has a folder for each split. "
            f"Received: {fraction}."
        )
    if not has_splits and (split is None) != (fraction is None):
        raise ValueError(
            f"{root} has no folders train, val or test. Expected both split and fraction, or "
            f"neither. Received: split={split!r}, fraction={fraction!r}. Set fraction=0.8, for "
            "example, or make a folder for each split."
        )
    if fraction is not None and not 0 < fraction < 1:
        raise ValueError(f"fraction: expected a number between 0 and 1. Received: {fraction}.")
    if has_splits:
        check_choice("split", str(split), [name for name in _SPLITS if (root / name).is_dir()])
        return root / str(split), _classes_of_splits(root)
    if split is not None:
        check_choice("split", split, ("train", "val"))
    return root, tuple(folders_in(root))


def _classes_of_splits(root: Path) -> tuple[str, ...]:
    """Return the classes, which all splits must have."""
    names = {split: folders_in(root / split) for split in _SPLITS if (root / split).is_dir()}
    classes = sorted(set().union(*names.values()))
    raise_problems(
        str(root),
        [
            f"{root / split / name}: expected a folder for this class, as in the other splits"
            for split, present in names.items()
            for name in classes
            if name not in present
        ],
        _REMEDY,
    )
    return tuple(classes)


def _part(videos: list[Path], train: bool, fraction: float, seed: int, name: str) -> list[Path]:
    """Return the training or the validation videos of the class `name`."""

    def shuffled(path: Path) -> bytes:
        return hashlib.sha256(f"{seed}/{name}/{path.name}".encode()).digest()

    count = round(fraction * len(videos))
    order = sorted(videos, key=shuffled)
    return sorted(order[:count] if train else order[count:])

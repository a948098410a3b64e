"""Videos in one folder per class."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from mpvn.data.sets.classes import (
    name_problems,
    ordered,
    warn_of_missing_classes,
    warn_of_similar_names,
)
from mpvn.data.sets.files import FileVideo
from mpvn.data.sets.finding import Finder
from mpvn.data.sets.layout import check_choice, find_folder, folders_in, raise_problems, title_of
from mpvn.data.sets.mirror import check_mirror, mirrored_labels
from mpvn.data.video_set import VideoSet

_SPLITS = ("train", "val", "test")
_SPLIT_NAMES = {*_SPLITS, "training", "valid", "validate", "validation", "eval", "testing"}
_REMEDY = (
    "Put the videos (files, or folders of images) into root/CLASS/, or into root/train/CLASS/, "
    "root/val/CLASS/ and root/test/CLASS/."
)
_SINGLE_VIDEOS = "Their only videos are in the split train. Add videos."


def folder(
    root: str | os.PathLike[str],
    split: str | None = None,
    *,
    fraction: float | None = None,
    seed: int = 0,
    images: str = "",
    mirror: str = "names",
) -> VideoSet:
    """Read videos from `root/CLASS/VIDEO` or `root/SPLIT/CLASS/VIDEO`.

    A video is a file or a folder of images, in the folder of its class or any folder below it; see
    `mpvn.data.sets.finding`. Classes are numbered in the order of their names, or in numeric order
    if all names are whole numbers, over all splits.

    Args:
        root: The folder.
        split: `"train"`, `"val"` or `"test"`. None or "": all videos, if there are no folders of
            splits.
        fraction: Without folders of splits, the fraction of the videos of each class that belong to
            `"train"`, between 0 and 1. The others belong to `"val"`. Both splits have at least one
            video of each class; the only video of a class belongs to `"train"`. The choice depends
            only on `seed` and the names of the videos. 0 is the same as None.
        seed: Seed of this choice.
        images: Which images of each folder are the video, such as `"rgb_*"`, if a folder contains
            several series; see `mpvn.data.video.image_series`. "": find the series.
        mirror: How to choose the mirror image of a class, for augmentation: `"names"`, by its name
            (see `mpvn.data.sets.mirror`; plain numbers say nothing); `"same"`, the class itself;
            `"never"`, unknown, so that no video is mirrored.

    Raises:
        ValueError: The layout is different; a class has no videos; only some splits have a class;
            a folder contains both images and folders of videos.

    Warns:
        RuntimeWarning: Files are passed over, because they are not videos; a class has only one
            video, so that the split `"val"` has none; or names of classes are almost the same.

    Example:
        >>> train = folder("clips", "train", fraction=0.8)
        >>> val = folder("clips", "val", fraction=0.8)
    """
    split, fraction = split or None, fraction or None
    check_mirror(mirror)
    root = find_folder([Path(root)], "class folders", _REMEDY)
    top, classes = _find_classes(root, split, fraction)
    finder = Finder()
    paths = _find_videos(finder, root, top, classes)
    finder.warn(root)
    title = title_of(root.absolute().name, split)
    if fraction is not None:
        paths = _divide(top, paths, split, fraction, seed)
    videos = [
        FileVideo(path / images if images and path.is_dir() else path, label)
        for label, name in enumerate(classes)
        for path in paths[name]
    ]
    warn_of_similar_names(title, classes)
    warn_of_missing_classes(title, classes, [x for x in classes if paths[x]], _SINGLE_VIDEOS)
    return VideoSet(title, videos, classes, mirrored_labels(classes, mirror))


def _find_videos(
    finder: Finder, root: Path, top: Path, classes: Sequence[str]
) -> dict[str, list[Path]]:
    """Return the videos of each class, in the folder `top` of a split or of all."""
    problems = [problem for _, problem in name_problems(classes)]
    problems += [] if classes else ["Expected class folders. Received: none"]
    paths = {name: finder.videos_in(top / name) for name in classes}
    problems += [_no_videos(top / name, finder) for name in classes if not paths[name]]
    raise_problems(str(root), problems + finder.problems, _REMEDY)
    finder.pass_over(top)
    if top != root:
        finder.pass_over(root, [name for name in folders_in(root) if name not in _SPLITS])
    return paths


def _divide(
    root: Path, paths: Mapping[str, list[Path]], split: str | None, fraction: float, seed: int
) -> dict[str, list[Path]]:
    """Return the part of the videos of each class that belongs to the split."""
    parts = {
        name: part(videos, root / name, split == "train", fraction, seed)
        for name, videos in paths.items()
    }
    if not any(parts.values()):
        raise ValueError(
            f"{root}: Split {split} is empty with fraction={fraction}, because each class has only "
            "one video. Add videos, or evaluate on the split train."
        )
    return parts


def _no_videos(folder: Path, finder: Finder) -> str:
    """Return the problem of a class without videos."""
    others = [path for path in finder.passed_over if path.is_relative_to(folder)]
    received = f"{len(others)} other files, such as {others[0].name}" if others else "none"
    return f"{folder}: expected videos. Received: {received}"


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
    classes = ordered(folders_in(root))
    if classes and {name.lower() for name in classes} <= _SPLIT_NAMES:
        raise ValueError(
            f"{root}: expected folders of classes, or folders of splits called "
            f"{', '.join(_SPLITS)}. Received: {', '.join(classes)}. Rename them."
        )
    return root, classes


def _classes_of_splits(root: Path) -> tuple[str, ...]:
    """Return the classes, which all splits must have."""
    names = {split: folders_in(root / split) for split in _SPLITS if (root / split).is_dir()}
    classes = ordered(set().union(*names.values()))
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
    return classes


def part(videos: list[Path], top: Path, train: bool, fraction: float, seed: int) -> list[Path]:
    """Return the training or the validation videos of the class whose folder is `top`."""

    def shuffled(path: Path) -> bytes:
        name = path.relative_to(top).as_posix()
        return hashlib.sha256(f"{seed}/{top.name}/{name}".encode()).digest()

    count = min(max(round(fraction * len(videos)), 1), max(len(videos) - 1, 1))
    order = sorted(videos, key=shuffled)
    return sorted(order[:count] if train else order[count:])

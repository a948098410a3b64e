"""Videos in one folder per class."""

import hashlib
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from mpvn.data.sets.classes import (
    name_problems,
    ordered,
    warn_of_missing_classes,
    warn_of_similar_names,
)
from mpvn.data.sets.files import FileVideo
from mpvn.data.sets.finding import Finder
from mpvn.data.sets.layout import (
    check_choice,
    find_folder,
    folders_in,
    named,
    raise_problems,
    title_of,
)
from mpvn.data.sets.mirror import check_mirror, mirrored_labels
from mpvn.data.video_set import VideoSet

FRACTION = 0.8
"""Fraction of the videos of a class that are for training, without folders of splits."""

_SPLITS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validate", "validation", "eval"),
    "test": ("test", "testing"),
}
"""Names of the folders of splits, in lower case."""
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
    if all names are whole numbers, over all splits. `note` of the set says which layout was found.

    Folders are those of splits if their names say so (also `training`, `validation`, `valid` and
    `testing`), and if there are two splits, or no other folders. So `train`, `bus` and `car` are
    classes.

    Args:
        root: The folder.
        split: `"train"`, `"val"` or `"test"`. Where there is a folder `test` but none for `"val"`,
            `"val"` is `test`. None or "": all videos, if there are no folders of splits.
        fraction: Without folders of splits, the fraction of the videos of each class that belong to
            `"train"`, between 0 and 1. The others belong to `"val"`. Both splits have at least one
            video of each class; the only video of a class belongs to `"train"`. The choice depends
            only on `seed` and the names of the videos. None or 0: 0.8.
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
        >>> train = folder("clips", "train")
        >>> val = folder("clips", "val")
    """
    split, fraction = split or None, fraction or None
    check_mirror(mirror)
    root = find_folder([Path(root)], "class folders", _REMEDY)
    splits = _folders_of_splits(root)
    top = _top(root, splits, split, fraction)
    classes = _classes_of_splits(root, splits) if splits else ordered(folders_in(root))
    finder = Finder()
    paths = _find_videos(finder, root, top, classes, splits.values())
    finder.warn(root)
    title, note = title_of(root.absolute().name, split), f"{top}/CLASS/VIDEO"
    if split is not None and not splits:
        fraction = fraction or FRACTION
        paths = _divide(top, paths, split, fraction, seed)
        share = fraction if split == "train" else 1 - fraction
        note += f", {100 * share:.3g} % of the videos of each class"
    videos = [
        FileVideo(path / images if images and path.is_dir() else path, label)
        for label, name in enumerate(classes)
        for path in paths[name]
    ]
    warn_of_similar_names(title, classes)
    warn_of_missing_classes(title, classes, [x for x in classes if paths[x]], _SINGLE_VIDEOS)
    return VideoSet(title, videos, classes, mirrored_labels(classes, mirror), note=note)


def _find_videos(
    finder: Finder, root: Path, top: Path, classes: Sequence[str], splits: Collection[str]
) -> dict[str, list[Path]]:
    """Return the videos of each class, in the folder `top` of a split or of all."""
    problems = [problem for _, problem in name_problems(classes)]
    problems += [] if classes else [_no_classes(top)]
    problems += [x for name in classes for x in _splits_of_class(top / name)]
    paths = {name: finder.videos_in(top / name) for name in classes}
    problems += [_no_videos(top / name, finder) for name in classes if not paths[name]]
    raise_problems(str(root), problems + finder.problems, _REMEDY)
    finder.pass_over(top)
    if top != root:
        finder.pass_over(root, [name for name in folders_in(root) if name not in splits])
    return paths


def _no_classes(top: Path) -> str:
    """Return the problem of a folder without folders of classes."""
    finder = Finder()
    finder.pass_over(top)
    if not finder.passed_over:
        return "Expected class folders. Received: none"
    return (
        f"Expected class folders. Received: {len(finder.passed_over)} files, such as "
        f"{finder.passed_over[0].name}. If it is the folder of one class, give the folder above it"
    )


def _splits_of_class(folder: Path) -> list[str]:
    """Return the problem of a class that is divided into splits, if it is."""
    names = folders_in(folder)
    if not names or not all(map(_split_of, names)):
        return []
    return [f"{folder}: expected videos. Received: folders of splits, {named(names)}"]


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


def _split_of(name: str) -> str | None:
    """Return the split that the name of a folder says, or None."""
    return next((split for split, names in _SPLITS.items() if name.lower() in names), None)


def _folders_of_splits(root: Path) -> dict[str, str]:
    """Return the names of the folders of splits, by split; empty if there are none.

    Raises:
        ValueError: Two folders are of the same split.
    """
    found: dict[str, list[str]] = {}
    names = folders_in(root)
    for name in names:
        if split := _split_of(name):
            found.setdefault(split, []).append(name)
    if len(found) == 1 and len(found[next(iter(found))]) < len(names):
        return {}
    raise_problems(
        str(root),
        [
            f"expected one folder for the split {split}. Received: {named(each)}"
            for split, each in found.items()
            if len(each) > 1
        ],
        _REMEDY,
    )
    return {split: each[0] for split, each in found.items()}


def _top(root: Path, splits: Mapping[str, str], split: str | None, fraction: float | None) -> Path:
    """Return the folder of the classes of a split.

    Raises:
        ValueError: There is no such split, or a fraction does not go with these folders.
    """
    if fraction is not None and not 0 < fraction < 1:
        raise ValueError(f"fraction: expected a number between 0 and 1. Received: {fraction}.")
    if not splits:
        if split is not None:
            check_choice("split", split, ("train", "val"))
        elif fraction is not None:
            raise ValueError(
                f"split: expected train or val, because there is a fraction. Received: {split!r}."
            )
        return root
    if fraction is not None:
        raise ValueError(
            f"fraction: expected None or 0, because {root} has a folder for each split. "
            f"Received: {fraction}."
        )
    if split == "val" and "val" not in splits and "test" in splits:
        split = "test"
    if split == "val" and "val" not in splits:
        raise ValueError(
            f"{root}: expected a folder val or test, to evaluate on. Received: "
            f"{', '.join(splits.values())} alone. Add one, or move its class folders up: then "
            f"{FRACTION:.0%} of their videos are for training."
        )
    if split is None:
        raise ValueError(
            f"split: expected one of {', '.join(splits)}, because {root} has a folder for each. "
            "Received: None. Name a split, or another folder"
        )
    return root / splits[check_choice("split", split, splits)]


def _classes_of_splits(root: Path, splits: Mapping[str, str]) -> tuple[str, ...]:
    """Return the classes, which all splits must have."""
    names = {folder: folders_in(root / folder) for folder in splits.values()}
    classes = ordered(set().union(*names.values()))
    raise_problems(
        str(root),
        [
            f"{root / folder / name}: expected a folder for this class, as in the other splits"
            for folder, present in names.items()
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

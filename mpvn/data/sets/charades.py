"""Charades (Sigurdsson et al. 2016): 9848 videos of activities at home, with 157 actions.

A video has any number of actions. Its classes are all of them, as in the evaluation
`Charades_v1_classify`. The times of the actions are annotated, too, but they are not used.
"""

import csv
import io
import os
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
    read_text,
)
from mpvn.data.video_set import VideoSet

FPS = 24.0
"""Frames per second of the folders of frames."""

_FOLDERS = ("Charades_v1", "Charades_v1_480", "Charades_v1_rgb")
_FRAMES = "Charades_v1_rgb"
_REMEDY = (
    "Unpack the videos so that root/Charades_v1/ID.mp4 or root/Charades_v1_480/ID.mp4 exist, or "
    "the frames so that root/Charades_v1_rgb/ID/ID-000001.jpg exist. Put Charades_v1_train.csv, "
    "Charades_v1_test.csv and Charades_v1_classes.txt into root, root/Charades or root/annotations."
)


def charades(
    root: str | os.PathLike[str],
    split: str = "train",
    *,
    videos: str = "",
    empty: bool | None = None,
) -> VideoSet:
    """Read one split of Charades.

    Args:
        root: The folder that contains the folder of videos and the annotations.
        split: `"train"` or `"test"`.
        videos: The folder of videos: `"Charades_v1"`, `"Charades_v1_480"` (MP4 files), or
            `"Charades_v1_rgb"` (folders of frames, 24 per second). "": the first that exists.
        empty: Whether to read videos without actions. Default: only in `"train"`, because the
            evaluation of Charades ignores their scores.

    Raises:
        ValueError: Folders, annotations or annotated videos are missing; or annotations have
            another format.
    """
    root = find_folder([Path(root)], "Charades", _REMEDY)
    check_choice("split", split, ("train", "test"))
    names = (check_choice("videos", videos, _FOLDERS),) if videos else _FOLDERS
    folder = find_folder([root / name for name in names], "the videos", _REMEDY)
    classes = _read_classes(_find(root, "Charades_v1_classes.txt"))
    path = _find(root, f"Charades_v1_{split}.csv")
    keep_empty = split == "train" if empty is None else empty
    paths, found, problems = PathCache(), dict[str, FileVideo](), list[str]()
    for line, identifier, actions in _read_rows(path):
        labels = {_label(action, classes) for action in actions.split(";") if actions}
        video = folder / (identifier if folder.name == _FRAMES else f"{identifier}.mp4")
        if None in labels:
            problems.append(
                f"line {line}: expected actions such as c092 11.90 21.20;c147 0.00 12.60. "
                f"Received: {actions!r}"
            )
        elif identifier in found:
            problems.append(f"line {line}: the video {identifier} is a duplicate")
        elif not paths.exists(video):
            problems.append(f"line {line}: {video} does not exist")
        elif folder.name == _FRAMES and not has_images(video):
            problems.append(f"line {line}: {video} contains no images")
        elif labels or keep_empty:
            fps = FPS if folder.name == _FRAMES else None
            known = sorted(label for label in labels if label is not None)
            found[identifier] = FileVideo(video, known, fps=fps)
    raise_problems(str(path), problems, _REMEDY)
    return VideoSet(
        f"Charades {split}", list(found.values()), tuple(classes.values()), multi_label=True
    )


def _find(root: Path, name: str) -> Path:
    folders = (root, root / "Charades", root / "annotations")
    return find_file([folder / name for folder in folders], "annotations", _REMEDY)


def _read_classes(path: Path) -> dict[str, str]:
    """Return the names of the classes by their codes, from lines `c008 Opening a door`."""
    classes: dict[str, str] = {}
    problems: list[str] = []
    for line, text in read_lines(path, _REMEDY):
        code, _, name = text.partition(" ")
        if code != f"c{len(classes):03d}" or not name:
            problems.append(f"line {line}: expected c{len(classes):03d} NAME. Received: {text!r}")
            break
        classes[code] = name
    raise_problems(str(path), problems, _REMEDY)
    return classes


def _read_rows(path: Path) -> list[tuple[int, str, str]]:
    """Return the line, the identifier and the actions of each video."""
    text = read_text(path, _REMEDY)
    # Descriptions may have line breaks in their quotes, so a row may take several lines.
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    columns = reader.fieldnames or ()
    problems = [f"Expected a column {name}" for name in ("id", "actions") if name not in columns]
    raise_problems(str(path), problems, _REMEDY)
    rows: list[tuple[int, str, str]] = []
    try:
        for row in reader:
            rows.append((reader.line_num, row["id"], row["actions"]))
            if None in row or None in row.values() or not row["id"]:
                problems.append(
                    f"line {reader.line_num}: expected values of {', '.join(columns)}. Received: "
                    f"{', '.join(map(str, row.values()))}"
                )
    except csv.Error as error:
        number = reader.line_num + 1
        problems.append(f"line {number}: expected CSV. Received: other text ({error})")
    problems += [] if rows or problems else ["Expected rows. Received: none"]
    raise_problems(str(path), problems, _REMEDY)
    return rows


def _label(action: str, classes: dict[str, str]) -> int | None:
    """Return the label of an action such as `c092 11.90 21.20`; None for other text."""
    try:
        code, *times = action.split()
        start, end = map(float, times)
    except ValueError:
        return None
    return int(code[1:]) if code in classes and start >= 0 and end < float("inf") else None

"""Videos listed in a CSV file."""

import os
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

from mpvn.data.sets.classes import (
    name_problems,
    number_labels,
    warn_of_missing_classes,
    warn_of_similar_names,
)
from mpvn.data.sets.csv_rows import Row, read_csv
from mpvn.data.sets.files import FileVideo
from mpvn.data.sets.layout import (
    PathCache,
    check_choice,
    find_file,
    named,
    raise_problems,
    title_of,
)
from mpvn.data.sets.mirror import check_mirror, mirrored_labels
from mpvn.data.sets.multi_label import join_labels, split_labels
from mpvn.data.video.image_series import is_series
from mpvn.data.video_set import Label, VideoSet, numbers_of

_REMEDY = (
    "Write lines of a path, a label and, optionally, a split, separated by commas, such as "
    "walking/01.mp4,walking. The first line may name the columns: path,label,split. Paths are "
    "relative to the CSV file."
)

_SECTION = ("start", "end")


def table(
    path: str | os.PathLike[str],
    split: str | None = None,
    *,
    classes: Sequence[str] | None = None,
    mirror: str = "names",
    separator: str | None = None,
) -> VideoSet:
    """Read videos listed in a CSV file with the columns `path,label[,split]`.

    If the first line names the columns, they may be in any order. Columns `start` and `end` are the
    section of the file that is the video, in seconds as in `FileVideo`; an empty cell is the start
    or the end of the file. Columns with other names are ignored. Columns may be separated by
    semicolons or tabs; see `mpvn.data.sets.csv_rows`. A path points to a video file of any ending,
    to a folder of images, or to some images of a folder, such as `clip/rgb_*`. It is relative to
    the CSV file.

    Labels are names or whole numbers, and are numbered over all splits: names in the order of their
    characters, whole numbers in numeric order. The names of classes are the labels as written. So
    the labels 7, 3 and 10 are the classes "3", "7" and "10", with the numbers 0, 1 and 2.

    Args:
        path: The CSV file.
        split: Value of the column `split` in the rows to read. None or "": all rows.
        classes: Names of the classes in the order of their numbers. Labels are these names, or
            their numbers from 0 on. Default: the labels that occur.
        mirror: How to choose the mirror image of a class, as in `folder`.
        separator: Text between the labels of a video, such as `"|"`, if a video may have any
            number of labels; an empty cell has none. None or "": each video has one label.

    Raises:
        ValueError: The file is missing or has another format; videos are missing or listed twice;
            sections are not in seconds, or end before they start; labels are unknown, out of range,
            or fractions, or two labels are the same number; no row has this split.

    Warns:
        RuntimeWarning: A class has videos, but none in this split; or names of classes are almost
            the same.
    """
    split = split or None
    check_mirror(mirror)
    path = find_file([Path(path)], "a CSV file", _REMEDY)
    required = ["path", "label"] + ["split"] * (split is not None)
    empty = ["label"] if separator else []
    rows = read_csv(path, required, _REMEDY, optional=["split"], may_be_empty=empty)
    single = split_labels(path, rows, separator) if separator else rows
    names, numbers = _number_labels(path, single, classes)
    labels: Iterable[Label] = join_labels(rows, numbers, separator) if separator else numbers
    if split is not None:
        check_choice(f"{path}: split", split, sorted({row["split"] for row in rows}))
    videos = _read_videos(path, rows, labels, split)
    title = title_of(path.stem, split)
    warn_of_similar_names(title, names)
    occurring = [names[number] for number in sorted(set(numbers))]
    present = {names[number] for video in videos for number in numbers_of(video.label)}
    remedy = "They are in other splits only. Divide their videos among the splits."
    warn_of_missing_classes(title, occurring, present, remedy)
    mirrored = mirrored_labels(names, mirror)
    return VideoSet(title, videos, names, mirrored, multi_label=bool(separator))


def _read_videos(
    path: Path, rows: Sequence[Row], labels: Iterable[Label], split: str | None
) -> list[FileVideo]:
    """Return the videos of a split. The paths of all rows are checked."""
    videos: list[FileVideo] = []
    paths, seen = PathCache(), dict[tuple[object, ...], int]()
    problems: list[str] = []
    for row, label in zip(rows, labels, strict=True):
        video = path.parent / row["path"]
        section = _section(row)
        if section is None:
            received = " to ".join(row.cells.get(name, "") for name in _SECTION)
            problems.append(f"line {row.line}: expected a section in seconds. Received: {received}")
            continue
        first = seen.setdefault((os.path.normpath(video), *section), row.line)
        if first != row.line:
            problems.append(f"line {row.line}: {row['path']} is a duplicate of line {first}")
        elif not paths.exists(video) and not is_series(video):
            problems.append(f"line {row.line}: {video} does not exist")
        elif split is None or row["split"] == split:
            videos.append(FileVideo(video, label, start=section[0], end=section[1]))
    raise_problems(str(path), problems, _REMEDY)
    return videos


def _section(row: Row) -> tuple[Fraction | None, Fraction | None] | None:
    """Return the start and the end of a video, None where not stated; None if they are invalid."""
    cells = [row.cells.get(name, "") for name in _SECTION]
    try:
        start, end = (Fraction(cell) if cell else None for cell in cells)
    except (ValueError, ZeroDivisionError):
        return None
    is_valid = (start or 0) >= 0 and (end is None or end > (start or 0))
    return (start, end) if is_valid else None


def _number_labels(
    path: Path, rows: Sequence[Row], classes: Sequence[str] | None
) -> tuple[tuple[str, ...], list[int]]:
    """Return the names of the classes, and the number of each row's label."""
    labels = [row["label"] for row in rows]
    if classes is None:
        first = {row["label"]: row.line for row in reversed(rows)}
        raise_problems(
            str(path),
            [f"line {first[name]}: {problem}" for name, problem in name_problems(labels)],
            "Write whole numbers without a point, and each number in one way.",
        )
    elif len(set(classes)) < len(classes):
        raise ValueError(f"classes: expected different names. Received: {', '.join(classes)}.")
    names, numbers = number_labels(labels, classes)
    raise_problems(
        str(path),
        [
            f"line {row.line}: expected a class, or its number in 0 .. {len(names) - 1}. "
            f"Received: {row['label']!r}"
            for row, number in zip(rows, numbers, strict=True)
            if number is None
        ],
        f"The classes are {named(names)}.",
    )
    return names, [number for number in numbers if number is not None]

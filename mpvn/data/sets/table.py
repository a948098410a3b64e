"""Videos listed in a CSV file."""

import csv
import io
import os
from collections.abc import Sequence
from pathlib import Path

from mpvn.data.sets.files import FileVideo
from mpvn.data.sets.layout import (
    PathCache,
    check_choice,
    find_file,
    mirrored_labels,
    raise_problems,
    read_text,
)
from mpvn.data.video_set import VideoSet

_REMEDY = (
    "Write lines of a path, a label and, optionally, a split, separated by commas, such as "
    "walking/01.mp4,walking. The first line may name the columns: path,label,split. Paths are "
    "relative to the CSV file."
)


def table(
    path: str | os.PathLike[str], split: str | None = None, *, classes: Sequence[str] | None = None
) -> VideoSet:
    """Read videos listed in a CSV file with the columns `path,label[,split]`.

    If the first line names the columns, they may be in any order, and columns with other names are
    ignored. A path points to a video file or a folder of images, and is relative to the CSV file.
    Labels are either all names or all numbers from 0 on, and are numbered over all splits. Names
    determine mirror images as in `folder`.

    Args:
        path: The CSV file.
        split: Value of the column `split` in the rows to read. None or "": all rows.
        classes: Names of the classes in the order of their numbers. Default: the names that occur,
            sorted; or, for numbers, "0", "1" and so on, all of which must occur.

    Raises:
        ValueError: The file is missing or has another format; videos are missing or listed twice;
            labels are unknown or out of range; no row has this split.
    """
    split = split or None
    path = find_file([Path(path)], "a CSV file", _REMEDY)
    rows = _read_rows(path, split is not None)
    names, labels = _number_labels(path, rows, classes)
    if split is not None:
        check_choice(f"{path}: split", split, sorted({row["split"] for row in rows}))
    paths, seen = PathCache(), set[Path]()
    videos: list[FileVideo] = []
    problems: list[str] = []
    for row, label in zip(rows, labels, strict=True):
        video = path.parent / row["path"]
        if video in seen:
            problems.append(f"line {row['line']}: {row['path']} is a duplicate")
        elif not paths.exists(video):
            problems.append(f"line {row['line']}: {video} does not exist")
        elif split is None or row["split"] == split:
            videos.append(FileVideo(video, label))
        seen.add(video)
    raise_problems(str(path), problems, _REMEDY)
    title = path.stem if split is None else f"{path.stem} {split}"
    return VideoSet(title, videos, names, mirrored_labels(names))


def _read_rows(path: Path, with_split: bool) -> list[dict[str, str]]:
    """Return the rows, as values by column name, with the line number as `line`."""
    reader = csv.reader(io.StringIO(read_text(path, _REMEDY)))
    lines = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if any(row)]
    columns = ["path", "label", "split"]
    if lines and "path" in lines[0][1]:
        columns = lines.pop(0)[1]
    required = ["path", "label", "split"] if with_split else ["path", "label"]
    rows: list[dict[str, str]] = []
    problems = [f"Expected a column {name}" for name in required if name not in columns]
    problems += [] if lines else ["Expected rows. Received: none"]
    for line, cells in lines:
        row = dict(zip(columns, cells, strict=False), line=str(line))
        if len(cells) > len(columns) or not all(row.get(name) for name in required):
            problems.append(
                f"line {line}: expected {', '.join(required)}. Received: {','.join(cells)!r}"
            )
        rows.append(row)
    raise_problems(str(path), problems, _REMEDY)
    return rows


def _number_labels(
    path: Path, rows: list[dict[str, str]], classes: Sequence[str] | None
) -> tuple[tuple[str, ...], list[int]]:
    """Return the names of the classes, and the label of each row."""
    given = [row["label"] for row in rows]
    if all(label.isdecimal() for label in given) and not set(given) <= set(classes or ()):
        names, numbers, problems = _from_numbers(path, rows, classes)
    else:
        names = tuple(sorted(set(given))) if classes is None else tuple(classes)
        number_of = {name: number for number, name in enumerate(names)}
        problems = [
            f"line {row['line']}: expected a known class. Received: {row['label']!r}"
            for row in rows
            if row["label"] not in number_of
        ]
        numbers = [number_of.get(label, 0) for label in given]
    raise_problems(str(path), problems, f"The classes are {', '.join(names[:5])} ...")
    return names, numbers


def _from_numbers(
    path: Path, rows: list[dict[str, str]], classes: Sequence[str] | None
) -> tuple[tuple[str, ...], list[int], list[str]]:
    """Return the names of the classes, the label of each row, and labels that are out of range."""
    numbers = [int(row["label"]) for row in rows]
    if classes is None:
        absent = sorted(set(range(min(max(numbers) + 1, 10**6))) - set(numbers))
        raise_problems(
            str(path),
            [f"No video has the label {number}" for number in absent],
            "Number the labels from 0 on without gaps, or set `classes`.",
        )
        return tuple(str(number) for number in range(max(numbers) + 1)), numbers, []
    problems = [
        f"line {row['line']}: expected a label in 0 .. {len(classes) - 1}. Received: {number}"
        for row, number in zip(rows, numbers, strict=True)
        if number >= len(classes)
    ]
    return tuple(classes), numbers, problems

"""Videos listed in a CSV file."""

import csv
import io
import os
from collections.abc import Sequence
from pathlib import Path

from mpvn.data.sets.files import FileVideo
from mpvn.data.sets.layout import (
    Listing,
    choice,
    file_among,
    mirrored_by_words,
    raise_faults,
    read_text,
)
from mpvn.data.video_set import VideoSet

_MEND = (
    "Give lines of a path and a label, separated by a comma, such as walking/01.mp4,walking, and "
    "perhaps a split; a first line path,label,split may name them. Paths are relative to the file."
)


def table(
    path: str | os.PathLike[str], split: str | None = None, *, classes: Sequence[str] | None = None
) -> VideoSet:
    """Videos of a CSV file with the columns `path,label[,split]`.

    A first line of these names may put the columns into another order; others are passed over. A
    path is that of a video file or a folder of images, relative to the CSV file. Labels are all
    names, or all numbers from 0 on; they are numbered over all splits. Mirror images are told by
    names, as in `folder`.

    Args:
        path: The CSV file.
        split: Which rows are taken, by the third column. None or "" for all rows.
        classes: Names of the classes in the order of their numbers. None: the names that occur,
            sorted; or, of numbers, "0", "1" and so on, all of which must occur.

    Raises:
        ValueError: The file is missing or of another form; videos are missing or named twice;
            labels are unknown or out of range; there is no such split.
    """
    split = split or None
    path = file_among([Path(path)], "a CSV file", _MEND)
    rows = _rows(path, split is not None)
    names, labels = _labels(path, rows, classes)
    if split is not None:
        choice(f"{path}: split", split, sorted({row["split"] for row in rows}))
    listing, seen = Listing(), set[Path]()
    videos: list[FileVideo] = []
    faults: list[str] = []
    for row, label in zip(rows, labels, strict=True):
        video = path.parent / row["path"]
        if video in seen:
            faults.append(f"line {row['line']}: {row['path']} is there twice")
        elif not listing.has(video):
            faults.append(f"line {row['line']}: there is no {video}")
        elif split is None or row["split"] == split:
            videos.append(FileVideo(video, label))
        seen.add(video)
    raise_faults(str(path), faults, _MEND)
    title = path.stem if split is None else f"{path.stem} {split}"
    return VideoSet(title, videos, names, mirrored_by_words(names))


def _rows(path: Path, with_split: bool) -> list[dict[str, str]]:
    """The rows by the names of the columns, each with its `line`."""
    reader = csv.reader(io.StringIO(read_text(path, _MEND)))
    lines = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if any(row)]
    columns = ["path", "label", "split"]
    if lines and "path" in lines[0][1]:
        columns = lines.pop(0)[1]
    wanted = ["path", "label", "split"] if with_split else ["path", "label"]
    rows: list[dict[str, str]] = []
    faults = [f"expected a column {name}" for name in wanted if name not in columns]
    faults += [] if lines else ["there are no rows"]
    for line, cells in lines:
        row = dict(zip(columns, cells, strict=False), line=str(line))
        if len(cells) > len(columns) or not all(row.get(name) for name in wanted):
            faults.append(
                f"line {line}: expected {', '.join(wanted)}, received {','.join(cells)!r}"
            )
        rows.append(row)
    raise_faults(str(path), faults, _MEND)
    return rows


def _labels(
    path: Path, rows: list[dict[str, str]], classes: Sequence[str] | None
) -> tuple[tuple[str, ...], list[int]]:
    """Names of the classes, and the label of each row."""
    given = [row["label"] for row in rows]
    faults: list[str] = []
    if all(label.isdecimal() for label in given) and not set(given) <= set(classes or ()):
        numbers = [int(label) for label in given]
        if classes is None:
            absent = sorted(set(range(min(max(numbers) + 1, 10**6))) - set(numbers))
            faults = [f"no video has the label {number}" for number in absent]
            if faults:
                raise_faults(str(path), faults, "Number from 0 on without gaps, or give `classes`.")
            names = tuple(str(number) for number in range(max(numbers) + 1))
        else:
            names = tuple(classes)
            faults = [
                f"line {row['line']}: expected a label in 0 .. {len(names) - 1}, received {number}"
                for row, number in zip(rows, numbers, strict=True)
                if number >= len(names)
            ]
    else:
        names = tuple(sorted(set(given))) if classes is None else tuple(classes)
        of_name = {name: number for number, name in enumerate(names)}
        faults = [
            f"line {row['line']}: there is no class {row['label']!r}"
            for row in rows
            if row["label"] not in of_name
        ]
        numbers = [of_name.get(label, 0) for label in given]
    raise_faults(str(path), faults, f"The classes are {', '.join(names[:5])} ...")
    return names, numbers

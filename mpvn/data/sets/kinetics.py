"""Kinetics-400 and -600 (Kay et al. 2017, Carreira et al. 2018), and Mini-Kinetics.

Mini-Kinetics (Xie et al. 2018) is 200 classes of Kinetics-400 with fewer videos each. Which classes
and videos, the user must tell: this package holds no lists.
"""

import csv
import io
import os
from collections.abc import Sequence
from pathlib import Path

from mpvn.data.sets.files import FileVideo
from mpvn.data.sets.layout import (
    VIDEO_SUFFIXES,
    choice,
    file_among,
    folder_among,
    raise_faults,
    read_lines,
    read_text,
)
from mpvn.data.video_set import VideoSet

_SPLITS = {"train": ("train",), "val": ("val", "validate", "validation"), "test": ("test",)}
_COLUMNS = ("label", "youtube_id", "time_start", "time_end")
_MEND = (
    "The videos are root/train/CLASS/ID_000010_000020.mp4, or without the folders of splits or of "
    "classes; ID.mp4 is taken for a whole upload, and cut. The annotations are root/train.csv, or "
    "annotations/train.csv, with the columns label,youtube_id,time_start,time_end,split: see "
    "https://github.com/cvdfoundation/kinetics-dataset."
)


def kinetics(
    root: str | os.PathLike[str],
    split: str = "train",
    classes: int = 400,
    *,
    mini: bool = False,
    class_list: str | os.PathLike[str] | None = None,
    video_list: str | os.PathLike[str] | None = None,
    annotations: str | os.PathLike[str] | None = None,
    skip_missing: bool = False,
) -> VideoSet:
    """One split of Kinetics. Classes are numbered in the order of their names, or of `class_list`.

    Args:
        root: The folder of the videos.
        split: `"train"`, `"val"` or `"test"`.
        classes: 400 or 600: how many there must be.
        mini: Whether it is Mini-Kinetics. It needs `class_list`.
        class_list: A text file of classes, one on each line; others are left out. Empty: None.
        video_list: A text file of YouTube identifiers, as `class_list`.
        annotations: The CSV file; None to find it in `root`.
        skip_missing: Whether videos that are not there are left out: many are no longer online.

    Raises:
        ValueError: Annotations or videos are missing, or of another form; there are more or fewer
            classes; no `class_list` for Mini-Kinetics.
    """
    root = folder_among([Path(root)], "Kinetics", _MEND)
    choice("split", split, _SPLITS)
    choice("classes", str(classes), ("400", "600"))
    if mini and not class_list:
        raise ValueError(
            "Mini-Kinetics: expected class_list, a text file with the name of one class on each "
            "line, as in Kinetics-400. Its authors (Xie et al. 2018) publish which they are; this "
            f"package has no such list. Received: {class_list!r}"
        )
    given = [Path(annotations)] if annotations else _usual_annotations(root, split, classes)
    path = file_among(given, "annotations", _MEND)
    rows = _rows(path, split)
    names = sorted({row["label"] for row in rows})
    if class_list:
        names = _listed_classes(Path(class_list), names)
    elif len(names) != classes:
        raise ValueError(
            f"{path}: expected {classes} classes, received {len(names)}. Give all annotations of "
            "the split, or class_list for some of the classes."
        )
    numbers = {name: label for label, name in enumerate(names)}
    rows = [row for row in rows if row["label"] in numbers]
    if video_list:
        videos_file = file_among([Path(video_list)], "a list of videos", "Check the path.")
        chosen = {text for _, text in read_lines(videos_file, _MEND)}
        rows = [row for row in rows if row["youtube_id"] in chosen]
    finder = _Finder(root, split)
    videos: list[FileVideo] = []
    faults: list[str] = []
    for row in rows:
        video = finder.video(row, numbers[row["label"]])
        if video is not None:
            videos.append(video)
        elif not skip_missing:
            faults.append(f"there is no video {_cut_name(row)} of class {row['label']!r}")
    raise_faults(f"{root}, for {path}", faults, f"Fetch them, or give skip_missing=True. {_MEND}")
    name = "Mini-Kinetics" if mini else f"Kinetics-{classes}"
    return VideoSet(f"{name} {split}", videos, tuple(names))


def _usual_annotations(root: Path, split: str, classes: int) -> list[Path]:
    return [
        folder / f"{prefix}{name}.csv"
        for folder in (root, root / "annotations", root / f"kinetics{classes}")
        for prefix in ("", f"kinetics-{classes}_", f"kinetics_{classes}_")
        for name in _SPLITS[split]
    ]


def _rows(path: Path, split: str) -> list[dict[str, str]]:
    """Annotations of the split by column; a file without the column `split` is all of it."""
    reader = csv.DictReader(io.StringIO(read_text(path, _MEND)))
    columns = reader.fieldnames or ()
    faults = [f"expected a column {name}" for name in _COLUMNS if name not in columns]
    raise_faults(str(path), faults, _MEND)
    rows: list[dict[str, str]] = []
    for row in reader:
        if row.get("split") and row["split"] not in _SPLITS[split]:
            continue
        if not all(row[name] for name in _COLUMNS) or not _is_section(row):
            faults.append(f"line {reader.line_num}: expected {','.join(_COLUMNS)}, received {row}")
        rows.append(row)
    faults += [] if rows else [f"there are no rows of the split {split}"]
    raise_faults(str(path), faults, _MEND)
    return rows


def _is_section(row: dict[str, str]) -> bool:
    try:
        return 0 <= float(row["time_start"]) < float(row["time_end"])
    except ValueError:
        return False


def _listed_classes(path: Path, known: Sequence[str]) -> list[str]:
    lines = read_lines(file_among([path], "a list of classes", "Check the path."), _MEND)
    names = [text for _, text in lines]
    faults = [
        f"line {line}: the annotations know no class {text!r}"
        for line, text in lines
        if text not in known
    ]
    faults += [f"{name!r} is there twice" for name in sorted(set(names)) if names.count(name) > 1]
    raise_faults(str(path), faults, "Write one class on each line, as the annotations name it.")
    return names


def _cut_name(row: dict[str, str]) -> str:
    start, end = float(row["time_start"]), float(row["time_end"])
    return f"{row['youtube_id']}_{int(start):06d}_{int(end):06d}"


class _Finder:
    """Finds videos in the usual layouts, listing each folder once."""

    def __init__(self, root: Path, split: str) -> None:
        tops = [root / name for name in _SPLITS[split]]
        self._tops = [top for top in [*tops, root] if top.is_dir()]
        self._folders: dict[Path, dict[str, Path]] = {}

    def video(self, row: dict[str, str], label: int) -> FileVideo | None:
        name = row["label"]
        folders = [
            folder
            for top in self._tops
            for folder in (top / name, top / name.replace(" ", "_"), top)
        ]
        cut, upload = _cut_name(row), row["youtube_id"]
        for folder in folders:
            path = self._files(folder).get(cut)
            if path is not None:
                return FileVideo(path, label)
        for folder in folders:
            path = self._files(folder).get(upload)
            if path is not None:
                start, end = float(row["time_start"]), float(row["time_end"])
                return FileVideo(path, label, start=start, end=end)
        return None

    def _files(self, folder: Path) -> dict[str, Path]:
        """The videos of a folder by their names without suffix."""
        files = self._folders.get(folder)
        if files is None:
            present = folder.iterdir() if folder.is_dir() else ()
            files = {path.stem: path for path in present if path.suffix.lower() in VIDEO_SUFFIXES}
            self._folders[folder] = files
        return files

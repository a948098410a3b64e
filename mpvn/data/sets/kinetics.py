"""Kinetics-400 and -600 (Kay et al. 2017, Carreira et al. 2018), and Mini-Kinetics.

Mini-Kinetics (Xie et al. 2018) has 200 classes of Kinetics-400, with fewer videos each. The user
must provide the lists of its classes and videos; this package does not contain them.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from mpvn.data.sets.csv_rows import Row, read_csv
from mpvn.data.sets.files import FileVideo
from mpvn.data.sets.layout import (
    check_choice,
    find_file,
    find_folder,
    raise_problems,
    read_lines,
)
from mpvn.data.video.endings import is_video
from mpvn.data.video_set import VideoSet

_SPLITS = {"train": ("train",), "val": ("val", "validate", "validation"), "test": ("test",)}
_COLUMNS = ("label", "youtube_id", "time_start", "time_end")
_REMEDY = (
    "The videos must be root/train/CLASS/ID_000010_000020.mp4, where the folders of splits and of "
    "classes are optional. From a whole upload, ID.mp4, only the annotated section is read. "
    "The annotations must be root/train.csv or root/annotations/train.csv, with the columns "
    "label,youtube_id,time_start,time_end,split. See "
    "https://github.com/cvdfoundation/kinetics-dataset."
)


def kinetics(
    root: str | os.PathLike[str],
    split: str = "train",
    *,
    classes: int = 400,
    mini: bool = False,
    class_list: str | os.PathLike[str] | None = None,
    video_list: str | os.PathLike[str] | None = None,
    annotations: str | os.PathLike[str] | None = None,
    skip_missing: bool = False,
) -> VideoSet:
    """Read one split of Kinetics.

    Classes are numbered in the order of their names, or in the order of `class_list`.

    Args:
        root: The folder of the videos.
        split: `"train"`, `"val"` or `"test"`.
        classes: Number of classes: 400 or 600.
        mini: Whether to read Mini-Kinetics, which requires `class_list`.
        class_list: A text file with one class per line; other classes are ignored. "" is the same
            as None.
        video_list: A text file with one YouTube identifier per line; other videos are ignored.
        annotations: The CSV file. Default: find it in `root`.
        skip_missing: Whether to ignore missing videos. Many are no longer online.

    Raises:
        ValueError: Annotations or videos are missing or have another format; the number of classes
            is different; Mini-Kinetics has no `class_list`.
    """
    root = find_folder([Path(root)], "Kinetics", _REMEDY)
    check_choice("split", split, _SPLITS)
    check_choice("classes", str(classes), ("400", "600"))
    if mini and not class_list:
        raise ValueError(
            "Mini-Kinetics: expected class_list, a text file with one class of Kinetics-400 per "
            f"line. Received: {class_list!r}. This package does not contain the list, which the "
            "authors (Xie et al. 2018) publish."
        )
    candidates = [Path(annotations)] if annotations else _annotation_paths(root, split, classes)
    path = find_file(candidates, "annotations", _REMEDY)
    rows = _read_rows(path, split)
    names = _select_classes(path, rows, classes, class_list)
    rows = _select_rows(rows, names, video_list)
    videos, missing = _find_videos(_Finder(root, split), rows, names)
    if not skip_missing:
        remedy = f"Download them, or set skip_missing=True. {_REMEDY}"
        raise_problems(f"{root}, annotated in {path}", missing, remedy)
    title = "Mini-Kinetics" if mini else f"Kinetics-{classes}"
    return VideoSet(f"{title} {split}", videos, tuple(names))


def _annotation_paths(root: Path, split: str, classes: int) -> list[Path]:
    """Return the usual paths of the annotations."""
    return [
        folder / f"{prefix}{name}.csv"
        for folder in (root, root / "annotations", root / f"kinetics{classes}")
        for prefix in ("", f"kinetics-{classes}_", f"kinetics_{classes}_")
        for name in _SPLITS[split]
    ]


def _read_rows(path: Path, split: str) -> list[Row]:
    """Return the annotations of the split, or all of them without a column `split`."""
    rows = [
        row
        for row in read_csv(path, _COLUMNS, _REMEDY, header=True, may_be_empty=_COLUMNS)
        if row.cells.get("split", "") in ("", *_SPLITS[split])
    ]
    problems = [
        f"line {row.line}: expected {', '.join(_COLUMNS)}. Received: {dict(row.cells)}"
        for row in rows
        if not all(row[name] for name in _COLUMNS) or not _has_valid_times(row)
    ]
    problems += [] if rows else [f"Expected rows of the split {split}. Received: none"]
    raise_problems(str(path), problems, _REMEDY)
    return rows


def _has_valid_times(row: Row) -> bool:
    try:
        return 0 <= float(row["time_start"]) < float(row["time_end"])
    except ValueError:
        return False


def _select_classes(
    path: Path, rows: Sequence[Row], count: int, class_list: str | os.PathLike[str] | None
) -> list[str]:
    """Return the names of the classes, in the order of their labels."""
    names = sorted({row["label"] for row in rows})
    if class_list:
        return _read_class_list(Path(class_list), names)
    if len(names) != count:
        raise ValueError(
            f"{path}: expected {count} classes. Received: {len(names)}. Provide all annotations of "
            "the split, or set class_list to use some of the classes."
        )
    return names


def _read_class_list(path: Path, known: Sequence[str]) -> list[str]:
    lines = read_lines(find_file([path], "a list of classes", "Check class_list."), _REMEDY)
    names = [text for _, text in lines]
    problems = [
        f"line {line}: the annotations have no class {text!r}"
        for line, text in lines
        if text not in known
    ]
    problems += [f"{name!r} is a duplicate" for name in sorted(set(names)) if names.count(name) > 1]
    raise_problems(str(path), problems, "Write one class per line, as named in the annotations.")
    return names


def _select_rows(
    rows: Sequence[Row], names: Sequence[str], video_list: str | os.PathLike[str] | None
) -> list[Row]:
    """Return the rows of these classes, of the listed videos if there is a list."""
    known = set(names)
    selected = [row for row in rows if row["label"] in known]
    if not video_list:
        return selected
    path = find_file([Path(video_list)], "a list of videos", "Check video_list.")
    listed = {text for _, text in read_lines(path, _REMEDY)}
    return [row for row in selected if row["youtube_id"] in listed]


def _find_videos(
    finder: "_Finder", rows: Sequence[Row], names: Sequence[str]
) -> tuple[list[FileVideo], list[str]]:
    """Return the existing videos, and a message for each missing one."""
    numbers = {name: label for label, name in enumerate(names)}
    videos: list[FileVideo] = []
    missing: list[str] = []
    for row in rows:
        video = finder.find(row, numbers[row["label"]])
        if video is None:
            missing.append(f"The video {_trimmed_name(row)} of class {row['label']!r} is missing")
        else:
            videos.append(video)
    return videos, missing


def _trimmed_name(row: Row) -> str:
    """Return the name of a file that contains only the annotated section."""
    start, end = float(row["time_start"]), float(row["time_end"])
    return f"{row['youtube_id']}_{int(start):06d}_{int(end):06d}"


class _Finder:
    """Finds videos in the usual layouts, and lists each folder once."""

    def __init__(self, root: Path, split: str) -> None:
        tops = [root / name for name in _SPLITS[split]]
        self._tops = [top for top in [*tops, root] if top.is_dir()]
        self._folders: dict[Path, dict[str, Path]] = {}

    def find(self, row: Row, label: int) -> FileVideo | None:
        """Return the trimmed video if there is one, else the section of the whole upload."""
        name = row["label"]
        folders = [
            folder
            for top in self._tops
            for folder in (top / name, top / name.replace(" ", "_"), top)
        ]
        trimmed, upload = _trimmed_name(row), row["youtube_id"]
        for folder in folders:
            path = self._files(folder).get(trimmed)
            if path is not None:
                return FileVideo(path, label)
        for folder in folders:
            path = self._files(folder).get(upload)
            if path is not None:
                start, end = float(row["time_start"]), float(row["time_end"])
                return FileVideo(path, label, start=start, end=end)
        return None

    def _files(self, folder: Path) -> dict[str, Path]:
        """Return the videos of a folder by name without suffix."""
        if folder not in self._folders:
            paths = sorted(folder.iterdir()) if folder.is_dir() else []
            files = {path.stem: path for path in paths if is_video(path.name)}
            self._folders[folder] = files
        return self._folders[folder]

"""What the readers of data sets ask of files and folders, and how they tell what is wrong there."""

import json
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from mpvn.data.video.image_folder import IMAGE_SUFFIXES
from mpvn.data.video_set import NO_MIRROR

VIDEO_SUFFIXES = frozenset(
    {".avi", ".flv", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm", ".wmv"}
)
_SHOWN_FAULTS = 5
_SIDES = {"left": "right", "clockwise": "counterclockwise"}
_MIRRORED_WORDS = {**_SIDES, **{there: here for here, there in _SIDES.items()}}
_MIRRORED_WORD = re.compile(  # As a word of its own, also between underscores.
    rf"(?<![a-z])({'|'.join(_MIRRORED_WORDS)})(?![a-z])", re.IGNORECASE
)


def raise_faults(source: str, faults: Sequence[str], mend: str) -> None:
    """Raises one ValueError that lists the first five faults and counts the others; none, none."""
    if faults:
        shown = "".join(f"\n  {fault}" for fault in faults[:_SHOWN_FAULTS])
        more = len(faults) - _SHOWN_FAULTS
        rest = f"\n  and {more} more" if more > 0 else ""
        count = f"{len(faults)} fault{'s' if len(faults) > 1 else ''}"
        raise ValueError(f"{source}: {count}:{shown}{rest}\n{mend}")


def choice(what: str, value: str, choices: Iterable[str]) -> str:
    """`value`, if it is one of `choices`."""
    choices = list(choices)
    if value not in choices:
        raise ValueError(f"{what}: expected one of {', '.join(choices)}. Received: {value!r}")
    return value


def folder_among(candidates: Sequence[Path], what: str, mend: str) -> Path:
    """The first of the candidates that is a folder."""
    for folder in candidates:
        if folder.is_dir():
            return folder
    raise ValueError(f"expected {what} in {_either(candidates)}, where there is no folder. {mend}")


def file_among(candidates: Sequence[Path], what: str, mend: str) -> Path:
    """The first of the candidates that is a file."""
    for path in candidates:
        if path.is_file():
            return path
    raise ValueError(f"expected {what} in {_either(candidates)}, where there is no file. {mend}")


def read_text(path: Path, mend: str) -> str:
    """The text of a file in UTF-8."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: expected text in UTF-8, received other data. {mend}") from error


def read_lines(path: Path, mend: str) -> list[tuple[int, str]]:
    """The lines that are not empty, stripped, with their numbers from 1 on."""
    lines = enumerate(read_text(path, mend).splitlines(), 1)
    return [(number, line.strip()) for number, line in lines if line.strip()]


def read_json(path: Path, kind: type, mend: str) -> Any:
    """The JSON of a file, a `dict` or a `list` as `kind` says."""
    try:
        content = json.loads(read_text(path, mend))
    except json.JSONDecodeError as error:
        raise ValueError(
            f"{path}: expected JSON, received text that is none ({error}). {mend}"
        ) from error
    if not isinstance(content, kind):
        raise ValueError(
            f"{path}: expected a JSON {kind.__name__}, received a {type(content).__name__}. {mend}"
        )
    return content


def folders_in(folder: Path) -> list[str]:
    """Names of the folders in a folder, sorted, but for hidden ones."""
    return sorted(each.name for each in os.scandir(folder) if each.is_dir() and _counts(each.name))


def videos_in(folder: Path) -> list[Path]:
    """Video files, and folders of images, in a folder; sorted by name."""
    return sorted(
        Path(each.path)
        for each in os.scandir(folder)
        if _counts(each.name)
        and (
            has_images(Path(each.path))
            if each.is_dir()
            else Path(each.name).suffix.lower() in VIDEO_SUFFIXES
        )
    )


def has_images(folder: Path) -> bool:
    """Whether there is an image in the folder."""
    with os.scandir(folder) as entries:
        return any(
            Path(each.name).suffix.lower() in IMAGE_SUFFIXES and _counts(each.name)
            for each in entries
        )


class Listing:
    """What is in folders, each asked once: a data set has many files in one folder."""

    def __init__(self) -> None:
        self._names: dict[Path, frozenset[str]] = {}

    def has(self, path: Path) -> bool:
        """Whether the path exists."""
        names = self._names.get(path.parent)
        if names is None:
            names = frozenset(os.listdir(path.parent) if path.parent.is_dir() else ())
            self._names[path.parent] = names
        return path.name in names


def mirrored_by_words(classes: Sequence[str]) -> tuple[int, ...] | None:
    """By class, the one with left and right, or the sense of turning, exchanged in its name.

    `NO_MIRROR` where no class has that name. None if all classes are their own mirror image.
    """
    numbers = {name: number for number, name in enumerate(classes)}
    mirrored = tuple(
        numbers.get(_MIRRORED_WORD.sub(_exchanged, name), NO_MIRROR) for name in classes
    )
    return None if mirrored == tuple(range(len(classes))) else mirrored


def _exchanged(word: re.Match[str]) -> str:
    other = _MIRRORED_WORDS[word[0].lower()]
    if word[0].isupper():
        return other.upper()
    return other.capitalize() if word[0][0].isupper() else other


def _counts(name: str) -> bool:
    return not name.startswith(".")


def _either(paths: Sequence[Path]) -> str:
    return " or ".join(str(path) for path in paths)

"""Files and folders of data sets: find them, read them, and report all problems in one error."""

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from mpvn.data.video.endings import is_hidden, is_image

_MOST_NAMED = 5


def raise_problems(source: str, problems: Sequence[str], remedy: str) -> None:
    """Raise one ValueError that lists five problems and counts the rest, if there are any."""
    if not problems:
        return
    count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
    shown = "".join(f"\n  {problem}" for problem in problems[:_MOST_NAMED])
    more = len(problems) - _MOST_NAMED
    rest = f"\n  and {more} more" if more > 0 else ""
    raise ValueError(f"{source}: {count}:{shown}{rest}\n{remedy}")


def named(names: Sequence[str]) -> str:
    """Name five things, and count the others."""
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f", and {more} more" if more > 0 else "")


def title_of(name: str, split: str | None) -> str:
    """Return the name of a split of a data set."""
    return name if split is None else f"{name} {split}"


def check_choice(name: str, value: str, choices: Iterable[str]) -> str:
    """Return `value` if it is one of `choices`; otherwise raise ValueError."""
    choices = list(choices)
    if value not in choices:
        raise ValueError(f"{name}: expected one of {', '.join(choices)}. Received: {value!r}.")
    return value


def find_folder(candidates: Sequence[Path], content: str, remedy: str) -> Path:
    """Return the first candidate that is a folder. `content` describes it in the error."""
    for folder in candidates:
        if folder.is_dir():
            return folder
    raise ValueError(f"Expected {content} in the folder {_any_of(candidates)}. {remedy}")


def find_file(candidates: Sequence[Path], content: str, remedy: str) -> Path:
    """Return the first candidate that is a file. `content` describes it in the error."""
    for path in candidates:
        if path.is_file():
            return path
    raise ValueError(f"Expected {content} in the file {_any_of(candidates)}. {remedy}")


def read_text(path: Path, remedy: str) -> str:
    """Return the text of a UTF-8 file, with its line endings."""
    content = path.read_bytes()
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"{path}: expected text in UTF-8. Received: other data in line {line}, "
            f"{content[error.start : error.end]!r}. Save it as UTF-8. {remedy}"
        ) from error


def read_lines(path: Path, remedy: str) -> list[tuple[int, str]]:
    """Return the nonempty lines, stripped, with their line numbers, which start at 1."""
    lines = enumerate(read_text(path, remedy).splitlines(), 1)
    return [(number, line.strip()) for number, line in lines if line.strip()]


def read_json(path: Path, kind: type, remedy: str) -> Any:
    """Return the content of a JSON file, which must be of type `kind`: `dict` or `list`."""
    try:
        content = json.loads(read_text(path, remedy))
    except json.JSONDecodeError as error:
        raise ValueError(
            f"{path}: expected JSON. Received: other text ({error}). {remedy}"
        ) from error
    if not isinstance(content, kind):
        raise ValueError(
            f"{path}: expected a JSON {kind.__name__}. Received: a {type(content).__name__}. "
            f"{remedy}"
        )
    return content


def folders_in(folder: Path) -> list[str]:
    """Return the sorted names of the subfolders, without hidden ones and those of systems."""
    return sorted(
        entry.name for entry in os.scandir(folder) if entry.is_dir() and not is_hidden(entry.name)
    )


def has_images(folder: Path) -> bool:
    """Return whether the folder exists and contains an image."""
    if not folder.is_dir():
        return False
    with os.scandir(folder) as entries:
        return any(is_image(entry.name) for entry in entries)


class PathCache:
    """Checks whether paths exist. Lists each folder once, because it may hold many videos."""

    def __init__(self) -> None:
        self._names: dict[Path, frozenset[str]] = {}

    def exists(self, path: Path) -> bool:
        """Return whether the path exists."""
        names = self._names.get(path.parent)
        if names is None:
            names = frozenset(os.listdir(path.parent) if path.parent.is_dir() else ())
            self._names[path.parent] = names
        return path.name in names


def _any_of(paths: Sequence[Path]) -> str:
    return " or ".join(str(path) for path in paths)

"""Files that are written line by line: tables (CSV), and JSON lines."""

import contextlib
import csv
import itertools
import json
import os
import sys
from collections.abc import Iterator, Mapping
from typing import Any, Self, TextIO

from mpvn.files import AtomicPath, is_device, writing

STDOUT = ("-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1")


class LineFile:
    """A text file whose lines are there as soon as they are written.

    As a context manager, it completes the file, or leaves none if the block raises.

    Args:
        path: the file. An existing one is replaced. One of `STDOUT` is the standard output.
        in_place: whether lines go to `path` at once, for others that follow the file. False: the
            file gets its name when it is complete.
        keep: number of lines of an existing file that stay, if lines go to `path` at once.

    Raises:
        WriteError: the file cannot be written.
    """

    def __init__(self, path: str, in_place: bool = False, keep: int = 0) -> None:
        self._path = path
        self._keep = keep
        self._in_place = in_place or is_device(path)
        self._stack = contextlib.ExitStack()
        self._file: TextIO | None = None

    def __enter__(self) -> Self:
        if self._path in STDOUT:  # Opened anew, a file that the shell redirects to would be cut.
            self._file = sys.stdout
            return self
        with writing(self._path), contextlib.ExitStack() as stack:
            target = self._path
            if not self._in_place:
                target = str(stack.enter_context(AtomicPath(target)))
            # Line by line: the reader of a pipe sees each answer when it is there.
            _cut(target, self._keep)
            file = open(target, "a", buffering=1, newline="", encoding="utf-8")
            self._file = stack.enter_context(file)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *raised: Any) -> None:
        with writing(self._path):  # Closing a file writes what did not fit on the disk before.
            self._stack.__exit__(*raised)

    def write(self, text: str) -> int:
        """Write whole lines."""
        if self._file is None:
            raise ValueError(f"{self._path} is not open. Use the file in a `with` block")
        with writing(self._path):
            written = self._file.write(text)
            self._file.flush()
            return written


class Rows(LineFile):
    """A `LineFile` of rows: CSV if it ends in `.csv` or `.txt`, else a line of JSON for each.

    Of an existing file, the first `keep` rows stay.

    The columns of CSV are those of the first row. Lists are left out.

    Attributes:
        is_table: whether it is CSV.
    """

    def __init__(self, path: str, in_place: bool = False, keep: int = 0) -> None:
        self.is_table = path.lower().endswith((".csv", ".txt"))
        self._has_columns = keep > 0
        super().__init__(path, in_place, keep + (self.is_table and keep > 0))

    def add(self, row: Mapping[str, Any]) -> None:
        """Write a row. In a table, a mapping among its values has a column for each of its keys."""
        if not self.is_table:
            self.write(json.dumps(row, ensure_ascii=False) + "\n")
            return
        columns, cells = zip(*_cells(row), strict=True)
        rows = [cells] if self._has_columns else [columns, cells]
        self._has_columns = True
        csv.writer(self, lineterminator="\n").writerows(rows)


def _cut(path: str, lines: int) -> None:
    """Remove all lines of a file but the first ones. Devices have none."""
    if os.path.isfile(path):
        with open(path, "rb+") as file:
            end = sum(len(line) for line in itertools.islice(file, lines))
            file.truncate(end)


def _cells(row: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the column and the value of each cell. Columns may have equal names."""
    for name, value in row.items():
        if not isinstance(value, Mapping):
            if not isinstance(value, list):
                yield f"{above}{name}", value
            continue
        for key, inner in value.items():
            if isinstance(inner, Mapping):
                yield from _cells(inner, f"{key} ")
            else:
                yield str(key), inner

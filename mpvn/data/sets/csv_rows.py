"""Read CSV files strictly: each line is a row, and a line that is not one is an error.

Python's `csv` takes a quote that is never closed for the beginning of a cell of many lines, and so
swallows rows without an error. Here a cell ends in its line. Cells with quotes or separators must
be quoted whole, with quotes in them doubled: `"a, ""b"" c"`. All lines have the same number of
cells; lines without content are ignored.

Cells are separated by commas; or by semicolons or tabs, if only these divide all lines into equally
many cells.
"""

import dataclasses
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from mpvn.data.sets.layout import raise_problems, read_text

_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}
_Line = tuple[int, list[str]]


@dataclasses.dataclass(frozen=True)
class Row:
    """A line of a CSV file.

    Attributes:
        line: Number of the line, from 1 on.
        cells: Values by the name of the column, without spaces around them.
    """

    line: int
    cells: Mapping[str, str]

    def __getitem__(self, column: str) -> str:
        return self.cells[column]


def read_csv(
    path: Path,
    required: Sequence[str],
    remedy: str,
    *,
    optional: Sequence[str] = (),
    header: bool = False,
    may_be_empty: Collection[str] = (),
) -> list[Row]:
    """Read a CSV file.

    If the first line contains the name of the first required column, it is a header: columns may be
    in any order, and there may be others. Names match in upper and lower case.

    Args:
        path: The file, in UTF-8.
        required: Columns that must be there.
        remedy: The end of error messages.
        optional: Columns that may follow the required ones in a file without header.
        header: Whether the file must have a header.
        may_be_empty: Required columns whose cells may be empty.

    Raises:
        ValueError: The file is not in UTF-8, has no rows or lacks a column; a column is there
            twice; or some lines are not rows; their numbers are listed.
    """
    lines, problems = _read_lines(path, remedy)
    columns = [name.lower() for name in lines[0][1]] if lines else []
    if required[0].lower() in columns or header:
        lines = lines[1:]
    else:
        columns = [*required, *optional][: max(len(columns), len(required))]
    known = {name.lower(): name for name in (*required, *optional)}
    columns = [known.get(name, name) for name in columns]
    problems += [f"Expected a column {name}" for name in required if name not in columns]
    problems += [
        f"Expected one column {name}. Received: {columns.count(name)}"
        for name in dict.fromkeys(columns)
        if name and columns.count(name) > 1
    ]
    problems += [] if lines or problems else ["Expected rows. Received: none"]
    raise_problems(str(path), problems, remedy)
    rows = [Row(line, dict(zip(columns, cells, strict=False))) for line, cells in lines]
    problems = [
        f"line {row.line}: expected {', '.join(columns)}. Received: {', '.join(cells)!r}"
        for row, (_, cells) in zip(rows, lines, strict=True)
        if len(cells) != len(columns)
        or not all(row.cells.get(name) or name in may_be_empty for name in required)
    ]
    raise_problems(str(path), problems, remedy)
    return rows


def _read_lines(path: Path, remedy: str) -> tuple[list[_Line], list[str]]:
    """Return the cells of each line with its number, and the problems."""
    texts = [
        (number, text)
        for number, text in enumerate(re.split("\r\n|\n|\r", read_text(path, remedy)), 1)
        if text.strip()
    ]
    parsed = {separator: _parse(texts, separator) for separator in _SEPARATORS}
    regular = [
        separator
        for separator, (lines, problems) in parsed.items()
        if not problems and len({len(cells) for _, cells in lines}) == 1 and len(lines[0][1]) > 1
    ]
    # A comma divides text and so may be in all labels by chance, but then paths do not exist.
    return parsed[regular[0] if regular else ","]


def _parse(texts: Sequence[tuple[int, str]], separator: str) -> tuple[list[_Line], list[str]]:
    """Return the cells of each line with content, and the problems."""
    quoted, plain = rf'[ ]*"((?:[^"]|"")*)"[ ]*(?={separator}|$)', f'([^"{separator}]*)'
    cell = re.compile(f"(?:^|{separator})(?:{quoted}|{plain})")
    lines: list[_Line] = []
    problems: list[str] = []
    for number, text in texts:
        cells = _split(text, cell)
        if "\0" in text:
            problems.append(f"line {number}: expected text. Received: a NUL character")
        elif cells is None:
            problems.append(
                f"line {number}: expected quotes around whole cells that end in the same line. "
                f"Received: {text!r}"
            )
        elif any(cells):
            lines.append((number, cells))
    return lines, problems


def _split(text: str, cell: re.Pattern[str]) -> list[str] | None:
    """Return the cells of a line, stripped; None if its quotes are wrong."""
    matches = list(cell.finditer(text))
    if "".join(match[0] for match in matches) != text:
        return None
    pairs = (match.groups() for match in matches)
    return [
        (plain if quoted is None else quoted.replace('""', '"')).strip() for quoted, plain in pairs
    ]

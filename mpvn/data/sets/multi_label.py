"""Labels of videos with any number of classes, in a cell of a CSV file: `walk|wave`."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from mpvn.data.sets.csv_rows import Row
from mpvn.data.sets.layout import raise_problems


def split_labels(path: Path, rows: Sequence[Row], separator: str) -> list[Row]:
    """Return a row for each label of each row; none for an empty cell, a video without classes.

    Args:
        path: The CSV file, for messages.
        rows: Its rows, with a column `label`.
        separator: Text between the labels of a video.

    Raises:
        ValueError: A label between separators is empty, or a video has a label twice.
    """
    cells = [_labels(row, separator) for row in rows]
    problems = [
        f"line {row.line}: expected different labels with {separator!r} between them. Received: "
        f"{row['label']!r}"
        for row, labels in zip(rows, cells, strict=True)
        if not all(labels) or len(set(labels)) < len(labels)
    ]
    raise_problems(str(path), problems, "A video without classes has an empty cell.")
    return [
        Row(row.line, {**row.cells, "label": label})
        for row, labels in zip(rows, cells, strict=True)
        for label in labels
    ]


def join_labels(
    rows: Sequence[Row], numbers: Sequence[int], separator: str
) -> Iterator[tuple[int, ...]]:
    """Yield the labels of each row, from the numbers of the labels that `split_labels` returned."""
    remaining = iter(numbers)
    for row in rows:
        yield tuple(sorted(next(remaining) for _ in _labels(row, separator)))


def _labels(row: Row, separator: str) -> list[str]:
    return [label.strip() for label in row["label"].split(separator)] if row["label"] else []

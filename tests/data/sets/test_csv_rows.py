"""Strict CSV files: no line is swallowed."""

from pathlib import Path

import pytest
from fake_sets import raises

from mpvn.data.sets.csv_rows import read_csv

QUOTES = "expected quotes around whole cells that end in the same line"


def read(tmp_path: Path, content: str | bytes) -> list[tuple[int, str, str]]:
    path = tmp_path / "list.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    rows = read_csv(path, ["path", "label"], "Mend it.", optional=["split"])
    return [(row.line, row["path"], row["label"]) for row in rows]


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ('a,"run\nb,walk\nc,jump\n', [f"line 1: {QUOTES}"]),  # swallowed two lines before
        ('a,"run\nb,walk"\n', ["2 problems", f"line 1: {QUOTES}", f"line 2: {QUOTES}"]),
        ('a,run"\n', [f"line 1: {QUOTES}"]),
        ('a,r"u"n\n', [f"line 1: {QUOTES}"]),
        ('a,"run"s\nb,walk', ["1 problem", f"line 1: {QUOTES}"]),
        ("a,run\n\nb,walk,train\nc\n", ["2 problems", "line 3: ", "line 4: "]),
        ("a,run\nb,wa\0lk\n", ["line 2: expected text. Received: a NUL"]),
        ("a,run\nb,\n", ["line 2: expected path, label"]),
        (
            "a;run,b\nc;walk;d\n",
            ["1 problem", "line 2: expected path, label. Received: 'c;walk;d'"],
        ),
    ],
)
def test_lines_that_are_no_rows_are_named(tmp_path: Path, content: str, parts: list[str]) -> None:
    with raises(*parts):
        read(tmp_path, content)


@pytest.mark.parametrize(
    "content",
    [
        "a,run\nb c,walk\n",
        "\ufeffa,run\r\nb c,walk\r\n",
        "a;run\nb c;walk",
        "a\trun\nb c\twalk\n",
        '"a","run"\n"b c" , walk\n,\n',
        "a,run\rb c,walk\r",
        "a,run,train\nb c,walk,\n",
    ],
)
def test_usual_forms_are_read(tmp_path: Path, content: str) -> None:
    assert read(tmp_path, content) == [(1, "a", "run"), (2, "b c", "walk")]


def test_headers_and_quotes(tmp_path: Path) -> None:
    content = 'Label,note,PATH\n"run, ""fast""",;,a\n\nwalk,;,"b,c"\n'
    assert read(tmp_path, content) == [(2, "a", 'run, "fast"'), (4, "b,c", "walk")]
    assert read(tmp_path, "path;label\na,b;run\n") == [(2, "a,b", "run")]

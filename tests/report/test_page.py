"""The report page is self-contained and escaped, and is written completely or not at all."""

import html.parser
import math
import os
from pathlib import Path

import numpy as np
import pytest

from mpvn.report import latency_figure, page, write_report

IMAGE = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
FIGURE = latency_figure({"run": [1.0, 2.0]})


class Elements(html.parser.HTMLParser):
    """All tags of a page with their attributes, and the texts of the table's cells."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.cells: list[tuple[str, str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        tag, attributes = self.tags[-1] if self.tags else ("", {})
        if tag in ("td", "th") and data.strip():
            self.cells.append((data, attributes.get("class", "")))


def write(folder: Path, **changes: object) -> str:
    arguments = {
        "title": "Title",
        "lead": "Lead",
        "table": [{"run": "a", "ms": 1.5}],
        "figures": [(FIGURE, "Caption")],
        "frames": [(IMAGE, "Frame 0")],
        "notes": {"command": "mpvn demo"},
    }
    path = write_report(folder / "report.html", **(arguments | changes))
    return path.read_text(encoding="utf-8")


def test_page_contains_everything_and_loads_nothing(tmp_path: Path) -> None:
    text = write(tmp_path)
    for part in ("Title", "Lead", "Caption", "Frame 0", "mpvn demo", FIGURE):
        assert part in text
    tags = Elements(text).tags
    assert not {tag for tag, _ in tags} & {"script", "link", "iframe", "object"}
    sources = [attrs[key] for _, attrs in tags for key in ("src", "href") if key in attrs]
    assert [source.split(";")[0] for source in sources] == ["data:image/png"]
    assert text.index("<table") < text.index("<svg") < text.index("<img")


def test_page_is_deterministic(tmp_path: Path) -> None:
    assert write(tmp_path) == write(tmp_path)


def test_table_figures_frames_and_notes_are_optional(tmp_path: Path) -> None:
    text = write(tmp_path, table=[], figures=[], frames=[], notes=None)
    assert "<table" not in text
    assert "<figure" not in text
    assert "<dl" not in text


def test_frames_are_shown_without_figures(tmp_path: Path) -> None:
    assert write(tmp_path, figures=[]).count("<img") == 1


@pytest.mark.parametrize("where", ["title", "lead", "table", "column", "caption", "frame", "notes"])
def test_all_texts_are_escaped(tmp_path: Path, where: str) -> None:
    evil = "<script>alert('&')</script>"
    changes = {
        "title": {"title": evil},
        "lead": {"lead": evil},
        "table": {"table": [{"run": evil}]},
        "column": {"table": [{evil: 1}]},
        "caption": {"figures": [(FIGURE, evil)]},
        "frame": {"frames": [(IMAGE, evil)]},
        "notes": {"notes": {evil: evil}},
    }[where]
    text = write(tmp_path, **changes)
    assert "<script" not in text
    assert "&lt;script&gt;alert(&#39;&amp;&#39;)" in text


def test_numbers_are_right_aligned_with_three_digits_for_the_largest(tmp_path: Path) -> None:
    table = [
        {"run": "a", "ms": 41.26, "count": 1234567, "mixed": 1},
        {"run": "b", "ms": np.float32(8.04), "count": np.int64(3), "mixed": "none"},
        {"run": "c", "ms": math.nan, "count": None, "new": True},
    ]
    cells = Elements(write(tmp_path, table=table)).cells
    assert [cells[i : i + 5] for i in range(0, len(cells), 5)] == [
        [("run", ""), ("ms", "number"), ("count", "number"), ("mixed", ""), ("new", "")],
        [("a", ""), ("41.3", "number"), ("1,234,567", "number"), ("1", ""), ("–", "")],
        [("b", ""), ("8.0", "number"), ("3", "number"), ("none", ""), ("–", "")],
        [("c", ""), ("–", "number"), ("–", "number"), ("–", ""), ("True", "")],
    ]


def test_photos_become_jpeg_and_drawings_png() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    assert page._data_uri(noise).startswith("data:image/jpeg;base64,")
    assert page._data_uri(np.zeros((64, 64, 3), np.uint8)).startswith("data:image/png;base64,")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"frames": [(IMAGE.astype(np.float32), "")]}, r"frame 0: Expected uint8 .*float32"),
        ({"frames": [(IMAGE, ""), (IMAGE[..., 0], "")]}, r"frame 1: .*Received: .*\[4, 6\]"),
        ({"figures": [("<svg", "")]}, "figure 0: Expected an SVG string"),
        ({"figures": [("<p/>", "")]}, "figure 0: Expected an <svg> element"),
    ],
)
def test_invalid_figures_and_frames_are_rejected_and_nothing_is_written(
    tmp_path: Path, changes: dict, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        write(tmp_path, **changes)
    assert not list(tmp_path.iterdir())


def test_folder_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="does not exist. Create it"):
        write(tmp_path / "missing")


def test_failure_keeps_the_old_page_and_leaves_no_temporary_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = write(tmp_path)

    def fail(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="no space left"):
        write(tmp_path, title="Another")
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.html"]
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == before

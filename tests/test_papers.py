"""The map of the papers: what it names exists, commands parse, numbers are measured ones."""

import argparse
import ast
import importlib
import inspect
import pathlib
import re
import shlex
from collections.abc import Callable, Iterator
from typing import Any

import keras
import pytest

from keras_layers.pure_call import without_values
from mpvn import cli
from mpvn.cli import sweep
from mpvn.cli.model_and_plan import _option
from mpvn.models import PUBLISHED
from mpvn.training import base_config, load_config
from mpvn.training.grids import changed_keys
from mpvn.training.hyperparameter_sweep import grid_cells
from mpvn.training.options import GROUPS
from mpvn.training.overrides import override
from mpvn.training.run_folder import flat

ROOT = pathlib.Path(__file__).parents[1]
MAP = ROOT / "docs" / "papers.md"
TEXT = MAP.read_text()
COLUMNS = ["place", "what", "Python", "config, command", "shown by", "status"]
STATUSES = ("exact", "small", "real data", "not yet", "not offered")
LINK = re.compile(r"\[([^\]]*)\]\(([^)#]*)(?:#([^)]*))?\)")
KEYS = {
    ".".join(parts[:depth])
    for parts in (key.split(".") for key in flat(base_config().to_dict()))
    for depth in range(1, len(parts) + 1)
} | set(GROUPS)
SPANS = sorted(set(re.findall(r"`([^`]+)`", TEXT)))


def split_row(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().removeprefix("|").removesuffix("|").split("|")]


def rows() -> list[list[str]]:
    """Return the cells of the tables of the papers."""
    cells = [split_row(line) for line in TEXT.splitlines() if line.startswith("| ")]
    starts = [number for number, row in enumerate(cells) if row == COLUMNS]
    assert len(starts) == 4
    found = []
    for start in starts:
        for row in cells[start + 1 :]:
            if row[0] == "experiment":
                break
            found.append(row)
    return found


def anchors(text: str) -> set[str]:
    """Return the anchors that GitHub gives to the headings of a document."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def section(text: str, anchor: str | None) -> str:
    """Return the section of a document that an anchor names, or the whole document."""
    parts = re.split(r"^(?=#+ )", text, flags=re.MULTILINE)
    return next(part for part in parts if anchor in anchors(part)) if anchor else text


def test_every_link_leads_somewhere() -> None:
    wrong = []
    for name, path, anchor in LINK.findall(TEXT):
        target = (MAP.parent / path).resolve() if path else MAP
        if not target.exists() or (anchor and anchor not in anchors(target.read_text())):
            wrong.append(f"[{name}]({path}#{anchor})")
        if target.parent.name == "configs" and name != target.stem:
            wrong.append(f"{name} is called {target.stem}")
    assert wrong == []


def test_every_config_has_a_place() -> None:
    linked = {pathlib.Path(path).stem for _, path, _ in LINK.findall(TEXT) if "/configs/" in path}
    assert linked == {path.stem for path in (ROOT / "configs").glob("*.py")}


def named(expression: ast.expr) -> Any:
    """Import what a dotted name means."""
    root, *names = ast.unparse(expression).split(".")
    value = importlib.import_module(root)
    for name in names:
        if not hasattr(value, name):
            importlib.import_module(f"{value.__name__}.{name}")
        value = getattr(value, name)
    return value


def build_small(build: Callable[..., keras.Model], options: dict[str, Any]) -> None:
    with without_values():
        build((64, 64, 3), **{"width": 0.05, **options})


@pytest.mark.parametrize("text", [s for s in SPANS if s.startswith(("mpvn.", "keras_layers."))])
def test_every_name_and_argument_exists(text: str) -> None:
    expression = ast.parse(text, mode="eval").body
    if not isinstance(expression, ast.Call):
        named(expression)
        return
    assert not expression.args
    parameters = inspect.signature(named(expression.func)).parameters
    assert {keyword.arg for keyword in expression.keywords} <= set(parameters)
    if text.startswith("mpvn.models."):
        options = {each.arg or "": ast.literal_eval(each.value) for each in expression.keywords}
        build_small(named(expression.func), options)


def check_command(arguments: argparse.Namespace, folder: pathlib.Path) -> None:
    """Check the model and its options, the overrides, and the grid of a parsed command."""
    model = getattr(arguments, "model", None)
    if model in PUBLISHED:
        options = dict(_option(text) for text in getattr(arguments, "option", ()))
        if options:
            build_small(PUBLISHED[model].build, options)
    assert model in (None, "RUN", *PUBLISHED) or hasattr(keras.applications, model)
    if arguments.name == "sweep":
        grid = sweep._grid(arguments)  # Named grids are tested with their configs.
        if arguments.rewire:
            assert set(changed_keys(grid)) <= KEYS
        elif any("=" in text for text in arguments.grid):
            assert grid_cells(folder, ROOT / arguments.config, grid, arguments.overrides)
    elif arguments.name == "train":
        load_config(ROOT / arguments.config, arguments.overrides)
    else:
        override(base_config(), arguments.overrides)


@pytest.mark.parametrize("text", [span for span in SPANS if span.startswith("mpvn ")])
def test_every_command_has_arguments_that_exist(
    text: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    check_command(cli._parse(shlex.split(text)[1:]), tmp_path)


def test_every_other_term_is_a_key_or_a_file() -> None:
    for span in SPANS:
        if span.startswith("config."):
            assert span.removeprefix("config.") in KEYS, span
        elif not span.startswith(("mpvn", "keras_layers.")) and span not in ("report.html", "par_"):
            assert (ROOT / span).exists(), span


def test_every_row_says_where_it_stands() -> None:
    for row in rows():
        assert len(row) == len(COLUMNS), row
        assert row[-1].startswith(STATUSES), row
        needs_evidence = row[-1].startswith(("exact", "small"))
        assert not needs_evidence or LINK.search(row[-2]) or LINK.search(row[-3]), row


def test_every_number_stands_in_the_table_that_is_linked() -> None:
    """Results of benchmarks change when they are run again."""
    checked = 0
    for row in rows():
        _, _, _, _, shown, _ = row
        links = [link for link in LINK.findall(shown) if "benchmarks" in link[1]]
        measured = "".join(
            section((MAP.parent / path).resolve().read_text(), anchor) for _, path, anchor in links
        )
        for number in re.findall(r"\d*\.\d+", LINK.sub("", shown)):
            assert re.search(rf"(?<![\d.])0?{re.escape(number.lstrip('0'))}(?!\d)", measured) or (
                re.search(rf"(?<![\d.]){re.escape(number)}0*(?!\d)", measured)
            ), f"{number} in {row}"
            checked += 1
    assert checked > 10


PAPERS = {
    "Massively Parallel Video Networks": "massively-parallel-video-networks",
    "Sideways": "sideways",
    "Skip-Sideways": "skip-sideways",
    "Temporal Shift Module": "temporal-shift-module",
}
PLACE = r"(section|figure|table|appendix|equation)s? ([\dA-D]+(?:\.\d+)*)"


def places(paper: str) -> set[str]:
    """Return the places of a paper in the map, such as "section 3.2" and its "section 3"."""
    found: set[str] = set()
    for line in section(TEXT, PAPERS[paper]).splitlines():
        kind = "section"
        for part in split_row(line)[0].split(", ") if line.startswith("|") else ():
            words = re.match(r"(?:(figure|table|equation)s? )?([\d.]+|[A-D]\b)(?: to (\d+))?", part)
            if not words:
                continue
            kind, number = words[1] or kind, words[2]
            numbers = range(int(number), int(words[3]) + 1) if words[3] else [number]
            found |= {f"{kind} {each}" for each in numbers}
            found |= {f"{kind} {number.split('.')[0]}"}
            found |= {f"{kind} {'.'.join(number.split('.')[:2])}"}
    return found


def citations() -> Iterator[tuple[str, str, str]]:
    """Yield the paper and the first place of each citation, and its file."""
    files = [path for folder in ("mpvn", "keras_layers") for path in (ROOT / folder).rglob("*.py")]
    files += [*(ROOT / "configs").glob("*.py"), *(ROOT / "benchmarks").rglob("*.md")]
    for path in files:
        text = " ".join(path.read_text().split())
        for title, kind, number in re.findall(rf"\*([^*]+)\*[^.*]{{0,40}}?\b{PLACE}", text):
            for paper in PAPERS:
                if re.match(rf"{paper}\b(?!-)", title):
                    yield paper, f"{kind} {number}".replace("appendix", "section"), str(path)


def test_citations_name_places_of_the_map() -> None:
    found = list(citations())
    assert len(found) > 20
    known = {paper: places(paper) for paper in PAPERS}
    for paper, place, path in found:
        assert place in known[paper], (paper, place, path)

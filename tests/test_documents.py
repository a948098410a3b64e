"""Documents are executed: their Python code, their commands as far as arguments, and docstrings."""

import doctest
import importlib
import os
import pathlib
import re
import shlex
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from encoded_videos import encode

from mpvn import Plan, cli
from mpvn.cli import given
from mpvn.data import video
from mpvn.models import PUBLISHED, load_frame_model, multi_scale, par_densenet
from mpvn.report import architecture_figure, networks, timeline_figure
from mpvn.sideways.schedule import gpipe, sideways
from mpvn.training import base_config, load_config
from mpvn.training.build.clips import build_views
from mpvn.training.overrides import override

README = pathlib.Path(__file__).parents[1] / "README.md"
DOCUMENTS = [README, *sorted((README.parent / "docs").glob("*.md"))]
VARIANT = re.compile(r"\| \w+ \| `")
"""A row of the table of networks with options."""
MODULES = [
    *(
        f"keras_layers.{path.stem}"
        for path in sorted((README.parent / "keras_layers").glob("*.py"))
        if ">>> " in path.read_text()
    ),
    "mpvn.network",
    "mpvn.plan.plan",
    "mpvn.tasks.task",
    "mpvn.training.distillation",
    "mpvn.sideways.sideways_trainer",
    "mpvn.sideways.schedule",
]


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples_are_right(name: str) -> None:
    results = doctest.testmod(importlib.import_module(name))
    assert results.attempted > 0
    assert results.failed == 0


@pytest.mark.usefixtures("eager", "short_par_densenet", "short_mobilenet")
def test_the_python_code_of_the_readme_runs(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    monkeypatch.chdir(tmp_path)
    camera = rng.normal(size=(3, 1, 224, 224, 3)).astype("float32")
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert len(blocks) >= 2
    names = {"camera": camera}
    for block in blocks:
        exec(compile(block, str(README), "exec"), names)
    assert names["scores"].shape == (1, 1000)
    assert (tmp_path / "served" / "1" / "saved_model.pb").exists()


def test_the_python_code_about_data_runs(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    walk = encode(tmp_path / "walk.mp4", count=15)  # 0.6 s
    for name in ("walking", "waving"):
        (tmp_path / "FOLDER" / name).mkdir(parents=True)
        for number in range(2):
            (tmp_path / "FOLDER" / name / f"{number}.mp4").symlink_to(walk)
    text = (README.parent / "docs" / "data.md").read_text()
    names: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(compile(block, "docs/data.md", "exec"), names)
    printed = capsys.readouterr().out.splitlines()
    assert [line[:5] for line in printed[:6]] == [f"{n / 10:.1f} s" for n in range(6)]
    assert printed[6:] == ["10 25 2/5", "('walking', 'waving') 2 2"]
    assert len(names["frames"]) == 4
    with names["VideoReader"]("seen.mp4") as seen:
        assert [time for time, _ in seen.timed()] == [n / 25 for n in range(15)]


def commands() -> Iterator[tuple[str, list[str]]]:
    """Yield the arguments of each command in the documents, and the name of the document."""
    for path in DOCUMENTS:
        text = path.read_text().replace("\\\n", " ")
        for command in re.findall(r"^ {4}.*?\bmpvn ([a-z-]+ .+)$", text, re.MULTILINE):
            yield path.name, shlex.split(command, comments=True)


def test_the_commands_of_the_documents_have_the_arguments_that_commands_take(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(README.parent)
    found = list(commands())
    assert {path for path, _ in found} >= {"README.md", "data.md", "runs.md"}
    for _, argv in found:
        arguments = cli._parse(argv)
        if arguments.name == "train":
            load_config(arguments.config, arguments.overrides)
        elif arguments.name == "eval" and given.is_given(arguments):
            build_views(given.config_of(arguments))
        elif arguments.overrides:
            override(base_config(), arguments.overrides)


def test_the_map_of_the_video_package_has_each_module() -> None:
    listed = re.findall(r"^ {4}(\w+) {2,}", video.__doc__ or "", re.MULTILINE)
    modules = {path.stem for path in pathlib.Path(video.__file__).parent.glob("*.py")}
    assert sorted(listed) == sorted(modules - {"__init__"})


def test_the_timeline_of_the_readme_is_current() -> None:
    """To update it, write `drawn` to docs/timeline.svg."""
    model = multi_scale(load_frame_model("DenseNet121").model)
    drawn = timeline_figure(Plan(model, 4, partition="balanced", clocks="auto"), 32)
    assert (README.parent / "docs" / "timeline.svg").read_text() == drawn


def test_the_figure_of_par_densenet_is_current() -> None:
    """To update it: `mpvn plan par_densenet --subnetworks 4 --figure docs/par_densenet.svg`."""
    plan = PUBLISHED["par_densenet"].plan(par_densenet(), 4)
    drawn = (README.parent / "docs" / "par_densenet.svg").read_text()
    assert drawn == architecture_figure(plan)


def test_the_table_of_published_networks_is_current(monkeypatch: pytest.MonkeyPatch) -> None:
    """To update it: `mpvn models --table > docs/networks.md`.

    The rows of variants take most of the time: `make soak` compares them, too.
    """
    stored = (README.parent / "docs" / "networks.md").read_text().splitlines()
    if "MPVN_EXAMPLES" not in os.environ:
        monkeypatch.setattr(networks, "VARIANTS", {})
        stored = [line for line in stored if not VARIANT.match(line)]
    assert stored == networks.published_table().splitlines()


def test_the_grid_of_the_readme_is_current() -> None:
    grid = Plan(load_frame_model("MobileNetV2").model, 4, clocks="auto").grid().splitlines()
    shown = re.findall(r"^    ((?:step| +\d) .*)$", README.read_text(), re.MULTILINE)
    assert [line.rstrip() for line in grid[: len(shown)]] == shown


def test_the_schedules_of_the_readme_are_current() -> None:
    """The whole schedule of GPipe, and the first steps of Sideways on an endless stream."""
    shown = re.findall(r"^    (subnetwork .*)$", README.read_text(), re.MULTILINE)
    gpipe_rows = gpipe(3, 4).grid().splitlines()[1:]
    assert [line.split() for line in shown[:3]] == [line.split() for line in gpipe_rows]
    stream = [line.split()[:18] for line in sideways(3, 20).grid().splitlines()[1:4]]
    assert [line.split() for line in shown[3:6]] == stream

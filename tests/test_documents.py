"""Documents are executed: the README's Python, and the examples of docstrings."""

import doctest
import importlib
import pathlib
import re
from typing import Any

import keras
import numpy as np
import pytest
from keras.applications import MobileNetV2

from mpvn import Plan
from mpvn.models import PUBLISHED, load_frame_model, multi_scale, par_densenet
from mpvn.report import architecture_figure, timeline_figure
from mpvn.report.networks import published_table
from mpvn.sideways.schedule import gpipe, sideways

README = pathlib.Path(__file__).parents[1] / "README.md"
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


def short_mobilenet(**options: Any) -> keras.Model:
    """Return the first blocks of MobileNetV2 with its classifier: exporting takes a third."""
    whole = MobileNetV2(**options)
    x = keras.layers.GlobalAveragePooling2D()(whole.get_layer("block_4_add").output)
    return keras.Model(whole.input, keras.layers.Dense(1000, "softmax")(x))


@pytest.mark.usefixtures("short_par_densenet")
def test_the_python_code_of_the_readme_runs(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    monkeypatch.chdir(tmp_path)
    camera = rng.normal(size=(3, 1, 224, 224, 3)).astype("float32")
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert len(blocks) >= 2
    names = {"camera": camera}
    monkeypatch.setattr(keras.applications, "MobileNetV2", short_mobilenet)
    for block in blocks:
        exec(compile(block, str(README), "exec"), names)
    assert names["scores"].shape == (1, 1000)
    assert (tmp_path / "served" / "1" / "saved_model.pb").exists()


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


def test_the_table_of_published_networks_is_current() -> None:
    """To update it: `mpvn models --table > docs/networks.md`."""
    assert (README.parent / "docs" / "networks.md").read_text() == published_table()


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

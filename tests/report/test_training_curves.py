"""The curves of several runs: means over seeds, colors and dashes by axis."""

import itertools
import re
import xml.etree.ElementTree as ET
from typing import Any

import pytest

from mpvn.report.theme import category
from mpvn.report.training_curves import Setting, _styles, training_curves_figure

SVG = "{http://www.w3.org/2000/svg}"


def history(*losses: float) -> list[dict[str, Any]]:
    rows = [{"step": 10 * n, "split": "train", "loss": y} for n, y in enumerate(losses, 1)]
    return [*rows, {"step": 30, "split": "evaluation", "loss": 9.0, "accuracy": losses[-1] / 10}]


SETTINGS = [
    Setting("fast, decay None", ("fast", None), [history(8, 4, 1), history(6, 4, 3, 2)]),
    Setting("fast, decay 0.1", ("fast", 0.1), [history(5, 5, 5)]),
    Setting("slow, decay None", ("slow", None), [history(8, 7, 7)]),
]


def lines(svg: str, number: int, dashed: bool) -> list[list[tuple[float, float]]]:
    """Return the points of the lines of a color, without those of the legend."""
    found = []
    for path in ET.fromstring(svg).iter(f"{SVG}path"):
        style, points = path.get("style", ""), re.findall(r"[ML] (\S+) (\S+)", path.get("d", ""))
        is_line = f"stroke: {category(number)[0]}" in style and "clip-path" in path.attrib
        if is_line and ("stroke-dasharray" in style) == dashed:
            found.append([(float(x), float(y)) for x, y in points])
    return found


def test_a_line_is_the_mean_over_the_seeds_at_the_steps_that_all_have() -> None:
    svg = training_curves_figure(SETTINGS, "accuracy")
    loss, _ = lines(svg, 0, dashed=False)
    (x1, y1), (x2, y2), (x3, y3) = loss  # means 7, 4, 2
    assert x3 - x2 == pytest.approx(x2 - x1)
    assert (y3 - y2) / (y2 - y1) == pytest.approx(2 / 3, rel=1e-3)
    ((_, same), *_), _ = lines(svg, 0, dashed=True)
    assert (same - y1) / (y2 - y1) == pytest.approx(2 / 3, rel=1e-3)  # 5 between 7 and 4
    assert lines(svg, 1, dashed=False) and not lines(svg, 1, dashed=True)


def test_settings_and_panels_are_named() -> None:
    svg = training_curves_figure(SETTINGS, "pck_10")
    texts = {text.text for text in ET.fromstring(svg).iter(f"{SVG}text")}
    assert {each.name for each in SETTINGS} <= texts
    assert {"loss in training", "pck 10 in evaluation", "batches"} <= texts


@pytest.mark.parametrize(("firsts", "lasts"), [(2, 6), (15, 3), (12, 1)])
def test_every_setting_of_a_large_grid_has_its_own_style(firsts: int, lasts: int) -> None:
    """The fifth frame rate was drawn as the first one, and the eighth color was the first."""
    axes = itertools.product(range(firsts), range(lasts))
    styles = _styles([Setting("", values, []) for values in axes])
    assert len(set(styles)) == firsts * lasts
    assert styles[0] == (category(0)[0], "-")

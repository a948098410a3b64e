"""Plots show the measured values, and several can stand on one page."""

import hashlib
import math
import random
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import matplotlib
import pytest

from mpvn.report import latency_figure, write_report
from mpvn.report.plots import Point, curves_figure, lines_figure
from mpvn.report.theme import category

SVG = "{http://www.w3.org/2000/svg}"
SERIES = {
    "trained & <late>": [Point(1, 0.9, 0.85, 0.95, "all $5"), Point(4, 0.6, 0.5, 0.7, "four")],
    "rewired": [Point(1, 0.9, 0.9, 0.9), Point(2, 0.8, 0.8, 0.8), Point(4, 0.3, 0.3, 0.3)],
}


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in ET.fromstring(svg).iter(f"{SVG}text")]


def markers(svg: str, number: int) -> list[tuple[float, float]]:
    """Positions of the markers of a line, without those of the legend."""
    color = category(number)[0]
    uses = [
        use
        for group in ET.fromstring(svg).iter(f"{SVG}g")
        if "clip-path" in group.attrib
        for use in group.findall(f"{SVG}use")
        if f"fill: {color}" in use.get("style", "")
    ]
    return [(float(use.get("x")), float(use.get("y"))) for use in uses]


def row(step: int, split: str = "train", **values: float) -> dict:
    return {"step": step, "split": split, **values}


def rows(count: int = 12) -> list[dict]:
    found = []
    for step in range(10, 10 * count + 1, 10):
        found.append(row(step, seconds=1.0, loss=5 / step))
        if step % 40 == 0:
            found.append(row(step, "evaluation", loss=6 / step, pck_10=step / 200, psnr=math.inf))
    return found


# --- lines --------------------------------------------------------------------------------------


def test_points_lie_at_their_values() -> None:
    (x1, y1), (x2, y2), (x4, y4) = markers(lines_figure(SERIES, "subnetworks", "PCK"), 1)
    assert (x4 - x2) / (x2 - x1) == pytest.approx(2, rel=1e-3)
    assert (y4 - y2) / (y2 - y1) == pytest.approx(5, rel=1e-3)  # Down by 0.1, then by 0.5.
    assert y4 > y2 > y1
    (x1, _), (x2, _), (x4, _) = markers(lines_figure(SERIES, "x", "PCK", log_x=True), 1)
    assert x4 - x2 == pytest.approx(x2 - x1, rel=1e-3)


def test_axes_points_and_series_are_named() -> None:
    found = texts(lines_figure(SERIES, "subnetworks", "correct keypoints, %", log_x=True))
    assert {"subnetworks", "correct keypoints, %", "all $5", "four", *SERIES} <= set(found)
    assert [text for text in found if text in "1 2 3 4 5"] == ["1", "2", "4"]
    one = texts(lines_figure({"alone": SERIES["rewired"]}, "subnetworks", "PCK"))
    assert "alone" not in one


def test_error_bars_are_drawn_only_for_ranges() -> None:
    def bars(name: str) -> int:
        return lines_figure({name: SERIES[name]}, "x", "y").count("LineCollection")

    assert (bars("trained & <late>"), bars("rewired")) == (1, 0)


def test_mean_of_equal_numbers_is_drawn() -> None:
    """The rounded mean of three equal speeds was slightly larger than they are. A sweep of many
    hours failed when it drew its report."""
    speed = 95.0324437717525
    point = Point.of(2.0, [speed] * 3)
    assert (point.y, point.low, point.high) == (speed, speed, speed)
    lines_figure({"bound": [point]}, "x", "y")
    assert Point.of(1.0, [1.0, 2.0, 6.0], "a") == Point(1.0, 3.0, 1.0, 6.0, "a")


def test_log_axes_show_plain_numbers() -> None:
    points = [Point(x, y, y, y) for x, y in ((0.7, 30.5), (3.5, 71.0), (60.0, 180.5))]
    found = texts(lines_figure({"a": points}, "x", "y", log_x=True, log_y=True))
    assert {"1", "2", "5", "10", "20", "50", "100"} <= set(found)
    assert not any("×" in text or "e" in text for text in found)


def test_single_point_is_drawn() -> None:
    for options in ({}, {"log_x": True, "log_y": True}):
        assert len(markers(lines_figure({"a": [Point(3, 2, 2, 2)]}, "x", "y", **options), 0)) == 1


@pytest.mark.parametrize(
    ("series", "options", "message"),
    [
        ({}, {}, "Expected at least one series. Received: none"),
        ({"a": []}, {}, "'a': Expected at least one point. Received: none"),
        (
            {"a": [Point(1, math.nan, 0, 2)]},
            {},
            "Expected finite low <= y <= high. Received: Point",
        ),
        ({"a": [Point(1, 3, 1, 2)]}, {}, "Expected finite low <= y <= high. Received: Point"),
        (
            {"a": [Point(0, 3, 3, 3)]},
            {"log_x": True},
            "Expected positive numbers on a log axis. Received: Point",
        ),
        (
            {"a": [Point(1, 3, 0, 3)]},
            {"log_y": True},
            "Expected positive numbers on a log axis. Received: Point",
        ),
        ({"a": [], "b": []}, {}, "(?s)'a'.*'b'"),
    ],
)
def test_points_that_cannot_be_drawn_are_rejected(
    series: dict, options: dict, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        lines_figure(series, "x", "y", **options)


# --- curves -------------------------------------------------------------------------------------


def test_curves_show_losses_and_metrics() -> None:
    figure = curves_figure(rows())
    found = texts(figure)
    assert {"loss", "training", "evaluation", "pck 10", "batches"} <= set(found)
    assert "psnr" not in found  # It has no finite value.
    assert not {"seconds", "step", "learning rate"} & set(found)
    assert len(markers(figure, 0)) == 12
    assert len(markers(figure, 1)) == 3 + 3


def test_rows_are_sorted_by_batch() -> None:
    shuffled = rows()
    random.Random(1).shuffle(shuffled)
    drawn = markers(curves_figure(shuffled), 0)
    assert drawn == sorted(drawn) == markers(curves_figure(rows()), 0)


def test_axis_of_batches_shows_whole_numbers() -> None:
    found = texts(curves_figure([row(4, loss=20.0), row(4, "evaluation", loss=30.0)]))
    assert "4" in found
    assert not any(text.startswith(("3.", "4.")) for text in found)


def test_learning_rates_are_drawn_if_rows_have_them() -> None:
    rows_with_rates = [row(step, loss=1.0, learning_rate=0.1 / step) for step in (1, 2, 3)]
    figure = curves_figure(rows_with_rates)
    assert "learning rate" in texts(figure)
    assert len(markers(figure, 2)) == 3


def test_losses_of_a_wide_range_have_a_log_scale() -> None:
    positions = markers(curves_figure([row(n, loss=10.0**-n) for n in range(5)]), 0)
    heights = [y for _, y in positions]
    steps = [below - above for above, below in zip(heights, heights[1:], strict=False)]
    assert steps == pytest.approx([steps[0]] * 4, rel=1e-3)


@pytest.mark.parametrize("loss", [math.nan, math.inf, 0.0, -1.0, 1e30])
def test_diverged_runs_have_curves(loss: float) -> None:
    found = [row(1, loss=2.0), row(2, loss=loss), row(2, "evaluation", loss=loss, pck_10=math.nan)]
    assert "loss" in texts(curves_figure(found))
    assert "loss" in texts(curves_figure(found[1:]))


def test_curves_need_rows() -> None:
    with pytest.raises(ValueError, match="Expected at least one row. Received: none"):
        curves_figure(iter(()))


def test_long_curves_have_no_markers() -> None:
    assert len(markers(curves_figure([row(n, loss=1 / n) for n in range(1, 500)]), 0)) == 0


# --- on a page ----------------------------------------------------------------------------------


def figures() -> list[str]:
    return [
        lines_figure(SERIES, "subnetworks", "PCK"),
        lines_figure(SERIES, "subnetworks", "PCK", log_x=True),
        curves_figure(rows()),
        curves_figure(rows(8)),
    ]


def test_ids_are_unique_on_a_page_with_several_figures(tmp_path: Path) -> None:
    svgs = [*figures(), latency_figure({"a": [1.0, 2.0]})]
    write_report(tmp_path / "report.html", "", "", [], [(svg, "") for svg in svgs])
    page = (tmp_path / "report.html").read_text()
    ids = re.findall(r'\bid="([^"]*)"', page)
    assert len(ids) == len(set(ids)) > 100
    for svg in svgs:
        ids_here = set(re.findall(r'\bid="([^"]*)"', svg))
        references = re.findall(r'(?:href="#|url\(#)([^")]*)', svg)
        assert set(references) <= ids_here
    assert not re.search(r"[*]\s*{", "".join(svgs))  # No style that applies to the whole page.
    assert "<?xml" not in page and "<metadata" not in page


def test_plots_have_the_size_and_style_of_the_other_figures() -> None:
    for svg in figures():
        root = ET.fromstring(svg)
        assert (root.get("class"), root.get("width")) == ("mpvn", "760")
        assert root.get("viewBox") == f"0 0 760 {root.get('height')}"
        assert not re.findall(
            "#0[1-4]0[1-4]0[1-4]", svg
        )  # All colors that stand for classes are replaced.
        assert "font-family: " not in svg
        for element in root.iter(f"{SVG}text"):
            assert element.get("class") in ("ink", "soft")
            assert 0 <= float(element.get("x")) <= 760
            assert 0 <= float(element.get("y")) <= float(root.get("height"))


def test_output_is_deterministic() -> None:
    """Also in another process, and with any Matplotlib style of the user."""
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red", "svg.hashsalt": None}):
        before = dict(matplotlib.rcParams)
        again = figures()
        assert dict(matplotlib.rcParams) == before
    assert again == figures()
    script = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "import hashlib, test_plots\n"
        "print(hashlib.sha256(''.join(test_plots.figures()).encode()).hexdigest())"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, text=True)
    assert ran.stdout.strip() == hashlib.sha256("".join(again).encode()).hexdigest()


def test_legend_of_long_names_stays_inside_the_figure() -> None:
    point = Point(1, 1, 1, 1)
    names = [f"a network of {number} subnetworks, late" for number in range(4)]
    root = ET.fromstring(lines_figure({name: [point] for name in names}, "x", "y"))
    width = float(root.get("width", 0))
    boxes = [text for text in root.iter() if text.tag.endswith("text") and text.text in names]
    assert len(boxes) == 4
    for box in boxes:
        assert 0 < float(box.get("x", 0)) < width - 200

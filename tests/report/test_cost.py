"""Accuracy against cost: where circles are and how large, and what networks cost."""

import math
import re
import xml.etree.ElementTree as ET

import keras
import pytest
from keras import layers
from small_runs import small_config

import mpvn
from mpvn.report.cost import Cost, Network, cost_figure
from mpvn.report.plots import Circle, Point, circles_figure
from mpvn.report.sweep import sweep_figures, write_sweep_report
from mpvn.report.theme import category
from mpvn.training import build

SVG = "{http://www.w3.org/2000/svg}"


def circles(svg: str) -> list[tuple[str, float, float, float]]:
    """Return color, x, y and radius of the circles of a figure, from back to front."""
    root = ET.fromstring(svg)
    paths = {path.get("id"): path.get("d") for path in root.iter(f"{SVG}path") if path.get("id")}
    found = []
    for use in root.iter(f"{SVG}use"):
        style = use.get("style", "")
        if "fill-opacity: 0.7" in style:
            outline = re.findall(r"-?[\d.]+", paths[use.get("href")[1:]])
            radius = max(abs(float(number)) for number in outline)
            color = re.search(r"fill: (#\w+)", style)[1]
            found.append((color, float(use.get("x")), float(use.get("y")), radius))
    return found


def texts(svg: str) -> set[str]:
    return {element.text or "" for element in ET.fromstring(svg).iter(f"{SVG}text")}


# --- the figure ---------------------------------------------------------------------------------

NETWORKS = [
    Network("small", Cost(2_000_000_000, 2_500_000), [0.4]),
    Network("deep", Cost(10_000_000_000, 40_000_000), [0.5, 0.7]),
    Network("wide", Cost(4_000_000_000, 10_000_000), [0.5]),
]


def test_circles_are_at_cost_and_accuracy_with_parameters_as_areas() -> None:
    figure = cost_figure(NETWORKS, "top1", "video")
    (c1, x1, y1, r1), (c2, x2, y2, r2), (c3, x3, y3, r3) = circles(figure)
    # The largest is at the back. Colors follow the order of the networks.
    assert [c1, c2, c3] == [category(number)[0] for number in (1, 2, 0)]
    assert (r1 / r3, r2 / r3) == pytest.approx((4, 2), rel=1e-3)  # 16 and 4 times the area.
    assert (x1 - x3) / (x2 - x3) == pytest.approx(8 / 2, rel=1e-3)
    assert (y3 - y1) / (y3 - y2) == pytest.approx(0.2 / 0.1, rel=1e-3)  # The mean of the seeds.
    assert y1 < y2 < y3
    shown = texts(figure)
    assert {"billion multiply-adds per video", "top1"} <= shown
    assert {"small, 2.5 M", "deep, 40 M", "wide, 10 M"} <= shown
    assert figure.count("LineCollection") == 1  # The range of the seeds of one network.


def test_costs_of_different_orders_stand_on_a_log_axis() -> None:
    found = circles(
        circles_figure([Circle(Point(x, 1, 1, 1), 1) for x in (0.3, 3, 30)], "cost", "top1")
    )
    (_, first, _, _), (_, second, _, _), (_, third, _, _) = found
    assert third - second == pytest.approx(second - first, rel=1e-3)


@pytest.mark.parametrize(
    ("drawn", "message"),
    [
        ([], "Expected at least one circle. Received: none"),
        ([Circle(Point(1, 1, 1, 1), 0)], "Expected positive areas. Received: .*area=0"),
        ([Circle(Point(1, math.nan, 0, 2), 1)], "circle 0.*Expected finite low"),
    ],
)
def test_circles_that_cannot_be_drawn_are_rejected(drawn: list[Circle], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        circles_figure(drawn, "x", "y")


# --- costs --------------------------------------------------------------------------------------


def test_cost_of_a_clip_follows_the_clocks() -> None:
    """9 * 4 * 4 * 3 multiply-adds at each step; 4 * 4 * 3 * 2 at steps 0, 2, and 4."""
    x = frame = keras.Input((4, 4, 3))
    x = layers.Conv2D(1, 3, padding="same", use_bias=False, name="fast.conv")(x)
    x = layers.Conv2D(2, 1, use_bias=False, name="slow.conv")(x)
    model = keras.Model(frame, x)
    plan = mpvn.Plan(model, boundaries=["slow.conv"], clocks=(1, 2), phases="aligned")
    assert Cost.of_clip(plan, 5) == (5 * 432 + 3 * 32, 27 + 2)
    together = Cost.together([Cost(1, 10), Cost(2, 20), Cost(3, 30)])
    assert together == Cost(6, 60)


def test_cost_of_a_video_counts_clips_crops_and_the_size_of_views() -> None:
    experiment = build(small_config(views__clips=3, views__size=16, views__scale=16))
    clip = Cost.of_clip(experiment.network.plan, 6)
    assert Cost.of_views(experiment) == (3 * clip.multiply_adds, clip.parameters)
    larger = build(small_config(views__clips=3, views__crops=5, views__size=32, views__scale=48))
    # Four times as many positions of the convolutions; the classifier costs the same.
    ratio = Cost.of_views(larger).multiply_adds / (5 * 3 * clip.multiply_adds)
    assert 3.9 < ratio <= 4
    assert Cost.of_views(larger).parameters == clip.parameters


# --- of sweeps ----------------------------------------------------------------------------------


def row(frames: int, seed: int, top: float, speed: float | None = 50.0) -> dict:
    return {
        "clip.frames": frames,
        "seed": seed,
        "loss": 1.0,
        "clip_top1": top,
        "frames/s": speed,
        "clock_speedup": 1.0,
        "parallel_bound": 1.0,
        "information_latency": 0,
        "multiply_adds": frames * 4_000_000_000,
        "parameters": 24_000_000,
    }


def test_a_sweep_over_networks_of_different_cost_draws_it(tmp_path) -> None:
    """Networks that look into the future have no speed; once, a sweep over them ended in an error
    after all of its runs were trained."""
    keys = ("clip.frames", "seed")
    rows = [row(8, 0, 0.4, None), row(8, 1, 0.5, None), row(16, 0, 0.7), row(16, 1, 0.7)]
    *_, figure = sweep_figures(rows, keys)
    (_, x1, y1, r1), (_, x2, y2, r2) = circles(figure.svg)
    assert (r1, y1 > y2, x1 < x2) == (r2, True, True)
    assert {"frames 8, 24 M", "frames 16, 24 M"} <= texts(figure.svg)
    page = write_sweep_report(tmp_path / "report.html", rows, keys).read_text()
    assert "Best clip top1: 0.700 (frames 16), at 50 frames per second" in page
    offline = [row(8, 0, 0.4, None), row(16, 0, 0.3, None)]
    page = write_sweep_report(tmp_path / "report.html", offline, keys).read_text()
    assert "(frames 8), of a network that cannot stream." in page
    same = [{**each, "multiply_adds": 1} for each in rows]
    assert len(list(sweep_figures(same, keys))) == 1


def test_the_best_setting_has_the_lowest_error(tmp_path) -> None:
    rows = [row(8, 0, 0.0), row(16, 0, 0.0)]
    for each, error in zip(rows, (0.01, 0.09), strict=True):
        del each["clip_top1"]
        each["mse"] = error
    page = write_sweep_report(tmp_path / "report.html", rows, ("clip.frames",)).read_text()
    assert "Best mse: 0.010 (frames 8)" in page

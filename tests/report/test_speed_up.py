"""Accuracy against speed-up: the points of made-up sweeps lie at the right ratios."""

import pathlib
import re
import xml.etree.ElementTree as ET
from typing import Any

import pytest
from command_line import assert_mistake, mpvn

from mpvn.report.speed_up import speed_up_figure
from mpvn.report.theme import category
from mpvn.training.hyperparameter_sweep import write_results

SVG = "{http://www.w3.org/2000/svg}"


def row(subnetworks: int, speed: float | None, seed: int = 0, **values: Any) -> dict[str, Any]:
    return {"plan.subnetworks": subnetworks, "seed": seed, **values, "frames/s": speed}


ACTIONS = [  # a table of named rows; one network looks into the future
    row(
        1, None, network="non-causal", loss=9.0, clip_top1=0.99, **{"model.options.x": "symmetric"}
    ),
    row(5, 30.0, network="semi", loss=0.1, clip_top1=0.45, **{"model.options.x": "causal"}),
    row(1, 10.0, network="sequential", loss=0.2, clip_top1=0.5, **{"model.options.x": "causal"}),
    row(10, 40.0, network="parallel", loss=0.3, clip_top1=0.4, **{"model.options.x": "causal"}),
]
POSES = [  # two seeds
    row(1, 18.0, 0, loss=0.25, pck_10=0.9),
    row(1, 22.0, 1, loss=0.5, pck_10=0.8),
    row(14, 50.0, 0, loss=1.0, pck_10=0.1),
    row(14, 70.0, 1, loss=1 / 3, pck_10=0.1),
]
EXPECTED = {
    0: [(1, 1), (3, 0.9), (4, 0.8)],
    1: [(1, 1), (3, 2 / 3)],  # 1 / loss: 4 and 2, then 1 and 3
}


def markers(svg: str, number: int) -> list[tuple[float, float]]:
    """Positions of the markers of a line, without those of the legend."""
    color = category(number)[0]
    return [
        (float(use.get("x")), float(use.get("y")))
        for group in ET.fromstring(svg).iter(f"{SVG}g")
        if "clip-path" in group.attrib
        for use in group.findall(f"{SVG}use")
        if f"fill: {color}" in use.get("style", "")
    ]


def test_points_lie_at_ratios_to_the_sequential_network(tmp_path: pathlib.Path) -> None:
    for name, rows in (("actions", ACTIONS), ("poses", POSES)):
        (tmp_path / name).mkdir()
        write_results(tmp_path / name, ["network"], rows)
    path = tmp_path / "figure.svg"
    assert mpvn("compare", tmp_path / "actions", tmp_path / "poses", "--output", path) == 0
    svg = path.read_text()
    found = {number: markers(svg, number) for number in EXPECTED}
    (left, top), *_, (right, bottom) = found[0]  # (1, 1) and (4, 0.8)
    for number, points in EXPECTED.items():
        places = [
            (1 + 3 * (x - left) / (right - left), 1 - 0.2 * (y - top) / (bottom - top))
            for x, y in found[number]
        ]
        assert places == [pytest.approx(point, abs=1e-4) for point in points]
    texts = [element.text for element in ET.fromstring(svg).iter(f"{SVG}text")]
    assert {"actions", "poses", "5", "10", "14", "speed-up"} <= set(texts)
    assert not re.search("non-causal|symmetric|0.99", svg)


def test_other_settings_are_lines_of_their_own(tmp_path: pathlib.Path) -> None:
    rows = [
        row(number, 10.0 * number, loss=1.0, **{"model.options.clocks": clocks})
        for number, clocks in ((1, False), (2, False), (1, True))
    ]
    divided = [
        {**row(number, speed, loss=1.0), "plan.assignment": of}
        for number, speed, of in ((1, 5.0, None), (3, 10.0, "b=1,c=2"), (3, 20.0, "c=1,d=2"))
    ]
    svg = speed_up_figure({"sweep": divided})
    (x1, _), (x2, _), (x4, _) = (point for number in range(3) for point in markers(svg, number))
    assert x4 - x1 == pytest.approx(3 * (x2 - x1))  # speed-ups 1, 2 and 4
    taught = [{**row(number, 9.0, loss=1.0), "teacher": t} for number, t in ((1, None), (1, "a"))]
    assert speed_up_figure({"sweep": taught}).count("sweep, teacher") == 2
    write_results(tmp_path, ["model.options.clocks"], rows)
    path = tmp_path / "figure.svg"
    command = ("compare", tmp_path, "--output", path)
    assert mpvn(*command) == 0
    assert [len(markers(path.read_text(), number)) for number in (0, 1)] == [2, 1]
    assert "clocks True" in path.read_text()
    write_results(tmp_path, ["model.options.clocks"], [*rows[:2], rows[2] | row(4, 40.0)])
    assert_mistake("clocks True: expected a row of the sequential", *command)
    write_results(tmp_path, [], [row(1, 9.0, loss=1.0, clip_top1=0.0)])
    assert_mistake("mean accuracy, or 1 / loss, of 0", *command)
    write_results(tmp_path, [], [row(1, 9.0, loss=0.0)])
    assert_mistake("mean accuracy, or 1 / loss, of inf", *command)
    write_results(tmp_path, [], [row(1, None, loss=1.0)])
    assert_mistake("expected networks with a speed", *command)
    for content in ("[]", '{"rows": [{"loss": 1.0}]}', '{"rows": ["a"]}', '{"rows": [', "{}"):
        (tmp_path / "results.json").write_text(content)
        assert_mistake("expected the results of a sweep.*Run mpvn sweep again", *command)
    (tmp_path / "results.json").unlink()
    assert_mistake("folder of a finished sweep", *command)

"""Figures say what the plan says; the page is whole, escaped, and needs nothing else."""

import html.parser
import math
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_layers.feedback import Feedback
from mpvn.plan import Plan
from mpvn.report import (
    latency_figure,
    network_figure,
    page,
    schedule_figure,
    timeline_figure,
    write_report,
)

SVG = "{http://www.w3.org/2000/svg}"
PLAN_FIGURES: tuple[Callable[[Plan], str], ...] = (
    schedule_figure,
    network_figure,
    lambda plan: timeline_figure(plan, 9),
)


def chain(layers: int) -> keras.Model:
    """Convolutions `a`, `b`, ... in a row, each costing something else."""
    value = frame = keras.Input((6, 6, 2), name="frame")
    for index, name in enumerate("abcdefghijklmnopqrstuvwxyz"[:layers]):
        value = keras.layers.Conv2D(2 + index, 3, padding="same", name=name)(value)
    return keras.Model(frame, value, name="chain")


def skipping() -> keras.Model:
    """`a`, `b`, `c` in a row and a skip from `a` over `b` to the sum `d`."""
    frame = keras.Input((6, 6, 2), name="frame")
    a = keras.layers.Conv2D(3, 3, padding="same", name="a")(frame)
    b = keras.layers.Conv2D(5, 3, padding="same", name="b")(a)
    c = keras.layers.Conv2D(3, 3, padding="same", name="c")(b)
    return keras.Model(frame, keras.layers.Add(name="d")([a, c]), name="skipping")


def feeding_back() -> keras.Model:
    """`a`, and the sum `b` of `a` and of what `b` said one step ago, which `last` holds."""
    frame = keras.Input((6, 6, 2), name="frame")
    a = keras.layers.Conv2D(3, 3, padding="same", name="a")(frame)
    last = Feedback("b", (6, 6, 3), name="last")(a)
    return keras.Model(frame, keras.layers.Add(name="b")([a, last]), name="feeding_back")


def plans() -> list[Plan]:
    return [
        Plan(chain(3)),
        Plan(chain(3), subnetworks=3),
        Plan(chain(4), subnetworks=3, clocks={"b": 2, "c": 4}, head="d"),
        Plan(chain(17), subnetworks=16, clocks={"c": 3, "m": 6}),
        Plan(skipping(), boundaries=["b", "c"]),
        Plan(feeding_back(), boundaries=["b"]),
        Plan(keras.Sequential([keras.Input((4, 4, 1)), keras.layers.ReLU()])),  # costs nothing
    ]


def parsed(svg: str) -> ET.Element:
    root = ET.fromstring(svg)
    assert root.tag == f"{SVG}svg"
    return root


def of_class(root: ET.Element, name: str) -> list[ET.Element]:
    return [e for e in root.iter() if name in e.get("class", "").split()]


def texts(root: ET.Element) -> list[str]:
    return [element.text or "" for element in root.iter(f"{SVG}text")]


@pytest.mark.parametrize("plan", plans(), ids=str)
def test_figures_of_plans_are_svg_of_finite_numbers_and_always_the_same(plan: Plan) -> None:
    for figure in PLAN_FIGURES:
        svg = figure(plan)
        assert svg == figure(plan)
        for element in parsed(svg).iter():
            for key in ("x", "y", "x1", "x2", "y1", "y2", "width", "height"):
                assert math.isfinite(float(element.get(key, 0)))


@pytest.mark.parametrize("plan", plans(), ids=str)
def test_everything_lies_within_the_figure(plan: Plan) -> None:
    for figure in PLAN_FIGURES:
        root = parsed(figure(plan))
        wide, high = float(root.get("width")), float(root.get("height"))
        for rect in root.iter(f"{SVG}rect"):
            assert 0 <= float(rect.get("x")) <= wide - float(rect.get("width"))
            assert 0 <= float(rect.get("y")) <= high - float(rect.get("height"))
        for text in root.iter(f"{SVG}text"):
            assert 0 <= float(text.get("x")) <= wide
            assert 8 <= float(text.get("y")) <= high - 2


@pytest.mark.parametrize("plan", plans(), ids=str)
def test_the_cells_of_the_schedule_are_the_costs_of_the_plan(plan: Plan) -> None:
    root = parsed(schedule_figure(plan))
    cells = {
        (int(cell.get("data-step")), int(cell.get("data-subnetwork"))): int(cell.get("data-cost"))
        for cell in of_class(root, "cell")
    }
    assert cells == {
        (step, column): cost
        for step, row in enumerate(plan.costs)
        for column, cost in enumerate(row)
    }
    assert len(of_class(root, "rest")) + len(of_class(root, "works")) == len(cells)
    assert all(cell.get("data-cost") == "0" for cell in of_class(root, "rest"))
    assert tuple(int(bar.get("data-cost")) for bar in of_class(root, "cost")) == plan.step_costs


def test_the_schedule_rests_where_no_clock_ticks() -> None:
    plan = Plan(chain(3), subnetworks=3, clocks=[1, 2, 4])
    rest = [
        (int(cell.get("data-step")), int(cell.get("data-subnetwork")))
        for cell in of_class(parsed(schedule_figure(plan)), "rest")
    ]
    # Chained phases: subnetwork 1 works at steps 1 and 3, subnetwork 2 at step 2.
    assert rest == [(0, 1), (0, 2), (1, 2), (2, 1), (3, 2)]


def staircase(plan: Plan, steps: int) -> list[str]:
    """The timeline as text: a row per lane; a frame's number, `z` for zeros, a dot for rest."""
    boxes = of_class(parsed(timeline_figure(plan, steps)), "box")
    lanes = 1 + max(int(box.get("data-lane")) for box in boxes)
    rows = [["."] * steps for _ in range(lanes)]
    for box in boxes:
        rows[int(box.get("data-lane"))][int(box.get("data-step"))] = box.get("data-frame", "z")
    return [" ".join(row) for row in rows]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        pytest.param({}, ["0 1 2 3 4 5"], id="sequential"),
        pytest.param(
            {"subnetworks": 3},
            [
                "0 1 2 3 4 5",
                "z 0 1 2 3 4",
                "z z 0 1 2 3",
            ],
            id="pipelined",
        ),
        pytest.param(
            {"subnetworks": 3, "clocks": [1, 2, 2]},
            [
                "0 1 2 3 4 5",
                ". 0 . 2 . 4",
                "z . 0 . 2 .",
            ],
            id="clocks, one step after another",
        ),
        pytest.param(
            {"subnetworks": 3, "clocks": [2, 2, 2], "phases": "aligned"},
            [
                "0 . 2 . 4 .",
                "z . 0 . 2 .",
                "z . z . 0 .",
            ],
            id="aligned clocks: a value waits for a period at each boundary",
        ),
        pytest.param(
            {"subnetworks": 2, "clocks": {"b": 2}, "phases": "aligned", "head": "c"},
            [
                "0 1 2 3 4 5",
                "z . 1 . 3 .",
                "z z 1 1 3 3",
            ],
            id="a head reads within the step",
        ),
    ],
)
def test_frames_travel_down_the_timeline(options: dict, expected: list[str]) -> None:
    assert staircase(Plan(chain(3), **options), 6) == expected


def test_a_subnetwork_half_at_work_is_shown_on_the_frame_that_half_works_on() -> None:
    # One subnetwork; `b` rests at odd steps, when `a` alone works on the new frame.
    plan = Plan(chain(2), clocks={"b": 2})
    assert staircase(plan, 4) == ["0 1 2 3"]
    heights = [
        float(box.get("height")) for box in of_class(parsed(timeline_figure(plan, 4)), "box")
    ]
    assert heights[0] == heights[2] > heights[1] == heights[3]


def test_what_is_fed_back_does_not_hide_the_frame_worked_on() -> None:
    # A feedback has no age, and a timeline could not be drawn where one stood last at work.
    assert staircase(Plan(feeding_back(), boundaries=["b"]), 3) == ["0 1 2", "z 0 1"]


def test_a_lane_of_feedback_alone_works_on_no_frame() -> None:
    root = parsed(timeline_figure(Plan(feeding_back(), boundaries=["last", "b"]), 3))
    fed_back = [box for box in of_class(root, "box") if box.get("data-lane") == "1"]
    assert len(fed_back) == 3
    for box in fed_back:
        assert box.get("data-frame") is None
        assert box.get("stroke-dasharray")
        assert box.findtext(f"{SVG}title").endswith("works on what is fed back alone")
    assert texts(root)[-1].endswith("dashed: on no frame")


def test_frames_a_period_apart_differ_in_color() -> None:
    plan = Plan(chain(2), subnetworks=2, clocks=[1, 8])
    slow = [
        box
        for box in of_class(parsed(timeline_figure(plan, 40)), "box")
        if box.get("data-lane") == "1"
    ]
    colors = [box.get("fill") for box in slow]
    assert all(one != next_ for one, next_ in zip(colors, colors[1:], strict=False))


@pytest.mark.parametrize("steps", [0, -1, 2.0, True])
def test_a_timeline_has_a_positive_number_of_steps(steps: object) -> None:
    with pytest.raises(ValueError, match="steps: expected an integer of at least 1"):
        timeline_figure(Plan(chain(1)), steps)


def test_the_network_names_work_and_what_crosses_each_boundary() -> None:
    plan = Plan(skipping(), boundaries=["b", "c"])
    root = parsed(network_figure(plan))
    work = [int(lane.get("data-cost")) for lane in of_class(root, "lane")]
    assert work == [36 * 9 * 2 * 3, 36 * 9 * 3 * 5, 36 * 9 * 5 * 3]
    # The skip from `a`, of 36 * 3 values, crosses the second boundary beside `b`'s 36 * 5.
    boundaries = [element.text for element in of_class(root, "boundary")]
    assert boundaries == ["108 values in 1 tensor", "288 values in 2 tensors"]
    assert "information latency 1 to 2 steps · 1.15 kB kept per stream" in texts(root)


def test_a_head_stands_below_the_subnetworks() -> None:
    plan = Plan(chain(3), subnetworks=2, head="c")
    root = parsed(network_figure(plan))
    assert [text for text in texts(root) if text in ("subnetwork 0", "subnetwork 1", "head")] == [
        "subnetwork 0",
        "subnetwork 1",
        "head",
    ]
    assert of_class(root, "boundary")[-1].text == "read in the same step"


def test_what_is_fed_back_is_named_and_crosses_no_boundary() -> None:
    root = parsed(network_figure(Plan(feeding_back(), boundaries=["b"])))
    assert "output, b fed back" in texts(root)
    # `last` itself is read across the boundary, like `a`.
    assert of_class(root, "boundary")[0].text == "216 values in 2 tensors"


def test_latencies_show_median_and_95th_percentile() -> None:
    steps = [10.0] * 90 + [20.0] * 10
    root = parsed(latency_figure({"fast": steps, "slow": [30.0] * 50}))
    found = texts(root)
    assert {"fast", "slow", "median 10.0 ms", "95 % ≤ 20.0 ms", "median 30.0 ms"} <= set(found)
    assert len(of_class(root, "run")) == 2
    assert len(of_class(root, "median")) == 4
    assert "ms" in found  # a linear scale


def test_a_slow_first_step_does_not_flatten_the_rest() -> None:
    root = parsed(latency_figure({"way": [4200.0, *[10.0] * 99]}))
    assert "ms" in texts(root)
    assert len(of_class(root, "outlier")) == 1
    assert "4,200 ms" in texts(root)


def test_ways_of_different_magnitude_share_a_logarithmic_scale() -> None:
    root = parsed(latency_figure({"fast": [0.5] * 20, "slow": [400.0] * 20}))
    assert "ms, log" in texts(root)
    assert not of_class(root, "outlier")


def test_colors_follow_the_order_of_ways() -> None:
    def colors(*names: str) -> list[str]:
        root = parsed(latency_figure({name: [1.0, 2.0] for name in names}))
        return [run.get("stroke") for run in of_class(root, "run")]

    assert colors("a", "b", "c")[:2] == colors("a", "b")
    assert len(set(colors("a", "b", "c"))) == 3


@pytest.mark.parametrize(
    "runs", [{"one": [5.0]}, {"zero": [0.0, 0.0]}, {"long": list(range(1, 5000))}], ids=list
)
def test_short_idle_and_long_runs_are_drawn(runs: dict) -> None:
    root = parsed(latency_figure(runs))
    points = of_class(root, "run")[0].get("points").split()
    assert 2 <= len(points) <= 1120
    assert "nan" not in latency_figure(runs)


def test_faulty_runs_are_reported_all_at_once() -> None:
    with pytest.raises(ValueError, match=r"(?s)'empty'.*'endless'.*'negative'"):
        latency_figure({"empty": [], "endless": [math.inf], "negative": [-1.0], "good": [1.0]})
    with pytest.raises(ValueError, match="at least one run"):
        latency_figure({})


def test_names_are_escaped_in_figures() -> None:
    assert "<b>&" in texts(parsed(latency_figure({"<b>&": [1.0]})))


# --- the page -----------------------------------------------------------------------------------

IMAGE = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
FIGURE = latency_figure({"way": [1.0, 2.0]})


class Elements(html.parser.HTMLParser):
    """Every tag of a page with its attributes, and the text of its table's cells."""

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
        "table": [{"way": "a", "ms": 1.5}],
        "figures": [(FIGURE, "Caption")],
        "frames": [(IMAGE, "Frame 0")],
        "notes": {"command": "mpvn demo"},
    }
    path = write_report(folder / "report.html", **(arguments | changes))
    return path.read_text(encoding="utf-8")


def test_a_page_holds_all_it_is_given_and_loads_nothing(tmp_path: Path) -> None:
    text = write(tmp_path)
    for part in ("Title", "Lead", "Caption", "Frame 0", "mpvn demo", FIGURE):
        assert part in text
    tags = Elements(text).tags
    assert not {tag for tag, _ in tags} & {"script", "link", "iframe", "object"}
    sources = [attrs[key] for _, attrs in tags for key in ("src", "href") if key in attrs]
    assert [source.split(";")[0] for source in sources] == ["data:image/png"]
    assert text.index("<table") < text.index("<svg") < text.index("<img")


def test_a_page_is_the_same_every_time(tmp_path: Path) -> None:
    assert write(tmp_path) == write(tmp_path)


def test_a_page_may_lack_everything_but_its_lead(tmp_path: Path) -> None:
    text = write(tmp_path, table=[], figures=[], frames=[], notes=None)
    assert "<table" not in text
    assert "<figure" not in text
    assert "<dl" not in text


def test_frames_are_shown_without_figures(tmp_path: Path) -> None:
    assert write(tmp_path, figures=[]).count("<img") == 1


@pytest.mark.parametrize("where", ["title", "lead", "table", "column", "caption", "frame", "notes"])
def test_values_are_escaped(tmp_path: Path, where: str) -> None:
    evil = "<script>alert('&')</script>"
    changes = {
        "title": {"title": evil},
        "lead": {"lead": evil},
        "table": {"table": [{"way": evil}]},
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
        {"way": "a", "ms": 41.26, "count": 1234567, "mixed": 1},
        {"way": "b", "ms": np.float32(8.04), "count": np.int64(3), "mixed": "none"},
        {"way": "c", "ms": math.nan, "count": None, "new": True},
    ]
    cells = Elements(write(tmp_path, table=table)).cells
    assert [cells[i : i + 5] for i in range(0, len(cells), 5)] == [
        [("way", ""), ("ms", "number"), ("count", "number"), ("mixed", ""), ("new", "")],
        [("a", ""), ("41.3", "number"), ("1,234,567", "number"), ("1", ""), ("–", "")],
        [("b", ""), ("8.0", "number"), ("3", "number"), ("none", ""), ("–", "")],
        [("c", ""), ("–", "number"), ("–", "number"), ("–", ""), ("True", "")],
    ]


def test_photographs_become_jpeg_and_drawings_png() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    assert page._data_uri(noise).startswith("data:image/jpeg;base64,")
    assert page._data_uri(np.zeros((64, 64, 3), np.uint8)).startswith("data:image/png;base64,")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"frames": [(IMAGE.astype(np.float32), "")]}, r"frame 0: expected uint8 .*float32"),
        ({"frames": [(IMAGE, ""), (IMAGE[..., 0], "")]}, r"frame 1: .*received .*\[4, 6\]"),
        ({"figures": [("<svg", "")]}, "figure 0: expected an SVG string"),
        ({"figures": [("<p/>", "")]}, "figure 0: expected an <svg> element"),
    ],
)
def test_what_cannot_be_shown_is_refused_and_nothing_is_written(
    tmp_path: Path, changes: dict, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        write(tmp_path, **changes)
    assert not list(tmp_path.iterdir())


def test_a_folder_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected an existing folder"):
        write(tmp_path / "missing")


def test_a_failure_leaves_the_old_page_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = write(tmp_path)

    def fail(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(page.os, "replace", fail)
    with pytest.raises(OSError, match="no space left"):
        write(tmp_path, title="Another")
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.html"]
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == before

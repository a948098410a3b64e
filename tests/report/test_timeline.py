"""The timeline figure shows the frames, clocks and work of the plan."""

from collections.abc import Callable

import keras
import pytest
from small_models import chain
from svg_figures import SVG, assert_inside, of_class, parsed, texts

from keras_layers.feedback import Feedback
from mpvn.plan import Plan
from mpvn.report import timeline_figure


def feedback_model() -> keras.Model:
    """`a`, and the sum `b` of `a` and of `last`, which is `b` of the previous step."""
    frame = keras.Input((6, 6, 2), name="frame")
    a = keras.layers.Conv2D(3, 1, name="a")(frame)
    last = Feedback("b", (6, 6, 3), name="last")(a)
    return keras.Model(frame, keras.layers.Add(name="b")([a, last]), name="feedback")


PLANS: dict[str, Callable[[], Plan]] = {
    "sequential": lambda: Plan(chain(2, 3, 4)),
    "clocks and head": lambda: Plan(chain(2, 3, 4, 5), 3, clocks={"c1": 2, "c2": 4}, head="c3"),
    "16 subnetworks": lambda: Plan(chain(*range(2, 19)), 16, clocks={"c2": 3, "c12": 6}),
    "feedback": lambda: Plan(feedback_model(), boundaries=["b"]),
    "no multiply-adds": lambda: Plan(
        keras.Sequential([keras.Input((4, 4, 1)), keras.layers.ReLU()])
    ),
}


@pytest.mark.parametrize("name", PLANS)
def test_figure_is_deterministic_and_everything_lies_inside(name: str) -> None:
    plan = PLANS[name]()
    svg = timeline_figure(plan, 9)
    assert svg == timeline_figure(plan, 9)
    assert_inside(parsed(svg))


def staircase(plan: Plan, steps: int) -> list[str]:
    """The timeline as text: a row per lane; the frame's number, `z` for zeros, a dot for idle."""
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
            id="clocks in a chain",
        ),
        pytest.param(
            {"subnetworks": 3, "clocks": [2, 2, 2], "phases": "aligned"},
            [
                "0 . 2 . 4 .",
                "z . 0 . 2 .",
                "z . z . 0 .",
            ],
            id="aligned clocks: a value waits one period at each boundary",
        ),
        pytest.param(
            {"subnetworks": 2, "clocks": {"c1": 2}, "phases": "aligned", "head": "c2"},
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
    assert staircase(Plan(chain(2, 3, 4), **options), 6) == expected


def test_lines_go_to_the_lane_that_reads() -> None:
    """Two branches read the stem, and their sum reads both; lines went from lane to lane."""
    frame = keras.Input((6, 6, 2), name="frame")
    stem = keras.layers.Conv2D(3, 1, name="stem")(frame)
    branches = [keras.layers.Conv2D(3, 1, name=name)(stem) for name in ("b1", "b2")]
    model = keras.Model(frame, keras.layers.Add(name="sum")(branches))
    plan = Plan(model, assignment={"b1": 1, "b2": 2, "sum": 3})
    assert staircase(plan, 3) == ["0 1 2", "z 0 1", "z 0 1", "z z 0"]
    lines = of_class(parsed(timeline_figure(plan, 3)), "journey")
    height = 38
    lanes = {
        (round(float(x.get("y1")) / height), round(float(x.get("y2")) / height)) for x in lines
    }
    first = min(start for start, _ in lanes)
    assert {(a - first, b - first) for a, b in lanes} == {(0, 1), (0, 2), (2, 3)}


def test_box_shows_the_frame_and_share_of_the_nodes_that_compute() -> None:
    """At odd steps only the first node computes, on the new frame."""
    plan = Plan(chain(2, 3), clocks={"c1": 2})
    assert staircase(plan, 4) == ["0 1 2 3"]
    heights = [
        float(box.get("height")) for box in of_class(parsed(timeline_figure(plan, 4)), "box")
    ]
    assert heights[0] == heights[2] > heights[1] == heights[3]


def test_feedback_does_not_hide_the_frame() -> None:
    """Feedback has no age. A timeline failed if feedback was the last node of a lane to compute."""
    assert staircase(Plan(feedback_model(), boundaries=["b"]), 3) == ["0 1 2", "z 0 1"]


def test_lane_of_feedback_alone_works_on_no_frame() -> None:
    root = parsed(timeline_figure(Plan(feedback_model(), boundaries=["last", "b"]), 3))
    feedback = [box for box in of_class(root, "box") if box.get("data-lane") == "1"]
    assert len(feedback) == 3
    for box in feedback:
        assert box.get("data-frame") is None
        assert box.get("stroke-dasharray")
        assert box.findtext(f"{SVG}title").endswith("works on feedback only")
    assert texts(root)[-1].endswith("dashed: no frame")


def test_frames_one_period_apart_differ_in_color() -> None:
    plan = Plan(chain(2, 3), subnetworks=2, clocks=[1, 8])
    colors = [
        box.get("fill")
        for box in of_class(parsed(timeline_figure(plan, 40)), "box")
        if box.get("data-lane") == "1"
    ]
    assert all(color != following for color, following in zip(colors, colors[1:], strict=False))


@pytest.mark.parametrize("steps", [0, -1, 2.0, True])
def test_number_of_steps_must_be_a_positive_integer(steps: object) -> None:
    with pytest.raises(ValueError, match="steps: Expected an integer of at least 1"):
        timeline_figure(Plan(chain(2)), steps)

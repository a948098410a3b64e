"""Subnetworks of any nodes: by name, by branch, and what plans derive from them."""

import json
import pathlib
import re

import keras
import numpy as np
import pytest
from keras import layers
from random_weights import randomize
from small_models import chain, unit_model

from keras_layers.feedback import Feedback
from keras_layers.pure_call import without_values
from mpvn import Clock, Plan, PlanError, VideoNetwork
from mpvn.models import par_inception
from mpvn.plan.assignment import parse_assignment


def branching() -> keras.Model:
    """A stem, two branches of two nodes each, a merge and an end, in units."""
    frame = keras.Input((4, 4, 2), name="frame")
    stem = layers.Conv2D(2, 1, name="stem.conv")(frame)
    first = layers.Conv2D(2, 1, name="block.b1_conv")(stem)
    first = layers.ReLU(name="block.b1_relu")(first)
    second = layers.Conv2D(2, 1, name="block.b10_conv")(stem)
    second = layers.ReLU(name="block.b10_relu")(second)
    merged = layers.Add(name="block.join")([first, second])
    return keras.Model(frame, layers.Conv2D(2, 1, name="end.conv")(merged), name="branching")


NODES = ["stem.conv", "b1_conv", "b1_relu", "b10_conv", "b10_relu", "join", "end.conv"]


def subnetworks(plan: Plan) -> list[int]:
    """Return the subnetwork of each node of `branching`, in the order of `NODES`."""
    names = [name if "." in name else f"block.{name}" for name in NODES]
    return [plan.subnetwork_of[name] for name in names]


# --- names and inheritance ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("assignment", "expected"),
    [
        ({}, [0, 0, 0, 0, 0, 0, 0]),
        # The rest of a branch goes on in its subnetwork; a merge is in the highest.
        ({"block.b1_conv": 1}, [0, 1, 1, 0, 0, 1, 1]),
        ({"block.b1_conv": 2, "block.b10_conv": 1}, [0, 2, 2, 1, 1, 2, 2]),
        # A beginning of names; b1 is none of b10.
        ({"block.b1": 1, "block.join": 0, "end": 0}, [0, 1, 1, 0, 0, 0, 0]),
        ({"block.b": 1, "block.join": 2}, [0, 1, 1, 1, 1, 2, 2]),
        # A unit; the longest name counts, in whatever order they are written.
        ({"block.b10_relu": 0, "block.b10": 2, "block": 1}, [0, 1, 1, 2, 0, 1, 1]),
        ({"block": 1, "block.b10": 2, "block.b10_relu": 0}, [0, 1, 1, 2, 0, 1, 1]),
        # Any order.
        ({"stem": 2, "block": 0, "end": 1}, [2, 0, 0, 0, 0, 0, 1]),
    ],
)
def test_names_of_nodes_units_and_beginnings(
    assignment: dict[str, int], expected: list[int]
) -> None:
    plan = Plan(branching(), assignment=assignment)
    assert subnetworks(plan) == expected
    assert plan.subnetworks == max(expected) + 1


def test_a_unit_is_not_the_beginning_of_another() -> None:
    model = unit_model("a.1", "ab.1", "a1.1", "a12.1")
    plan = Plan(model, assignment={"a": 1, "ab": 0, "a1": 2, "a12": 1})
    assert list(plan.subnetwork_of.values()) == [1, 0, 2, 1]
    nested = keras.Sequential([keras.Input((4, 4, 2)), layers.ReLU(name="x")], name="inner")
    frame = keras.Input((4, 4, 2))
    model = keras.Model(frame, layers.ReLU(name="inner_end")(nested(frame)))
    plan = Plan(model, assignment={"inner": 1, "inner_end": 0})
    assert plan.subnetwork_of["inner/x"] == 1


def test_runs_of_nodes_are_an_assignment() -> None:
    model = chain(2, 2, 2, 2)
    assert Plan(model, boundaries=["c1", "c3"]) == Plan(model, assignment={"c1": 1, "c3": 2})


REJECTED = {
    "unknown": ({"assignment": {"stm": 0}}, "assignment: no node is named 'stm'"),
    "no number": ({"assignment": {"stem": "a"}}, "subnetwork >= 0 for 'stem'. Received: 'a'"),
    "negative": ({"assignment": {"stem": -1}}, "subnetwork >= 0 for 'stem'. Received: -1"),
    "bool": ({"assignment": {"stem": True}}, "subnetwork >= 0 for 'stem'. Received: True"),
    "no name": ({"assignment": {3: 0}}, "no node is named 3"),
    "no mapping": ({"assignment": ["stem"]}, r"expected a mapping.*Received: \['stem'\]"),
    "gap": ({"assignment": {"end": 2}}, "no node is in subnetwork 1.*without gaps"),
    "empty first": ({"assignment": {"stem": 1}}, "no node is in subnetwork 0"),
    "far gap": ({"assignment": {"end": 10**12}}, "no node is in subnetwork 1"),
    "head": ({"assignment": {"end": 1}, "head": "end"}, "'end' is in the head, which belongs to"),
    "subnetworks": ({"assignment": {}, "subnetworks": 2}, "either subnetworks or assignment"),
    "boundaries": ({"assignment": {}, "boundaries": ["end.conv"]}, "boundaries or assignment"),
    "branches": ({"partition": "branches", "subnetworks": 2}, "subnetworks or partition, not both"),
    "branches too": (
        {"partition": "branches", "assignment": {"end": 1}},
        "either assignment or partition, not both.*partition='branches'",
    ),
    "empty name": ({"assignment": {"": 0}}, "no node is named ''"),
    "devices": ({"assignment": {"end": 1}, "devices": ["/CPU:0"]}, "each of the 2 subnetworks"),
}


@pytest.mark.parametrize(("options", "message"), REJECTED.values(), ids=REJECTED)
def test_a_plan_rejects(options: dict, message: str) -> None:
    with pytest.raises(PlanError, match=message):
        Plan(branching(), **options)


# --- branches -----------------------------------------------------------------------------------


def test_each_branch_is_a_subnetwork_and_a_merge_belongs_to_the_last() -> None:
    plan = Plan(branching(), partition="branches")
    assert subnetworks(plan) == [0, 1, 1, 2, 2, 2, 2]
    assert plan.information_latency == (1, 2)
    assert plan.depth == 3


def test_feedback_begins_no_branch() -> None:
    """It would be one step later if it were in another subnetwork than its reader."""
    frame = keras.Input((4, 4, 2))
    x = layers.Conv2D(2, 1, name="a")(frame)
    join = layers.Add(name="join")([x, Feedback("end", (4, 4, 2), name="back")(x)])
    plan = Plan(keras.Model(frame, layers.ReLU(name="end")(join)), partition="branches")
    assert plan.subnetworks == 1


def test_branches_of_par_inception() -> None:
    """The stem is 54 % of the work, so its branches gain nothing (appendix A: "no gain").

    A merge belongs to the last branch, so other branches take two steps for a block.
    """
    with without_values():
        model = par_inception((224, 224, 3), classes=400)
    units = Plan(model, 10, partition="units", phases="aligned")
    branches = Plan(model, partition="branches", phases="aligned")
    assert [units.subnetworks, branches.subnetworks] == [10, 1 + 9 * 4]
    assert [units.information_latency, branches.information_latency] == [(9, 9), (9, 18)]
    assert units.balance_bound == branches.balance_bound == pytest.approx(0.54, abs=0.005)
    stem = {"stem.2b": 1, "stem.2c": 2, "mixed_3b.b0": 3}  # the rest goes on in subnetwork 3
    assert Plan(model, assignment=stem).information_latency == (3, 3)
    names = ("mixed_4b.b0_conv", "mixed_4b.b1b_norm", "mixed_4b.b2a_relu", "mixed_4b.b3b_conv")
    assert len({branches.subnetwork_of[name] for name in names}) == 4
    assert branches.subnetwork_of["mixed_4b.join"] == branches.subnetwork_of["mixed_4b.b3a"]


# --- what follows from a plan -------------------------------------------------------------------


def test_costs_are_counted_and_drawn_by_subnetwork() -> None:
    plan = Plan(branching(), assignment={"block": 1, "end": 0}, clocks={"stem.conv": 2})
    work = 4 * 4 * 2 * 2
    assert plan.costs == ((2 * work, 0), (0, 2 * work))
    assert plan.grid().splitlines()[1:] == ["   0   █  .    50 %", "   1   .  █    50 %"]
    assert plan.boundaries == ("block.b1_conv",)


def test_in_a_circle_only_lower_numbers_set_the_phases_of_a_chain() -> None:
    """0 -> 1 -> 0: subnetwork 1 ticks a step after 0, so 0 reads it at its next tick."""
    plan = Plan(chain(2, 2, 2), assignment={"c1": 1, "c2": 0}, clocks={"c0": 4})
    assert plan.clock_of == {"c0": Clock(4, 0), "c1": Clock(4, 1), "c2": Clock(4, 0)}
    assert plan.age_of("c2").newest == (4, 5, 6, 7)
    assert Plan(chain(2, 2, 2), assignment={"c1": 1, "c2": 0}).information_latency == (2, 2)


def test_devices_follow_subnetworks(rng: np.random.Generator) -> None:
    model = branching()
    randomize(model, rng)
    plain = Plan(model, assignment={"block": 1, "end": 0})
    placed = Plan(model, assignment={"block": 1, "end": 0}, devices=["/CPU:0", "/cpu:0"])
    assert [placed.device(node) for node in placed.graph.nodes] == [
        ("/CPU:0", "/cpu:0")[subnetwork] for subnetwork in placed.node_subnetworks
    ]
    clip = rng.normal(size=(1, 4, 4, 4, 2)).astype("float32")
    expected = VideoNetwork(model, plain)(clip)
    np.testing.assert_allclose(VideoNetwork(model, placed)(clip), expected, rtol=1e-5, atol=1e-6)


# --- plans as data, and as text -----------------------------------------------------------------


@pytest.mark.parametrize("head", [None, "end"])
def test_a_plan_survives_json(head: str | None) -> None:
    assignment = {"block.b1": 2, "block.b10": 1, "block.join": 0}
    plan = Plan(branching(), assignment=assignment, clocks={"block.b1_conv": 2}, head=head)
    copy = Plan.from_config(branching(), json.loads(json.dumps(plan.get_config())))
    assert (copy, copy.node_clocks, copy.head) == (plan, plan.node_clocks, plan.head)
    assert copy.node_subnetworks == plan.node_subnetworks
    assert copy != Plan(branching(), assignment={**assignment, "block.join": 1}, head=head)


def test_plans_of_earlier_files_still_load() -> None:
    """They have the positions of boundaries in place of a subnetwork for each node."""
    plan = Plan(chain(2, 2, 2, 2), boundaries=["c1", "c2"], clocks=[1, 2, 4], head="c3")
    old = plan.get_config()
    assert old.pop("subnetworks") == [0, 1, 2, 3]
    assert Plan.from_config(chain(2, 2, 2, 2), {"boundaries": [1, 2], **old}) == plan
    with pytest.raises(PlanError, match="with the keys subnetworks, head.*Received: the keys"):
        Plan.from_config(chain(2, 2, 2, 2), old)


def test_text_states_an_assignment(tmp_path: pathlib.Path) -> None:
    expected = {"stem": 0, "conv:1": 2}
    assert parse_assignment("stem=0, conv:1=2") == expected
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(expected))
    assert parse_assignment(str(path)) == expected


@pytest.mark.parametrize(
    ("text", "content", "fault"),
    [
        ("stem", None, "'stem' is not NAME=NUMBER"),
        ("stem=a", None, "invalid literal"),
        ("1", None, "'1' is not NAME=NUMBER"),
        ("stem=0, =1", None, "' =1' is not NAME=NUMBER"),
        ("stem=1,stem=2", None, "'stem' appears twice"),
        ("", None, "'' is not NAME=NUMBER"),
        ("none.json", None, "No such file"),
        ("plan.json", "{", "Expecting property name"),
        ("plan.json", "1", "holds no object, but 1"),
        ("plan.json", '["ab", "cd"]', "holds no object"),  # once read as the pairs a=b and c=d
        ("plan.json", '{"stem": 0, "stem": 1}', "'stem' appears twice"),
    ],
)
def test_another_text_is_refused(
    text: str, content: str | None, fault: str, tmp_path: pathlib.Path
) -> None:
    if text.endswith(".json"):
        text = str(tmp_path / text)
    if content is not None:
        pathlib.Path(text).write_text(content)
    expected = f"assignment: expected NAME=NUMBER,... or a .json file.*{re.escape(fault)}"
    with pytest.raises(ValueError, match=expected):
        parse_assignment(text)

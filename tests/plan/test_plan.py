"""Clocks, phases, partitions and heads of plans, and plans as data."""

import json
from typing import Any

import keras
import pytest
from keras import layers
from small_models import chain, unit_model

from keras_layers import TemporalMaxPooling3D
from mpvn import Clock, Plan, PlanError

# --- clocks and phases --------------------------------------------------------------------------


def test_nodes_inherit_the_rate_of_their_inputs() -> None:
    plan = Plan(chain(2, 2, 2, 2), clocks={"c1": 2, "c3": 4})
    assert [clock.rate for clock in plan.clock_of.values()] == [1, 2, 2, 4]
    assert plan.period == 4


def test_automatic_rates_double_with_each_halving_after_the_first() -> None:
    x = frame = keras.Input((16, 16, 1))
    for index in range(4):
        x = layers.Conv2D(1, 1, strides=2, name=f"c{index}")(x)
    dense = layers.Dense(1, name="dense")(layers.Flatten(name="flat")(x))
    plan = Plan(keras.Model(frame, dense), clocks="auto")
    assert [clock.rate for clock in plan.clock_of.values()] == [1, 2, 4, 4, 4, 4]


@pytest.mark.parametrize(
    ("clocks", "rates"),
    [
        ("auto:2", [1, 2, 2, 2, 2, 2]),
        ("auto:1", [1, 1, 1, 1, 1, 1]),
        ("3*auto", [3, 6, 12, 12, 12, 12]),
        ("2*auto:2", [2, 4, 4, 4, 4, 4]),
    ],
)
def test_automatic_rates_have_a_limit_and_a_factor(clocks: str, rates: list[int]) -> None:
    x = frame = keras.Input((16, 16, 1))
    for index in range(4):
        x = layers.Conv2D(1, 1, strides=2, name=f"c{index}")(x)
    dense = layers.Dense(1, name="dense")(layers.Flatten(name="flat")(x))
    plan = Plan(keras.Model(frame, dense), clocks=clocks)
    assert [clock.rate for clock in plan.clock_of.values()] == rates


def test_phases_by_name_override_the_default() -> None:
    plan = Plan(chain(2, 2, 2), 3, clocks=[1, 2, 4], phases={"c2": 3})
    assert list(plan.clock_of.values()) == [Clock(1, 0), Clock(2, 1), Clock(4, 3)]


def test_phases_can_be_offsets_per_subnetwork() -> None:
    plan = Plan(chain(2, 2, 2), 3, clocks=[1, 2, 4], phases=[0, 4, 7])
    assert list(plan.clock_of.values()) == [Clock(1, 0), Clock(2, 0), Clock(4, 3)]


# --- partitions and heads -----------------------------------------------------------------------


def test_equal_partitions_count_nodes_and_balanced_partitions_count_work() -> None:
    """Multiply-adds per position are 16, 64, 64, 8 and 1."""
    model = chain(8, 8, 8, 1, 1)
    assert Plan(model, 2).boundaries == ("c2",)
    balanced = Plan(model, 2, partition="balanced")
    assert balanced.boundaries == ("c2",)
    assert balanced.balance_bound == pytest.approx(80 / 153)
    assert Plan(model, 3, partition="balanced").boundaries == ("c1", "c2")


UNITS = ("stem.a", "b1.a", "b1.b", "b2.a", "b2.b", "b2.c", "plain", "b3.a", "head.a", "head.b")


def test_units_stay_whole_and_the_head_belongs_to_the_last_subnetwork() -> None:
    """The model has five units; the fifth is the head (*MPVN*, section 3.1)."""
    model = unit_model(*UNITS)
    plan = Plan(model, 3, partition="units")
    assert plan.boundaries == ("b1.a", "b3.a")
    assert plan.head is None
    assert [plan.subnetwork_of[name] for name in UNITS] == [0, 1, 1, 1, 1, 1, 1, 2, 2, 2]
    assert Plan(model, 5, partition="units").boundaries == ("b1.a", "b2.a", "b3.a", "head.a")


def test_a_fresh_head_can_be_a_unit_and_counts_as_one() -> None:
    """The model has five units. The fifth is the head, which belongs to no subnetwork."""
    model = unit_model(*UNITS)
    fresh = {"partition": "units", "head": "head"}
    assert Plan(model, 2, **fresh).boundaries == ("b2.a",)
    assert Plan(model, 3, **fresh).boundaries == ("b1.a", "b3.a")
    plan = Plan(model, 4, **fresh)
    assert plan.boundaries == ("b1.a", "b2.a", "b3.a")
    assert plan.head == "head.a"
    assert [plan.subnetwork_of[name] for name in UNITS] == [0, 1, 1, 2, 2, 2, 2, 3, 4, 4]
    assert Plan.from_config(model, plan.get_config()) == plan


def test_units_without_a_head_and_with_a_chosen_head() -> None:
    model = unit_model("a.1", "b.1", "b.2", "c.1", "d.1")
    assert Plan(model, 2, partition="units").boundaries == ("c.1",)
    assert Plan(model, 2, partition="units", head="c.1").boundaries == ("b.1",)


def joined_model() -> keras.Model:
    """A head that reads a stem of rate 2 and a block of rate 4, and ends in a node of its own."""
    frame = keras.Input((8, 8, 1))
    stem = layers.Conv2D(1, 1, name="stem.a")(frame)
    block = layers.Conv2D(1, 1, name="block.a")(stem)
    joined = layers.Concatenate(name="head.join")([stem, block])
    return keras.Model(frame, layers.Conv2D(1, 1, name="head.logits")(joined))


@pytest.mark.parametrize(
    ("subnetworks", "clocks", "rates"),
    [
        (1, [2], (2, 2, 2, 2)),
        (2, [2, 4], (2, 4, 1, 1)),
        (3, [2, 4, 4], (2, 4, 1, 1)),
        (2, {"stem.a": 2, "block.a": 4}, (2, 4, 2, 2)),
    ],
)
def test_a_head_of_other_subnetworks_maps_ticks_at_every_step(
    subnetworks: int, clocks: Any, rates: tuple[int, ...]
) -> None:
    """Maps that arrive a step late change when the clock of a map would rest the head."""
    model = joined_model()
    plan = Plan(model, subnetworks, partition="units", clocks=clocks)
    assert tuple(clock.rate for clock in plan.node_clocks) == rates
    assert plan.over(model) == plan


def test_a_temporal_stride_in_the_head_counts_ticks_of_its_input() -> None:
    """Such heads were refused: their rates no longer were those of their inputs."""
    model = joined_model()
    pool = TemporalMaxPooling3D((2, 1, 1), name="head.pool")
    last = layers.Conv2D(1, 1, name="head.last")
    for end, clocks, rates in (
        (model.get_layer("block.a").output, [2, 4, 8], (2, 4, 8, 8)),
        (model.output, [2, 4], (2, 4, 1, 1, 2, 2)),
    ):
        ending = keras.Model(model.input, last(pool(end)))
        plan = Plan(ending, len(clocks), partition="units", clocks=clocks)
        assert tuple(clock.rate for clock in plan.node_clocks) == rates


def test_the_head_ticks_at_every_step_and_reads_without_delay() -> None:
    plan = Plan(chain(2, 2, 2), 2, clocks=[2, 2], head="c2")
    assert plan.subnetwork_of == {"c0": 0, "c1": 1, "c2": 2}
    assert plan.clock_of["c2"] == Clock(1, 0)
    c0, c1, c2 = plan.graph.nodes
    assert (plan.delay(None, c0), plan.delay(c0, c1), plan.delay(c1, c2)) == (0, 1, 0)


# --- plans as data ------------------------------------------------------------------------------


def test_a_plan_survives_json() -> None:
    model = chain(2, 2, 2, 2)
    options = {"boundaries": ["c1", "c2"], "clocks": [1, 2, 4], "head": "c3"}
    plan = Plan(model, **options, phases="chain")
    copy = Plan.from_config(model, json.loads(json.dumps(plan.get_config())))
    assert copy == plan
    assert hash(copy) == hash(plan)
    assert copy != Plan(model, **options, phases="aligned")


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("rates", None, "rates to be a list. Received: None"),
        ("fingerprint", "Conv2D", "fingerprint to be a list"),
        ("feedback", [[1]], r"feedback to be pairs of positions. Received: \[\[1\]\]"),
        ("head", "c1", "positions from 0 to 1. Received: 'c1'"),
        ("rates", [1], "Expected 2 subnetworks, rates and phases.*Received: 1"),
        ("phases", [0.5, 0], "'c0' ticks every 1 steps.*Received: 0.5"),
    ],
)
def test_data_of_another_form_are_refused(key: str, value: Any, expected: str) -> None:
    model = chain(2, 2)
    with pytest.raises(PlanError, match=expected):
        Plan.from_config(model, {**Plan(model).get_config(), key: value})


def test_a_plan_applies_to_another_model_with_the_same_nodes() -> None:
    plan = Plan(chain(2, 2, 2), 2, clocks={"c1": 2}, head="c2")
    model = chain(2, 2, 2, size=16)
    copy = plan.over(model)
    assert copy == plan
    assert copy.graph.model is model
    with pytest.raises(PlanError, match="expected 3 nodes. Received: 2 nodes"):
        plan.over(chain(2, 2))


@pytest.mark.parametrize("name", ["boundaries", "subnetworks", "head", "node_clocks", "title"])
def test_a_plan_cannot_be_changed(name: str) -> None:
    """A changed plan would disagree with its cached costs and with functions already traced."""
    plan = Plan(chain(2, 2), 2)
    with pytest.raises(AttributeError, match=f"cannot be changed. Received: '{name}'"):
        setattr(plan, name, 3)
    with pytest.raises(AttributeError, match="boundaries"):
        del plan.boundaries
    assert plan.boundaries == ("c1",)
    assert plan.node_costs is plan.node_costs  # cached properties still work
    assert plan.histories is plan.histories


def test_a_printed_plan_shows_its_latency_and_its_grid() -> None:
    plan = Plan(chain(2, 2), 2, clocks=[1, 2])
    assert str(plan) == (
        "chain · nodes: 2 · subnetworks: 2 · clock rates: 1, 2 · information latency in steps: 1\n"
        "worst step: 0.000512 M multiply-adds, 1.33 of the mean · mean age of the outputs in "
        "steps: 1.5\n" + plan.grid()
    )

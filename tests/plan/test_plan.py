"""What a plan says, against hand counts, and what it refuses."""

import json
import re
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from random_weights import randomize
from small_models import causal, causal_row, chain, looping, skipping

import keras_layers
from mpvn import Clock, Plan, PlanError, VideoNetwork
from mpvn.plan import age

# --- what a plan says ---------------------------------------------------------------------------


def test_clocks_tick_at_their_phase() -> None:
    clock = Clock(3, 1)
    assert [t for t in range(8) if clock.ticks(t)] == [1, 4, 7]
    assert [clock.last(t) for t in (1, 2, 3, 4)] == [1, 1, 1, 4]
    assert [clock.count(n) for n in range(6)] == [0, 0, 1, 1, 1, 2]
    assert Clock(6, 4).within(clock)
    assert not Clock(6, 3).within(clock)
    assert [t for t in range(6) if clock.begun_at(2).ticks(t)] == [2, 5]


def test_a_sequential_grid_works_at_every_step() -> None:
    plan = Plan(chain(2, 2, 2))
    assert plan.grid() == "step   0   cost\n   0   █   100 %"


def test_a_chain_of_slow_subnetworks_is_a_staircase() -> None:
    """Costs 256, 512, 1024: of 1792 in all, 14, 29 and 57 %."""
    plan = Plan(chain(2, 4, 4), boundaries=["c1", "c2"], clocks=[1, 2, 4])
    assert plan.grid().splitlines() == [
        "step   0  1  2   cost",
        "   0   █  .  .    14 %",
        "   1   █  █  .    43 %",
        "   2   █  .  █    71 %",
        "   3   █  █  .    43 %",
    ]


def test_aligned_phases_put_all_work_into_one_step() -> None:
    plan = Plan(chain(2, 4, 4), boundaries=["c1", "c2"], clocks=[1, 2, 4], phases="aligned")
    assert plan.grid().splitlines() == [
        "step   0  1  2   cost",
        "   0   █  █  █   100 %",
        "   1   █  .  .    14 %",
        "   2   █  █  .    43 %",
        "   3   █  .  .    14 %",
    ]
    assert plan.step_costs == (1792, 256, 768, 256)
    assert plan.worst_step == pytest.approx(1792 / 768)


def test_a_subnetwork_of_two_clocks_shows_its_share() -> None:
    plan = Plan(chain(2, 4, 4), clocks={"c1": 2})
    assert plan.grid().splitlines() == [
        "step   0   cost",
        "   0   █   100 %",
        "   1   ▁    14 %",
    ]


def test_clocks_are_inherited_and_named() -> None:
    plan = Plan(chain(2, 2, 2, 2), clocks={"c1": 2, "c3": 4})
    assert [clock.rate for clock in plan.clock_of.values()] == [1, 2, 2, 4]
    assert plan.period == 4


def test_automatic_clocks_double_with_each_halving_after_the_first() -> None:
    x = frame = keras.Input((16, 16, 1))
    for index in range(4):
        x = layers.Conv2D(1, 1, strides=2, name=f"c{index}")(x)
    dense = layers.Dense(1, name="dense")(layers.Flatten(name="flat")(x))
    plan = Plan(keras.Model(frame, dense), clocks="auto")
    assert [clock.rate for clock in plan.clock_of.values()] == [1, 2, 4, 4, 4, 4]


def test_phases_by_name_override_the_default() -> None:
    plan = Plan(chain(2, 2, 2), 3, clocks=[1, 2, 4], phases={"c2": 3})
    assert list(plan.clock_of.values()) == [Clock(1, 0), Clock(2, 1), Clock(4, 3)]
    plan = Plan(chain(2, 2, 2), 3, clocks=[1, 2, 4], phases=[0, 4, 7])
    assert list(plan.clock_of.values()) == [Clock(1, 0), Clock(2, 0), Clock(4, 3)]


def test_equal_cuts_count_nodes_and_balanced_cuts_count_work() -> None:
    """Multiply-adds per position: 16, 64, 64, 8, 1."""
    model = chain(8, 8, 8, 1, 1)
    assert Plan(model, 2).boundaries == ("c2",)
    balanced = Plan(model, 2, partition="balanced")
    assert balanced.boundaries == ("c2",)
    assert balanced.balance_bound == pytest.approx(80 / 153)
    assert Plan(model, 3, partition="balanced").boundaries == ("c1", "c2")


def unit_model(*names: str) -> keras.Model:
    """A row of 1x1 convolutions by those names."""
    x = frame = keras.Input((4, 4, 2))
    for name in names:
        x = layers.Conv2D(2, 1, name=name)(x)
    return keras.Model(frame, x, name="in_units")


IN_UNITS = ("stem.a", "b1.a", "b1.b", "b2.a", "b2.b", "b2.c", "plain", "b3.a", "head.a", "head.b")


def test_units_are_cut_whole_and_the_head_counts_as_one() -> None:
    """Five units in all, the fifth the head, which belongs to no subnetwork."""
    model = unit_model(*IN_UNITS)
    assert Plan(model, 2, partition="units").boundaries == ("b2.a",)
    assert Plan(model, 3, partition="units").boundaries == ("b1.a", "b3.a")
    plan = Plan(model, 4, partition="units")
    assert plan.boundaries == ("b1.a", "b2.a", "b3.a")
    assert plan.head == "head.a"
    assert [plan.subnetwork_of[name] for name in IN_UNITS] == [0, 1, 1, 2, 2, 2, 2, 3, 4, 4]
    assert Plan(model, **plan.get_config()) == plan


def test_units_without_a_head_and_with_another_head() -> None:
    model = unit_model("a.1", "b.1", "b.2", "c.1", "d.1")
    assert Plan(model, 2, partition="units").boundaries == ("c.1",)
    assert Plan(model, 2, partition="units", head="c.1").boundaries == ("b.1",)


def test_too_many_subnetworks_for_the_units_names_the_units() -> None:
    sentence = (
        "subnetworks: the model has 4 units to share, stem, b1, b2, b3, so between 1 and 4 "
        "subnetworks are possible, got 5"
    )
    with pytest.raises(PlanError, match=re.escape(sentence)):
        Plan(unit_model(*IN_UNITS), 5, partition="units")
    with pytest.raises(PlanError, match='called "unit.part", from its first node .c0. on'):
        Plan(chain(2, 2), 2, partition="units")


def test_the_head_ticks_always_and_without_delay() -> None:
    plan = Plan(chain(2, 2, 2), 2, clocks=[2, 2], head="c2")
    assert plan.subnetwork_of == {"c0": 0, "c1": 1, "c2": 2}
    assert plan.clock_of["c2"] == Clock(1, 0)
    c0, c1, c2 = plan.graph.nodes
    assert (plan.delay(None, c0), plan.delay(c0, c1), plan.delay(c1, c2)) == (0, 1, 0)


def test_information_latency_counts_boundaries_on_the_fastest_and_slowest_path() -> None:
    assert Plan(chain(2, 2, 2)).information_latency == (0, 0)
    assert Plan(chain(2, 2, 2), 3).information_latency == (2, 2)
    assert Plan(skipping(), 4).information_latency == (1, 3)


def test_ages_by_hand() -> None:
    """c0 at every step, c1 at odd steps of what c0 held one step before.

    At step 1 it holds frame 0, at step 2 still frame 0; c2 reads the step before that.
    """
    plan = Plan(chain(2, 2, 2), 3, clocks=[1, 2, 2])
    assert plan.clock_of["c2"] == Clock(2, 0)
    assert plan.age_of("c0").newest == (0, 0)
    assert plan.age_of("c1").newest == (2, 1)
    assert plan.age_of("c2").newest == (2, 3)
    assert plan.ages["c2"].oldest == (2, 3)
    assert (plan.ages["c2"].mean, plan.ages["c2"].worst) == (2.5, 3)


def test_ages_of_aligned_clocks_are_older() -> None:
    plan = Plan(chain(2, 2, 2), 3, clocks=[1, 2, 2], phases="aligned")
    assert plan.age_of("c1").newest == (1, 2)
    assert plan.age_of("c2").newest == (3, 4)


def test_a_skip_is_fresher_than_the_path_around_it() -> None:
    ages = Plan(skipping(), 4).ages["sum"]
    assert (ages.newest, ages.oldest) == ((1,), (3,))


def test_ages_are_what_an_impulse_shows(rng: np.random.Generator) -> None:
    """A frame number sent through identities comes out as many steps old as the plan says."""
    model = chain(1, 1, 1, 1, size=1, channels=1)
    for layer in model.layers[1:]:
        layer.set_weights([np.ones((1, 1, 1, 1)), np.zeros(1)])
    plan = Plan(model, 3, clocks=[1, 2, 6], phases="chain")
    numbers = np.arange(36, dtype="float32").reshape(1, 36, 1, 1, 1)
    outputs = np.asarray(VideoNetwork(model, plan)(numbers)).ravel()
    found = np.arange(36) - outputs
    np.testing.assert_array_equal(found[-6:], plan.ages["c3"].newest)


@pytest.mark.parametrize(
    "stack",
    [((3, 1),), ((3, 1), (2, 1), (4, 1)), ((3, 2), (2, 2), (3, 1)), ((2, 3), (4, 1)), ((1, 2),)],
)
def test_receptive_field_is_the_sum_of_products_of_strides(stack: tuple) -> None:
    """1 + sum of (kernel - 1) times the strides below, at the steps where everything ticks."""
    expected, jump = 1, 1
    for kernel, stride in stack:
        expected += (kernel - 1) * jump
        jump *= stride
    assert Plan(causal(*stack)).receptive_field == expected


def test_receptive_field_is_what_the_gradient_reaches(rng: np.random.Generator) -> None:
    model = causal((3, 2), (2, 1), (2, 2))
    network = VideoNetwork(model, Plan(model, 2))
    randomize(network, rng)
    clip = tf.constant(rng.normal(size=(1, 24, 4, 4, 1)), "float32")
    with tf.GradientTape() as tape:
        tape.watch(clip)
        last = tf.reduce_sum(network(clip)[:, -1] ** 2)
    reached = np.flatnonzero(np.abs(tape.gradient(last, clip)).sum(axis=(0, 2, 3, 4)))
    assert reached[-1] - reached[0] + 1 == network.plan.receptive_field


@pytest.mark.parametrize(
    ("model", "subnetworks", "clocks", "unread"),
    [
        (chain(2, 2, 2), 1, [1], [0, 0, 0]),
        (chain(2, 2, 2), 1, {"c1": 2, "c2": 4}, [3, 1, 0]),  # of 4, 2 and 1 ticks in 4 steps
        (chain(2, 2, 2), 3, [1, 2, 4], [3, 1, 0]),
        (skipping(), 1, {"c1": 2}, [0, 0, 0, 0]),  # the skip reads c0 at every step
        (causal_row((1, 1), (2, 2), (1, 2)), 1, None, [2, 1, 0]),  # the window holds two of c0's
        (causal_row((1, 1), (2, 2), (2, 2)), 1, None, [0, 0, 0]),
    ],
)
def test_ticks_that_nobody_reads_are_told(
    model: keras.Model, subnetworks: int, clocks: Any, unread: list[int]
) -> None:
    plan = Plan(model, subnetworks, clocks=clocks)
    ticks = [plan.period // clock.rate for clock in plan.clock_of.values()]
    found = [n - len(seen) for n, seen in zip(ticks, age.seen_ticks(plan), strict=True)]
    assert found == unread
    wasted = sum(n * cost for n, cost in zip(unread, plan.node_costs, strict=True))
    assert plan.unseen_share == pytest.approx(wasted / sum(plan.step_costs))


def test_receptive_field_with_feedback_has_no_bound() -> None:
    assert Plan(looping()).receptive_field is None


COSTS = {
    "Conv2D": (lambda: layers.Conv2D(5, 3, strides=2, padding="same"), 4 * 4 * 3 * 3 * 6 * 5),
    "grouped": (lambda: layers.Conv2D(4, 3, groups=2, padding="same"), 8 * 8 * 3 * 3 * 3 * 4),
    "depthwise": (lambda: layers.DepthwiseConv2D(3, padding="same"), 8 * 8 * 3 * 3 * 6),
    "separable": (
        lambda: layers.SeparableConv2D(5, 3, padding="same"),
        8 * 8 * (3 * 3 * 6 + 6 * 5),
    ),
    "transposed": (lambda: layers.Conv2DTranspose(5, 2, strides=2), 8 * 8 * 2 * 2 * 6 * 5),
    "temporal": (lambda: keras_layers.TemporalConv3D(5, (2, 3, 3)), 8 * 8 * 2 * 3 * 3 * 6 * 5),
    "dense": (lambda: layers.Dense(5), 8 * 8 * 6 * 5),
    "free": (lambda: layers.BatchNormalization(), 0),
}


@pytest.mark.parametrize(("make", "expected"), COSTS.values(), ids=COSTS)
def test_multiply_adds_by_hand(make: Any, expected: int) -> None:
    frame = keras.Input((8, 8, 6))
    assert Plan(keras.Model(frame, make()(frame))).node_costs == (expected,)


def test_a_layer_may_count_its_own_multiply_adds() -> None:
    class Counted(layers.ReLU):
        def multiply_adds(self, input_shape: tuple, output_shape: tuple) -> int:
            return input_shape[0] + output_shape[-1]

    frame = keras.Input((8, 7, 6))
    assert Plan(keras.Model(frame, Counted()(frame))).node_costs == (14,)


def test_costs_and_speed_ups_by_hand() -> None:
    plan = Plan(chain(2, 4, 4), 3, clocks=[1, 2, 4], phases="aligned")
    assert plan.node_costs == (256, 512, 1024)
    assert plan.costs == ((256, 512, 1024), (256, 0, 0), (256, 512, 0), (256, 0, 0))
    assert plan.clock_speedup == pytest.approx(1792 * 4 / 3072)
    assert plan.execution_speedup == pytest.approx(3 / (1 + 1 / 2 + 1 / 4))
    assert plan.balance_bound == pytest.approx(1024 / 3072)


def test_cached_bytes_are_the_bytes_of_the_state() -> None:
    for model, kwargs in (
        (skipping(), {"subnetworks": 4}),
        (causal((3, 2), (2, 1)), {"subnetworks": 2}),
        (looping(), {"clocks": {"entry": 2}}),
    ):
        network = VideoNetwork(model, Plan(model, **kwargs))
        state = network.initial_state(3)
        held = sum(np.asarray(value).nbytes for name, value in state.items() if name != "step")
        assert 3 * network.plan.cached_bytes == held > 0


def test_a_sequential_network_without_memory_keeps_nothing() -> None:
    assert Plan(chain(2, 2)).cached_bytes == 0


def test_a_plan_survives_json() -> None:
    model = chain(2, 2, 2, 2)
    plan = Plan(model, boundaries=["c1", "c2"], clocks=[1, 2, 4], phases="chain", head="c3")
    again = Plan(model, **json.loads(json.dumps(plan.get_config())))
    assert again == plan
    assert hash(again) == hash(plan)
    assert again != Plan(
        model, boundaries=["c1", "c2"], clocks=[1, 2, 4], phases="aligned", head="c3"
    )


def test_a_plan_applies_to_another_model_with_the_same_nodes() -> None:
    plan = Plan(chain(2, 2, 2), 2, clocks={"c1": 2}, head="c2")
    other = chain(2, 2, 2, size=16)
    again = plan.over(other)
    assert again == plan
    assert again.graph.model is other
    with pytest.raises(PlanError, match="no node is called 'c2'"):
        plan.over(chain(2, 2))


def test_a_printed_plan_says_its_latency() -> None:
    text = str(Plan(chain(2, 2), 2, clocks=[1, 2]))
    assert (
        "chain · nodes: 2 · subnetworks: 2 · clock rates: 1, 2 · information latency in steps: 1"
        in text
    )


# --- what a plan refuses ------------------------------------------------------------------------

REFUSED = {
    "unknown boundary": ({"boundaries": ["c9"]}, "boundary: no node is called 'c9'.*like 'c"),
    "empty first": ({"boundaries": ["c0"]}, "boundary: 'c0' is the first node"),
    "boundary in head": ({"boundaries": ["c2"], "head": "c2"}, "'c2' is in the head"),
    "named twice": ({"boundaries": ["c1", "c1"]}, "'c1'.* named twice"),
    "too many": ({"subnetworks": 4}, "the model has 3 nodes.*got 4"),
    "none": ({"subnetworks": 0}, "between 1 and 3.*got 0"),
    "a name alone": ({"boundaries": "c1"}, "boundaries.*list of.*names.*Received: 'c1'"),
    "names as subnetworks": ({"subnetworks": ["c1"]}, "expected an int.*as boundaries="),
    "both": ({"subnetworks": 2, "boundaries": ["c1"]}, "either subnetworks or boundaries"),
    "partition": (
        {"subnetworks": 2, "partition": "fair"},
        "one of equal, balanced, units, got 'fair'",
    ),
    "clock list": ({"subnetworks": 3, "clocks": [1, 2]}, r"each of the 3 subnetworks, got \[1, 2"),
    "rate zero": ({"clocks": [0]}, r"one rate >= 1.*got \[0\]"),
    "clock word": ({"clocks": "slow"}, "clocks must be None.*'slow'"),
    "clock name": ({"clocks": {"c9": 2}}, "clocks: no node is called 'c9'"),
    "clock rate": ({"clocks": {"c1": 1.5}}, "the rate of 'c1' must be an int >= 1, got 1.5"),
    "rate below": (
        {"subnetworks": 3, "clocks": [1, 4, 2]},
        "'c2' has clock rate 2, below the rate 4 of what it reads.*at least 4",
    ),
    "phase list": ({"subnetworks": 2, "phases": [0]}, "phases: a list must hold.*2 subnetworks"),
    "phase word": ({"phases": "random"}, 'phases must be "aligned", "chain".*\'random\''),
    "phase name": ({"phases": {"c9": 0}}, "phases: no node is called 'c9'"),
    "phase beyond rate": (
        {"clocks": {"c1": 2}, "phases": {"c1": 2}},
        "'c1' ticks every 2 steps, so its phase is between 0 and 1, got 2",
    ),
    "devices": ({"subnetworks": 2, "devices": ["/CPU:0"]}, "devices: .*2 subnetworks.*/CPU:0"),
    "device": ({"devices": ["/GPU:first"]}, "'/GPU:first' is no device string"),
    "head": ({"head": "c9"}, "head: no node is called 'c9'"),
}


@pytest.mark.parametrize(("kwargs", "message"), REFUSED.values(), ids=REFUSED)
def test_a_plan_refuses(kwargs: dict, message: str) -> None:
    with pytest.raises(PlanError, match=message) as raised:
        Plan(chain(2, 2, 2), **kwargs)
    assert "does not fit the model 'chain'" in str(raised.value)


def test_a_plan_refuses_a_clock_that_contradicts_a_temporal_stride() -> None:
    with pytest.raises(PlanError, match="'t1' has a temporal stride of 2 over an input of rate 1"):
        Plan(causal((2, 1), (2, 2)), clocks={"t1": 3})


def test_a_plan_refuses_to_look_into_the_future_in_a_pipeline() -> None:
    frame = keras.Input((4, 4, 1))
    x = keras_layers.TemporalConv3D(1, 3, temporal_padding="symmetric", name="both")(frame)
    with pytest.raises(PlanError, match="'both' looks into the future.*causal"):
        Plan(keras.Model(frame, layers.ReLU()(x)), 2)


def test_a_plan_refuses_feedback_from_an_unknown_node() -> None:
    with pytest.raises(PlanError, match="feedback 'loop': no node is called 'opinon'.*'opinion'"):
        Plan(looping(source="opinon"))


def test_a_plan_refuses_feedback_of_another_shape() -> None:
    with pytest.raises(PlanError, match=r"'loop' expects shape \(8, 8, 2\), but 'opinion' puts"):
        Plan(looping(shape=(8, 8, 2)))


def test_a_plan_refuses_a_subclassed_model() -> None:
    class Subclassed(keras.Model):
        pass

    with pytest.raises(TypeError, match="functional Keras model.*Subclassed"):
        Plan(Subclassed())


def test_all_faults_come_in_one_error() -> None:
    with pytest.raises(PlanError) as raised:
        Plan(chain(2, 2, 2), boundaries=["c7", "c8"], clocks={"c9": 0}, head="c6")
    for fault in ("head: no node is called 'c6'", "'c7'", "'c8'", "'c9'", "the rate of 'c9'"):
        assert fault in str(raised.value)
    with pytest.raises(PlanError) as raised:
        Plan(chain(2, 2), 2, clocks=[0, 1], phases=[0], devices=["/GPU:first", None])
    for fault in ("clocks: a list", "phases: a list", "'/GPU:first' is no device string"):
        assert fault in str(raised.value)


def test_a_fault_of_the_boundaries_does_not_hide_one_of_the_clocks_or_devices() -> None:
    with pytest.raises(PlanError) as raised:
        Plan(chain(2, 2, 2), boundaries=["c9"], phases="random", devices=["/GPU:first"])
    for fault in ("'c9'", "'random'", "'/GPU:first'"):
        assert fault in str(raised.value)


def test_faults_of_several_nodes_come_together() -> None:
    with pytest.raises(PlanError) as raised:
        Plan(chain(2, 2, 2, 2), clocks={"c0": 4, "c1": 2, "c2": 1, "c3": 1})
    assert len(re.findall("below the rate", str(raised.value))) == 2

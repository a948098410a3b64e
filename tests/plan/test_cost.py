"""Multiply-adds, speedups, cached bytes and the drawn grid, against hand counts."""

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers
from measured_times import MS, Times
from small_models import causal, chain, looping, skipping

import keras_layers
from mpvn import Plan, VideoNetwork
from mpvn.report import architecture_figure

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


@pytest.mark.parametrize(("build", "expected"), COSTS.values(), ids=COSTS)
def test_multiply_adds_by_hand(build: Any, expected: int) -> None:
    frame = keras.Input((8, 8, 6))
    assert Plan(keras.Model(frame, build()(frame))).node_costs == (expected,)


def test_a_layer_can_count_its_own_multiply_adds() -> None:
    class Counted(layers.ReLU):
        def multiply_adds(self, input_shape: tuple, output_shape: tuple) -> int:
            return input_shape[0] + output_shape[-1]

    frame = keras.Input((8, 7, 6))
    assert Plan(keras.Model(frame, Counted()(frame))).node_costs == (14,)


def test_costs_and_speedups_by_hand() -> None:
    plan = Plan(chain(2, 4, 4), 3, clocks=[1, 2, 4], phases="aligned")
    assert plan.node_costs == (256, 512, 1024)
    assert plan.costs == ((256, 512, 1024), (256, 0, 0), (256, 512, 0), (256, 0, 0))
    assert plan.step_costs == (1792, 256, 768, 256)
    assert plan.worst_step == pytest.approx(1792 / 768)
    assert plan.clock_speedup == pytest.approx(1792 * 4 / 3072)
    assert plan.execution_speedup == pytest.approx(3 / (1 + 1 / 2 + 1 / 4))
    assert plan.balance_bound == pytest.approx(1024 / 3072)


def test_cached_bytes_are_the_bytes_of_the_state() -> None:
    for model, options in (
        (skipping(), {"subnetworks": 4}),
        (causal((3, 2), (2, 1)), {"subnetworks": 2}),
        (looping(), {"clocks": {"entry": 2}}),
    ):
        network = VideoNetwork(model, Plan(model, **options))
        state = network.initial_state(3)
        total = sum(np.asarray(value).nbytes for name, value in state.items() if name != "step")
        assert 3 * network.plan.cached_bytes == total > 0


def test_a_sequential_network_without_temporal_layers_caches_nothing() -> None:
    assert Plan(chain(2, 2)).cached_bytes == 0


# --- the grid -----------------------------------------------------------------------------------


def test_the_grid_of_a_sequential_network_has_one_full_cell() -> None:
    assert Plan(chain(2, 2, 2)).grid() == "step   0   cost\n   0   █   100 %"


def test_the_grid_of_slow_subnetworks_is_a_staircase() -> None:
    """Costs are 256, 512 and 1024, which are 14, 29 and 57 % of 1792."""
    plan = Plan(chain(2, 4, 4), boundaries=["c1", "c2"], clocks=[1, 2, 4])
    assert plan.grid().splitlines() == [
        "step   0  1  2   cost",
        "   0   █  .  .    14 %",
        "   1   █  █  .    43 %",
        "   2   █  .  █    71 %",
        "   3   █  █  .    43 %",
    ]


def test_with_aligned_phases_all_subnetworks_tick_at_step_0() -> None:
    plan = Plan(chain(2, 4, 4), boundaries=["c1", "c2"], clocks=[1, 2, 4], phases="aligned")
    assert plan.grid().splitlines() == [
        "step   0  1  2   cost",
        "   0   █  █  █   100 %",
        "   1   █  .  .    14 %",
        "   2   █  █  .    43 %",
        "   3   █  .  .    14 %",
    ]


def test_the_grid_shows_which_share_of_a_subnetwork_runs() -> None:
    plan = Plan(chain(2, 4, 4), clocks={"c1": 2})
    assert plan.grid().splitlines() == [
        "step   0   cost",
        "   0   █   100 %",
        "   1   ▁    14 %",
    ]


def test_measured_times_take_the_place_of_multiply_adds() -> None:
    """The last node has most multiply-adds and takes the least time."""
    model = chain(2, 4, 4)
    times = Times((6, 3, 1))
    counted = Plan(model, 2, partition="balanced")
    measured = Plan(model, 2, partition="balanced", costs=times)
    assert (counted.boundaries, measured.boundaries) == (("c2",), ("c1",))
    assert (counted.cost_unit.name, measured.cost_unit.name) == ("multiply-adds", "measured time")
    assert measured.node_costs == (6_000_000, 3_000_000, 1_000_000)
    assert measured.balance_bound == pytest.approx(0.6)
    assert "worst step: 10.0 ms, 1.00 of the mean" in str(measured)


def test_phases_are_searched_by_the_costs_of_the_plan() -> None:
    """By time, c0 and c2 take turns with c1; by multiply-adds, c0 and c1 do with c2."""
    options = {"clocks": [2, 2, 2], "phases": "flat"}
    counted = Plan(chain(2, 4, 4), 3, **options)
    measured = Plan(chain(2, 4, 4), 3, **options, costs=Times((5, 9, 4)))
    assert sorted(counted.step_costs) == [768, 1024]
    assert sorted(measured.step_costs) == [9 * MS, 9 * MS]


def test_costs_do_not_belong_to_the_schedule() -> None:
    plan = Plan(chain(2, 2), 2, costs=Times((1, 2)))
    assert plan == Plan(chain(2, 2), 2)
    assert plan.with_costs().node_costs == plan.multiply_adds == (256, 256)
    assert architecture_figure(plan) == architecture_figure(plan.with_costs())
    assert plan.with_costs(Times((3, 4))).node_costs == (3 * MS, 4 * MS)
    assert Plan.from_config(plan.graph.model, plan.get_config()).node_costs == (256, 256)
    with pytest.raises(TypeError, match="Invalid costs of a plan.*Received: 3"):
        Plan(chain(2, 2), costs=3)

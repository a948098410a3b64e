"""The plans of the published networks: where they are cut, their clocks, and what these save."""

from collections.abc import Iterator
from typing import Any

import keras
import pytest

import mpvn
from keras_layers import TemporalShift
from keras_layers.pure_call import without_values
from mpvn.models import PUBLISHED, par_densenet, tsm_resnet50


@pytest.fixture(autouse=True, scope="module")
def shapes() -> Iterator[None]:
    """Build networks of shapes alone: none is run here."""
    with without_values():
        yield


@pytest.fixture(scope="module")
def densenet() -> keras.Model:
    """Par-DenseNet at full size."""
    return par_densenet()


def small_model(name: str, **options: Any) -> keras.Model:
    return PUBLISHED[name].build((32, 32, 3), width=0.1, **options)


def test_options_may_decide_the_number_of_subnetworks() -> None:
    model = small_model("simple_cnn")
    architecture = PUBLISHED["simple_cnn"]
    assert architecture.plan(model, assignment={"conv3": 1}).subnetworks == 2
    assert architecture.plan(model, partition="branches").subnetworks == 1
    assert architecture.plan(model, boundaries=["conv3.conv"]).subnetworks == 2
    assert architecture.plan(model).subnetworks == 1


def miniblocks(model: keras.Model, steps: int) -> int:
    """The number of miniblocks that run in `steps` steps."""
    clock_of = PUBLISHED["par_densenet"].plan(model).clock_of
    clocks = [clock for name, clock in clock_of.items() if name.endswith(".conv3x3")]
    return sum(clock.count(steps) for clock in clocks)


def test_clocks_leave_86_of_416_miniblocks(densenet: keras.Model) -> None:
    """*Massively Parallel Video Networks*, section 4.6: in 16 steps."""
    assert miniblocks(densenet, 16) == 86
    assert miniblocks(small_model("par_densenet", clocks=False), 16) == 416


def test_clocks_save_what_the_counts_tell(densenet: keras.Model) -> None:
    """Par-DenseNet without temporal kernels at 224 pixels: 5091 million multiply-adds a frame."""
    for subnetworks in PUBLISHED["par_densenet"].subnetworks:
        plan = PUBLISHED["par_densenet"].plan(densenet, subnetworks)
        assert round(plan.clock_speedup, 2) == 2.60
        assert round(sum(plan.node_costs) / 1e6) == 5091


def test_the_first_of_two_subnetworks_has_most_of_the_work(densenet: keras.Model) -> None:
    plan = PUBLISHED["par_densenet"].plan(densenet, 2)
    first = sum(
        cost
        for node, cost in zip(plan.graph.nodes, plan.node_costs, strict=True)
        if plan.subnetwork(node) == 0
    )
    assert first / sum(plan.node_costs) == pytest.approx(0.875, abs=0.001)


@pytest.mark.parametrize("feedback", [None, "head_input"])
@pytest.mark.parametrize(
    ("name", "rates"),
    [
        (
            "par_densenet",
            {
                "stem.conv7x7": 1,
                "block1_1.conv1x1": 2,
                "block2_1.conv1x1": 4,
                "block3_8.conv3x3": 8,
                "block4_6.skip": 16,
                "head.logits": 1,
            },
        ),
        (
            "par_inception",
            {
                "stem.1a_conv": 2,
                "mixed_3c.join": 2,
                "mixed_4b.join": 4,
                "mixed_4f.join": 4,
                "mixed_5c.skip": 8,
                "head.logits": 1,
            },
        ),
    ],
)
def test_clock_rates(name: str, rates: dict[str, int], feedback: str | None) -> None:
    plan = PUBLISHED[name].plan(small_model(name, feedback=feedback), 5)
    assert {node: plan.clock_of[node].rate for node in rates} == rates


def test_published_plans_are_cut_between_units(densenet: keras.Model) -> None:
    plan = PUBLISHED["par_densenet"].plan(densenet, 14)
    starts = [name.partition(".")[0] for name in plan.boundaries]
    assert starts[:4] == ["block1_2", "block1_4", "block2_2", "block2_4"]
    assert len(starts) == 13
    assert plan.subnetwork_of["block1_4.skip"] == plan.subnetwork_of["block1_4.pool"] == 2
    plan = PUBLISHED["par_inception"].plan(small_model("par_inception"), 5)
    starts = [name.partition(".")[0] for name in plan.boundaries]
    assert starts == ["mixed_3c", "mixed_4c", "mixed_4e", "mixed_5b"]


def test_rejects_more_subnetworks_than_units() -> None:
    model = small_model("simple_cnn")
    with pytest.raises(mpvn.PlanError, match="6 units.*7|7.*6 units"):
        PUBLISHED["simple_cnn"].plan(model, 7)


def test_shifts_of_resnet50_cache_an_eighth_of_the_channels_at_no_cost() -> None:
    """An eighth of the inputs of 16 blocks, by our count; the paper prints 0.9 MB."""
    plan = mpvn.Plan(tsm_resnet50(temporal_padding="causal"))
    assert plan.cached_bytes == 4 * 702_464
    costs = zip(plan.graph.nodes, plan.node_costs, strict=True)
    assert [cost for node, cost in costs if isinstance(node.operation, TemporalShift)] == 16 * [0]

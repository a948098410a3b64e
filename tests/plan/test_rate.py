"""Plans for a frame rate: against all plans of a small network, and by hand."""

import functools
import itertools
from typing import Any

import keras
import pytest
from keras import layers
from measured_times import MS, Times
from small_models import chain

from keras_layers import TemporalConv3D
from mpvn import Plan, PlanError
from mpvn.plan import rate
from mpvn.plan.cost import MULTIPLY_ADDS, TIME

TIMES = Times((8, 6, 5, 1), of_step=MS // 10)

CLOCKS = (None, "auto:2", "auto:4", "2*auto:1", "2*auto:2", "2*auto:4")
COUNTS = (1, 2, 3)


@functools.cache
def halving() -> keras.Model:
    """Four nodes, whose maps are 8, 4, 2 and 1 pixels from frames of 16."""
    x = frame = keras.Input((16, 16, 1))
    for index in range(4):
        x = layers.Conv2D(1, 1, strides=2, name=f"c{index}")(x)
    return keras.Model(frame, x, name="halving")


@functools.cache
def all_plans() -> list[tuple[Any, int, float, int]]:
    """Return the clocks, the worst step, the age and the latency of all plans, with all phases."""
    found = []
    for clocks, count in itertools.product(CLOCKS, COUNTS):
        options = {"clocks": clocks, "partition": "balanced", "costs": TIMES}
        base = Plan(halving(), count, **options)
        rates = [clock.rate for clock in base.node_clocks]
        groups = sorted({*zip(base.node_subnetworks, rates, strict=True)})
        for phases in itertools.product(*(range(each) for _, each in groups)):
            of_group = dict(zip(groups, phases, strict=True))
            nodes = zip(base.nodes, base.node_subnetworks, rates, strict=True)
            by_name = {name: of_group[part, each] for name, part, each in nodes}
            plan = Plan(halving(), count, phases=by_name, **options)
            worst = max(plan.step_costs) + TIMES.of_step
            found.append((clocks, worst, plan.mean_age, plan.information_latency[1]))
    return found


@pytest.fixture(autouse=True)
def small_space(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate, "SUBNETWORKS", COUNTS)
    monkeypatch.setattr(rate, "MOST", (1, 2, 4))
    monkeypatch.setattr(rate, "EVERY", (1, 2))


@pytest.mark.parametrize("latency", [None, 0, 1])
@pytest.mark.parametrize("budget", [21, 20, 17, 14.2, 13, 11, 9, 8, 7])
def test_a_plan_for_a_rate_is_the_freshest_of_all(budget: float, latency: int | None) -> None:
    """Without slow clocks a step takes 20.1 ms."""
    allowed = [each for each in all_plans() if latency is None or each[3] <= latency]
    ages = [age for clocks, worst, age, _ in allowed if worst <= budget * MS]
    own = [age for clocks, worst, age, _ in allowed if worst <= budget * MS and clocks is None]
    if not ages:
        slowest = min(worst for _, worst, _, _ in allowed)
        with pytest.raises(PlanError, match=f"Received: {TIME.text(slowest)} in the worst step"):
            Plan.for_rate(halving(), 1000 / budget, latency, profile=TIMES)
        return
    plan = Plan.for_rate(halving(), 1000 / budget, latency, profile=TIMES)
    assert max(plan.step_costs) + TIMES.of_step <= budget * MS
    assert plan.mean_age == min(own or ages)
    assert plan.cost_source is TIMES
    assert latency is None or plan.information_latency[1] <= latency
    assert bool(own) == (plan.period == 1)


def test_two_subnetworks_alternate_by_hand() -> None:
    """Of 10 + 10 ms, a step of 11 ms has one half: each ticks at every second step."""
    times = Times((10, 10))
    plan = Plan.for_rate(chain(2, 2), 90, profile=times)
    assert plan.step_costs == (10 * MS, 10 * MS)
    assert [clock.phase for clock in plan.node_clocks] == [0, 1]
    assert plan.ages["c1"].oldest == (2, 1)  # c1 ticks at step 1, from what c0 computed at step 0


def test_a_faster_profile_is_taken_only_where_the_preferred_is_too_slow() -> None:
    slow, fast = Times((10, 10)), Times((4, 4))
    model = chain(2, 2)
    assert Plan.for_rate(model, 40, profile=[slow, fast]).cost_source is slow
    plan = Plan.for_rate(model, 60, profile=[slow, fast])
    assert (plan.cost_source, plan.period) == (fast, 1)


def test_what_is_given_is_not_searched() -> None:
    plan = Plan.for_rate(chain(2, 2), 90, profile=Times((10, 10)), clocks=[4, 4], subnetworks=2)
    assert [clock.rate for clock in plan.node_clocks] == [4, 4]
    with pytest.raises(PlanError, match="no node is named 'c9'"):
        Plan.for_rate(chain(2, 2), 90, profile=Times((10, 10)), head="c9")
    with pytest.raises(PlanError, match="Received: 20.0 ms in the worst step"):
        Plan.for_rate(chain(2, 2), 90, profile=Times((10, 10)), phases="aligned", subnetworks=2)


def test_a_refusal_says_what_would_make_it_possible() -> None:
    """In one subnetwork a step has both nodes, or they have clocks of one rate."""
    with pytest.raises(PlanError) as raised:
        Plan.for_rate(chain(2, 2), 90, latency=0, profile=Times((10, 10)))
    assert str(raised.value) == (
        "chain: no plan was found for 90 frames/s with an information latency of at most 0 steps. "
        "Expected steps of at most 11.1 ms. Received: 20.0 ms in the worst step at least "
        "(subnetworks: 1, the model's own clocks). This would make it possible:\n"
        "  - a rate of at most 50.0 frames/s\n"
        "  - a latency of 1 step (subnetworks: 2, clocks 2*auto:1)\n"
        "  - frames of about 5 x 5 pixels, if times go with their number\n"
        "  - a runtime or a precision that is 1.8 times faster"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"fps": 0}, "Invalid fps. Expected a number above 0. Received: 0"),
        ({"fps": "30"}, "Invalid fps.*Received: '30'"),
        ({"latency": -1}, "Invalid latency. Expected None or an int >= 0. Received: -1"),
        ({"profile": MULTIPLY_ADDS}, "needs measured times.*Received: multiply-adds"),
        ({"profile": []}, "needs measured times.*Received: none"),
    ],
)
def test_invalid_arguments_are_refused(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Plan.for_rate(chain(2, 2), **{"fps": 30, "profile": TIMES, **arguments})


def test_a_model_that_cannot_stream_is_refused() -> None:
    frame = keras.Input((4, 4, 1))
    x = TemporalConv3D(1, (3, 1, 1), temporal_padding="symmetric", name="both")(frame)
    with pytest.raises(PlanError, match="Received: layers that look into the future"):
        Plan.for_rate(keras.Model(frame, x), 30, profile=Times((1,)))

"""Searched phases: against all phases of small networks, and against the named ones of random ones.

Ages and costs of a plan come from the NumPy interpreter here: it computes when a node ticks, and
how old the oldest frame in a value is.
"""

import functools
import itertools
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from network_data import Builder, Network, to_keras
from random_networks import networks, settings_for
from reference import Interpreter, Node, Placement

from mpvn import Plan, PlanError
from mpvn.plan import phases

BASE = 64.0
"""Frame t is BASE ** -t, so the oldest frame in a sum of fewer than BASE of them shows."""

PERIODS = 8
"""After one less, no output is older than the start."""


def chained() -> Network:
    """Four convolutions in a row, with different costs."""
    net = Builder(seed=0)
    x = net.input("frame", (1, 1, 1))
    for name, filters in (("a", 4), ("b", 3), ("c", 5), ("d", 2)):
        x = net.conv(name, x, filters, size=1, use_bias=False)
    return Network(tuple(net.nodes), (x,))


def branching() -> Network:
    """Two branches and a skip connection, joined by a sum; one branch is an output, too."""
    net = Builder(seed=0)
    stem = net.conv("stem", net.input("frame", (1, 1, 1)), 2, size=1, use_bias=False)
    left = net.conv("left", stem, 2, size=1, use_bias=False)
    right = net.conv("right", net.conv("middle", stem, 6, 1, use_bias=False), 2, 1, use_bias=False)
    total = net.add("sum", net.add("half", left, right), stem)
    return Network(tuple(net.nodes), (total, left))


CASES: dict[str, tuple[Callable[[], Network], dict[str, int], dict[str, int]]] = {
    "row": (chained, {"a": 0, "b": 1, "c": 2, "d": 3}, {"a": 2, "b": 2, "c": 4, "d": 4}),
    "two clocks in one subnetwork": (
        chained,
        {"a": 0, "b": 0, "c": 1, "d": 1},
        {"a": 1, "b": 2, "c": 2, "d": 4},
    ),
    "rates without a common divisor": (
        chained,
        {"a": 0, "b": 0, "c": 1, "d": 1},
        {"a": 2, "b": 3, "c": 3, "d": 6},
    ),
    "branches, numbered against the flow": (
        branching,
        {"stem": 2, "left": 0, "middle": 3, "right": 1, "half": 1, "sum": 1},
        {"stem": 1, "left": 2, "middle": 4, "right": 4, "half": 4, "sum": 4},
    ),
}


def oldest_age(network: Network, placement: Placement, period: int) -> float:
    """Return the mean age of the oldest frames in the outputs, as the interpreter computes them."""
    nodes = [averaging(node) if node.kind == "conv" else node for node in network.nodes]
    streams = Interpreter(nodes, placement, batch_size=1)
    ages: list[float] = []
    for step in range(PERIODS * period):
        values = streams.step({"frame": np.full((1, 1, 1, 1), BASE**-step)})
        if step >= (PERIODS - 1) * period:
            powers = [-np.log(values[name].mean()) / np.log(BASE) for name in network.outputs]
            ages += [step - np.ceil(power - 1e-6) for power in powers]
    return float(np.mean(ages))


def averaging(node: Node) -> Node:
    """Return a convolution whose outputs are the mean of its inputs."""
    kernel = np.full_like(node.params["kernel"], 1 / node.params["kernel"].shape[2])
    return replace(node, params={**node.params, "kernel": kernel})


def worst_step(plan: Plan, clocks: Mapping[str, tuple[int, int]]) -> int:
    """Return the multiply-adds of the most expensive step."""
    costs = dict(zip(plan.nodes, plan.node_costs, strict=True))
    steps = range(plan.period)
    return max(sum(c for n, c in costs.items() if t % clocks[n][0] == clocks[n][1]) for t in steps)


@functools.cache
def scores(case: str) -> list[tuple[int, float]]:
    """Return the worst step and the mean age of all phases of a case."""
    build, assignment, rates = CASES[case]
    network = build()
    plan = Plan(to_keras(network), assignment=assignment, clocks=rates)
    groups = sorted({(assignment[name], rates[name]) for name in rates})
    found = []
    for phase_of in itertools.product(*(range(rate) for _, rate in groups)):
        chosen = dict(zip(groups, phase_of, strict=True))
        clocks = {n: (rate, chosen[assignment[n], rate]) for n, rate in rates.items()}
        age = oldest_age(network, Placement(assignment, clocks), plan.period)
        found.append((worst_step(plan, clocks), age))
    return found


@pytest.mark.parametrize("all_phases", [phases._ALL, 0], ids=["all", "descent"])
@pytest.mark.parametrize("case", CASES)
def test_a_search_finds_the_best_of_all_phases(
    case: str, all_phases: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(phases, "_ALL", all_phases)
    monkeypatch.setattr(phases, "_WORK", 10**6)
    build, assignment, rates = CASES[case]
    model = to_keras(build())
    flat, fresh = (
        Plan(model, assignment=assignment, clocks=rates, phases=goal) for goal in ("flat", "fresh")
    )
    assert (max(flat.step_costs), flat.mean_age) == min(scores(case))
    expected = min((age, worst) for worst, age in scores(case))
    assert (fresh.mean_age, max(fresh.step_costs)) == expected


@settings(
    max_examples=int(os.environ.get("MPVN_EXAMPLES", "10")),
    deadline=None,
    derandomize="CI" in os.environ,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(st.data(), st.sampled_from([0, phases._ALL]))
def test_searched_phases_are_no_worse_than_named_ones(data: st.DataObject, all_phases: int) -> None:
    network = data.draw(networks())
    model = to_keras(network)
    arguments = data.draw(settings_for(network, Plan(model).nodes)).plan_arguments()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(phases, "_ALL", all_phases)
        patch.setattr(phases, "_WORK", 10**5)
        named = [Plan(model, **{**arguments, "phases": name}) for name in ("aligned", "chain")]
        flat, fresh = (Plan(model, **{**arguments, "phases": goal}) for goal in ("flat", "fresh"))
    assert max(flat.step_costs) <= min(max(plan.step_costs) for plan in named)
    if fresh.mean_age is not None:
        assert fresh.mean_age <= min(plan.mean_age for plan in named)
    for plan in (flat, fresh):
        assert plan.node_subnetworks == named[0].node_subnetworks
        assert [clock.rate for clock in plan.node_clocks] == [
            clock.rate for clock in named[0].node_clocks
        ]


def test_searched_phases_are_saved_and_found_again(monkeypatch: pytest.MonkeyPatch) -> None:
    model = to_keras(chained())
    options = {"subnetworks": 4, "clocks": [2, 2, 4, 4], "phases": "flat"}
    plan = Plan(model, **options)
    assert Plan(model, **options) == plan
    monkeypatch.setattr(phases, "searched_clocks", None)  # nothing is searched again
    assert Plan.from_config(model, json.loads(json.dumps(plan.get_config()))) == plan
    assert plan.node_clocks[0].phase == 0


def test_without_slow_clocks_there_is_nothing_to_search() -> None:
    plan = Plan(to_keras(chained()), 4, phases="flat")
    assert plan == Plan(to_keras(chained()), 4, phases="aligned")


def test_clocks_that_hardly_ever_repeat_are_refused() -> None:
    """Such a search once took minutes and gigabytes."""
    with pytest.raises(PlanError, match="at most 100,000 steps. Received: 215,441 steps"):
        Plan(to_keras(chained()), 4, clocks=[17, 19, 23, 29], phases="flat")

"""Units that do not need each other run at once, with the values of units in a row."""

import random
import threading
import time
from typing import Any

import numpy as np
import pytest
from small_models import clocked_network

from mpvn import Plan, VideoNetwork
from mpvn.runtime import CompiledNetwork, choose, record
from mpvn.runtime.create import count_workers
from mpvn.runtime.parallel import Order, Workers
from mpvn.runtime.program import width

FRAMES = np.random.default_rng(0).normal(size=(9, 2, 6, 6, 2)).astype("float32")


@pytest.fixture(scope="module")
def network() -> VideoNetwork:
    return clocked_network()


@pytest.fixture(scope="module", params=["tensorflow", "openvino"])
def compiled(network: VideoNetwork, request: pytest.FixtureRequest) -> CompiledNetwork:
    compiled = network.compile_inference(request.param, batch=2, parallel=True)
    compiled._workers = Workers(3)  # also on a machine with fewer cores
    return compiled


@pytest.fixture(scope="module")
def headed(network: VideoNetwork) -> CompiledNetwork:
    """Three subnetworks and a head, which reads values of the same step."""
    plan = Plan(network.frame_model, boundaries=["c1", "t2"], head="pool")
    headed = VideoNetwork(network.frame_model, plan)
    compiled = headed.compile_inference("openvino", batch=2, parallel=True)
    compiled._workers = Workers(3)
    expected = run(headed)
    assert_equal(run(compiled), expected)
    return compiled


def run(stream: Any) -> list:
    """Return the outputs of all steps, and the last state."""
    state, outputs = stream.initial_state(2), []
    for frame in FRAMES:
        y, state = stream.step(frame, state)
        outputs.append(np.array(y))
    return [np.stack(outputs), {name: np.array(value) for name, value in state.items()}]


def _ticking(plan: Plan, step: int) -> list:
    """Return the blocks that run at a step."""
    return [block for block in plan.blocks if plan.clock(block[0]).ticks(step)]


def assert_equal(actual: list, expected: list) -> None:
    np.testing.assert_allclose(actual[0], expected[0], atol=1e-5)
    assert actual[1].keys() == expected[1].keys()
    for name, value in actual[1].items():
        np.testing.assert_allclose(value, expected[1][name], atol=1e-5, err_msg=name)


@pytest.mark.parametrize("seed", [None, 0, 1, 2])
def test_values_do_not_depend_on_the_order(
    network: VideoNetwork, compiled: CompiledNetwork, seed: int | None
) -> None:
    delays = random.Random(seed)

    def late(unit: Any, function: Any, values: Any) -> Any:
        time.sleep(delays.choice((0.0, 0.003)))
        results = function(values)
        time.sleep(delays.choice((0.0, 0.003)))
        return results

    compiled.observer = None if seed is None else late
    expected = run(network)
    assert np.std(expected[0], axis=0).min() > 1e-3, "the outputs do not change"
    with record(compiled) as events:
        assert_equal(run(compiled), expected)
    compiled.observer = None
    steps = [events.index(event) for event in events if event.unit is None]
    for number, (begin, end) in enumerate(zip([-1, *steps], steps, strict=False)):
        ticking = _ticking(compiled.plan, number)
        recorded = [event.unit.nodes for event in events[begin + 1 : end]]
        assert sorted(recorded) == [tuple(node.index for node in block) for block in ticking]
        assert all(events[end].start <= event.start for event in events[begin + 1 : end])


def test_subnetworks_run_at_once_and_a_head_after_them(headed: CompiledNetwork) -> None:
    """Each subnetwork waits until the others run, too."""
    units, order = headed._units_at(0), []
    assert width(headed.plan, units) == 3
    barrier = threading.Barrier(3, timeout=30)

    def observe(unit: Any, function: Any, values: Any) -> Any:
        if unit.name != "pool":
            barrier.wait()
        results = function(values)
        order.append(unit.name)
        return results

    expected, headed.observer = run(headed), observe
    assert_equal(run(headed), expected)
    headed.observer = None
    steps = [order[begin : begin + 4] for begin in range(0, len(order), 4)]
    assert len(steps) == len(FRAMES)
    assert all(step.index("t2 ... sum") < step.index("pool") for step in steps)


def test_an_error_leaves_nothing_running(headed: CompiledNetwork) -> None:
    expected, ended = run(headed), []
    barrier = threading.Barrier(3, timeout=30)

    def observe(unit: Any, function: Any, values: Any) -> Any:
        barrier.wait()
        if unit.position == 1:
            raise ArithmeticError("of one unit")
        time.sleep(0.02)
        results = function(values)
        ended.append(unit)
        return results

    headed.observer, state = observe, headed.initial_state(2)
    with pytest.raises(ArithmeticError, match="of one unit"):
        headed.step(FRAMES[0], state)
    assert len(ended) == 2, "a unit still runs"
    headed.observer = None
    assert_equal(run(headed), expected)


def test_units_share_the_threads_so_that_no_step_leaves_cores_idle(
    network: VideoNetwork, headed: CompiledNetwork
) -> None:
    at_once = [len(each) for each in (_ticking(network.plan, step) for step in range(4, 8))]
    assert set(at_once) == {2, 1}
    assert count_workers(network.plan, "zeros", "block", 6) == (6, 1)
    assert count_workers(headed.plan, "zeros", "block", 6) == (6, 3)
    assert count_workers(headed.plan, "zeros", "block", 2) == (2, 2)
    assert count_workers(headed.plan, "zeros", "pattern", 6) == (6, 1)


def test_an_order_keeps_what_tasks_need() -> None:
    needs = [[], [], [0], [0, 1], [], [2, 3, 4]]
    order, done = Order(needs, [1, 1, 1, 5, 1, 1]), []
    assert order.width == 3
    assert order.lengths == [7, 7, 2, 6, 2, 1]
    Workers(2).run(order, done.append)
    assert sorted(done) == [*range(6)]
    assert all(done.index(task) < done.index(i) for i, tasks in enumerate(needs) for task in tasks)


def test_auto_tries_it_where_units_are_independent(
    network: VideoNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tried(network: VideoNetwork, cores: int, **settings: Any) -> set:
        monkeypatch.setattr(choose, "usable_cores", lambda: cores)
        given = choose.Settings("auto", **settings)
        ways = choose.candidates(network.plan, network.start, given)
        return {way.parallel for way in ways}

    plain = VideoNetwork(network.frame_model, Plan(network.frame_model, 1))
    assert tried(network, 2) == {False, True}
    assert tried(network, 1) == tried(plain, 2) == tried(network, 2, threads=1) == {False}
    assert tried(network, 2, parallel=False) == {False}
    assert tried(plain, 1, parallel=True) == {True}

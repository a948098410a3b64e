"""Units that do not need each other run at once, with the values of units in a row."""

import random
import threading
import time
from typing import Any

import numpy as np
import pytest
from small_models import chain, clocked_network

from mpvn import Plan, VideoNetwork
from mpvn.runtime import CompiledNetwork, choose, record
from mpvn.runtime.create import Settings, count_workers
from mpvn.runtime.on_openvino import OpenVINORuntime
from mpvn.runtime.parallel import Order, Workers
from mpvn.runtime.program import Program, uncompiled, width
from mpvn.runtime.unit import divide

FRAMES = np.random.default_rng(0).normal(size=(9, 2, 6, 6, 2)).astype("float32")


@pytest.fixture(scope="module")
def network() -> VideoNetwork:
    return clocked_network()


@pytest.fixture(scope="module", params=["tensorflow", "openvino"])
def compiled(network: VideoNetwork, request: pytest.FixtureRequest) -> CompiledNetwork:
    compiled = network.compile_inference(request.param, batch=2, clip=4)
    compiled._workers = Workers(3)  # also on a machine with fewer cores
    return compiled


@pytest.fixture(scope="module")
def headed(network: VideoNetwork) -> CompiledNetwork:
    """Three subnetworks on one clock, and a head, which reads values of the same step."""
    plan = Plan(network.frame_model, boundaries=["c1", "t2"], head="pool")
    headed = VideoNetwork(network.frame_model, plan)
    compiled = headed.compile_inference("openvino", batch=2, parallel=True, clip=6)
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


def run_clip(stream: CompiledNetwork) -> list:
    """Return what `run` does, computed several steps at once."""
    outputs, state = stream.run(FRAMES.swapaxes(0, 1), stream.initial_state(2))
    values = {name: np.array(value) for name, value in state.items()}
    return [np.array(outputs).swapaxes(0, 1), values]


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

    def late(unit: Any, function: Any, values: Any, step: int) -> Any:
        time.sleep(delays.choice((0.0, 0.003)))
        results = function(values)
        time.sleep(delays.choice((0.0, 0.003)))
        return results

    compiled.observer = None if seed is None else late
    expected = run(network)
    assert np.std(expected[0], axis=0).min() > 1e-3, "the outputs do not change"
    with record(compiled) as events:
        assert_equal(run(compiled), expected)
    with record(compiled) as of_clips:
        assert_equal(run_clip(compiled), expected)
    compiled.observer = None
    every = [(n, nodes[0].index) for n in range(9) for nodes in _ticking(compiled.plan, n)]
    assert sorted((e.steps[0], e.unit.nodes[0]) for e in of_clips if e.unit) == sorted(every)
    assert [event.steps for event in of_clips if event.unit is None] == [(0, 0), (4, 4), (8, 8)]
    steps = [events.index(event) for event in events if event.unit is None]
    for number, (begin, end) in enumerate(zip([-1, *steps], steps, strict=False)):
        ticking = _ticking(compiled.plan, number)
        recorded = [event.unit.nodes for event in events[begin + 1 : end]]
        assert sorted(recorded) == [tuple(node.index for node in block) for block in ticking]
        assert all(events[end].start <= event.start for event in events[begin + 1 : end])


def test_subnetworks_run_at_once_and_a_head_after_them(headed: CompiledNetwork) -> None:
    """Each subnetwork waits until the others run, too."""
    units, order = headed._units_at(0), []
    assert width(headed.plan, [units]) == 3
    barrier = threading.Barrier(3, timeout=30)

    def observe(unit: Any, function: Any, values: Any, step: int) -> Any:
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

    def observe(unit: Any, function: Any, values: Any, step: int) -> Any:
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


def test_frames_run_at_once_in_one_unit(headed: CompiledNetwork) -> None:
    """Each call of the first subnetwork waits until it runs for three frames."""
    barrier, expected = threading.Barrier(3, timeout=30), run(headed)

    def observe(unit: Any, function: Any, values: Any, step: int) -> Any:
        if unit.position == 1:
            barrier.wait()
        return function(values)

    headed.observer = observe
    found = run_clip(headed)
    headed.observer = None
    for ours, theirs in zip(
        [found[0], *found[1].values()], [expected[0], *expected[1].values()], strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


def test_an_interrupt_in_a_clip_leaves_nothing_running(headed: CompiledNetwork) -> None:
    expected, running = run(headed), []

    def observe(unit: Any, function: Any, values: Any, step: int) -> Any:
        if step == 2:
            raise KeyboardInterrupt
        running.append(unit)
        time.sleep(0.002)
        results = function(values)
        running.remove(unit)
        return results

    headed.observer = observe
    with pytest.raises(KeyboardInterrupt):
        run_clip(headed)
    assert not running, "a unit still runs"
    headed.observer = None
    assert_equal(run_clip(headed), expected)


def test_units_share_the_threads_so_that_no_step_leaves_cores_idle(
    network: VideoNetwork, headed: CompiledNetwork
) -> None:
    at_once = [len(each) for each in (_ticking(network.plan, step) for step in range(4, 8))]
    assert set(at_once) == {2, 1}

    def counted(
        network: Any, threads: int, units: str = "block", **settings: Any
    ) -> tuple[int, int | None]:
        given = Settings("openvino", threads=threads, **settings)
        return count_workers(network.plan, "zeros", units, given)

    assert counted(network, 6, parallel=True) == (6, 1)
    assert counted(headed, 6, parallel=True) == (6, 3)
    assert counted(headed, 2, parallel=True) == (2, 2)
    assert counted(headed, 6, "pattern", parallel=True) == (6, 1)
    assert counted(headed, 8, clip=8) == (8, 8)
    assert counted(headed, 8, clip=2) == (8, 4)
    assert counted(headed, 8, "pattern", clip=8) == (8, 1)
    assert counted(headed, 8) == (1, None)

    def shared(**settings: Any) -> tuple[int, int]:
        runtime = OpenVINORuntime(headed.plan, "float32", threads=6, batch=1, **settings)
        config = runtime._compiler._config
        return config["NUM_STREAMS"], config["INFERENCE_NUM_THREADS"]

    assert shared() == (1, 6)
    assert shared(at_once=3) == (1, 2)
    assert shared(at_once=3, clip=4) == (3, 6)  # frames of one unit do not wait for each other


def test_clips_leave_out_what_nobody_reads() -> None:
    """The second subnetwork ticks at steps 0 and 4, and reads values of the steps before."""
    plan = Plan(chain(2, 2), boundaries=["c1"], clocks=[1, 4], phases="aligned")
    units_at = divide(plan, "zeros", "block")
    program = Program(plan, [[*map(uncompiled, units_at(number)[1:])] for number in range(8)])
    calls = [(call.step, call.unit.name) for call in program._calls]
    assert calls == [(0, "c1"), (3, "c0"), (4, "c1"), (7, "c0")]


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

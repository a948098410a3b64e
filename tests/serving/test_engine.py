"""Each stream of an engine computes what it computes alone, and no frame goes without an answer."""

import collections
import concurrent.futures
import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from serving_networks import SHAPE, Clock, alone, compiled, frame

from mpvn.serving.engine import Engine
from mpvn.serving.errors import (
    Closed,
    FrameDropped,
    InvalidRequest,
    NoFreeSlot,
    StepFailed,
    codes_of,
)
from mpvn.serving.warm_up import warm_up


class Failing:
    """A network whose steps fail as long as a test wants."""

    def __init__(self) -> None:
        self.fails = False

    def __getattr__(self, name: str) -> Any:
        return getattr(compiled(), name)

    def step(self, frames: Any, state: Any) -> Any:
        if self.fails:
            raise RuntimeError("out of memory.")
        return compiled().step(frames, state)


def make(clock: Clock | None = None, network: Any = None, **options: Any) -> Engine:
    """Return an engine that runs steps when a test says so."""
    return Engine(network or compiled(), clock=clock or Clock(), start=False, **options)


def result(engine: Engine, stream: int, number: int, **options: Any) -> Any:
    future = engine.submit(stream, frame(stream, number), **options)
    engine.run_due()
    return future.result(0)


ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("submit"), st.integers(0, 3)),
        st.tuples(st.just("reset"), st.integers(0, 3)),
        st.tuples(st.just("cancel"), st.integers(0, 3)),
        st.tuples(st.just("wait"), st.sampled_from([0.005, 0.05, 0.2])),
        st.tuples(st.just("run"), st.none()),
    ),
    min_size=20,
    max_size=60,
)


@settings(max_examples=25, deadline=None)
@given(
    ACTIONS,
    st.integers(1, 4),
    st.sampled_from([0.0, 0.01]),
    st.sampled_from([0.1, 10.0]),
    st.integers(1, 3),
)
def test_streams_in_any_order_equal_themselves_alone(
    actions: list[tuple[str, Any]], batch: int, wait: float, deadline: float, depth: int
) -> None:
    clock = Clock()
    engine = make(clock, batch=batch, wait=wait, deadline=deadline, depth=depth, streams=4)
    sent: dict[int, list] = collections.defaultdict(list)  # by stream since its last reset
    lives = []
    for number, (action, value) in enumerate(actions):
        if action == "submit":
            shown = frame(value, number)
            sent[value].append((shown, engine.submit(value, shown)))
        elif action == "reset":
            done = [future for _, future in sent[value] if _answered(future)]
            assert engine.reset(value) == len(done)
            lives.append(sent.pop(value))
        elif action == "cancel" and sent[value]:
            sent[value][-1][1].cancel()
        elif action == "wait":
            clock.now += value
        elif action == "run":
            engine.run_due()
    clock.now += wait
    engine.run_due()
    answered = 0
    for life in [*lives, *sent.values()]:
        answers = [future.result(0) for _, future in life if _answered(future)]
        expected = alone(compiled(), [shown for shown, future in life if _answered(future)])
        assert [answer.step for answer in answers] == [*range(len(answers))]
        for answer, output in zip(answers, expected, strict=True):
            np.testing.assert_allclose(answer.outputs, output, atol=1e-6)
        dropped = [not _answered(future) for _, future in life]
        told = sum(answer.dropped for answer in answers)
        last = max((n for n, gone in enumerate(dropped) if not gone), default=-1)
        assert told == sum(dropped[: last + 1])
        answered += len(answers)
    assert engine.statistics.answered == answered
    everyone = sum(len(life) for life in [*lives, *sent.values()])
    assert engine.statistics.dropped.total() == everyone - answered
    assert engine.waiting == 0


def _answered(future: concurrent.futures.Future) -> bool:
    return future.done() and not future.cancelled() and future.exception() is None


def test_a_batch_has_the_stream_whose_turn_it_is_and_those_that_tick_together() -> None:
    sizes = []
    engine = make(batch=4)
    for number in range(2):
        result(engine, 1, number)  # stream 1 is at step 2, of a period of 4
    before = dict(engine.statistics.batches)
    futures = [engine.submit(stream, frame(stream, 9)) for stream in (1, 2, 3)]
    while engine._turn(block=False):
        sizes.append([future.done() for future in futures])
    assert before == {1: 2}
    assert sizes == [[True, False, False], [True, True, True]]
    assert engine.statistics.batches == {1: 3, 2: 1}


def test_a_batch_waits_for_streams_that_were_used_lately_but_not_long() -> None:
    clock = Clock()
    engine = make(clock, batch=3, wait=0.02, deadline=1.0)
    futures = [engine.submit(1, frame(1, 0))]
    assert engine.run_due() == 1, "there is nobody to wait for"
    clock.now += 0.1
    futures += [engine.submit(2, frame(2, 0))]
    assert engine.run_due() == 0, "stream 1 may come"
    futures += [engine.submit(1, frame(1, 1))]
    assert engine.run_due() == 1, "all have come, but they do not tick together"
    clock.now += 0.021
    assert engine.run_due() == 1
    assert all(future.done() for future in futures)
    futures += [engine.submit(2, frame(2, 1))]
    clock.now += 0.021
    assert engine.run_due() == 1
    clock.now += 2.0
    engine.submit(2, frame(2, 2))
    assert engine.run_due() == 1, "stream 1 has paused"


def test_frames_that_cannot_be_answered_in_time_are_dropped_and_told() -> None:
    clock = Clock()
    engine = make(clock, deadline=0.1)
    assert result(engine, 1, 0).step == 0
    late = engine.submit(1, frame(1, 1))
    clock.now += 0.11
    engine.run_due()
    with pytest.raises(FrameDropped, match="Stream 1: .* in time") as caught:
        late.result(0)
    assert caught.value.reason == "deadline"
    assert codes_of(caught.value) == (429, "RESOURCE_EXHAUSTED")
    answer = result(engine, 1, 2)
    assert (answer.step, answer.dropped) == (1, 1)
    expected = alone(compiled(), [frame(1, 0), frame(1, 2)])
    np.testing.assert_allclose(answer.outputs, expected[1], atol=1e-6)
    assert result(engine, 1, 3).dropped == 0


def test_a_shorter_deadline_of_a_frame_counts() -> None:
    clock = Clock()
    engine = make(clock, deadline=10.0)
    hurry = engine.submit(1, frame(1, 0), deadline=0.05)
    calm = engine.submit(2, frame(2, 0), deadline=99.0)
    clock.now += 0.06
    engine.run_due()
    assert isinstance(hurry.exception(0), FrameDropped)
    assert calm.result(0).wait == pytest.approx(0.06)


class Slow:
    """A network whose steps take a time of the test's clock."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self.clock, self.seconds = clock, seconds

    def __getattr__(self, name: str) -> Any:
        return getattr(compiled(), name)

    def step(self, frames: Any, state: Any) -> Any:
        self.clock.now += self.seconds
        return compiled().step(frames, state)


def test_overload_drops_frames_of_all_streams_alike_and_does_not_lag() -> None:
    """Ten streams send 10 frames/s each; the network answers 20 frames/s."""
    clock = Clock()
    engine = make(clock, Slow(clock, 0.05), deadline=0.3, depth=2)
    futures: list[tuple[int, Any]] = []
    begin = clock.now
    for number in range(30):
        clock.now = max(clock.now, begin + 0.1 * number)
        futures += [(s, engine.submit(s, frame(s, number))) for s in range(10)]
        while clock.now < begin + 0.1 * (number + 1) and engine._turn(block=False):
            pass
    engine.run_due()
    answers = [future.result(0) for _, future in futures if _answered(future)]
    assert max(answer.wait + answer.compute for answer in answers) <= 0.3 + 1e-9
    counts = collections.Counter(answer.stream_id for answer in answers)
    assert len(counts) == 10
    assert sum(counts.values()) >= 50
    assert max(counts.values()) - min(counts.values()) <= 2
    assert engine.statistics.dropped.total() == 300 - len(answers)


def test_a_step_that_takes_longer_than_the_deadline_is_tried_again_and_again() -> None:
    clock = Clock()
    network = Slow(clock, 5.0)
    engine = make(clock, network, deadline=0.1)
    assert result(engine, 1, 0).compute == pytest.approx(5.0)
    network.seconds = 0.01
    assert [result(engine, 1, number).step for number in (1, 2)] == [1, 2]


def test_of_one_stream_the_newest_frames_wait() -> None:
    engine = make(depth=2)
    futures = [engine.submit(1, frame(1, number)) for number in range(5)]
    engine.run_due()
    reasons = [getattr(future.exception(0), "reason", None) for future in futures]
    assert reasons == ["queue", "queue", "queue", None, None]
    assert [futures[n].result(0).dropped for n in (3, 4)] == [3, 0]
    assert [futures[n].result(0).step for n in (3, 4)] == [0, 1]


def test_idle_streams_give_their_slot_only_when_it_is_needed() -> None:
    clock = Clock()
    engine = make(clock, streams=2, idle=10.0)
    result(engine, 1, 0)
    clock.now += 11.0
    assert result(engine, 2, 0).step == 0
    assert result(engine, 1, 1).step == 1, "it was idle, but nobody needed its slot"
    with pytest.raises(NoFreeSlot, match="at most 2 streams .* idle for 10 s"):
        engine.submit(3, frame(3, 0))
    clock.now += 10.1
    assert result(engine, 1, 2).step == 2
    assert result(engine, 3, 0).step == 0, "stream 2 was the least recently used one"
    assert (engine.streams, engine.reclaimed) == (2, 1)
    engine.reset(1)
    assert result(engine, 2, 1).step == 0, "its state is gone, and its step says so"


def test_streams_whose_frames_wait_keep_their_slots() -> None:
    clock = Clock()
    engine = make(clock, streams=1, idle=1.0, deadline=100.0)
    future = engine.submit(1, frame(1, 0))
    clock.now += 50.0
    with pytest.raises(NoFreeSlot):
        engine.submit(2, frame(2, 0))
    engine.run_due()
    assert future.result(0).step == 0
    assert result(engine, 2, 0).step == 0


def test_several_streams_get_slots_all_or_none() -> None:
    engine = make(streams=2)
    with pytest.raises(NoFreeSlot):
        engine.submit_all({1: frame(1, 0), 2: frame(2, 0), 3: frame(3, 0)})
    with pytest.raises(InvalidRequest, match="Stream 2"):
        engine.submit_all({1: frame(1, 0), 2: np.full(SHAPE, np.nan, np.float32)})
    assert (engine.streams, engine.waiting) == (0, 0)


@pytest.mark.parametrize(
    ("shown", "message"),
    [
        (np.full(SHAPE, np.inf, np.float32), "finite"),
        (np.full(SHAPE, 1e300), "finite"),
        (np.zeros((6, 6, 3), np.float32), r"shape \(6, 6, 2\).*\(6, 6, 3\)"),
        (np.zeros((1, *SHAPE), np.float32), "without a batch axis"),
        (np.zeros(SHAPE, np.uint8), "float32. Received: uint8"),
        (np.full(SHAPE, "a"), "float32. Received"),
        ([np.zeros(SHAPE, np.float32)] * 2, "Stream 7"),
        (None, "Stream 7"),
    ],
)
def test_wrong_frames_are_refused_and_change_nothing(shown: Any, message: str) -> None:
    engine = make()
    result(engine, 7, 0)
    with pytest.raises(InvalidRequest, match=message) as caught:
        engine.submit(7, shown)
    assert codes_of(caught.value).http == 400
    expected = alone(compiled(), [frame(7, 0), frame(7, 1)])
    answer = result(engine, 7, 1)
    assert (answer.step, answer.dropped) == (1, 0)
    np.testing.assert_allclose(answer.outputs, expected[1], atol=1e-6)


@pytest.mark.parametrize("stream_id", [True, 1.0, "a", None, 2**63, -(2**63) - 1])
def test_ids_are_integers_of_64_bits(stream_id: Any) -> None:
    engine = make()
    with pytest.raises(InvalidRequest, match="64 bits"):
        engine.submit(stream_id, frame(0, 0))
    with pytest.raises(InvalidRequest, match="64 bits"):
        engine.reset(stream_id)


def test_a_step_that_fails_changes_no_state_and_the_engine_goes_on() -> None:
    network = Failing()
    engine = make(network=network, batch=2)
    for number in range(3):
        result(engine, 1, number)
        result(engine, 2, number)
    network.fails = True
    futures = [engine.submit(stream, frame(stream, 3)) for stream in (1, 2)]
    engine.run_due()
    for future in futures:
        with pytest.raises(StepFailed, match="out of memory. No stream"):
            future.result(0)
    network.fails = False
    expected = alone(compiled(), [frame(1, number) for number in (0, 1, 2, 4)])
    answer = result(engine, 1, 4)
    assert answer.step == 3
    np.testing.assert_allclose(answer.outputs, expected[3], atol=1e-6)
    assert engine.statistics.failed == 2


def test_an_answer_tells_when_its_units_ran() -> None:
    engine = make(batch=4)
    ran = [{u.subnetwork for u in result(engine, 1, n, units=True).units} for n in range(4)]
    assert ran == [{0}, {0, 1}, {0, 2}, {0, 1}], "clocks 1, 2 and 4, one step apart"
    answer = result(engine, 1, 4, units=True)
    assert all(0 <= u.start <= u.end <= 1e3 for u in answer.units)
    assert result(engine, 1, 5).units == ()
    assert compiled().observer is None


def test_a_frame_may_be_written_to_after_it_was_submitted() -> None:
    engine = make()
    shown = frame(1, 0).copy()
    future = engine.submit(1, shown)
    shown[...] = 9.0
    engine.run_due()
    np.testing.assert_allclose(
        future.result(0).outputs, alone(compiled(), [frame(1, 0)])[0], atol=1e-6
    )


def test_a_closed_engine_has_answered_or_refused_everything() -> None:
    engine = make()
    waiting = engine.submit(1, frame(1, 0))
    engine.close()
    assert isinstance(waiting.exception(0), Closed)
    with pytest.raises(Closed):
        engine.submit(1, frame(1, 1))
    engine.close()


@pytest.mark.parametrize(
    "options", [{"streams": 0}, {"batch": 0}, {"wait": -1}, {"depth": 1.5}, {"idle": float("nan")}]
)
def test_options_out_of_range_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"Invalid {next(iter(options))}"):
        make(**options)
    with pytest.raises(ValueError, match="less than the deadline"):
        make(wait=1.0, deadline=1.0)


def test_threads_share_an_engine() -> None:
    """Eight threads, two for each stream, and the thread that runs steps."""
    with Engine(compiled(), batch=2, wait=0.001, deadline=60.0, depth=64) as engine:
        warm_up(engine)
        answers: dict[int, list] = collections.defaultdict(list)
        lock = threading.Lock()

        def send(stream: int, part: int) -> None:
            for number in range(part, 16, 2):
                shown = frame(stream, number)
                with lock:  # so that frames of a stream have an order
                    answers[stream].append((shown, engine.submit(stream, shown)))

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(send, [0, 1, 2, 3] * 2, [0] * 4 + [1] * 4))
        for life in answers.values():
            expected = alone(compiled(), [shown for shown, _ in life])
            for (_, future), output in zip(life, expected, strict=True):
                np.testing.assert_allclose(future.result(60).outputs, output, atol=1e-6)
        last = engine.submit(1, frame(1, 99))
        engine.close(grace=60.0)
        assert last.result(0).step == 16

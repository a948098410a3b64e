"""What a recording tells of a run, that it can be removed, and that it changes no value."""

import numpy as np
import pytest
from small_models import clocked_network

from mpvn.runtime import CompiledNetwork, Event, record
from mpvn.runtime.record import Overhead, between_units


@pytest.fixture(scope="module")
def compiled() -> CompiledNetwork:
    return clocked_network().compile_inference(units="block")


def run(compiled: CompiledNetwork, steps: int, streams: int = 1) -> list[np.ndarray]:
    state, outputs = compiled.initial_state(streams), []
    frames = np.random.default_rng(0).normal(size=(steps, streams, 6, 6, 2)).astype("float32")
    for frame in frames:
        y, state = compiled.step(frame, state)
        outputs.append(np.asarray(y))
    return outputs


def test_units_are_recorded_in_the_order_of_the_plan(compiled: CompiledNetwork) -> None:
    with record(compiled) as events:
        run(compiled, 8)
    run(compiled, 1)  # nobody records it
    plan, expected = compiled.plan, []
    for step in range(8):
        ticking = [block for block in plan.blocks if plan.clock(block[0]).ticks(step)]
        expected += [(step, tuple(node.index for node in block)) for block in ticking]
        expected.append((step, None))
    assert len({len(plan.blocks)} | {len(block) for block in plan.blocks}) > 1
    assert [(e.steps[0], e.unit and e.unit.nodes) for e in events] == expected
    times = [(event.start, event.end) for event in events if event.unit]
    assert all(start < end for start, end in times)
    assert all(a[1] <= b[0] for a, b in zip(times, times[1:], strict=False))
    assert {event.device.rpartition(":")[0][-3:] for event in events if event.unit} == {"CPU"}


def test_recording_changes_no_value_and_leaves_other_observers_alone(
    compiled: CompiledNetwork,
) -> None:
    expected, seen = run(compiled, 5, streams=2), []

    def observe(unit, function, values, step):
        seen.append(unit)
        return [2 * value for value in function(values)]

    compiled.observer = observe
    try:
        doubled = run(compiled, 5, streams=2)
        with record(compiled) as outer, record(compiled) as inner:
            recorded = run(compiled, 5, streams=2)
        assert compiled.observer is observe
    finally:
        compiled.observer = None
    np.testing.assert_array_equal(recorded, doubled)
    assert not np.allclose(doubled, expected)
    assert len(inner) == len(outer) == len(seen) / 2 + 5
    with record(compiled) as events:
        np.testing.assert_array_equal(run(compiled, 5, streams=2), expected)
    assert [e.unit for e in events if e.unit] == seen[: len(seen) // 2]


def test_a_step_that_fails_is_not_recorded(compiled: CompiledNetwork) -> None:
    compiled.observer = lambda *_: 1 / 0
    try:
        with pytest.raises(ZeroDivisionError), record(compiled) as events:
            run(compiled, 1)
    finally:
        compiled.observer = None
    assert events == []
    assert compiled.step_observer is None


def test_time_between_units(compiled: CompiledNetwork) -> None:
    """Two units overlap in the second step, as they would on two cores."""
    unit = next(iter(compiled._compiled))

    def event(of, start, end):
        return Event(of, (0,), start, end)

    events = [
        *(event(unit, 1.0, 2.0), event(unit, 2.5, 4.0), event(None, 0.5, 4.0)),
        *(event(unit, 6.5, 7.0), event(unit, 6.0, 8.0), event(None, 6.0, 9.0)),
    ]
    idle = [(e.start, e.end) for e in between_units(events) if e.seconds]
    assert idle == [(0.5, 1.0), (2.0, 2.5), (8.0, 9.0)]
    assert Overhead.of(events) == (3.25, 2.0 / 6.5, 0.5)

"""Streams whose steps are sent out ahead answer as `step` does, later."""

from collections.abc import Iterator

import numpy as np
import pytest
from clocked_networks import everything, frames

from mpvn.runtime import CompiledNetwork


@pytest.fixture(scope="module")
def compiled() -> CompiledNetwork:
    return everything().compile_inference(units="block", batch=2)


@pytest.mark.parametrize("ahead", [0, 1, 3, 20])
def test_outputs_and_states_are_those_of_steps(compiled: CompiledNetwork, ahead: int) -> None:
    given, taken = frames(2, 9), 0

    def counted() -> Iterator:
        nonlocal taken
        for frame in given:
            taken += 1
            yield frame

    expected = compiled.initial_state(2)
    streamed = compiled.stream(counted(), expected, ahead)
    for number, (frame, (outputs, state)) in enumerate(zip(given, streamed, strict=True)):
        assert taken == min(number + 1 + ahead, len(given))
        values, expected = compiled.step(frame, expected)
        assert state.keys() == expected.keys() and outputs.keys() == values.keys()
        for name, value in {**values, **expected}.items():
            np.testing.assert_array_equal({**outputs, **state}[name], value)


def test_streams_that_do_not_tick_together_go_step_by_step(compiled: CompiledNetwork) -> None:
    given, state = frames(2, 5), compiled.initial_state(2)
    _, state = compiled.step(given[0], state)
    state = compiled.reset(state, [True, False])
    outputs, _ = [*compiled.stream(given[1:], state)][-1]
    for frame in given[1:]:
        expected, state = compiled.step(frame, state)
    np.testing.assert_array_equal(outputs["score"], expected["score"])


def test_a_frame_that_does_not_fit_raises_after_the_steps_before_it(
    compiled: CompiledNetwork,
) -> None:
    given = [*frames(2, 2), *frames(3, 1)]
    with pytest.raises(ValueError, match="batch of 2, the batch size of the state"):
        [*compiled.stream(given, compiled.initial_state(2))]


@pytest.mark.parametrize("ahead", [-1, 1.5, True])
def test_an_invalid_number_of_steps_is_refused(compiled: CompiledNetwork, ahead: object) -> None:
    with pytest.raises(ValueError, match=f"Invalid ahead.*Received: {ahead}"):
        compiled.stream([], compiled.initial_state(1), ahead)


def test_units_that_are_sent_out_run_in_the_observer(compiled: CompiledNetwork) -> None:
    seen = []

    def observe(unit, function, values, step):
        seen.append(unit.name)
        return function(values)

    given, state = frames(2, 4), compiled.initial_state(2)
    compiled.observer = observe
    try:
        for frame in given:
            _, state = compiled.step(frame, state)
        expected, _ = sorted(seen), seen.clear()
        [*compiled.stream(given, compiled.initial_state(2))]
    finally:
        compiled.observer = None
    assert sorted(seen) == expected

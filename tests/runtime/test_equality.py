"""Compiled networks compute what `network.step` computes, whatever runs them."""

from typing import Any

import keras
import numpy as np
import pytest
from clocked_networks import everything, frames
from published_networks import small_model

from mpvn import VideoNetwork
from mpvn.models import PUBLISHED
from mpvn.runtime import CompiledNetwork

Pair = tuple[VideoNetwork, CompiledNetwork]
WAYS: dict[str, tuple[str, dict[str, Any]]] = {
    "tensorflow": ("zeros", {"runtime": "tensorflow"}),
    "tensorflow, primed": (
        "primed",
        {"runtime": "tensorflow", "units": "block", "clip": 3},
    ),
    "openvino": ("zeros", {"runtime": "openvino", "batch": 2, "clip": 5}),
    "openvino, primed": ("primed", {"runtime": "openvino", "batch": 2, "parallel": True}),
    "openvino, patterns": ("zeros", {"runtime": "openvino", "units": "pattern"}),
}
STREAMS = 3
JOINS = {2: [False, True, False], 7: [True, False, True]}
"""Which streams restart before which steps: at 2, the ages are 0 and 2; from 7 on, 0 and 5."""


@pytest.fixture(scope="module")
def networks() -> dict[str, VideoNetwork]:
    return {start: everything(start) for start in ("zeros", "primed")}


@pytest.fixture(scope="module", params=WAYS)
def pair(networks: dict[str, VideoNetwork], request: pytest.FixtureRequest) -> Pair:
    """A network and its compiled form."""
    start, settings = WAYS[request.param]
    return networks[start], networks[start].compile_inference(**settings)


def assert_close(actual: Any, expected: Any) -> None:
    """Compare structures of values to 1e-5, relative to the largest expected value of each."""
    pairs = zip(keras.tree.flatten(actual), keras.tree.flatten(expected), strict=True)
    for ours, theirs in pairs:
        theirs = np.asarray(theirs)
        scale = max(1e-3, np.abs(theirs).max())
        np.testing.assert_allclose(np.asarray(ours), theirs, rtol=0, atol=1e-5 * scale)


def run(stream: Any, inputs: list, joins: dict[int, list[bool]], state: Any) -> tuple[list, list]:
    """Return the outputs of all steps, and all states, the first one included."""
    outputs, states = [], [state]
    for number, frame in enumerate(inputs):
        if number in joins:
            state = stream.reset(state, joins[number])
        y, state = stream.step(frame, state)
        outputs.append(y)
        states.append(state)
    return outputs, states


def test_streams_of_different_ages_equal_the_network(pair: Pair) -> None:
    network, compiled = pair
    steps = 2 * network.plan.period + network.first_informed_step + 8
    inputs = frames(STREAMS, steps)
    expected, states = run(network, inputs, JOINS, network.initial_state(STREAMS))
    outputs, own_states = run(compiled, inputs, JOINS, compiled.initial_state(STREAMS))
    assert_close(outputs, expected)
    assert_close(own_states, states)
    last = [step["score"][0] for step in expected[-2 * network.plan.period :]]
    assert np.std(last, axis=0).min() > 1e-3, "the outputs do not change"


def test_kept_states_stay_as_they_were(pair: Pair) -> None:
    """A step must not write into arrays that a user holds, or that another state shares."""
    _, compiled = pair
    inputs = frames(STREAMS, 9)
    outputs, states = run(compiled, inputs, JOINS, compiled.initial_state(STREAMS))
    copies = keras.tree.map_structure(lambda x: np.array(x, copy=True), [outputs, states])
    frame = {name: np.array(value) for name, value in inputs[0].items()}
    for number in (8, 3, 0, 5):
        again, _ = compiled.step(inputs[number], states[number])
        if number not in JOINS:
            assert_close(again, outputs[number])
        compiled.step(frame, states[number])
        frame["image"][...] = 7.0  # users read frames into one array
    for kept, copy in zip(
        keras.tree.flatten([outputs, states]), keras.tree.flatten(copies), strict=True
    ):
        np.testing.assert_array_equal(np.asarray(kept), copy)


def test_states_of_the_network_can_be_taken_over(pair: Pair) -> None:
    network, compiled = pair
    inputs = frames(STREAMS, 8)
    expected, states = run(network, inputs, JOINS, network.initial_state(STREAMS))
    outputs, _ = run(compiled, inputs[4:], {3: JOINS[7]}, states[4])
    assert_close(outputs, expected[4:])


def test_clips_equal_steps(pair: Pair) -> None:
    """They begin at any step, and streams of different ages go step by step."""
    network, compiled = pair
    inputs = frames(STREAMS, 22)
    clip = {name: np.stack([frame[name] for frame in inputs], axis=1) for name in inputs[0]}
    expected, states = run(network, inputs, JOINS, network.initial_state(STREAMS))
    state, calls = compiled.initial_state(STREAMS), []

    def observe(unit: Any, function: Any, values: Any, step: int) -> Any:
        calls.append(step)
        return function(values)

    compiled.observer = observe
    for begin, end in ((0, 2), (2, 7), (7, 22)):
        calls.clear()
        state = compiled.reset(state, JOINS.get(begin, [False] * STREAMS))
        piece = {name: value[:, begin:end] for name, value in clip.items()}
        outputs, state = compiled.run(piece, state)
        steps = keras.tree.map_structure(lambda *x: np.stack(x, axis=1), *expected[begin:end])
        assert_close(outputs, steps)
        assert_close(state, states[end])
    assert not any(calls), "streams of different ages ran as a clip"
    first, _ = compiled.run(clip, compiled.initial_state(STREAMS))
    alone, _ = run(network, inputs, {}, network.initial_state(STREAMS))
    assert_close(first, keras.tree.map_structure(lambda *x: np.stack(x, axis=1), *alone))
    assert {*calls} == {*range(compiled._clip)}
    compiled.observer = None


@pytest.mark.usefixtures("short_par_densenet")
def test_published_network() -> None:
    model = small_model("par_densenet", joints=5, temporal_kernel=2)
    network = VideoNetwork(model, PUBLISHED["par_densenet"].plan(model, 4))
    rng = np.random.default_rng(0)
    inputs = [rng.normal(size=(1, 32, 32, 3)).astype("float32") for _ in range(20)]
    expected, _ = run(network, inputs, {}, network.initial_state(1))
    for settings in ({"runtime": "tensorflow", "units": "block"}, {"runtime": "openvino"}):
        compiled = network.compile_inference(**settings)
        outputs, _ = run(compiled, inputs, {}, compiled.initial_state(1))
        assert_close(outputs, expected)

"""Each rule of the semantics: every executor computes what the NumPy reference computes.

One named case per rule (`rule_cases.py`), in float64 to 1e-9, values and gradients. Wrong readings
of the rules, written on purpose, must not agree: this proves that the cases can fail.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import keras
import numpy as np
import pytest
from network_data import map_weights
from random_networks import Settings
from reference import Array, Interpreter, Node, Placement, interpret
from rule_cases import CASES, Case, chain, settings
from subject_gradients import assert_gradients_follow_reference
from video_subject import TOLERANCE, Subject, assert_follows_reference, assert_same, build_subject

import mpvn

pytestmark = pytest.mark.usefixtures("double_precision")


@pytest.fixture(scope="module")
def subjects() -> Iterator[Callable[[str], tuple[Case, Subject]]]:
    """Returns the case of a name and its network, built once for all tests of the file."""
    built: dict[str, tuple[Case, Subject]] = {}

    def get(name: str) -> tuple[Case, Subject]:
        if name not in built:
            case = CASES[name]()
            built[name] = (case, build_subject(case.network, case.settings))
        return built[name]

    yield get


Subjects = Callable[[str], tuple[Case, Subject]]


@pytest.mark.parametrize("name", CASES)
def test_case_follows_reference(name: str, subjects: Subjects) -> None:
    case, subject = subjects(name)
    assert_follows_reference(subject, case.batch_size, case.steps, case.phase, case.cuts)


@pytest.mark.parametrize("name", CASES)
def test_gradients_of_case_follow_reference(name: str, subjects: Subjects) -> None:
    case, subject = subjects(name)
    assert_gradients_follow_reference(subject, case.batch_size, case.steps)


def test_plan_takes_clocks_per_subnetwork() -> None:
    plan = build_subject(chain(), Settings(("b", "c"), [1, 2, 4], [0, 1, 3])).plan
    clocks = {name: (clock.rate, clock.phase) for name, clock in plan.clock_of.items()}
    assert clocks == {"a": (1, 0), "b": (2, 1), "c": (4, 3), "d": (4, 3)}


def test_chained_phases_are_a_staircase() -> None:
    """Each subnetwork ticks one step after the subnetwork that feeds it."""
    plan = build_subject(chain(), settings(("b", "c", "d"), {"a": 4}, "chain")).plan
    assert [plan.clock_of[name].phase for name in "abcd"] == [0, 1, 2, 3]


def test_layerwise_refuses_feedback(subjects: Subjects) -> None:
    case, subject = subjects("feedback_within_a_subnetwork")
    with pytest.raises(ValueError, match="feedback"):
        subject.whole(case.network.clips(1, 2, seed=0), "layerwise")


def test_inputs_and_outputs_keep_the_structure_of_the_model() -> None:
    left, right = keras.Input((4, 6, 2), name="left"), keras.Input((4, 6, 1), name="right")
    a = keras.layers.Conv2D(2, 3, name="a")(left)
    b = keras.layers.Conv2D(2, 3, name="b")(right)
    total = keras.layers.Add(name="total")([a, b])
    model = keras.Model({"right": right, "left": left}, {"sum": total, "parts": [b, a]})
    network = mpvn.VideoNetwork(model)
    rng = np.random.default_rng(0)
    clip = {"left": rng.normal(size=(2, 3, 4, 6, 2)), "right": rng.normal(size=(2, 3, 4, 6, 1))}
    frames = {name: value[:, 1] for name, value in clip.items()}
    expected = keras.tree.map_structure(np.asarray, model(frames))
    stepped, _ = network.step(frames, network.initial_state(2))
    at_once = keras.tree.map_structure(lambda y: y[:, 1], network(clip))
    for actual in (stepped, at_once):
        keras.tree.map_structure(
            lambda a, e: np.testing.assert_allclose(a, e, atol=TOLERANCE), actual, expected
        )


# Wrong readings of the rules: a case above must tell each of them from the right reading.


class DelayedPerBoundary(Interpreter):
    """Wrong: a skip connection is delayed by one step per boundary that it crosses."""

    def read(self, node: Node, parent: str) -> Any:
        crossed = self.placement.subnetworks.get(node.name, 0) - self.placement.subnetworks.get(
            parent, 0
        )
        if node.window or crossed < 2 or self.kinds[parent] == "input":
            return super().read(node, parent)
        visible = [value for time, value in self.ticks[parent] if time <= self.time - crossed]
        return visible[-1] if visible else np.zeros_like(self.values[parent])


class WindowOfSteps(Interpreter):
    """Wrong: a window of the producer's values at the last steps, not of its last ticks."""

    def read_window(self, node: Node, parent: str) -> list[Array]:
        newest = self.time - self.delay(node, parent)
        held = [self._held(parent, newest - age) for age in range(node.window)]
        return held[::-1]

    def _held(self, parent: str, time: int) -> Array:
        visible = [value for at, value in self.ticks[parent] if at <= time]
        return visible[-1] if visible else np.zeros_like(self.values[parent])


class WindowAtOwnClock(WindowOfSteps):
    """Wrong: a window of the values that the consumer read at its own last ticks."""

    def read_window(self, node: Node, parent: str) -> list[Array]:
        rate, _ = self.placement.clocks[node.name]
        newest = self.time - self.delay(node, parent)
        return [self._held(parent, newest - rate * age) for age in range(node.window)][::-1]


class WindowUndelayed(Interpreter):
    """Wrong: across a boundary, a window contains this step's tick (a shallow copy)."""

    def read_window(self, node: Node, parent: str) -> list[Array]:
        window = [value for _, value in self.ticks[parent]][-node.window :]
        zeros = [np.zeros_like(self.values[parent])] * node.window
        return (zeros + window)[-node.window :]


class FrameDelayed(Interpreter):
    """Wrong: only the first subnetwork reads the frame fresh."""

    def delay(self, node: Node, parent: str) -> int:
        if self.kinds[parent] == "input":
            return min(1, self.placement.subnetworks[node.name])
        return super().delay(node, parent)


class FeedbackTwoStepsOld(Interpreter):
    """Wrong: the delay of a boundary is added to the delay of feedback."""

    def read_feedback(self, node: Node) -> Array:
        source = node.params["source"]
        visible = [value for time, value in self.ticks[source] if time <= self.time - 2]
        return visible[-1] if visible else np.zeros_like(self.values[source])


class PartialWindow(Interpreter):
    """Wrong: before the start, a window is shorter instead of padded with zeros."""

    def read_window(self, node: Node, parent: str) -> list[Array]:
        newest = self.time - self.delay(node, parent)
        seen = [value for time, value in self.ticks[parent] if time <= newest]
        return seen[-node.window :] or [np.zeros_like(self.values[parent])]


class Forgetting(Interpreter):
    """Wrong: a recurrent layer starts from zeros at every tick."""

    def remember(self, node: Node) -> Array:
        self.memories[node.name] = None
        return super().remember(node)


class OneMemory(Interpreter):
    """Wrong: the calls of a recurrent layer share one memory."""

    def remember(self, node: Node) -> Array:
        self.memories[node.name] = self.memories.get(node.layer)
        value = super().remember(node)
        self.memories[node.layer] = self.memories[node.name]
        return value


Change = Callable[[dict[str, Any]], dict[str, Any]]


def read_by(interpreter: type[Interpreter]) -> Change:
    """Return a change of the arguments of `interpret`: another reading of the rules."""
    return lambda arguments: {**arguments, "interpreter": interpreter}


def undivided(arguments: dict[str, Any]) -> dict[str, Any]:
    """Wrong: a delay of 0 instead of 1 across boundaries."""
    placement = arguments["placement"]
    together = dict.fromkeys(placement.subnetworks, 0)
    return {**arguments, "placement": replace(placement, subnetworks=together)}


def headless(arguments: dict[str, Any]) -> dict[str, Any]:
    """Wrong: the edges into the head are delayed like all others."""
    placement = arguments["placement"]
    below = max(placement.subnetworks[name] for name in placement.subnetworks)
    subnetworks = {**placement.subnetworks, **dict.fromkeys(placement.head, below + 1)}
    return {**arguments, "placement": Placement(subnetworks, placement.clocks)}


def clocked(name: str, rate: int, phase: int) -> Change:
    """Wrong: another clock for one node."""
    return lambda arguments: {
        **arguments,
        "placement": arguments["placement"].with_clock(name, rate, phase),
    }


def forgetful(arguments: dict[str, Any]) -> dict[str, Any]:
    """Wrong: a window of k - 1 ticks, without the oldest."""

    def forget(_: str, weight: Array) -> Array:
        if weight.ndim < 5:  # not [k, h, w, C, F]
            return weight
        return np.concatenate([np.zeros_like(weight[:1]), weight[1:]])

    return {**arguments, "nodes": map_weights(arguments["nodes"], forget)}


def started_at_zero(arguments: dict[str, Any]) -> dict[str, Any]:
    """Wrong: a stream always starts at step 0."""
    return {**arguments, "phase": 0}


MUTATIONS: list[tuple[str, str, Change]] = [
    ("delay 0", "a_subnetwork_per_node", undivided),
    ("delay 0 of a window", "window_across_a_boundary", undivided),
    ("window undelayed", "window_across_a_boundary", read_by(WindowUndelayed)),
    ("delay per boundary", "skip_over_several_boundaries", read_by(DelayedPerBoundary)),
    ("frame delayed", "two_inputs_and_two_outputs", read_by(FrameDelayed)),
    ("window on the frame delayed", "window_on_the_frame", read_by(FrameDelayed)),
    ("rate 2 for 3", "fast_consumer_of_a_slow_producer", clocked("slow", 2, 1)),
    ("rate 2 for 4", "rates_change_within_a_subnetwork", clocked("c", 2, 0)),
    ("rate without temporal stride", "temporal_stride", clocked("c", 2, 0)),
    ("phase 1 for 2", "a_stream_that_starts_at_a_phase", clocked("c", 3, 1)),
    ("phase 0 for 1", "chained_phases", clocked("b", 4, 0)),
    ("phase 0 for 2 of a shared call", "shared_layer", clocked("twice:1", 3, 0)),
    ("window of k - 1", "window_within_a_subnetwork", forgetful),
    ("window of k - 1 across a boundary", "window_across_a_boundary", forgetful),
    ("window of k - 1 in a nested model", "nested_model", forgetful),
    ("window of steps", "window_of_a_slow_producer", read_by(WindowOfSteps)),
    (
        "window of steps in the head",
        "window_of_the_head_on_a_slow_producer",
        read_by(WindowOfSteps),
    ),
    ("window of steps on feedback", "window_on_feedback", read_by(WindowOfSteps)),
    ("window at the own clock", "window_of_a_fast_producer", read_by(WindowAtOwnClock)),
    ("window at the own clock, strided", "temporal_stride", read_by(WindowAtOwnClock)),
    (
        "zeros before the start left out",
        "temporal_pooling_counts_the_zeros_before_the_start",
        read_by(PartialWindow),
    ),
    ("feedback late", "feedback_within_a_subnetwork", read_by(FeedbackTwoStepsOld)),
    ("feedback late", "feedback_across_boundaries_and_rates", read_by(FeedbackTwoStepsOld)),
    ("no memory", "memory_of_its_own_ticks", read_by(Forgetting)),
    ("one memory", "memories_of_a_shared_layer_and_of_nested_models", read_by(OneMemory)),
    ("rate 2 for 3 of a memory", "memory_of_its_own_ticks", clocked("lstm", 2, 0)),
    ("head delayed", "head_in_sequence", headless),
    ("started at step 0", "a_stream_that_starts_at_a_phase", started_at_zero),
]


@pytest.mark.parametrize(
    ("name", "change"),
    [pytest.param(name, change, id=f"{wrong}: {name}") for wrong, name, change in MUTATIONS],
)
def test_a_wrong_reading_differs(name: str, change: Change, subjects: Subjects) -> None:
    case, subject = subjects(name)
    clips = case.network.clips(case.batch_size, case.steps, seed=0)
    arguments: dict[str, Any] = {
        "nodes": case.network.nodes,
        "outputs": case.network.outputs,
        "placement": subject.placement,
        "clips": clips,
        "phase": case.phase,
    }
    actual = subject.in_pieces(clips, ["step"], (), case.phase)
    assert_same(actual, interpret(**arguments), "right reading")
    wrong = interpret(**change(arguments))
    apart = max(np.abs(a - w).max() for a, w in zip(actual, wrong, strict=True))
    assert apart > 1e-3

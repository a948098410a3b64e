"""Every way to run a video network computes what the reference interpreter computes.

Why this file exists: a stepped stream, an unrolled clip, a layer-major sweep over a clip and a
clip taken in pieces are different programs for one function. The function is written down in
`reference.py`; here each program is held to it, in float64 to 1e-9, on

- one named case per rule, so that a broken rule is reported by its name;
- random networks with random boundaries, clocks, phases and heads;
- deliberately wrong readings of the rules, which must *not* agree: proof that the cases can fail.

The environment variable MPVN_EXAMPLES sets how many random networks each law is tried on.
"""

import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_networks import (
    Builder,
    Network,
    Settings,
    lowest_rate,
    map_weights,
    networks,
    settings_for,
    to_keras,
    variables_by_name,
)
from reference import Array, Interpreter, Node, Placement, interpret

import mpvn

TOLERANCE = 1e-9

random_examples = settings(
    max_examples=int(os.environ.get("MPVN_EXAMPLES", "25")),
    deadline=None,  # the first example compiles
    derandomize="CI" in os.environ,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@pytest.fixture(autouse=True, scope="module")
def double_precision() -> Iterator[None]:
    """All models of this file compute in float64, so that a tolerance hides nothing."""
    floatx, policy = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_floatx(floatx)
    keras.config.set_dtype_policy(policy)


# One network, as the package and as the reference know it.


@dataclass(frozen=True)
class Subject:
    """A network under test: as data, as the package built it, and where the plan put its nodes."""

    network: Network
    model: keras.Model
    plan: mpvn.Plan
    video: mpvn.VideoNetwork
    placement: Placement

    @property
    def executors(self) -> list[str]:
        """The ways to run a clip; a layer-major sweep cannot feed back."""
        return ["unroll"] if self.network.has_feedback else ["unroll", "layerwise"]

    def structured(self, clips: dict[str, Array]) -> Any:
        """Values by input name, in the structure that the model takes."""
        values = [clips[node.name] for node in self.network.inputs]
        return values if len(values) > 1 else values[0]

    def expected(self, clips: dict[str, Array], phase: int = 0) -> list[Array]:
        """What the outputs must be."""
        return interpret(self.network.nodes, self.network.outputs, self.placement, clips, phase)

    def whole(self, clips: dict[str, Array], executor: str) -> list[Array]:
        """The outputs of a clip at once."""
        self.video.executor = executor
        return as_list(self.video(self.structured(clips)))

    def stepped(self, clips: dict[str, Array], state: Any) -> tuple[list[Array], Any]:
        """The outputs of a clip frame by frame, and the state after it."""
        history = []
        for t in range(next(iter(clips.values())).shape[1]):
            y, state = self.video.step(self.structured(cut(clips, t)), state)
            history.append(as_list(y))
        return [np.stack(y, axis=1) for y in zip(*history, strict=True)], state

    def in_pieces(
        self,
        clips: dict[str, Array],
        executors: Sequence[str],
        cuts: Sequence[int],
        phase: int = 0,
    ) -> list[Array]:
        """The outputs of a clip that is cut before the steps `cuts`, the state carried over.

        The pieces are run by the `executors` in turn; ``"step"`` goes frame by frame.
        """
        batch_size, steps = next(iter(clips.values())).shape[:2]
        state = self.video.initial_state(batch_size, phase=phase)
        pieces = []
        bounds = zip([0, *cuts], [*cuts, steps], strict=True)
        for (begin, end), executor in zip(bounds, itertools.cycle(executors), strict=False):
            piece = cut(clips, slice(begin, end))
            if executor == "step":
                y, state = self.stepped(piece, state)
            else:
                self.video.executor = executor
                y, state = self.video.run(self.structured(piece), state)
            pieces.append(as_list(y))
        return [np.concatenate(y, axis=1) for y in zip(*pieces, strict=True)]


def subject(network: Network, asked: Settings) -> Subject:
    """Builds a network with the package."""
    model = to_keras(network)
    plan = mpvn.Plan(
        model,
        boundaries=asked.boundaries,
        clocks=asked.clocks,
        phases=asked.phases,
        head=asked.head,
    )
    names = [node.name for node in network.flat]
    clocks = {name: (plan.clock_of[name].rate, plan.clock_of[name].phase) for name in names}
    order = [name for name in plan.nodes if name in clocks]
    head = frozenset(order[order.index(asked.head) :] if asked.head else ())
    subnetworks = {name: plan.subnetwork_of[name] for name in names}
    placement = Placement(subnetworks, clocks, head)
    return Subject(network, model, plan, mpvn.VideoNetwork(model, plan), placement)


def cut(clips: dict[str, Array], at: int | slice) -> dict[str, Array]:
    """The same steps of every clip."""
    return {name: clip[:, at] for name, clip in clips.items()}


def as_list(outputs: Any) -> list[Array]:
    """The outputs of a network as arrays, also if there is but one."""
    outputs = outputs if isinstance(outputs, (list, tuple)) else [outputs]
    return [np.asarray(y) for y in outputs]


def assert_same(actual: list[Array], expected: list[Array], what: str) -> None:
    """Equality of all outputs, up to rounding."""
    for i, (a, e) in enumerate(zip(actual, expected, strict=True)):
        assert a.dtype == np.float64, f"{what}: output {i} is {a.dtype}"
        scale = max(1.0, np.abs(e).max())
        np.testing.assert_allclose(
            a, e, rtol=0, atol=TOLERANCE * scale, err_msg=f"{what}, output {i}"
        )


def assert_follows_reference(
    tested: Subject, batch_size: int, steps: int, phase: int = 0, cuts: tuple[int, ...] = ()
) -> None:
    """Holds every way to run a clip to the reference."""
    clips = tested.network.clips(batch_size, steps, seed=batch_size + 10 * steps)
    expected = tested.expected(clips, phase)
    for executor in tested.executors if phase == 0 else ():
        assert_same(tested.whole(clips, executor), expected, f"{executor}, at once")
    # A state must mean the same to all of them, hence the last one: all by turns.
    for executors in (["step"], *([e] for e in tested.executors), ["step", *tested.executors]):
        pieces = tested.in_pieces(clips, executors, cuts, phase)
        assert_same(pieces, expected, f"{' and '.join(executors)}, cut at {cuts}")


# A case per rule.


@dataclass(frozen=True)
class Case:
    """A network made to show one rule, and how it is run."""

    network: Network
    settings: Settings
    batch_size: int = 2
    steps: int = 7
    phase: int = 0
    cuts: tuple[int, ...] = (1, 4)


FRAME = (4, 6, 2)
CASES: dict[str, Callable[[], Case]] = {}


def case(make: Callable[[], Case]) -> Callable[[], Case]:
    """Registers a case under the name of its function."""
    CASES[make.__name__] = make
    return make


def ask(
    boundaries: tuple[str, ...] = (),
    clocks: dict[str, int] | None = None,
    phases: Any = "aligned",
    head: str | None = None,
) -> Settings:
    """Settings of a plan; all phases are 0 unless said otherwise."""
    return Settings(boundaries, clocks, phases, head)


def chain(*, temporal: tuple[str, ...] = (), window: int = 3) -> Network:
    """Four convolutions "a" to "d" in a row; those of `temporal` have a window."""
    net = Builder(seed=1)
    x = net.input("frame", FRAME)
    for name in "abcd":
        if name in temporal:
            x = net.temporal_conv(name, x, 3, window, activation="tanh")
        else:
            x = net.conv(name, x, 3, activation="tanh")
    return net.build(x)


@case
def sequential() -> Case:
    return Case(chain(), ask())


@case
def a_subnetwork_per_node() -> Case:
    return Case(chain(), ask(("b", "c", "d")))


@case
def skip_over_several_boundaries() -> Case:
    net = Builder(seed=2)
    a = net.conv("a", net.input("frame", FRAME), 2)
    b = net.conv("b", a, 2, activation="tanh")
    c = net.conv("c", b, 2, activation="tanh")
    d = net.concat("d", c, a, b)
    return Case(net.build(net.conv("e", d, 2)), ask(("b", "c", "d", "e")))


@case
def window_within_a_subnetwork() -> Case:
    return Case(chain(temporal=("b", "d")), ask(("c",)))


@case
def window_across_a_boundary() -> Case:
    return Case(chain(temporal=("c",)), ask(("b", "c")))


@case
def window_on_the_frame() -> Case:
    net = Builder(seed=3)
    frame = net.input("frame", FRAME)
    a = net.conv("a", frame, 2)
    late = net.temporal_conv("late", frame, 2, window=3)
    clocks = {"a": 2, "late": 3}
    both = net.add("both", a, late)
    return Case(net.build(both), ask(("late", "both"), clocks, {"late": 1}))


@case
def window_of_a_slow_producer() -> Case:
    """The window holds ticks of the producer, not what it held at the last steps."""
    clocks = {"a": 1, "b": 2, "c": 2, "d": 4}
    network = chain(temporal=("c", "d"))
    return Case(network, ask(("c",), clocks, {"b": 1, "d": 3}), steps=13)


@case
def window_of_a_fast_producer() -> Case:
    clocks = {"a": 1, "b": 2, "c": 3, "d": 4}
    network = chain(temporal=("b", "c", "d"))
    return Case(network, ask(("b", "d"), clocks, {"b": 1, "c": 2}), steps=13)


@case
def fast_consumer_of_a_slow_producer() -> Case:
    net = Builder(seed=5)
    a = net.conv("a", net.input("frame", FRAME), 2)
    slow = net.conv("slow", a, 2, activation="tanh")
    near = net.add("near", a, slow)
    far = net.concat("far", a, slow)
    clocks = {"slow": 3, "near": 1, "far": 2}
    return Case(net.build(near, far), ask(("far",), clocks, {"slow": 1, "far": 1}), steps=8)


@case
def temporal_stride() -> Case:
    net = Builder(seed=6)
    a = net.conv("a", net.input("frame", FRAME), 2)
    b = net.temporal_conv("b", a, 2, window=3, size=3, strides=(2, 2))
    c = net.temporal_pool("temporal_max", "c", b, window=2, size=2, strides=(2, 1))
    return Case(net.build(net.conv("d", c, 2), c), ask(("c",), {"a": 1}), steps=11)


@case
def temporal_stride_on_the_frame_and_on_a_slow_producer() -> Case:
    net = Builder(seed=7)
    a = net.temporal_conv("a", net.input("frame", FRAME), 2, window=2, strides=(3, 1))
    b = net.temporal_conv("b", a, 2, window=2, strides=(2, 1))
    return Case(net.build(b, a), ask(("b",), {"a": 3, "b": 6}, {"a": 2, "b": 4}), steps=14)


@case
def rates_change_within_a_subnetwork() -> Case:
    return Case(chain(), ask(("d",), {"a": 1, "b": 2, "c": 4, "d": 4}), steps=10)


@case
def rates_that_divide_nothing() -> Case:
    network = chain(temporal=("c",))
    clocks = {"a": 2, "b": 3, "c": 4, "d": 4}
    return Case(network, ask(("b", "c"), clocks, {"a": 1, "b": 2, "c": 3, "d": 1}), steps=17)


@case
def chained_phases() -> Case:
    return Case(chain(), ask(("b", "c", "d"), {"a": 2, "b": 4, "c": 4}, "chain"), steps=13)


@case
def clocks_and_phases_per_subnetwork() -> Case:
    network = chain(temporal=("b", "d"))
    return Case(network, Settings(3, [1, 2, 4], [0, 1, 2]), steps=9)


@case
def phases_of_the_head_and_the_start_beyond_a_period() -> Case:
    asked = ask(("b", "c"), {"a": 2, "b": 2, "c": 3}, {"a": 1, "c": 2}, head="d")
    return Case(chain(temporal=("c",)), asked, steps=8, phase=20)


@case
def temporal_poolings_count_the_zeros_before_the_start() -> Case:
    net = Builder(seed=8)
    a = net.conv("a", net.input("frame", FRAME), 2)
    negative = net.conv("negative", net.relu("relu", a), 2)
    top = net.temporal_pool("temporal_max", "top", negative, window=3, size=2)
    mean = net.temporal_pool("temporal_avg", "mean", negative, window=3, size=2, strides=(1, 2))
    return Case(net.build(top, mean), ask(("mean",), {"mean": 2}))


@case
def feedback_within_a_subnetwork() -> Case:
    net = Builder(seed=9)
    frame = net.input("frame", FRAME)
    past = net.feedback("past", frame, source="mix", shape=(4, 6, 3))
    mix = net.conv("mix", net.concat("merge", frame, past), 3, activation="tanh")
    return Case(net.build(mix), ask())


@case
def feedback_across_boundaries_and_rates() -> Case:
    net = Builder(seed=10)
    frame = net.input("frame", FRAME)
    past = net.feedback("past", frame, source="d", shape=(4, 6, 2))
    a = net.conv("a", frame, 2)
    b = net.add("b", a, past)
    c = net.temporal_conv("c", b, 2, window=2, activation="tanh")
    d = net.conv("d", c, 2, activation="tanh")
    clocks = {"past": 2, "a": 1, "b": 1, "c": 2, "d": 3}
    asked = ask(("c", "d"), clocks, {"past": 1, "d": 2})
    return Case(net.build(d, b), asked, steps=13, cuts=(2, 3, 9))


@case
def window_on_feedback() -> Case:
    net = Builder(seed=11)
    frame = net.input("frame", FRAME)
    past = net.feedback("past", frame, source="mix", shape=(4, 6, 2))
    window = net.temporal_conv("window", past, 2, window=3)
    mix = net.add("mix", net.conv("a", frame, 2), window)
    clocks = {"past": 2, "window": 2, "a": 1, "mix": 1}
    return Case(net.build(mix), ask(("mix",), clocks, {"past": 1}), steps=9)


@case
def shared_layer() -> Case:
    """One temporal convolution called on two nodes has two windows and two clocks."""
    net = Builder(seed=12)
    frame = net.input("frame", FRAME)
    a = net.conv("a", frame, 2, activation="tanh")
    twice = net.temporal_conv("twice", a, 2, window=3)
    b = net.tanh("b", twice)
    again = net.call_again("twice", b)
    clocks = {"twice": 1, "b": 1, "twice:1": 3}
    return Case(net.build(again), ask(("b", "twice:1"), clocks, {"twice:1": 2}), steps=10)


@case
def shared_layer_in_the_order_of_its_calls() -> Case:
    """The second call is "conv:1", also where it comes first in the topological order."""
    net = Builder(seed=18)
    left, right = net.input("left", FRAME), net.input("right", FRAME)
    first = net.conv("conv", left, 2, activation="tanh")
    second = net.call_again("conv", right)
    clocks = {"conv": 2, "conv:1": 3, "merge": 2}
    return Case(net.build(net.concat("merge", second, first)), ask(clocks=clocks))


@case
def nested_model() -> Case:
    net, inner = Builder(seed=13), Builder(seed=14)
    a = net.conv("a", net.input("frame", FRAME), 2)
    inner_frame = inner.input("inner_frame", FRAME)
    first = inner.temporal_conv("first", inner_frame, 2, window=2, activation="tanh")
    second = inner.conv("second", first, 2, activation="tanh")
    residual = inner.add("residual", inner_frame, second)
    outer = net.nested("outer", a, inner, residual)
    b = net.conv("b", outer, 2)
    clocks = {"outer/first": 1, "outer/second": 2, "outer/residual": 1, "b": 2}
    return Case(net.build(b, outer), ask(("outer/second", "b"), clocks, {"b": 1}), steps=9)


@case
def nested_model_called_twice() -> Case:
    net, inner = Builder(seed=19), Builder(seed=20)
    a = net.conv("a", net.input("frame", FRAME), 2)
    window = inner.temporal_conv("window", inner.input("inner_frame", FRAME), 2, window=2)
    outer = net.nested("outer", a, inner, inner.tanh("tanh", window))
    again = net.call_again("outer", outer)
    clocks = {"outer/window": 1, "outer/tanh": 2, "outer:1/window": 2, "outer:1/tanh": 3}
    asked = ask(("outer/tanh", "outer:1/tanh"), clocks, {"outer:1/tanh": 1})
    return Case(net.build(again, outer), asked, steps=9)


@case
def nested_models_in_one_another() -> Case:
    net, inner, innermost = Builder(seed=21), Builder(seed=22), Builder(seed=23)
    window = innermost.temporal_conv("window", innermost.input("x", FRAME), 2, window=3)
    a = inner.conv("a", inner.input("inner_frame", FRAME), 2)
    middle = inner.nested("middle", a, innermost, window)
    b = inner.conv("b", middle, 2)
    outer = net.nested("outer", net.input("frame", FRAME), inner, b)
    past = net.feedback("past", outer, source="outer/middle/window", shape=(4, 6, 2))
    clocks = {"outer/middle/window": 2, "past": 2}
    asked = ask(("outer/middle/window", "outer/b"), clocks, {"outer/middle/window": 1})
    return Case(net.build(net.add("sum", outer, past)), asked, steps=9)


@case
def head() -> Case:
    net = Builder(seed=15)
    a = net.conv("a", net.input("frame", FRAME), 2, activation="tanh")
    b = net.conv("b", a, 2, activation="tanh")
    c = net.conv("c", b, 2, activation="tanh")
    merge = net.concat("merge", a, b, c)
    window = net.temporal_conv("window", merge, 2, window=2)
    clocks = {"a": 2, "b": 3, "c": 4}
    asked = ask(("b", "c"), clocks, {"a": 1, "c": 3}, head="merge")
    return Case(net.build(window), asked, steps=13)


@case
def window_of_the_head_on_a_slow_producer() -> Case:
    clocks = {"a": 2, "b": 2, "c": 3}
    return Case(chain(temporal=("d",)), ask(("b", "c"), clocks, {"c": 1}, head="d"), steps=11)


@case
def two_inputs_and_two_outputs() -> Case:
    net = Builder(seed=16)
    left, right = net.input("left", (4, 6, 2)), net.input("right", (4, 6, 1))
    a = net.conv("a", left, 3)
    b = net.temporal_conv("b", net.concat("both", a, right), 2, window=2)
    return Case(net.build(b, a), ask(("both", "b"), {"a": 2, "both": 1, "b": 1}), batch_size=3)


@case
def a_clip_shorter_than_the_period() -> Case:
    clocks = {"a": 2, "b": 3, "c": 4, "d": 4}
    return Case(chain(), ask(("c",), clocks), steps=5, cuts=(3,))


@case
def nodes_that_never_tick() -> Case:
    clocks = {"a": 1, "b": 1, "c": 4, "d": 4}
    network = replace(chain(temporal=("d",)), outputs=("d", "c", "b"))
    return Case(network, ask(("b", "d"), clocks, {"c": 3, "d": 2}), steps=3, cuts=(1, 2))


@case
def a_clip_of_one_frame() -> Case:
    return Case(chain(temporal=("b",)), ask(("b",)), batch_size=1, steps=1, cuts=())


@case
def a_stream_begun_at_a_phase() -> Case:
    network = chain(temporal=("b", "c"))
    clocks = {"a": 1, "b": 2, "c": 3, "d": 4}
    asked = ask(("c", "d"), clocks, {"b": 1, "c": 2, "d": 3})
    return Case(network, asked, batch_size=3, steps=15, phase=7, cuts=(1, 2, 11))


@case
def spatial_layers() -> Case:
    net = Builder(seed=17)
    x = net.conv("a", net.input("frame", (5, 7, 2)), 3, size=2, strides=2)
    x = net.upsample("b", net.pool("maxpool", "c", x, size=3, strides=2))
    x = net.temporal_conv("d", x, 2, window=2, size=3, padding="same", use_bias=False)
    x = net.temporal_conv("e", x, 2, window=2, size=2, strides=(1, 2), padding="valid")
    return Case(net.build(net.pool("avgpool", "f", x)), ask(("d", "e"), {"d": 2}))


@pytest.mark.parametrize("name", CASES)
def test_case_follows_reference(name: str) -> None:
    it = CASES[name]()
    tested = subject(it.network, it.settings)
    assert_follows_reference(tested, it.batch_size, it.steps, it.phase, it.cuts)


# Random networks.


def random_subject(data: st.DataObject, allow_feedback: bool = True) -> tuple[Subject, Settings]:
    """A random network with a random plan, and what was asked of the plan."""
    network = data.draw(networks(allow_feedback))
    order = mpvn.Plan(to_keras(network), 1).nodes
    asked = data.draw(settings_for(network, order))
    return subject(network, asked), asked


@random_examples
@given(st.data())
def test_random_network_follows_reference(data: st.DataObject) -> None:
    tested, _ = random_subject(data)
    steps = data.draw(st.integers(1, 9), label="steps")
    phase = data.draw(st.sampled_from([0, 0, *range(1, tested.plan.period)]), label="phase")
    cuts = data.draw(st.sets(st.integers(1, steps - 1), max_size=2)) if steps > 1 else set()
    batch_size = data.draw(st.integers(1, 3), label="batch size")
    assert_follows_reference(tested, batch_size, steps, phase, tuple(sorted(cuts)))


@random_examples
@given(st.data())
def test_plan_is_what_was_asked_for(data: st.DataObject) -> None:
    """The reference takes subnetworks and clocks from the plan: so the plan must be right."""
    network = data.draw(networks())
    model = to_keras(network)
    order = mpvn.Plan(model, 1).nodes
    asked = data.draw(settings_for(network, order))
    plan = mpvn.Plan(
        model,
        boundaries=asked.boundaries,
        clocks=asked.clocks,
        phases=asked.phases,
        head=asked.head,
    )
    nodes = {node.name: node for node in network.flat}
    assert tuple(plan.nodes) == tuple(order)
    in_head = order.index(asked.head) if asked.head else len(order)
    index = 0
    for position, name in enumerate(order):
        index += name in asked.boundaries
        if position < in_head and name in nodes:
            assert plan.subnetwork_of[name] == index, name
    named = asked.clocks if isinstance(asked.clocks, dict) else {}
    rates: dict[str, int] = {}
    for node in network.flat:
        clock = plan.clock_of[node.name]
        if order.index(node.name) >= in_head:
            assert (clock.rate, clock.phase) == (1, 0), node.name
            rates[node.name] = 1
            continue
        lowest, _ = lowest_rate(nodes, rates, node)
        rates[node.name] = named.get(node.name, lowest * node.temporal_stride)
        assert clock.rate == rates[node.name], node.name
        if asked.phases == "aligned":
            assert clock.phase == 0, node.name
        elif isinstance(asked.phases, dict):
            assert clock.phase == asked.phases[node.name], node.name


def test_plan_takes_clocks_per_subnetwork() -> None:
    plan = subject(chain(), Settings(("b", "c"), [1, 2, 4], [0, 1, 3])).plan
    held = {name: (clock.rate, clock.phase) for name, clock in plan.clock_of.items()}
    assert held == {"a": (1, 0), "b": (2, 1), "c": (4, 3), "d": (4, 3)}


def test_chained_phases_are_a_staircase() -> None:
    """Each subnetwork ticks one step after the one that feeds it."""
    plan = subject(chain(), ask(("b", "c", "d"), {"a": 4}, "chain")).plan
    assert [plan.clock_of[name].phase for name in "abcd"] == [0, 1, 2, 3]


def test_a_sweep_cannot_feed_back() -> None:
    it = CASES["feedback_within_a_subnetwork"]()
    tested = subject(it.network, it.settings)
    with pytest.raises(ValueError, match="feedback"):
        tested.whole(it.network.clips(1, 2, seed=0), "layerwise")


def test_structure_of_inputs_and_outputs_is_the_models() -> None:
    """Named inputs and outputs keep their names."""
    left, right = keras.Input((4, 6, 2), name="left"), keras.Input((4, 6, 1), name="right")
    a = keras.layers.Conv2D(2, 3, name="a")(left)
    b = keras.layers.Conv2D(2, 3, name="b")(right)
    total = keras.layers.Add(name="total")([a, b])
    model = keras.Model({"right": right, "left": left}, {"sum": total, "parts": [b, a]})
    video = mpvn.VideoNetwork(model, mpvn.Plan(model, 1))
    rng = np.random.default_rng(0)
    clip = {"left": rng.normal(size=(2, 3, 4, 6, 2)), "right": rng.normal(size=(2, 3, 4, 6, 1))}
    frames = {name: value[:, 1] for name, value in clip.items()}
    expected = keras.tree.map_structure(np.asarray, model(frames))
    stepped, _ = video.step(frames, video.initial_state(2))
    at_once = keras.tree.map_structure(lambda y: y[:, 1], video(clip))
    for actual in (stepped, at_once):
        keras.tree.map_structure(
            lambda a, e: np.testing.assert_allclose(a, e, atol=TOLERANCE), actual, expected
        )


@random_examples
@given(st.data())
def test_reset_streams_begin_anew(data: st.DataObject) -> None:
    """A stream that was reset is a stream alone that began at the batch's phase."""
    tested, _ = random_subject(data)
    batch_size, steps = 3, data.draw(st.integers(2, 9), label="steps")
    phase = data.draw(st.integers(0, tested.plan.period - 1), label="phase")
    resets = data.draw(
        st.dictionaries(
            st.integers(0, steps - 1),
            st.lists(st.booleans(), min_size=batch_size, max_size=batch_size),
            min_size=1,
            max_size=3,
        ),
        label="streams that are reset before a step",
    )
    clips = tested.network.clips(batch_size, steps, seed=steps)
    assert_same(
        _run_with_resets(tested, clips, resets, phase, data.draw(st.booleans())),
        _expected_with_resets(tested, clips, resets, phase),
        f"resets {resets}",
    )


@pytest.mark.parametrize(
    "name",
    ["window_of_a_fast_producer", "feedback_across_boundaries_and_rates", "head", "shared_layer"],
)
def test_reset_streams_of_case_begin_anew(name: str) -> None:
    it = CASES[name]()
    tested = subject(it.network, it.settings)
    clips = it.network.clips(3, it.steps, seed=0)
    resets = {2: [True, False, False], 5: [True, True, False]}
    expected = _expected_with_resets(tested, clips, resets, phase=1)
    for step in (True, False):
        assert_same(_run_with_resets(tested, clips, resets, 1, step), expected, f"{step=}")
    # None of it would be noticed if a reset changed nothing, or all streams.
    without = tested.expected(clips, phase=1)
    assert all(np.abs(e[:2] - w[:2]).max() > 1e-3 for e, w in zip(expected, without, strict=True))
    assert_same([e[2] for e in expected], [w[2] for w in without], "the stream never reset")


def _run_with_resets(
    tested: Subject, clips: dict[str, Array], resets: dict[int, list[bool]], phase: int, step: bool
) -> list[Array]:
    """The package's outputs, step by step or in pieces, between resets."""
    batch_size, steps = next(iter(clips.values())).shape[:2]
    state = tested.video.initial_state(batch_size, phase=phase)
    tested.video.executor = tested.executors[-1]
    pieces = []
    begins = sorted({0, *resets})
    for begin, end in zip(begins, [*begins[1:], steps], strict=True):
        if begin in resets:
            state = tested.video.reset(state, np.array(resets[begin]))
        piece = cut(clips, slice(begin, end))
        if step:
            y, state = tested.stepped(piece, state)
        else:
            y, state = tested.video.run(tested.structured(piece), state)
        pieces.append(as_list(y))
    return [np.concatenate(y, axis=1) for y in zip(*pieces, strict=True)]


def _expected_with_resets(
    tested: Subject, clips: dict[str, Array], resets: dict[int, list[bool]], phase: int
) -> list[Array]:
    """The reference's outputs: every stream alone, every stretch between its resets alone."""
    batch_size, steps = next(iter(clips.values())).shape[:2]
    streams = []
    for i in range(batch_size):
        alone = {name: clip[i : i + 1] for name, clip in clips.items()}
        begins = sorted({0, *(t for t, streams_reset in resets.items() if streams_reset[i])})
        stretches = [
            tested.expected(cut(alone, slice(begin, end)), phase + begin)
            for begin, end in zip(begins, [*begins[1:], steps], strict=True)
        ]
        streams.append([np.concatenate(y, axis=1) for y in zip(*stretches, strict=True)])
    return [np.concatenate(y, axis=0) for y in zip(*streams, strict=True)]


# Gradients.


def gradients(tested: Subject, clips: dict[str, Array], executor: str) -> dict[str, Array]:
    """Of a random weighting of all outputs, with respect to all weights, by name."""
    variables = variables_by_name(tested.model, tested.network.nodes)
    tested.video.executor = executor
    with tf.GradientTape() as tape:
        outputs = tested.video(tested.structured(clips))
        outputs = outputs if isinstance(outputs, (list, tuple)) else [outputs]
        weightings = _weightings([tuple(y.shape) for y in outputs])
        loss = tf.add_n([tf.reduce_sum(w * y) for w, y in zip(weightings, outputs, strict=True)])
    computed = tape.gradient(
        loss,
        [variable.value for variable in variables.values()],
        unconnected_gradients=tf.UnconnectedGradients.ZERO,
    )
    return {name: np.asarray(g) for name, g in zip(variables, computed, strict=True)}


def _weightings(shapes: list[tuple[int, ...]]) -> list[Array]:
    rng = np.random.default_rng(0)
    return [rng.normal(size=shape) for shape in shapes]


def assert_gradients_follow_reference(tested: Subject, batch_size: int, steps: int) -> None:
    """All executors have one gradient, and it is the reference's along a random direction."""
    clips = tested.network.clips(batch_size, steps, seed=steps)
    first, *others = [gradients(tested, clips, executor) for executor in tested.executors]
    for other in others:
        for name, gradient in first.items():
            scale = max(1.0, np.abs(gradient).max())
            np.testing.assert_allclose(other[name], gradient, rtol=0, atol=1e-9 * scale)
    rng = np.random.default_rng(1)
    direction = {name: rng.normal(size=gradient.shape) for name, gradient in first.items()}

    def loss(step: float) -> float:
        nodes = map_weights(tested.network.nodes, lambda name, w: w + step * direction[name])
        outputs = interpret(nodes, tested.network.outputs, tested.placement, clips)
        weightings = _weightings([y.shape for y in outputs])
        return sum(np.sum(w * y) for w, y in zip(weightings, outputs, strict=True))

    step = 1e-6
    slope = (loss(step) - loss(-step)) / (2 * step)
    along = sum(np.sum(first[name] * direction[name]) for name in first)
    np.testing.assert_allclose(along, slope, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", CASES)
def test_gradients_of_case(name: str) -> None:
    it = CASES[name]()
    tested = subject(it.network, it.settings)
    assert_gradients_follow_reference(tested, it.batch_size, it.steps)


@random_examples
@given(st.data())
def test_gradients_of_random_network(data: st.DataObject) -> None:
    tested, _ = random_subject(data)
    steps = data.draw(st.integers(1, 7), label="steps")
    assert_gradients_follow_reference(tested, 2, steps)


# Wrong readings of the rules: each must be told from the right one by a case above.


class DelayedPerBoundary(Interpreter):
    """Wrong: a skip connection takes a step for every boundary that it crosses."""

    def read(self, node: Node, parent: str) -> Any:
        crossed = self.placement.subnetworks.get(node.name, 0) - self.placement.subnetworks.get(
            parent, 0
        )
        if node.window or crossed < 2 or self.kinds[parent] == "input":
            return super().read(node, parent)
        visible = [value for time, value in self.ticks[parent] if time <= self.time - crossed]
        return visible[-1] if visible else np.zeros_like(self.values[parent])


class WindowOfSteps(Interpreter):
    """Wrong: a window of what the producer held at the last steps, not of its last ticks."""

    def read_window(self, node: Node, parent: str) -> list[Array]:
        newest = self.time - self.delay(node, parent)
        held = [self._held(parent, newest - age) for age in range(node.window)]
        return held[::-1]

    def _held(self, parent: str, time: int) -> Array:
        visible = [value for at, value in self.ticks[parent] if at <= time]
        return visible[-1] if visible else np.zeros_like(self.values[parent])


class WindowAtOwnClock(WindowOfSteps):
    """Wrong: a window of what the consumer read at its own last ticks."""

    def read_window(self, node: Node, parent: str) -> list[Array]:
        rate, _ = self.placement.clocks[node.name]
        newest = self.time - self.delay(node, parent)
        return [self._held(parent, newest - rate * age) for age in range(node.window)][::-1]


class WindowUndelayed(Interpreter):
    """Wrong: a window lets this step's tick through across a boundary (a shallow copy)."""

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
    """Wrong: a boundary's delay comes on top of the feedback's."""

    def read_feedback(self, node: Node) -> Array:
        source = node.params["source"]
        visible = [value for time, value in self.ticks[source] if time <= self.time - 2]
        return visible[-1] if visible else np.zeros_like(self.values[source])


class PartialWindow(Interpreter):
    """Wrong: a window has no zeros before the start, it is just shorter."""

    def read_window(self, node: Node, parent: str) -> list[Array]:
        newest = self.time - self.delay(node, parent)
        seen = [value for time, value in self.ticks[parent] if time <= newest]
        return seen[-node.window :] or [np.zeros_like(self.values[parent])]


Change = Callable[[dict[str, Any]], dict[str, Any]]


def read_by(interpreter: type[Interpreter]) -> Change:
    """The arguments of `interpret` for another reading of the rules."""
    return lambda arguments: {**arguments, "interpreter": interpreter}


def undivided(arguments: dict[str, Any]) -> dict[str, Any]:
    """Wrong: a delay of 0 instead of 1 across boundaries."""
    placement = arguments["placement"]
    together = dict.fromkeys(placement.subnetworks, 0)
    return {**arguments, "placement": replace(placement, subnetworks=together)}


def headless(arguments: dict[str, Any]) -> dict[str, Any]:
    """Wrong: the head's edges are delayed like all others."""
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
    """Wrong: a window of k - 1 ticks, the oldest is forgotten."""

    def forget(_: str, weight: Array) -> Array:
        if weight.ndim < 5:  # not [k, h, w, C, F]
            return weight
        return np.concatenate([np.zeros_like(weight[:1]), weight[1:]])

    return {**arguments, "nodes": map_weights(arguments["nodes"], forget)}


def begun_at_zero(arguments: dict[str, Any]) -> dict[str, Any]:
    """Wrong: a stream always begins at step 0."""
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
    ("phase 1 for 2", "a_stream_begun_at_a_phase", clocked("c", 3, 1)),
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
        "temporal_poolings_count_the_zeros_before_the_start",
        read_by(PartialWindow),
    ),
    ("feedback late", "feedback_within_a_subnetwork", read_by(FeedbackTwoStepsOld)),
    ("feedback late", "feedback_across_boundaries_and_rates", read_by(FeedbackTwoStepsOld)),
    ("head delayed", "head", headless),
    ("begun at step 0", "a_stream_begun_at_a_phase", begun_at_zero),
]


@pytest.mark.parametrize(
    ("name", "change"),
    [pytest.param(name, change, id=f"{wrong}: {name}") for wrong, name, change in MUTATIONS],
)
def test_a_wrong_reading_is_told_apart(name: str, change: Change) -> None:
    it = CASES[name]()
    tested = subject(it.network, it.settings)
    clips = it.network.clips(it.batch_size, it.steps, seed=0)
    arguments: dict[str, Any] = {
        "nodes": it.network.nodes,
        "outputs": it.network.outputs,
        "placement": tested.placement,
        "clips": clips,
        "phase": it.phase,
    }
    actual = tested.in_pieces(clips, ["step"], (), it.phase)
    assert_same(actual, interpret(**arguments), "right reading")
    wrong = interpret(**change(arguments))
    apart = max(np.abs(a - w).max() for a, w in zip(actual, wrong, strict=True))
    assert apart > 1e-3

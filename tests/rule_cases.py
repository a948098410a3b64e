"""One network for each rule of the semantics, so that a broken rule is reported by its name."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from network_data import Builder, Network
from random_networks import Settings


@dataclass(frozen=True)
class Case:
    """A network that shows one rule, and how to run it."""

    network: Network
    settings: Settings
    batch_size: int = 2
    steps: int = 7
    phase: int = 0
    cuts: tuple[int, ...] = (1, 4)


FRAME = (4, 6, 2)
CASES: dict[str, Callable[[], Case]] = {}


def case(make: Callable[[], Case]) -> Callable[[], Case]:
    """Register a case under the name of its function."""
    CASES[make.__name__] = make
    return make


def settings(
    boundaries: tuple[str, ...] = (),
    clocks: dict[str, int] | None = None,
    phases: Any = "aligned",
    head: str | None = None,
) -> Settings:
    """Arguments of a plan; all phases are 0 by default."""
    return Settings(boundaries, clocks, phases, head)


def chain(*, temporal: tuple[str, ...] = (), window: int = 3) -> Network:
    """Build four convolutions "a" to "d" in a row; those in `temporal` have a window."""
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
    return Case(chain(), settings())


@case
def a_subnetwork_per_node() -> Case:
    return Case(chain(), settings(("b", "c", "d")))


@case
def skip_over_several_boundaries() -> Case:
    net = Builder(seed=2)
    a = net.conv("a", net.input("frame", FRAME), 2)
    b = net.conv("b", a, 2, activation="tanh")
    c = net.conv("c", b, 2, activation="tanh")
    d = net.concat("d", c, a, b)
    return Case(net.build(net.conv("e", d, 2)), settings(("b", "c", "d", "e")))


@case
def window_within_a_subnetwork() -> Case:
    return Case(chain(temporal=("b", "d")), settings(("c",)))


@case
def window_across_a_boundary() -> Case:
    return Case(chain(temporal=("c",)), settings(("b", "c")))


@case
def window_on_the_frame() -> Case:
    net = Builder(seed=3)
    frame = net.input("frame", FRAME)
    a = net.conv("a", frame, 2)
    late = net.temporal_conv("late", frame, 2, window=3)
    clocks = {"a": 2, "late": 3}
    both = net.add("both", a, late)
    return Case(net.build(both), settings(("late", "both"), clocks, {"late": 1}))


@case
def window_of_a_slow_producer() -> Case:
    """The window holds the producer's last ticks, not its values at the last steps."""
    clocks = {"a": 1, "b": 2, "c": 2, "d": 4}
    network = chain(temporal=("c", "d"))
    return Case(network, settings(("c",), clocks, {"b": 1, "d": 3}), steps=13)


@case
def window_of_a_fast_producer() -> Case:
    clocks = {"a": 1, "b": 2, "c": 3, "d": 4}
    network = chain(temporal=("b", "c", "d"))
    return Case(network, settings(("b", "d"), clocks, {"b": 1, "c": 2}), steps=13)


@case
def fast_consumer_of_a_slow_producer() -> Case:
    net = Builder(seed=5)
    a = net.conv("a", net.input("frame", FRAME), 2)
    slow = net.conv("slow", a, 2, activation="tanh")
    near = net.add("near", a, slow)
    far = net.concat("far", a, slow)
    clocks = {"slow": 3, "near": 1, "far": 2}
    return Case(net.build(near, far), settings(("far",), clocks, {"slow": 1, "far": 1}), steps=8)


@case
def temporal_stride() -> Case:
    net = Builder(seed=6)
    a = net.conv("a", net.input("frame", FRAME), 2)
    b = net.temporal_conv("b", a, 2, window=3, size=3, strides=(2, 2))
    c = net.temporal_pool("temporal_max", "c", b, window=2, size=2, strides=(2, 1))
    return Case(net.build(net.conv("d", c, 2), c), settings(("c",), {"a": 1}), steps=11)


@case
def temporal_stride_on_the_frame_and_on_a_slow_producer() -> Case:
    net = Builder(seed=7)
    a = net.temporal_conv("a", net.input("frame", FRAME), 2, window=2, strides=(3, 1))
    b = net.temporal_conv("b", a, 2, window=2, strides=(2, 1))
    return Case(net.build(b, a), settings(("b",), {"a": 3, "b": 6}, {"a": 2, "b": 4}), steps=14)


@case
def rates_change_within_a_subnetwork() -> Case:
    return Case(chain(), settings(("d",), {"a": 1, "b": 2, "c": 4, "d": 4}), steps=10)


@case
def rates_without_a_common_divisor() -> Case:
    network = chain(temporal=("c",))
    clocks = {"a": 2, "b": 3, "c": 4, "d": 4}
    return Case(network, settings(("b", "c"), clocks, {"a": 1, "b": 2, "c": 3, "d": 1}), steps=17)


@case
def chained_phases() -> Case:
    return Case(chain(), settings(("b", "c", "d"), {"a": 2, "b": 4, "c": 4}, "chain"), steps=13)


@case
def clocks_and_phases_per_subnetwork() -> Case:
    network = chain(temporal=("b", "d"))
    return Case(network, Settings(("b", "c"), [1, 2, 4], [0, 1, 2]), steps=9)


@case
def a_head_and_a_start_beyond_a_period() -> Case:
    plan = settings(("b", "c"), {"a": 2, "b": 2, "c": 3}, {"a": 1, "c": 2}, head="d")
    return Case(chain(temporal=("c",)), plan, steps=8, phase=20)


@case
def temporal_pooling_counts_the_zeros_before_the_start() -> Case:
    net = Builder(seed=8)
    a = net.conv("a", net.input("frame", FRAME), 2)
    negative = net.conv("negative", net.relu("relu", a), 2)
    top = net.temporal_pool("temporal_max", "top", negative, window=3, size=2)
    mean = net.temporal_pool("temporal_avg", "mean", negative, window=3, size=2, strides=(1, 2))
    return Case(net.build(top, mean), settings(("mean",), {"mean": 2}))


@case
def memory_of_its_own_ticks() -> Case:
    """A recurrent layer reads its own previous tick, at any clock, not its input's."""
    net = Builder(seed=24)
    a = net.conv("a", net.input("frame", FRAME), 2)
    gru = net.recurrent("conv_gru", "gru", a, 2, size=3)
    lstm = net.recurrent("conv_lstm", "lstm", a, 3, size=2, strides=2)
    plan = settings(("lstm",), {"gru": 2, "lstm": 3}, {"gru": 1, "lstm": 2})
    return Case(net.build(gru, lstm), plan, batch_size=3, steps=9, phase=7, cuts=(1, 5))


@case
def memories_of_a_shared_layer_and_of_nested_models() -> Case:
    net, inner = Builder(seed=25), Builder(seed=26)
    frame = net.input("frame", FRAME)
    twice = net.recurrent("conv_lstm", "twice", frame, 2)
    again = net.call_again("twice", net.temporal_conv("window", twice, 2, window=3))
    memory = inner.recurrent("conv_gru", "memory", inner.input("x", FRAME), 2, padding="valid")
    outer = net.nested("outer", again, inner, memory)
    clocks = {"twice": 1, "window": 2, "twice:1": 2, "outer/memory": 2}
    plan = settings(("window", "outer/memory"), clocks, {"window": 1, "twice:1": 1})
    return Case(net.build(net.concat("both", outer, twice), again), plan, steps=6)


@case
def feedback_within_a_subnetwork() -> Case:
    net = Builder(seed=9)
    frame = net.input("frame", FRAME)
    past = net.feedback("past", frame, source="mix", shape=(4, 6, 3))
    mix = net.conv("mix", net.concat("merge", frame, past), 3, activation="tanh")
    return Case(net.build(mix), settings())


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
    plan = settings(("c", "d"), clocks, {"past": 1, "d": 2})
    return Case(net.build(d, b), plan, steps=13, cuts=(2, 3, 9))


@case
def window_on_feedback() -> Case:
    net = Builder(seed=11)
    frame = net.input("frame", FRAME)
    past = net.feedback("past", frame, source="mix", shape=(4, 6, 2))
    window = net.temporal_conv("window", past, 2, window=3)
    mix = net.add("mix", net.conv("a", frame, 2), window)
    clocks = {"past": 2, "window": 2, "a": 1, "mix": 1}
    return Case(net.build(mix), settings(("mix",), clocks, {"past": 1}), steps=9)


@case
def shared_layer() -> Case:
    """A temporal convolution called twice has two windows and two clocks."""
    net = Builder(seed=12)
    frame = net.input("frame", FRAME)
    a = net.conv("a", frame, 2, activation="tanh")
    twice = net.temporal_conv("twice", a, 2, window=3)
    b = net.tanh("b", twice)
    again = net.call_again("twice", b)
    clocks = {"twice": 1, "b": 1, "twice:1": 3}
    return Case(net.build(again), settings(("b", "twice:1"), clocks, {"twice:1": 2}), steps=10)


@case
def shared_layer_in_the_order_of_its_calls() -> Case:
    """The second call is "conv:1", even if it comes first in topological order."""
    net = Builder(seed=18)
    left, right = net.input("left", FRAME), net.input("right", FRAME)
    first = net.conv("conv", left, 2, activation="tanh")
    second = net.call_again("conv", right)
    clocks = {"conv": 2, "conv:1": 3, "merge": 2}
    return Case(net.build(net.concat("merge", second, first)), settings(clocks=clocks))


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
    return Case(net.build(b, outer), settings(("outer/second", "b"), clocks, {"b": 1}), steps=9)


@case
def nested_model_called_twice() -> Case:
    net, inner = Builder(seed=19), Builder(seed=20)
    a = net.conv("a", net.input("frame", FRAME), 2)
    window = inner.temporal_conv("window", inner.input("inner_frame", FRAME), 2, window=2)
    outer = net.nested("outer", a, inner, inner.tanh("tanh", window))
    again = net.call_again("outer", outer)
    clocks = {"outer/window": 1, "outer/tanh": 2, "outer:1/window": 2, "outer:1/tanh": 3}
    plan = settings(("outer/tanh", "outer:1/tanh"), clocks, {"outer:1/tanh": 1})
    return Case(net.build(again, outer), plan, steps=9)


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
    plan = settings(("outer/middle/window", "outer/b"), clocks, {"outer/middle/window": 1})
    return Case(net.build(net.add("sum", outer, past)), plan, steps=9)


@case
def head_in_sequence() -> Case:
    net = Builder(seed=15)
    a = net.conv("a", net.input("frame", FRAME), 2, activation="tanh")
    b = net.conv("b", a, 2, activation="tanh")
    c = net.conv("c", b, 2, activation="tanh")
    merge = net.concat("merge", a, b, c)
    window = net.temporal_conv("window", merge, 2, window=2)
    clocks = {"a": 2, "b": 3, "c": 4}
    plan = settings(("b", "c"), clocks, {"a": 1, "c": 3}, head="merge")
    return Case(net.build(window), plan, steps=13)


@case
def window_of_the_head_on_a_slow_producer() -> Case:
    clocks = {"a": 2, "b": 2, "c": 3}
    return Case(chain(temporal=("d",)), settings(("b", "c"), clocks, {"c": 1}, head="d"), steps=11)


@case
def two_inputs_and_two_outputs() -> Case:
    net = Builder(seed=16)
    left, right = net.input("left", (4, 6, 2)), net.input("right", (4, 6, 1))
    a = net.conv("a", left, 3)
    b = net.temporal_conv("b", net.concat("both", a, right), 2, window=2)
    return Case(net.build(b, a), settings(("both", "b"), {"a": 2, "both": 1, "b": 1}), batch_size=3)


@case
def a_clip_shorter_than_the_period() -> Case:
    clocks = {"a": 2, "b": 3, "c": 4, "d": 4}
    return Case(chain(), settings(("c",), clocks), steps=5, cuts=(3,))


@case
def nodes_that_never_tick() -> Case:
    clocks = {"a": 1, "b": 1, "c": 4, "d": 4}
    network = replace(chain(temporal=("d",)), outputs=("d", "c", "b"))
    return Case(network, settings(("b", "d"), clocks, {"c": 3, "d": 2}), steps=3, cuts=(1, 2))


@case
def a_clip_of_one_frame() -> Case:
    return Case(chain(temporal=("b",)), settings(("b",)), batch_size=1, steps=1, cuts=())


@case
def a_stream_that_starts_at_a_phase() -> Case:
    network = chain(temporal=("b", "c"))
    clocks = {"a": 1, "b": 2, "c": 3, "d": 4}
    plan = settings(("c", "d"), clocks, {"b": 1, "c": 2, "d": 3})
    return Case(network, plan, batch_size=3, steps=15, phase=7, cuts=(1, 2, 11))


@case
def spatial_layers() -> Case:
    net = Builder(seed=17)
    x = net.conv("a", net.input("frame", (5, 7, 2)), 3, size=2, strides=2)
    x = net.upsample("b", net.pool("maxpool", "c", x, size=3, strides=2))
    x = net.temporal_conv("d", x, 2, window=2, size=3, padding="same", use_bias=False)
    x = net.temporal_conv("e", x, 2, window=2, size=2, strides=(1, 2), padding="valid")
    return Case(net.build(net.pool("avgpool", "f", x)), settings(("d", "e"), {"d": 2}))

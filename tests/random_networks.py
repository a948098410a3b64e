"""Random small video networks and plans, drawn by Hypothesis.

A law such as "all executors agree" is only as good as the networks it is tried on. The strategies
draw the structure (kinds, edges, clocks, boundaries), so that a failure shrinks to a small network.
Weights come from one seed, so that nothing in them is symmetric.

Not drawn: normalization, dropout, and layers with weights of other ranks. They compute frame by
frame and have tests of their own.
"""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st
from network_data import Builder, Network
from reference import RECURRENT_KINDS, Node, flatten, resolve

RATES = (1, 2, 3, 4)
LARGEST_PERIOD = 12  # of the drawn rates; a temporal stride may double it
UNARY_KINDS = ("conv", "activation", "pool", "temporal_conv", "temporal_pool", "recurrent")


@st.composite
def networks(draw: st.DrawFn, allow_feedback: bool = True) -> Network:
    """Draw a network of 2 to 8 nodes besides its inputs; every node leads to an output."""
    net = Builder(seed=draw(st.integers(0, 2**31 - 1)))
    height, width = draw(st.sampled_from([(4, 4), (4, 6), (5, 3)]))
    frames = [
        net.input(name, (height, width, draw(st.integers(1, 3))))
        for name in ["frame", "other_frame"][: draw(st.sampled_from([1, 1, 2]))]
    ]
    feedback = None
    if allow_feedback and draw(st.sampled_from([False, False, True])):
        shape = (height, width, draw(st.integers(1, 2)))
        feedback = net.feedback("feedback", frames[0], source="", shape=shape)
    for i in range(draw(st.integers(2, 7))):
        _draw_node(draw, net, str(i))
    if feedback is not None:
        _close_feedback(draw, net, feedback)
    read = {parent for node in net.nodes for parent in node.parents}
    sinks = [node.name for node in net.nodes if node.name not in read]
    inner = [node.name for node in net.nodes if node.name in read and node.kind != "input"]
    also = draw(st.sampled_from([None, None, *inner]))
    # Every input must lead to an output: an unread input gets a small convolution.
    outputs = [
        net.conv(f"{sink}_out", sink, 1, size=1) if net.node(sink).kind == "input" else sink
        for sink in sinks
    ]
    return net.build(*outputs, *([also] if also else []))


def _draw_node(draw: st.DrawFn, net: Builder, suffix: str) -> None:
    """Append a node that reads one or two of the existing nodes, later ones more often."""
    x = _draw_parent(draw, net)
    same_shape = [name for name in net.shapes if net.shapes[name] == net.shapes[x]]
    same_size = [name for name in net.shapes if net.shapes[name][:2] == net.shapes[x][:2]]
    shareable = [
        node.name
        for node in net.nodes
        if node.kind in ("conv", "temporal_conv", *RECURRENT_KINDS)
        and node.name == node.layer
        and net.shapes[node.parents[0]][-1] == net.shapes[x][-1]
        and min(net.shapes[x][:2]) >= 3
    ]
    merges = ["add", "concat"] * 2 if len(same_size) > 1 else []
    kinds = [*UNARY_KINDS, *UNARY_KINDS, "upsample", "nested", *merges]
    match draw(st.sampled_from([*kinds, *(["shared"] * 4 if shareable else [])])):
        case "add":
            net.add(f"add{suffix}", draw(st.sampled_from(same_shape)), x)
        case "concat":
            net.concat(f"concat{suffix}", x, draw(st.sampled_from(same_size)))
        case "shared":
            net.call_again(draw(st.sampled_from(shareable)), x)
        case "upsample":
            if max(net.shapes[x][:2]) <= 3:
                net.upsample(f"upsample{suffix}", x)
            else:
                net.tanh(f"tanh{suffix}", x)
        case "nested":
            inner = Builder(seed=draw(st.integers(0, 2**31 - 1)))
            first = output = inner.input("inner_frame", net.shapes[x])
            for i in range(draw(st.integers(1, 2))):
                output = _draw_unary(draw, inner, output, draw(st.sampled_from(UNARY_KINDS)), i)
            if inner.shapes[first] == inner.shapes[output] and draw(st.booleans()):
                output = inner.add("residual", first, output)
            net.nested(f"model{suffix}", x, inner, output)
        case kind:
            _draw_unary(draw, net, x, kind, suffix)


def _draw_parent(draw: st.DrawFn, net: Builder) -> str:
    """Choose an existing node, more often an unread one, so that networks get deep."""
    names = list(net.shapes)
    read = {parent for node in net.nodes for parent in node.parents}
    unread = [name for name in names if name not in read]
    any_of_them = draw(st.sampled_from([False, False, False, True]))
    return draw(st.sampled_from((names if any_of_them or not unread else unread)[::-1]))


def _draw_unary(draw: st.DrawFn, net: Builder, x: str, kind: str, suffix: object) -> str:
    """Append a node that reads `x`."""
    filters = draw(st.integers(1, 3))
    size = draw(st.sampled_from([1, 2, 3]))
    height, width, _ = net.shapes[x]
    strides = draw(st.sampled_from([1, 1, 2])) if min(height, width) >= 2 else 1
    fits = min(height, width) >= size
    padding = draw(st.sampled_from(["same", "same", "valid"])) if fits else "same"
    window = draw(st.sampled_from([2, 3, 1]))
    # At most one temporal stride: two of them make the period, and so the clip, long.
    strided = any(node.temporal_stride > 1 for node in flatten(net.nodes))
    temporal_stride = 1 if strided else draw(st.sampled_from([1, 1, 1, 2]))
    activation = draw(st.sampled_from([None, "relu", "tanh"]))
    use_bias = draw(st.booleans())
    match kind:
        case "conv":
            name = f"conv{suffix}"
            return net.conv(name, x, filters, size, strides, padding, activation, use_bias)
        case "activation":
            act = net.relu if draw(st.booleans()) else net.tanh
            return act(f"activation{suffix}", x)
        case "pool":
            pool_kind = draw(st.sampled_from(["maxpool", "avgpool"]))
            return net.pool(pool_kind, f"{pool_kind}{suffix}", x, size, strides, padding)
        case "temporal_conv":
            return net.temporal_conv(
                f"temporal_conv{suffix}",
                x,
                filters,
                window,
                size,
                (temporal_stride, strides),
                padding,
                activation,
                use_bias,
            )
        case "recurrent":
            kind = draw(st.sampled_from(RECURRENT_KINDS))
            name = f"{kind}{suffix}"
            return net.recurrent(kind, name, x, filters, size, strides, padding, use_bias)
        case "temporal_pool":
            pool_kind = draw(st.sampled_from(["temporal_max", "temporal_avg"]))
            name = f"{pool_kind}{suffix}"
            both = (temporal_stride, strides)
            return net.temporal_pool(pool_kind, name, x, window, size, both, padding)
    raise ValueError(f"No such kind of unary node. Received: kind={kind!r}")


def _close_feedback(draw: st.DrawFn, net: Builder, feedback: str) -> None:
    """Give the feedback node a source: a later node of its shape, new if there is none."""
    shape = net.shapes[feedback]
    at = [node.name for node in net.nodes].index(feedback)
    later = [node.name for node in net.nodes[at + 1 :]]
    sources = [name for name in later if net.shapes[name] == shape]
    if not sources:
        sized = [feedback, *(name for name in later if net.shapes[name][:2] == shape[:2])]
        sources = [net.conv("source", sized[-1], shape[-1], size=1)]
    source = resolve(net.nodes, draw(st.sampled_from(sources)))
    net.nodes[at] = Node(
        feedback,
        "feedback",
        net.node(feedback).parents,
        {"source": source, "shape": shape},
        feedback,
    )


@dataclass(frozen=True)
class Settings:
    """The arguments of a plan, as plain data.

    Subnetworks are runs of nodes (`boundaries`) or any sets of nodes (`assignment`).
    """

    boundaries: tuple[str, ...] | None
    clocks: Mapping[str, int] | Sequence[int] | None
    phases: Mapping[str, int] | Sequence[int] | str | None
    head: str | None = None
    assignment: Mapping[str, int] | None = None

    def plan_arguments(self) -> dict[str, Any]:
        """Return the keyword arguments of `mpvn.Plan`."""
        return {
            "boundaries": self.boundaries,
            "clocks": self.clocks,
            "phases": self.phases,
            "head": self.head,
            "assignment": self.assignment,
        }


@st.composite
def settings_for(draw: st.DrawFn, network: Network, order: Sequence[str]) -> Settings:
    """Draw valid arguments of a plan.

    Args:
        network: the network.
        order: the names of its nodes in the plan's topological order.
    """
    nodes = {node.name: node for node in network.flat}
    order = [name for name in order if name in nodes]
    # A temporal stride makes a node slow, so it cannot run at the head's rate of 1.
    strided = [i for i, name in enumerate(order) if nodes[name].temporal_stride > 1]
    heads = order[max([0, *strided]) + 1 :]
    head = draw(st.sampled_from([None, None, *heads]))
    body = order[: order.index(head)] if head else order
    boundaries, assignment = draw(st.one_of(_any_sets(body), _runs(body)))
    named = draw(st.booleans())  # whether every node gets an explicit rate, or only some
    rates: dict[str, int] = {}
    clocks: dict[str, int] = {}
    period = 1
    for node in network.flat:
        if node.name not in body:
            continue
        lowest, inherits = lowest_rate(nodes, rates, node)
        rate = lowest * node.temporal_stride
        if not inherits or named or draw(st.booleans()):
            if node.temporal_stride == 1:
                choices = [r for r in RATES if r > rate and math.lcm(period, r) <= LARGEST_PERIOD]
                rate = draw(st.sampled_from([rate, *choices]))
            clocks[node.name] = rate
        rates[node.name] = rate
        period = math.lcm(period, rate)
    if draw(st.sampled_from([True, True, False])):
        phases: Any = {name: draw(st.integers(0, rates[name] - 1)) for name in rates}
    else:
        phases = draw(st.sampled_from([None, "aligned", "chain"]))
    return Settings(boundaries, clocks, phases, head, assignment)


@st.composite
def _runs(draw: st.DrawFn, body: Sequence[str]) -> tuple[tuple[str, ...], None]:
    """Draw boundaries."""
    fewest = draw(st.sampled_from([1, 1, 0]))
    begins = st.sets(st.sampled_from(body[1:]), min_size=fewest, max_size=4)
    names = draw(begins) if body[1:] else set()
    return tuple(name for name in body if name in names), None


@st.composite
def _any_sets(draw: st.DrawFn, body: Sequence[str]) -> tuple[None, dict[str, int]]:
    """Draw a subnetwork for each node: in no order, and they may read each other in circles.

    They come from a seed: drawn one by one, most of them would be 0.
    """
    choose = random.Random(draw(st.integers(0, 2**31 - 1)))
    drawn = [choose.randrange(4) for _ in body]
    numbers = {number: index for index, number in enumerate(sorted(set(drawn)))}
    return None, {name: numbers[number] for name, number in zip(body, drawn, strict=True)}


def lowest_rate(
    nodes: Mapping[str, Node], rates: Mapping[str, int], node: Node
) -> tuple[int, bool]:
    """Return the smallest rate among the node's inputs, and whether the node may inherit it.

    Frames have rate 1. Values that depend on feedback alone count only if a node reads nothing
    else, and a node cannot inherit their rate.
    """
    if node.kind == "feedback":
        return rates.get(node.parents[0], 1), False
    direct = [parent for parent in node.parents if not fed_back(nodes, parent)]
    rate = min(rates.get(parent, 1) for parent in direct or node.parents)
    return rate, len(direct) == len(node.parents)


def fed_back(nodes: Mapping[str, Node], name: str) -> bool:
    """Return whether the named node depends on feedback alone; a frame does not."""
    if name not in nodes:
        return False
    node = nodes[name]
    from_feedback = [fed_back(nodes, parent) for parent in node.parents]
    return node.kind == "feedback" or (bool(from_feedback) and all(from_feedback))

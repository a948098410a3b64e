"""Random small video networks and plans, as plain data for the reference and as Keras models.

Why this file exists: a law such as "all executors agree" is worth as much as the networks it is
tried on. `Builder` writes a network down once, as `reference.Node`s with random weights;
`to_keras` turns the very same data into a functional model. The strategies draw structure (kinds,
edges, clocks, boundaries) through Hypothesis, so that a failure shrinks to a small network, and
weights from one seed, so that nothing in them is symmetric.

What it does not draw: normalization, dropout, and layers with weights of other ranks. Those behave
per frame and are tested for themselves.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np
from hypothesis import strategies as st
from reference import Array, Node, compute, flatten, resolve

import keras_layers

RATES = (1, 2, 3, 4)
LARGEST_PERIOD = 12  # of drawn rates; a temporal stride may double it
UNARY_KINDS = ("conv", "activation", "pool", "temporal_conv", "temporal_pool")

Shape = tuple[int, int, int]


@dataclass(frozen=True)
class Network:
    """A network as plain data: its nodes in topological order and the names of its outputs."""

    nodes: tuple[Node, ...]
    outputs: tuple[str, ...]

    @property
    def inputs(self) -> tuple[Node, ...]:
        """The input nodes."""
        return tuple(node for node in self.nodes if node.kind == "input")

    @property
    def flat(self) -> list[Node]:
        """The nodes that run: nested models opened, inputs left out."""
        return [node for node in flatten(self.nodes) if node.kind != "input"]

    @property
    def has_feedback(self) -> bool:
        """Whether a node reads a later one."""
        return any(node.kind == "feedback" for node in self.nodes)

    def clips(self, batch_size: int, steps: int, seed: int) -> dict[str, Array]:
        """A random clip ``[B, T, H, W, C]`` for every input."""
        rng = np.random.default_rng(seed)
        return {
            node.name: rng.normal(size=(batch_size, steps, *node.params["shape"]))
            for node in self.inputs
        }


class Builder:
    """Writes a network down node by node; every method returns the name of the new node.

    Args:
        seed: of the random weights.
    """

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[Node] = []
        self.shapes: dict[str, Shape] = {}

    def input(self, name: str, shape: Shape) -> str:
        """A stream of frames ``[H, W, C]``."""
        return self._append(Node(name, "input", (), {"shape": shape}), shape)

    def conv(
        self,
        name: str,
        x: str,
        filters: int,
        size: int = 3,
        strides: int = 1,
        padding: str = "same",
        activation: str | None = None,
        use_bias: bool = True,
    ) -> str:
        """A 2D convolution of a square kernel."""
        kernel, bias = self._weights((size, size), x, filters, use_bias)
        params = {
            "kernel": kernel,
            "bias": bias,
            "strides": (strides, strides),
            "padding": padding,
            "activation": activation,
        }
        return self._compute(Node(name, "conv", (x,), params))

    def relu(self, name: str, x: str) -> str:
        """A rectifier."""
        return self._compute(Node(name, "relu", (x,)))

    def tanh(self, name: str, x: str) -> str:
        """A hyperbolic tangent."""
        return self._compute(Node(name, "tanh", (x,)))

    def add(self, name: str, *parents: str) -> str:
        """The sum of nodes of one shape."""
        return self._compute(Node(name, "add", parents))

    def concat(self, name: str, *parents: str) -> str:
        """Nodes of one height and width, side by side along their channels."""
        return self._compute(Node(name, "concat", parents))

    def pool(
        self, kind: str, name: str, x: str, size: int = 2, strides: int = 1, padding: str = "same"
    ) -> str:
        """Spatial pooling: `kind` is ``"maxpool"`` or ``"avgpool"``."""
        params = {"size": (size, size), "strides": (strides, strides), "padding": padding}
        return self._compute(Node(name, kind, (x,), params))

    def upsample(self, name: str, x: str, size: int = 2) -> str:
        """Nearest-neighbor upsampling."""
        return self._compute(Node(name, "upsample", (x,), {"size": size}))

    def temporal_conv(
        self,
        name: str,
        x: str,
        filters: int,
        window: int,
        size: int = 1,
        strides: tuple[int, int] = (1, 1),
        padding: str = "same",
        activation: str | None = None,
        use_bias: bool = True,
    ) -> str:
        """A causal convolution over `window` ticks; `strides` are the temporal and spatial one."""
        kernel, bias = self._weights((window, size, size), x, filters, use_bias)
        params = {
            "kernel": kernel,
            "bias": bias,
            "strides": (strides[0], strides[1], strides[1]),
            "padding": padding,
            "activation": activation,
        }
        return self._compute(Node(name, "temporal_conv", (x,), params))

    def temporal_pool(
        self,
        kind: str,
        name: str,
        x: str,
        window: int,
        size: int = 1,
        strides: tuple[int, int] = (1, 1),
        padding: str = "same",
    ) -> str:
        """Pooling over `window` ticks: `kind` is ``"temporal_max"`` or ``"temporal_avg"``."""
        params = {
            "size": (window, size, size),
            "strides": (strides[0], strides[1], strides[1]),
            "padding": padding,
        }
        return self._compute(Node(name, kind, (x,), params))

    def feedback(self, name: str, x: str, source: str, shape: Shape) -> str:
        """The value of `source`, a later node, of the step before; `x` is the anchor."""
        return self._append(Node(name, "feedback", (x,), {"source": source, "shape": shape}), shape)

    def call_again(self, name: str, x: str) -> str:
        """Another call of the layer that made node `name`: a shared layer is several nodes."""
        calls = sum(node.layer == name for node in self.nodes)
        first = self.node(name)
        node = Node(f"{name}:{calls}", first.kind, (x,), first.params, name)
        return (
            self._append(node, self.shapes[name]) if node.kind == "model" else self._compute(node)
        )

    def nested(self, name: str, x: str, inner: "Builder", output: str) -> str:
        """A model inside the model; the first node of `inner` is its only input."""
        params = {"nodes": tuple(inner.nodes), "output": output}
        return self._append(Node(name, "model", (x,), params), inner.shapes[output])

    def node(self, name: str) -> Node:
        """The node of that name."""
        return next(node for node in self.nodes if node.name == name)

    def build(self, *outputs: str) -> Network:
        """The finished network."""
        return Network(tuple(self.nodes), outputs)

    def _weights(
        self, size: tuple[int, ...], x: str, filters: int, use_bias: bool
    ) -> tuple[Array, Array | None]:
        channels = self.shapes[x][-1]
        fan_in = math.prod(size) * channels
        kernel = self.rng.normal(size=(*size, channels, filters)) * 1.5 / math.sqrt(fan_in)
        return kernel, self.rng.normal(size=filters) if use_bias else None

    def _compute(self, node: Node) -> str:
        """Appends a node and finds its shape by computing it once, on zeros."""
        frames = [np.zeros((1, *self.shapes[parent])) for parent in node.parents]
        values = [[x] * node.window if node.window else x for x in frames]
        height, width, channels = compute(node, values).shape[1:]
        return self._append(node, (height, width, channels))

    def _append(self, node: Node, shape: Shape) -> str:
        if node.name in self.shapes:
            raise ValueError(f"Two nodes are called {node.name!r}.")
        layer = node.layer or node.name
        self.nodes.append(Node(node.name, node.kind, node.parents, node.params, layer))
        self.shapes[node.name] = shape
        return node.name


def to_keras(network: Network, name: str = "network") -> keras.Model:
    """The functional Keras model of a network, with its weights.

    A single input or output stands alone; several are lists in the order of the data.
    """
    layers: dict[str, keras.Layer] = {}
    tensors: dict[str, Any] = {}
    for node in network.nodes:
        if node.kind == "input":
            tensors[node.name] = keras.Input(node.params["shape"], name=node.name)
            continue
        if node.layer not in layers:
            layers[node.layer] = _layer(node)
        layer = layers[node.layer]
        parents = [tensors[parent] for parent in node.parents]
        tensors[node.name] = layer(parents if node.kind in ("add", "concat") else parents[0])
        if "kernel" in node.params and node.name == node.layer:
            bias = node.params["bias"]
            layer.set_weights([node.params["kernel"], *([] if bias is None else [bias])])
    inputs = [tensors[node.name] for node in network.inputs]
    outputs = [tensors[output] for output in network.outputs]
    return keras.Model(_structure(inputs), _structure(outputs), name=name)


def _structure(tensors: list[Any]) -> Any:
    return tensors if len(tensors) > 1 else tensors[0]


def _layer(node: Node) -> keras.Layer:
    p = node.params
    match node.kind:
        case "relu" | "tanh":
            return keras.layers.Activation(node.kind, name=node.layer)
        case "add":
            return keras.layers.Add(name=node.layer)
        case "concat":
            return keras.layers.Concatenate(name=node.layer)
        case "upsample":
            return keras.layers.UpSampling2D(p["size"], name=node.layer)
        case "conv" | "temporal_conv":
            temporal = node.kind == "temporal_conv"
            cls = keras_layers.TemporalConv3D if temporal else keras.layers.Conv2D
            return cls(
                p["kernel"].shape[-1],
                p["kernel"].shape[:-2],
                strides=p["strides"],
                padding=p["padding"],
                activation=p["activation"],
                use_bias=p["bias"] is not None,
                name=node.layer,
            )
        case "maxpool" | "avgpool" | "temporal_max" | "temporal_avg":
            pools = {
                "maxpool": keras.layers.MaxPooling2D,
                "avgpool": keras.layers.AveragePooling2D,
                "temporal_max": keras_layers.TemporalMaxPooling3D,
                "temporal_avg": keras_layers.TemporalAveragePooling3D,
            }
            cls = pools[node.kind]
            return cls(p["size"], strides=p["strides"], padding=p["padding"], name=node.layer)
        case "feedback":
            return keras_layers.Feedback(source=p["source"], shape=p["shape"], name=node.layer)
        case "model":
            return to_keras(Network(p["nodes"], (p["output"],)), name=node.layer)
    raise ValueError(f"{node.name}: no Keras layer for it. Received: kind={node.kind!r}")


# Strategies.


@st.composite
def networks(draw: st.DrawFn, allow_feedback: bool = True) -> Network:
    """A random network of 2 to 8 nodes besides its inputs; every node leads to an output."""
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
    # A network whose input leads nowhere is none: what is left over becomes a small node.
    outputs = [
        net.conv(f"{sink}_out", sink, 1, size=1) if net.node(sink).kind == "input" else sink
        for sink in sinks
    ]
    return net.build(*outputs, *([also] if also else []))


def _draw_node(draw: st.DrawFn, net: Builder, suffix: str) -> None:
    """Appends one node that reads one or two of those there are, later ones more often."""
    x = _draw_parent(draw, net)
    same_shape = [name for name in net.shapes if net.shapes[name] == net.shapes[x]]
    same_size = [name for name in net.shapes if net.shapes[name][:2] == net.shapes[x][:2]]
    shareable = [
        node.name
        for node in net.nodes
        if node.kind in ("conv", "temporal_conv")
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
    """One of the nodes there are; more often one that nobody reads yet, so that nets get deep."""
    names = list(net.shapes)
    read = {parent for node in net.nodes for parent in node.parents}
    unread = [name for name in names if name not in read]
    any_of_them = draw(st.sampled_from([False, False, False, True]))
    return draw(st.sampled_from((names if any_of_them or not unread else unread)[::-1]))


def _draw_unary(draw: st.DrawFn, net: Builder, x: str, kind: str, suffix: object) -> str:
    """Appends one node that reads `x`."""
    filters = draw(st.integers(1, 3))
    size = draw(st.sampled_from([1, 2, 3]))
    height, width, _ = net.shapes[x]
    strides = draw(st.sampled_from([1, 1, 2])) if min(height, width) >= 2 else 1
    fits = min(height, width) >= size
    padding = draw(st.sampled_from(["same", "same", "valid"])) if fits else "same"
    window = draw(st.sampled_from([2, 3, 1]))
    # One temporal stride is enough: two of them make the period, and the clip, long.
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
        case "temporal_pool":
            pool_kind = draw(st.sampled_from(["temporal_max", "temporal_avg"]))
            name = f"{pool_kind}{suffix}"
            both = (temporal_stride, strides)
            return net.temporal_pool(pool_kind, name, x, window, size, both, padding)
    raise ValueError(f"No such kind of unary node. Received: kind={kind!r}")


def _close_feedback(draw: st.DrawFn, net: Builder, feedback: str) -> None:
    """Gives the feedback node a source: a later node of its shape, made if there is none."""
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
    """What to ask of a plan: its arguments by name, as plain data."""

    boundaries: tuple[str, ...]
    clocks: Mapping[str, int] | Sequence[int] | None
    phases: Mapping[str, int] | Sequence[int] | str | None
    head: str | None = None


@st.composite
def settings_for(draw: st.DrawFn, network: Network, order: Sequence[str]) -> Settings:
    """Random settings of a plan that keep its rules.

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
    begins = draw(st.sets(st.sampled_from(body[1:]), max_size=4)) if body[1:] else set()
    named = draw(st.booleans())  # whether every node has its rate named, or only some have
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
    boundaries = tuple(name for name in order if name in begins)
    return Settings(boundaries, clocks, phases, head)


def lowest_rate(
    nodes: Mapping[str, Node], rates: Mapping[str, int], node: Node
) -> tuple[int, bool]:
    """The smallest rate among what the node reads, and whether the node may just inherit it.

    Frames come at rate 1. What stems from feedback alone counts only for a node that reads nothing
    else, and is no rate to inherit.
    """
    if node.kind == "feedback":
        return rates.get(node.parents[0], 1), False
    direct = [parent for parent in node.parents if not fed_back(nodes, parent)]
    rate = min(rates.get(parent, 1) for parent in direct or node.parents)
    return rate, len(direct) == len(node.parents)


def fed_back(nodes: Mapping[str, Node], name: str) -> bool:
    """Whether the node of that name stems from feedback alone; a frame does not."""
    if name not in nodes:
        return False
    node = nodes[name]
    from_feedback = [fed_back(nodes, parent) for parent in node.parents]
    return node.kind == "feedback" or (bool(from_feedback) and all(from_feedback))


# Weights by name, for gradients.


def map_weights(
    nodes: Sequence[Node], change: Callable[[str, Array], Array], scope: str = ""
) -> tuple[Node, ...]:
    """The nodes with every weight ``w`` of name ``"layer/kernel"`` made ``change(name, w)``."""
    changed = []
    for node in nodes:
        params = dict(node.params)
        for weight in ("kernel", "bias"):
            if params.get(weight) is not None:
                params[weight] = change(f"{scope}{node.layer}/{weight}", params[weight])
        if node.kind == "model":
            params["nodes"] = map_weights(params["nodes"], change, f"{scope}{node.layer}/")
        changed.append(replace(node, params=params))
    return tuple(changed)


def variables_by_name(
    model: keras.Model, nodes: Sequence[Node], scope: str = ""
) -> dict[str, keras.Variable]:
    """The model's variables under the names that `map_weights` gives them."""
    named: dict[str, keras.Variable] = {}
    for node in nodes:
        layer = model.get_layer(node.layer)
        if node.kind == "model":
            inner = variables_by_name(layer, node.params["nodes"], f"{scope}{node.layer}/")
            named.update(inner)
        for weight in ("kernel", "bias"):
            if node.params.get(weight) is not None:
                named[f"{scope}{node.layer}/{weight}"] = getattr(layer, weight)
    return named

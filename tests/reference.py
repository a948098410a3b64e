"""An independent interpreter of multi-rate, depth-parallel video networks, in plain NumPy.

Every executor of the package must compute the same function of the frames. Comparing executors
with each other proves little unless one of them is obviously right. This interpreter imports
neither TensorFlow nor the package, keeps every value, and states each rule of the semantics once:

- time is a step counter; a node of clock ``(rate, phase)`` ticks when ``t % rate == phase``,
  otherwise it repeats its last value; before its first tick its value is zero;
- an edge inside a subnetwork reads this step's value, an edge across a boundary the previous
  step's value, however many boundaries it crosses; input frames are read fresh by everyone;
- the head reads this step's value of everything;
- a temporal layer of kernel ``k`` sees the last ``k`` ticks of its producer that are visible over
  its edge, newest last, with zeros before the start, whatever its own clock;
- a recurrent layer reads, besides its input, what it computed at its own previous tick, zeros at
  its first one;
- a feedback node takes, at its ticks, the value that its source held after the previous step.

Limits: it is slow, it never frees a value, and it does not check what a plan must check.
Subnetworks, clocks and the head are its arguments; it does not derive them.
"""

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

Array = np.ndarray

TEMPORAL_KINDS = ("temporal_conv", "temporal_max", "temporal_avg")
RECURRENT_KINDS = ("conv_gru", "conv_lstm")


@dataclass(frozen=True)
class Node:
    """One node of a network as plain data.

    Args:
        name: unique; the plan's name of the node: ``"conv"``, for the second call of a shared
            layer ``"conv:1"``, inside a nested model ``"outer/conv"``.
        kind: one of ``"input"``, ``"conv"``, ``"relu"``, ``"tanh"``, ``"add"``, ``"concat"``,
            ``"maxpool"``, ``"avgpool"``, ``"upsample"``, ``"temporal_conv"``, ``"temporal_max"``,
            ``"temporal_avg"``, ``"conv_gru"``, ``"conv_lstm"``, ``"feedback"`` or ``"model"``.
        parents: names of the producers, in the order in which the layer takes them.
        params: weights and settings, by kind (see `compute`). A ``"model"`` has ``nodes`` (the
            first is its input, of any name) and ``output``.
        layer: name of the layer that is called; the node's own name unless a layer is shared.
    """

    name: str
    kind: str
    parents: tuple[str, ...] = ()
    params: Mapping[str, Any] = field(default_factory=dict)
    layer: str = ""

    def __repr__(self) -> str:
        """Return one line, with shapes instead of weights, so that a network is readable."""
        settings = {
            name: value.shape if isinstance(value, np.ndarray) else value
            for name, value in self.params.items()
        }
        reads = ", ".join(self.parents)
        return f"<{self.name}: {self.layer or self.name}({reads}), {self.kind} {settings}>"

    @property
    def window(self) -> int:
        """Number of ticks of its producer that the node sees (0: it is not temporal)."""
        if self.kind == "temporal_conv":
            return self.params["kernel"].shape[0]
        return self.params["size"][0] if self.kind in TEMPORAL_KINDS else 0

    @property
    def temporal_stride(self) -> int:
        """Ticks of the producer per tick of a temporal node."""
        return self.params["strides"][0] if self.kind in TEMPORAL_KINDS else 1


@dataclass(frozen=True)
class Placement:
    """Where and when nodes run.

    Args:
        subnetworks: node name to the index of its subnetwork. Inputs need no entry.
        clocks: node name to ``(rate, phase)``. Inputs need no entry.
        head: names of the nodes that read this step's value of everything.
    """

    subnetworks: Mapping[str, int]
    clocks: Mapping[str, tuple[int, int]]
    head: frozenset[str] = frozenset()

    def with_clock(self, name: str, rate: int, phase: int) -> "Placement":
        """Return the same placement with another clock for one node."""
        return replace(self, clocks={**self.clocks, name: (rate, phase)})


def flatten(nodes: Sequence[Node]) -> list[Node]:
    """Return the nodes with nested models replaced by their nodes, called ``"outer/inner"``.

    A node that reads a nested model then reads the output node of that model.
    """
    flat: list[Node] = []
    standing_for: dict[str, str] = {}  # name of a nested model, or of its input -> name of the node

    def parents_of(node: Node, scope: str) -> tuple[str, ...]:
        return tuple(standing_for.get(scope + parent, scope + parent) for parent in node.parents)

    def visit(nodes: Iterable[Node], scope: str) -> None:
        for node in nodes:
            name = scope + node.name
            if node.kind == "model":
                first, *rest = node.params["nodes"]
                standing_for[f"{name}/{first.name}"] = parents_of(node, scope)[0]
                visit(rest, f"{name}/")
                output = f"{name}/{node.params['output']}"
                standing_for[name] = standing_for.get(output, output)
            else:
                flat.append(replace(node, name=name, parents=parents_of(node, scope)))

    visit(nodes, "")
    return flat


def resolve(nodes: Sequence[Node], name: str) -> str:
    """Return the name of the flat node for `name`: for a nested model, its output node."""
    for node in nodes:
        if node.name == name and node.kind == "model":
            return f"{name}/{resolve(node.params['nodes'], node.params['output'])}"
    return name


class Interpreter:
    """A batch of streams, stepped frame by frame.

    Args:
        nodes: the network in topological order; nested models are flattened.
        placement: subnetworks, clocks and head.
        batch_size: the number of streams.
        phase: the step at which the streams start; all values before it are zero.
    """

    def __init__(
        self, nodes: Sequence[Node], placement: Placement, batch_size: int, phase: int = 0
    ) -> None:
        self.nodes = flatten(nodes)
        self.placement = placement
        self.kinds = {node.name: node.kind for node in self.nodes}
        self.time = phase
        self.values = _zero_values(self.nodes, batch_size)
        self.previous = copy.deepcopy(self.values)
        # All ticks of every node so far, as (time, value), oldest first.
        self.ticks: dict[str, list[tuple[int, Array]]] = {node.name: [] for node in self.nodes}
        self.memories: dict[str, list[Array] | None] = dict.fromkeys(self.kinds)

    def step(self, frames: Mapping[str, Array]) -> dict[str, Array]:
        """Advance by one step.

        Args:
            frames: input name to its frame ``[B, H, W, C]``.

        Returns:
            The value of every node after this step, by name.
        """
        self.previous = copy.deepcopy(self.values)
        for node in self.nodes:
            if self.is_tick(node):
                if node.kind == "input":
                    value = np.asarray(frames[node.name], np.float64)
                elif node.kind == "feedback":
                    value = self.read_feedback(node)
                elif node.kind in RECURRENT_KINDS:
                    value = self.remember(node)
                else:
                    value = compute(node, [self.read(node, parent) for parent in node.parents])
                self.values[node.name] = value
                self.ticks[node.name].append((self.time, value))
        self.time += 1
        return copy.deepcopy(self.values)

    def is_tick(self, node: Node) -> bool:
        """Return whether the node computes at this step. Inputs tick at every step."""
        if node.kind == "input":
            return True
        rate, phase = self.placement.clocks[node.name]
        return self.time % rate == phase

    def delay(self, node: Node, parent: str) -> int:
        """Return the delay of the edge in steps: 0 or 1."""
        if self.kinds[parent] == "input" or node.name in self.placement.head:
            return 0
        subnetworks = self.placement.subnetworks
        return 0 if subnetworks[parent] == subnetworks[node.name] else 1

    def read(self, node: Node, parent: str) -> Array | list[Array]:
        """Return the value that the node reads, or its window of ticks if it is temporal."""
        if node.window:
            return self.read_window(node, parent)
        return self.values[parent] if self.delay(node, parent) == 0 else self.previous[parent]

    def read_feedback(self, node: Node) -> Array:
        """Return the value that the node's source held after the previous step."""
        return self.previous[node.params["source"]]

    def remember(self, node: Node) -> Array:
        """Advance the memory of a recurrent node by one tick, and return its output."""
        (parent,) = node.parents
        memory = recur(node, self.read(node, parent), self.memories[node.name])
        self.memories[node.name] = memory
        return memory[0]

    def read_window(self, node: Node, parent: str) -> list[Array]:
        """Return the last ticks of the parent that are visible over the edge, newest last."""
        newest = self.time - self.delay(node, parent)
        seen = [value for time, value in self.ticks[parent] if time <= newest]
        zeros = [np.zeros_like(self.values[parent])] * node.window
        return (zeros + seen)[-node.window :]


def interpret(
    nodes: Sequence[Node],
    outputs: Sequence[str],
    placement: Placement,
    clips: Mapping[str, Array],
    phase: int = 0,
    interpreter: Callable[..., Interpreter] = Interpreter,
) -> list[Array]:
    """Run a whole clip.

    Args:
        nodes: the network.
        outputs: names of the nodes that are the network's outputs.
        placement: subnetworks, clocks and head.
        clips: input name to its clip ``[B, T, H, W, C]``.
        phase: the step at which the clip starts.
        interpreter: the class to run, for tests that break a rule on purpose.

    Returns:
        For every output, its value after each step, ``[B, T, ...]``.
    """
    batch_size, steps = next(iter(clips.values())).shape[:2]
    streams = interpreter(nodes, placement, batch_size, phase)
    history = [
        streams.step({name: clip[:, t] for name, clip in clips.items()}) for t in range(steps)
    ]
    names = [resolve(nodes, output) for output in outputs]
    # T values [B, ...] -> [B, T, ...]
    return [np.stack([values[name] for values in history], axis=1) for name in names]


def _zero_values(nodes: Sequence[Node], batch_size: int) -> dict[str, Array]:
    """Return zeros of the shape of every node's value."""
    zeros: dict[str, Array] = {}
    for node in nodes:
        if node.kind in ("input", "feedback"):
            shape = (batch_size, *node.params["shape"])
        else:
            parents = [zeros[parent] for parent in node.parents]
            shape = compute(node, [[x] * node.window if node.window else x for x in parents]).shape
        zeros[node.name] = np.zeros(shape)
    return zeros


# Layers, on one frame [B, H, W, C] or a window of k frames.


def compute(node: Node, values: list[Any]) -> Array:
    """Apply the layer of `node` to the values of its parents."""
    p = node.params
    match node.kind:
        case "conv":
            return _activate(conv(values[0], p["kernel"], p["strides"], p["padding"]), p)
        case "relu" | "tanh":
            return ACTIVATIONS[node.kind](values[0])
        case "add":
            return np.sum(values, axis=0)
        case "concat":
            return np.concatenate(values, axis=-1)
        case "maxpool" | "avgpool":
            reduce = np.max if node.kind == "maxpool" else np.mean
            return pool(values[0], p["size"], p["strides"], p["padding"], reduce)
        case "upsample":
            return values[0].repeat(p["size"], axis=1).repeat(p["size"], axis=2)
        case "temporal_conv":
            frames = zip(values[0], p["kernel"], strict=True)
            terms = [conv(x, kernel, p["strides"][1:], p["padding"]) for x, kernel in frames]
            return _activate(np.sum(terms, axis=0), p)
        case "temporal_max" | "temporal_avg":
            # The zeros before the start count; pixels outside the border do not.
            reduce = np.max if node.kind == "temporal_max" else np.mean
            pooled = [
                pool(x, p["size"][1:], p["strides"][1:], p["padding"], reduce) for x in values[0]
            ]
            return reduce(pooled, axis=0)
        case "conv_gru" | "conv_lstm":
            return recur(node, values[0], None)[0]
    raise ValueError(f"{node.name!r} has an unknown kind. Received: kind={node.kind!r}")


def recur(node: Node, x: Array, memory: list[Array] | None) -> list[Array]:
    """Apply a recurrent layer to `x` and its `memory`, the output first; None is zeros."""
    p = node.params
    filters = p["recurrent_kernel"].shape[2]
    given = conv(x, p["kernel"], p["strides"], p["padding"])
    if p["bias"] is not None:
        given = given + p["bias"]
    gate = lambda y, number: y[..., number * filters : (number + 1) * filters]  # noqa: E731
    again = lambda y: conv(y, p["recurrent_kernel"], (1, 1), "same")  # noqa: E731
    sigmoid = lambda y: 1 / (1 + np.exp(-y))  # noqa: E731
    zeros = np.zeros((*given.shape[:3], filters))
    if node.kind == "conv_gru":
        (h,) = memory or [zeros]
        update, reset = (sigmoid(gate(given, n) + gate(again(h), n)) for n in (0, 1))
        new = np.tanh(gate(given, 2) + gate(again(reset * h), 2))
        return [update * h + (1 - update) * new]
    h, c = memory or [zeros, zeros]
    y = given + again(h)
    c = sigmoid(gate(y, 1)) * c + sigmoid(gate(y, 0)) * np.tanh(gate(y, 2))
    return [sigmoid(gate(y, 3)) * np.tanh(c), c]


ACTIVATIONS: dict[str | None, Callable[[Array], Array]] = {
    None: lambda x: x,
    "relu": lambda x: np.maximum(x, 0.0),
    "tanh": np.tanh,
}


def _activate(x: Array, params: Mapping[str, Any]) -> Array:
    """Add the bias, if any, and apply the activation, if any."""
    bias = params.get("bias")
    return ACTIVATIONS[params.get("activation")](x if bias is None else x + bias)


def conv(x: Array, kernel: Array, strides: Sequence[int], padding: str) -> Array:
    """Cross-correlate ``[B, H, W, C]`` with ``[h, w, C, F]``; pixels outside are zero."""
    rows = _spans(x.shape[1], kernel.shape[0], strides[0], padding)
    columns = _spans(x.shape[2], kernel.shape[1], strides[1], padding)
    y = np.zeros((x.shape[0], len(rows), len(columns), kernel.shape[3]))
    for i, top in enumerate(rows):
        for j, left in enumerate(columns):
            for a in range(kernel.shape[0]):
                for b in range(kernel.shape[1]):
                    if 0 <= top + a < x.shape[1] and 0 <= left + b < x.shape[2]:
                        y[:, i, j] += x[:, top + a, left + b] @ kernel[a, b]
    return y


def pool(
    x: Array, size: Sequence[int], strides: Sequence[int], padding: str, reduce: Callable[..., Any]
) -> Array:
    """Pool ``[B, H, W, C]`` over windows of `size`; pixels outside do not count."""
    rows = _spans(x.shape[1], size[0], strides[0], padding)
    columns = _spans(x.shape[2], size[1], strides[1], padding)
    y = np.zeros((x.shape[0], len(rows), len(columns), x.shape[3]))
    for i, top in enumerate(rows):
        for j, left in enumerate(columns):
            patch = x[:, max(top, 0) : top + size[0], max(left, 0) : left + size[1]]
            y[:, i, j] = reduce(patch, axis=(1, 2))
    return y


def _spans(length: int, size: int, stride: int, padding: str) -> list[int]:
    """Return the first pixel of each window along one side; below 0 for ``"same"`` padding.

    ``"same"`` gives ``ceil(length / stride)`` windows and puts the odd pixel of padding at the end.
    """
    if padding == "valid":
        return list(range(0, length - size + 1, stride))
    count = -(-length // stride)
    before = max((count - 1) * stride + size - length, 0) // 2
    return [i * stride - before for i in range(count)]

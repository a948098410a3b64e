"""Small video networks as plain data, for the NumPy reference and as Keras models.

`Builder` writes a network down once, as `reference.Node`s with random weights. `to_keras` turns the
same data into a functional Keras model. `map_weights` and `variables_by_name` give both the same
names of weights, so that gradients can be compared.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np
from reference import Array, Node, compute, flatten

import keras_layers

Shape = tuple[int, int, int]

WEIGHTS = ("kernel", "recurrent_kernel", "bias")
"""Parameters of nodes that are weights, in the order of their layers' variables."""


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
        """The nodes that run: nested models flattened, inputs left out."""
        return [node for node in flatten(self.nodes) if node.kind != "input"]

    @property
    def has_feedback(self) -> bool:
        """Whether a node reads a later node."""
        return any(node.kind == "feedback" for node in self.nodes)

    def clips(self, batch_size: int, steps: int, seed: int) -> dict[str, Array]:
        """Return a random clip `[B, T, H, W, C]` for every input."""
        rng = np.random.default_rng(seed)
        return {
            node.name: rng.normal(size=(batch_size, steps, *node.params["shape"]))
            for node in self.inputs
        }


class Builder:
    """Write a network down node by node; every method returns the name of the new node.

    Args:
        seed: of the random weights.
    """

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[Node] = []
        self.shapes: dict[str, Shape] = {}

    def input(self, name: str, shape: Shape) -> str:
        """Add an input of frames `[H, W, C]`."""
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
        """Add a 2D convolution with a square kernel."""
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
        """Add a rectifier."""
        return self._compute(Node(name, "relu", (x,)))

    def tanh(self, name: str, x: str) -> str:
        """Add a hyperbolic tangent."""
        return self._compute(Node(name, "tanh", (x,)))

    def add(self, name: str, *parents: str) -> str:
        """Add a sum of nodes of one shape."""
        return self._compute(Node(name, "add", parents))

    def concat(self, name: str, *parents: str) -> str:
        """Add a concatenation along the channels of nodes of one height and width."""
        return self._compute(Node(name, "concat", parents))

    def pool(
        self, kind: str, name: str, x: str, size: int = 2, strides: int = 1, padding: str = "same"
    ) -> str:
        """Add a spatial pooling; `kind` is `"maxpool"` or `"avgpool"`."""
        params = {"size": (size, size), "strides": (strides, strides), "padding": padding}
        return self._compute(Node(name, kind, (x,), params))

    def upsample(self, name: str, x: str, size: int = 2) -> str:
        """Add a nearest-neighbor upsampling."""
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
        """Add a causal convolution over `window` ticks; `strides` are (temporal, spatial)."""
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
        """Add a pooling over `window` ticks; `kind` is `"temporal_max"` or `"temporal_avg"`."""
        params = {
            "size": (window, size, size),
            "strides": (strides[0], strides[1], strides[1]),
            "padding": padding,
        }
        return self._compute(Node(name, kind, (x,), params))

    def recurrent(
        self,
        kind: str,
        name: str,
        x: str,
        filters: int,
        size: int = 1,
        strides: int = 1,
        padding: str = "same",
        use_bias: bool = True,
    ) -> str:
        """Add a recurrent convolution; `kind` is `"conv_gru"` or `"conv_lstm"`."""
        width = filters * {"conv_gru": 3, "conv_lstm": 4}[kind]
        kernel, bias = self._weights((size, size), x, width, use_bias)
        recurrent = self.rng.normal(size=(size, size, filters, width))
        params = {
            "kernel": kernel,
            "recurrent_kernel": recurrent * 1.5 / math.sqrt(size * size * filters),
            "bias": bias,
            "strides": (strides, strides),
            "padding": padding,
        }
        return self._compute(Node(name, kind, (x,), params))

    def feedback(self, name: str, x: str, source: str, shape: Shape) -> str:
        """Add a node that returns the value of `source`, a later node, at the previous step."""
        return self._append(Node(name, "feedback", (x,), {"source": source, "shape": shape}), shape)

    def call_again(self, name: str, x: str) -> str:
        """Call the layer of node `name` again: a shared layer is several nodes."""
        calls = sum(node.layer == name for node in self.nodes)
        first = self.node(name)
        node = Node(f"{name}:{calls}", first.kind, (x,), first.params, name)
        return (
            self._append(node, self.shapes[name]) if node.kind == "model" else self._compute(node)
        )

    def nested(self, name: str, x: str, inner: "Builder", output: str) -> str:
        """Add a nested model; the first node of `inner` is its only input."""
        params = {"nodes": tuple(inner.nodes), "output": output}
        return self._append(Node(name, "model", (x,), params), inner.shapes[output])

    def node(self, name: str) -> Node:
        """Return the node called `name`."""
        return next(node for node in self.nodes if node.name == name)

    def build(self, *outputs: str) -> Network:
        """Return the finished network."""
        return Network(tuple(self.nodes), outputs)

    def _weights(
        self, size: tuple[int, ...], x: str, filters: int, use_bias: bool
    ) -> tuple[Array, Array | None]:
        channels = self.shapes[x][-1]
        fan_in = math.prod(size) * channels
        kernel = self.rng.normal(size=(*size, channels, filters)) * 1.5 / math.sqrt(fan_in)
        return kernel, self.rng.normal(size=filters) if use_bias else None

    def _compute(self, node: Node) -> str:
        """Append a node; computing it once on zeros gives its shape."""
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
    """Build the functional Keras model of a network, with its weights.

    A single input or output is a tensor; several are lists in the order of the data.
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
            weights = [node.params.get(name) for name in WEIGHTS]
            layer.set_weights([weight for weight in weights if weight is not None])
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
        case "conv_gru" | "conv_lstm":
            cls = {
                "conv_gru": keras_layers.TemporalConvGRU2D,
                "conv_lstm": keras_layers.TemporalConvLSTM2D,
            }[node.kind]
            return cls(
                p["recurrent_kernel"].shape[2],
                p["kernel"].shape[:2],
                strides=p["strides"],
                padding=p["padding"],
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
    raise ValueError(f"{node.name!r} has no Keras layer. Received: kind={node.kind!r}")


# Weights by name, for gradients.


def map_weights(
    nodes: Sequence[Node], change: Callable[[str, Array], Array], scope: str = ""
) -> tuple[Node, ...]:
    """Return the nodes with `change(name, w)` for every weight `w`, called `"layer/kernel"`."""
    changed = []
    for node in nodes:
        params = dict(node.params)
        for weight in WEIGHTS:
            if params.get(weight) is not None:
                params[weight] = change(f"{scope}{node.layer}/{weight}", params[weight])
        if node.kind == "model":
            params["nodes"] = map_weights(params["nodes"], change, f"{scope}{node.layer}/")
        changed.append(replace(node, params=params))
    return tuple(changed)


def variables_by_name(
    model: keras.Model, nodes: Sequence[Node], scope: str = ""
) -> dict[str, keras.Variable]:
    """Return the model's variables under the names that `map_weights` uses."""
    named: dict[str, keras.Variable] = {}
    for node in nodes:
        layer = model.get_layer(node.layer)
        if node.kind == "model":
            inner = variables_by_name(layer, node.params["nodes"], f"{scope}{node.layer}/")
            named.update(inner)
        for weight in WEIGHTS:
            if node.params.get(weight) is not None:
                named[f"{scope}{node.layer}/{weight}"] = getattr(layer, weight)
    return named

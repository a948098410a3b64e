"""Reads a functional Keras model over one frame as a graph of nodes and tensors.

The order of the nodes is a depth-first search from the outputs: the first input of a node with all
of its ancestors, then the second input, then the node. So the nodes of a branch are consecutive. A
side branch comes right after the node that it starts from, if its reader lists it before the main
path.

This is the only file of mpvn that uses Keras internals (`_keras_history`, `_inbound_nodes`,
`SymbolicArguments.fill_in`). `tests/plan/test_graph.py` fails if they change.
Nested functional and sequential models become their nodes. Any other layer is one node, including a
subclassed model.
"""

import collections
import dataclasses
import functools
from typing import Any

import keras

from keras_layers.feedback import Feedback
from keras_layers.temporal import TemporalLayer, is_temporal


@dataclasses.dataclass(frozen=True)
class Tensor:
    """An output of a node, or an input of the frame model.

    Attributes:
        index: position in `Graph.tensors`.
        name: name of the producer; `name#1`, `name#2`, ... for its further outputs.
        shape: without the batch axis.
        dtype: name of the dtype.
        producer: index of the node, or None for an input.
    """

    index: int
    name: str
    shape: tuple[int, ...]
    dtype: str
    producer: int | None


@dataclasses.dataclass(frozen=True, eq=False)
class Node:
    """One call of a layer or operation.

    Attributes:
        index: position in `Graph.nodes`, a topological order.
        name: name of the layer; `name:1` for its second call; `outer/name` within a nested model.
        operation: the Keras layer or operation.
        inputs: indices of the input tensors.
        outputs: indices of the output tensors.
        symbolic_outputs: Keras's symbolic outputs, to build other models on.
    """

    index: int
    name: str
    operation: keras.Operation
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    symbolic_outputs: tuple[keras.KerasTensor, ...] = dataclasses.field(repr=False)
    _arguments: Any = dataclasses.field(repr=False)
    _input_ids: tuple[int, ...] = dataclasses.field(repr=False)

    def call(self, values: list, training: bool | None = None) -> list:
        """Run the operation on `values`, one per entry of `inputs`; return its outputs as a list.

        As in Keras's functional models, a `training` that is not None overrides the value with
        which the operation was called when the model was built.
        """
        args, kwargs = self._arguments.fill_in(dict(zip(self._input_ids, values, strict=True)))
        if training is not None and getattr(self.operation, "_call_has_training_arg", False):
            kwargs = {**kwargs, "training": training}
        return keras.tree.flatten(self.operation(*args, **kwargs))

    @property
    def variables(self) -> list[keras.Variable]:
        """The variables of the layer, and variables among the arguments of its call."""
        args, kwargs = self._arguments.args, self._arguments.kwargs
        arguments = keras.tree.flatten((args, kwargs))
        called_on = [value for value in arguments if isinstance(value, keras.Variable)]
        return [*getattr(self.operation, "variables", ()), *called_on]

    @property
    def temporal(self) -> TemporalLayer | None:
        """The layer, if it is a temporal layer."""
        return self.operation if is_temporal(self.operation) else None

    @property
    def window(self) -> int:
        """Number of ticks of its input that the node sees."""
        return self.temporal.window if self.temporal else 1

    @property
    def temporal_stride(self) -> int:
        """Ticks of its input per tick of the node."""
        return self.temporal.temporal_stride if self.temporal else 1

    @property
    def feedback_source(self) -> str | None:
        """Name of the node whose previous value this node outputs, if it is a feedback node."""
        return self.operation.source if isinstance(self.operation, Feedback) else None


@dataclasses.dataclass(frozen=True)
class Graph:
    """A frame model as data.

    Attributes:
        model: the frame model.
        nodes: the nodes in topological order.
        tensors: inputs of the model and outputs of the nodes.
        inputs: indices of the input tensors.
        outputs: indices of the output tensors.
    """

    model: keras.Model
    nodes: tuple[Node, ...]
    tensors: tuple[Tensor, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the nodes."""
        return tuple(node.name for node in self.nodes)

    @functools.cached_property
    def by_name(self) -> dict[str, Node]:
        """Nodes by name."""
        return {node.name: node for node in self.nodes}

    def producer(self, tensor: int) -> Node | None:
        """Return the node that outputs `tensor`; None for an input."""
        index = self.tensors[tensor].producer
        return None if index is None else self.nodes[index]

    def sources(self, node: Node) -> list[Node | None]:
        """Return the nodes that `node` reads, None for a frame. A feedback node has no sources."""
        if node.feedback_source:
            return []
        return [self.producer(tensor) for tensor in node.inputs]

    def producers(self, node: Node) -> list[Node]:
        """Return the nodes that `node` reads, without frames and the anchor of a feedback node."""
        return [source for source in self.sources(node) if source is not None]

    @functools.cached_property
    def feedback_only(self) -> frozenset[int]:
        """Indices of the nodes that depend on feedback alone."""
        indices: set[int] = set()
        for node in self.nodes:
            sources = self.sources(node)
            if node.feedback_source or (
                sources and all(source and source.index in indices for source in sources)
            ):
                indices.add(node.index)
        return frozenset(indices)

    @property
    def operations(self) -> list[keras.Operation]:
        """The operations of all nodes, each once, with the layers inside of layers."""
        found: dict[int, keras.Operation] = {}
        for operation in (node.operation for node in self.nodes):
            found[id(operation)] = operation
            if isinstance(operation, keras.Layer):
                found |= {id(layer): layer for layer in operation._flatten_layers()}
        return list(found.values())

    def pop_losses(self) -> list[str]:
        """Return the names of the layers that called `add_loss` since the last call.

        Clears those losses.
        """
        layers = {id(node.operation): node.operation for node in self.nodes}.values()
        names = [layer.name for layer in layers if getattr(layer, "_losses", None)]
        self.model._clear_losses()
        return names

    def pack_inputs(self, values: Any) -> list:
        """Flatten `values`, a structure like the model's `input`, to one value per input."""
        if isinstance(values, dict) and not isinstance(self.model.input, dict):
            values = [values[tensor.name] for tensor in self.model.inputs]
        return keras.tree.flatten(values)

    def pack_outputs(self, values: list) -> Any:
        """Return `values`, one per output, in the structure of the model's outputs."""
        structure = _functional(self.model)._outputs_struct
        packed = keras.tree.pack_sequence_as(structure, values)
        single = isinstance(packed, (list, tuple)) and len(packed) == 1
        return packed[0] if single else packed


def read_graph(model: keras.Model) -> Graph:
    """Return the graph of `model`.

    Args:
        model: a functional or built sequential Keras model over a batch of frames.

    Raises:
        TypeError: `model` is not a functional model.
        ValueError: the model has no layers, or a tensor of unknown size.
    """
    functional = _functional(model)
    if functional is None:
        raise TypeError(
            "Expected a functional Keras model or a built Sequential model, whose layers form a "
            f"graph. Received: {type(model).__name__} {_name(model)!r}. Build it with "
            "keras.Model(inputs, outputs)."
        )
    reader = _Reader()
    inputs = []
    for tensor in functional.inputs:
        name = tensor._keras_history.operation.name
        inputs.append(reader.add_tensor(tensor, name, None))
    seen = {id(t): index for t, index in zip(functional.inputs, inputs, strict=True)}
    reader.read(functional, seen, prefix="")
    graph = Graph(
        model,
        tuple(reader.nodes),
        tuple(reader.tensors),
        tuple(inputs),
        tuple(seen[id(t)] for t in functional.outputs),
    )
    if not graph.nodes:
        raise ValueError(
            "Expected a frame model with layers. "
            f"Received: {_name(model)!r}, whose outputs are its inputs."
        )
    unknown = [t.name for t in graph.tensors if any(size is None for size in t.shape)]
    if unknown:
        raise ValueError(
            "Expected a frame model with a fixed frame size, because a network keeps values "
            f"between steps. Received: {_name(model)!r}, where these tensors have unknown sizes: "
            f"{', '.join(unknown[:5])}{', ...' if len(unknown) > 5 else ''}. Build it with a full "
            "input shape, such as (224, 224, 3)."
        )
    return graph


class _Reader:
    """Collects the nodes and tensors of a model and of the models nested in it."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.tensors: list[Tensor] = []

    def add_tensor(self, tensor: keras.KerasTensor, name: str, producer: int | None) -> int:
        index = len(self.tensors)
        shape = tuple(tensor.shape[1:])
        self.tensors.append(
            Tensor(index, name, shape, keras.backend.standardize_dtype(tensor.dtype), producer)
        )
        return index

    def read(self, functional, seen: dict[int, int], prefix: str) -> None:
        """Add the nodes of `functional`; `seen` maps the ids of its tensors to indices."""
        calls = _calls_in_order(functional)
        for keras_node, name in zip(calls, _call_names(calls), strict=True):
            inner = _functional(keras_node.operation)
            if inner is not None:
                self._read_nested(keras_node, inner, seen, f"{prefix}{name}/")
            else:
                self._add_node(keras_node, prefix + name, seen)

    def _read_nested(self, keras_node, inner, seen, prefix) -> None:
        """Add the nodes of the model `inner`, connected to the tensors outside it."""
        outside = [seen[id(t)] for t in keras_node.arguments.keras_tensors]
        within = {id(t): i for t, i in zip(inner.inputs, outside, strict=True)}
        self.read(inner, within, prefix)
        for outer, result in zip(keras_node.outputs, inner.outputs, strict=True):
            seen[id(outer)] = within[id(result)]

    def _add_node(self, keras_node, name, seen) -> None:
        index = len(self.nodes)
        read = keras_node.arguments.keras_tensors
        inputs = tuple(seen[id(t)] for t in read)
        outputs = []
        for number, tensor in enumerate(keras_node.outputs):
            tensor_name = f"{name}#{number}" if number else name
            seen[id(tensor)] = self.add_tensor(tensor, tensor_name, index)
            outputs.append(seen[id(tensor)])
        self.nodes.append(
            Node(
                index,
                name,
                keras_node.operation,
                inputs,
                tuple(outputs),
                tuple(keras_node.outputs),
                keras_node.arguments,
                tuple(id(t) for t in read),
            )
        )


def _calls_in_order(functional) -> list:
    """Return Keras's nodes of `functional` in depth-first order, first inputs first."""
    computed = {id(tensor) for tensor in functional.inputs}
    calls = []
    waiting = list(reversed(functional.outputs))
    while waiting:
        tensor = waiting[-1]
        if id(tensor) in computed:
            waiting.pop()
            continue
        operation, index, _ = tensor._keras_history
        call = operation._inbound_nodes[index]
        missing = [t for t in call.arguments.keras_tensors if id(t) not in computed]
        if missing:
            waiting += reversed(missing)
        else:
            calls.append(call)
            computed.update(id(output) for output in call.outputs)
    return calls


def _call_names(keras_nodes: list) -> list[str]:
    """Return the name of each call: the layer's name, with `:1`, `:2`, ... after its first call.

    Calls of a layer count in the order in which they were made, which may differ from the order in
    the graph.
    """
    ordered = sorted(keras_nodes, key=lambda node: node.operation._inbound_nodes.index(node))
    names: dict[int, str] = {}
    calls: collections.Counter[str] = collections.Counter()
    for node in ordered:
        name = node.operation.name
        names[id(node)] = f"{name}:{calls[name]}" if calls[name] else name
        calls[name] += 1
    return [names[id(node)] for node in keras_nodes]


def _functional(model: object):
    """Return `model` as a Keras functional model; None if it is not one."""
    if isinstance(model, keras.Sequential):
        return model._functional
    return model if hasattr(model, "_nodes_by_depth") and hasattr(model, "inputs") else None


def _name(model: object) -> str:
    return getattr(model, "name", "?")

"""Reads a functional Keras model over one frame into nodes and the tensors between them.

Nodes come in the order in which the outputs ask for them: the first input of a node with all that
leads to it, then the second, then the node. So a branch stands in one piece, and a side branch
stands where what it reads is made, if whoever reads it takes it before the main path.

The only file that looks at Keras internals (`_keras_history`, `_inbound_nodes`,
`SymbolicArguments.fill_in`, `global_state`); `tests/test_graph.py` fails loudly when they change.
Nested functional and sequential models are read through; any other layer, a subclassed model
included, is one node.
"""

import collections
import contextlib
import copy
import dataclasses
import functools
from collections.abc import Iterator
from typing import Any

import keras
from keras.src.backend.common import global_state

from keras_layers.feedback import Feedback
from keras_layers.temporal import TemporalLayer, is_temporal


@dataclasses.dataclass(frozen=True)
class Tensor:
    """What one node puts out, or one of the frame model's inputs.

    Attributes:
        index: position in `Graph.tensors`.
        name: name of the producer, with `#1`, `#2`, ... for further outputs.
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
        inputs: indices of the tensors read.
        outputs: indices of the tensors made.
        symbolic_outputs: Keras's tensors of the outputs, for models that build on this one.
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
        """Runs the operation on `values`, one per entry of `inputs`; returns a list of outputs.

        As in Keras's functional models, a `training` that is not None goes before what the
        operation was called with when the model was made.
        """
        args, kwargs = self._arguments.fill_in(dict(zip(self._input_ids, values, strict=True)))
        if training is not None and getattr(self.operation, "_call_has_training_arg", False):
            kwargs = {**kwargs, "training": training}
        return keras.tree.flatten(self.operation(*args, **kwargs))

    @property
    def variables(self) -> list[keras.Variable]:
        """The variables of the layer, and those that it was called on."""
        args, kwargs = self._arguments.args, self._arguments.kwargs
        given = [v for v in keras.tree.flatten((args, kwargs)) if isinstance(v, keras.Variable)]
        return [*getattr(self.operation, "variables", ()), *given]

    @property
    def temporal(self) -> TemporalLayer | None:
        """The layer, if it looks back in time."""
        return self.operation if is_temporal(self.operation) else None

    @property
    def window(self) -> int:
        """Ticks of its input that the node sees."""
        return self.temporal.window if self.temporal else 1

    @property
    def temporal_stride(self) -> int:
        """Ticks of its input per tick of the node."""
        return self.temporal.temporal_stride if self.temporal else 1

    @property
    def feedback_source(self) -> str | None:
        """Name of the node whose previous value this node returns, if it is a feedback."""
        return self.operation.source if isinstance(self.operation, Feedback) else None


@dataclasses.dataclass(frozen=True)
class Graph:
    """A frame model as data: nodes in topological order, tensors, inputs and outputs."""

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
        """The nodes by name."""
        return {node.name: node for node in self.nodes}

    def producer(self, tensor: int) -> Node | None:
        """The node that makes `tensor`; None for an input."""
        index = self.tensors[tensor].producer
        return None if index is None else self.nodes[index]

    def sources(self, node: Node) -> list[Node | None]:
        """What `node` reads, None standing for a frame; nothing for a feedback."""
        if node.feedback_source:
            return []
        return [self.producer(tensor) for tensor in node.inputs]

    def producers(self, node: Node) -> list[Node]:
        """The nodes that `node` reads: frames and a feedback's anchor left out."""
        return [source for source in self.sources(node) if source is not None]

    @functools.cached_property
    def fed_back(self) -> frozenset[int]:
        """Indices of the nodes that stem from feedback alone."""
        found: set[int] = set()
        for node in self.nodes:
            read = self.sources(node)
            if node.feedback_source or (read and all(n and n.index in found for n in read)):
                found.add(node.index)
        return frozenset(found)

    def take_losses(self) -> list[str]:
        """Names of the layers that added a loss since they were last asked; they forget it."""
        layers = {id(node.operation): node.operation for node in self.nodes}.values()
        adding = [layer.name for layer in layers if getattr(layer, "_losses", None)]
        self.model._clear_losses()
        return adding

    def pack_inputs(self, values: Any) -> list:
        """One value per input of the model, from a structure like the model's `input`."""
        if isinstance(values, dict) and not isinstance(self.model.input, dict):
            values = [values[tensor.name] for tensor in self.model.inputs]
        return keras.tree.flatten(values)

    def pack_outputs(self, values: list) -> Any:
        """`values`, one per output, in the structure of the model's outputs."""
        structure = _functional(self.model)._outputs_struct
        packed = keras.tree.pack_sequence_as(structure, values)
        single = isinstance(packed, (list, tuple)) and len(packed) == 1
        return packed[0] if single else packed


_SURROUNDINGS = ("current_call_ctx", "autocast_scope")


def surroundings() -> dict[str, Any]:
    """What layers take from around their call: `training`, and the dtype variables are cast to."""
    found = {name: global_state.get_global_attribute(name) for name in _SURROUNDINGS}
    return {name: copy.copy(value) for name, value in found.items()}


@contextlib.contextmanager
def surrounded(by: dict[str, Any]) -> Iterator[None]:
    """Within, layers are called and variables read as in the surroundings `by`; `{}` is nowhere."""
    outside = {name: global_state.get_global_attribute(name) for name in _SURROUNDINGS}
    for name in _SURROUNDINGS:
        global_state.set_global_attribute(name, copy.copy(by.get(name)))  # calls change them
    try:
        yield
    finally:
        for name, value in outside.items():
            global_state.set_global_attribute(name, value)


def read_graph(model: keras.Model) -> Graph:
    """The graph of `model`, a functional or built sequential Keras model over a batch of frames.

    Raises:
        TypeError: `model` is no functional model.
        ValueError: an input or a node's output has an unknown size.
    """
    functional = _functional(model)
    if functional is None:
        raise TypeError(
            "the frame model must be a functional Keras model, or a built Sequential one: its "
            f"layers are read as a graph. Received: {type(model).__name__} {_name(model)!r}. Build "
            "it with keras.Model(inputs, outputs)"
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
        raise ValueError(f"the frame model {_name(model)!r} has no layers: its outputs are inputs")
    unknown = [t.name for t in graph.tensors if any(size is None for size in t.shape)]
    if unknown:
        raise ValueError(
            f"the frame model {_name(model)!r} must have a fixed frame size, for values are kept "
            f"between steps. Unknown sizes: {', '.join(unknown[:5])}"
            f"{', ...' if len(unknown) > 5 else ''}. Build it with a full input shape, such as "
            "(224, 224, 3)"
        )
    return graph


class _Reader:
    """Collects nodes and tensors while models, and the models within them, are read."""

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
        """Adds the nodes of `functional`; `seen` maps its tensors' ids to indices."""
        calls = _calls_in_order(functional)
        for keras_node, name in zip(calls, _call_names(calls), strict=True):
            inner = _functional(keras_node.operation)
            if inner is not None:
                self._read_nested(keras_node, inner, seen, f"{prefix}{name}/")
            else:
                self._add_node(keras_node, prefix + name, seen)

    def _read_nested(self, keras_node, inner, seen, prefix) -> None:
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
    """Keras's nodes of `functional`, each after all that it reads, first inputs first."""
    made = {id(tensor) for tensor in functional.inputs}
    calls = []
    waiting = list(reversed(functional.outputs))
    while waiting:
        tensor = waiting[-1]
        if id(tensor) in made:
            waiting.pop()
            continue
        operation, index, _ = tensor._keras_history
        call = operation._inbound_nodes[index]
        missing = [read for read in call.arguments.keras_tensors if id(read) not in made]
        if missing:
            waiting += reversed(missing)
        else:
            calls.append(call)
            made.update(id(output) for output in call.outputs)
    return calls


def _call_names(keras_nodes: list) -> list[str]:
    """Names of calls: that of the layer, with `:1`, `:2`, ... from its second call on.

    Calls are counted in the order in which they were made, which need not be that of the graph.
    """
    made = sorted(keras_nodes, key=lambda node: node.operation._inbound_nodes.index(node))
    names: dict[int, str] = {}
    calls: collections.Counter[str] = collections.Counter()
    for node in made:
        name = node.operation.name
        names[id(node)] = f"{name}:{calls[name]}" if calls[name] else name
        calls[name] += 1
    return [names[id(node)] for node in keras_nodes]


def _functional(model: object):
    """`model` as Keras's functional graph; None if it has none."""
    if isinstance(model, keras.Sequential):
        return model._functional
    return model if hasattr(model, "_nodes_by_depth") and hasattr(model, "inputs") else None


def _name(model: object) -> str:
    return getattr(model, "name", "?")

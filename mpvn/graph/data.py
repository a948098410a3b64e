"""A Keras model over one frame as data: nodes, and the tensors that they read and output.

`mpvn.graph.reading.read_graph` makes graphs.
"""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from keras_layers.feedback import Feedback
from keras_layers.recurrent import RecurrentLayer
from keras_layers.temporal import TemporalLayer, is_temporal
from mpvn.graph.calls import get_mask, set_mask
from mpvn.graph.structures import match_inputs


@dataclasses.dataclass(frozen=True)
class Tensor:
    """An output of a node, or an input of the frame model.

    Attributes:
        index: position in `Graph.tensors`.
        name: name of the producer; `name#1`, `name#2`, ... for its further outputs; the name of a
            tensor with `:mask` for its implicit Keras mask.
        shape: without the batch axis.
        dtype: name of the dtype.
        producer: index of the node, or None for an input.
    """

    index: int
    name: str
    shape: tuple[int, ...]
    dtype: str
    producer: int | None

    @property
    def bytes(self) -> int:
        """Size for one stream."""
        return math.prod(self.shape) * tf.as_dtype(self.dtype).size


@dataclasses.dataclass(frozen=True, eq=False)
class Node:
    """One call of a layer or operation.

    Attributes:
        index: position in `Graph.nodes`, a topological order.
        name: name of the layer; `name:1` for its second call; `outer/name` within a nested model.
        operation: the Keras layer or operation.
        inputs: indices of the tensors that it reads, then of their masks.
        outputs: indices of the tensors that it outputs, then of their masks, or of the rest of its
            memory.
        symbolic_outputs: Keras's symbolic outputs, to build other models on.
        _call: runs the operation, see `call`.
        constants: the arguments of the call that are not tensors of the model.
    """

    index: int
    name: str
    operation: keras.Operation
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    symbolic_outputs: tuple[keras.KerasTensor, ...] = dataclasses.field(repr=False)
    _call: Callable[[list, bool | None], list] = dataclasses.field(repr=False)
    constants: tuple[Any, ...] = dataclasses.field(repr=False, default=())

    def call(self, values: list, training: bool | None = None) -> list:
        """Run the operation on `values`, one per entry of `inputs`; return one per output.

        Values of `memory` may follow; without them, the node starts from an empty memory.
        As in Keras's functional models, a `training` that is not None overrides the value with
        which the operation was called when the model was built.
        """
        return self._call(values, training)

    @property
    def variables(self) -> list[keras.Variable]:
        """The variables of the layer, and variables among the arguments of its call."""
        called_on = [value for value in self.constants if isinstance(value, keras.Variable)]
        return [*getattr(self.operation, "variables", ()), *called_on]

    @property
    def layers(self) -> list[keras.layers.Layer]:
        """The layer, and all layers inside it."""
        if not isinstance(self.operation, keras.layers.Layer):
            return []
        return self.operation._flatten_layers()

    @property
    def calls(self) -> tuple["Node", ...]:
        """The node itself, or the nodes of a region (`mpvn.graph.regions`)."""
        return (self,)

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
    def memory(self) -> tuple[int, ...]:
        """Indices of the tensors that the node reads as they were at its previous tick: its own.

        Only a recurrent layer has any.
        """
        return self.outputs if isinstance(self.operation, RecurrentLayer) else ()

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
        outputs: indices of the tensors that the model outputs, then of their masks.
        input_structure: the model's inputs as Keras knows them, symbolic tensors with names.
        output_structure: any structure like the model's outputs.
        output_masks: for each output of the model, the position of its mask in `outputs`, or None.
        batch_size: the only batch size that the model takes; None if it takes any.
    """

    model: keras.Model
    nodes: tuple[Node, ...]
    tensors: tuple[Tensor, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    input_structure: Any = dataclasses.field(repr=False)
    output_structure: Any = dataclasses.field(repr=False)
    output_masks: tuple[int | None, ...]
    batch_size: int | None = None

    @property
    def model_outputs(self) -> tuple[int, ...]:
        """Indices of the tensors that the model outputs, without masks."""
        return self.outputs[: len(self.output_masks)]

    @property
    def opaque(self) -> bool:
        """Whether the model has a call of its own, so that it is one node."""
        return self.nodes[0].operation is self.model

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the nodes."""
        return tuple(node.name for node in self.nodes)

    @functools.cached_property
    def by_name(self) -> dict[str, Node]:
        """Nodes by name."""
        return {node.name: node for node in self.nodes}

    @functools.cached_property
    def region_of(self) -> dict[str, Node]:
        """The region of each node that is inside one, by the name of the node."""
        return {call.name: node for node in self.nodes for call in node.calls if call is not node}

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
        for operation in (call.operation for node in self.nodes for call in node.calls):
            found[id(operation)] = operation
            if isinstance(operation, keras.Layer):
                found |= {id(layer): layer for layer in operation._flatten_layers()}
        return list(found.values())

    def pop_losses(self) -> list[str]:
        """Return the names of the layers that called `add_loss` since the last call.

        Clears those losses.
        """
        layers = {id(layer): layer for node in self.nodes for layer in node.layers}.values()
        names = [layer.name for layer in layers if getattr(layer, "_losses", None)]
        self.model._clear_losses()
        return names

    def pack_inputs(self, values: Any) -> list:
        """Return `values`, a structure like the model's inputs, as one value per input.

        Raises:
            ValueError: `values` has another structure.
        """
        return match_inputs(self.input_structure, values)

    def flatten_outputs(self, structure: Any) -> list:
        """Return what the frame model returned as one value per output, masks included."""
        values = keras.tree.flatten(structure)
        masks = {
            position: get_mask(x) for x, position in zip(values, self.output_masks, strict=True)
        }
        return [*values, *(masks[p] for p in range(len(values), len(self.outputs)))]

    def pack_outputs(self, values: list) -> Any:
        """Return `values`, one per output, in the structure of the model's outputs.

        Implicit masks are attached to the values that they belong to. They may be left out.
        """
        outputs = values[: len(self.output_masks)]
        if len(values) > len(outputs):
            for value, mask in zip(outputs, self.output_masks, strict=True):
                set_mask(value, None if mask is None else values[mask])
        return keras.tree.pack_sequence_as(self.output_structure, outputs)

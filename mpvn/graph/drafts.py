"""Nodes and tensors of a graph while it is being read: the last step is to add implicit masks.

This file uses Keras internals; `mpvn.graph.reading` says which files do.
"""

import dataclasses
from typing import Any

import keras

from keras_layers.recurrent import RecurrentLayer
from mpvn.graph.calls import Call, trace
from mpvn.graph.data import Graph, Node, Tensor
from mpvn.graph.masks import may_create_masks
from mpvn.graph.memory import reads_past


@dataclasses.dataclass
class Draft:
    """A node to be.

    Attributes:
        name: its name.
        operation: the Keras layer or operation.
        arguments: Keras's record of its arguments, without implicit masks.
        inputs: indices of the tensors among the arguments.
        symbolic_outputs: Keras's symbolic outputs.
        training: its training mode if the network's is None.
        scope: the `AutocastScope` around it.
        order: its place in the order in which Keras runs the model.
        masks_recorded: whether Keras recorded implicit masks among the arguments.
        index: position among the nodes.
        outputs: indices of its outputs.
        masks: indices of the masks of its inputs.
        masked_outputs: the index of the mask, for each output that has one, by its position.
    """

    name: str
    operation: keras.Operation
    arguments: Any
    inputs: list[int]
    symbolic_outputs: list[keras.KerasTensor]
    training: bool | None = None
    scope: Any = None
    order: int = 0
    masks_recorded: bool = False
    index: int = 0
    outputs: list[int] = dataclasses.field(default_factory=list)
    masks: list[int] = dataclasses.field(default_factory=list)
    masked_outputs: dict[int, int] = dataclasses.field(default_factory=dict)


class Drafts:
    """The tensors and drafts of a graph, in plan order."""

    def __init__(self) -> None:
        self._tensors: list[Tensor] = []
        self._drafts: list[Draft] = []
        self._mask_of: dict[int, int] = {}
        # Tensors whose mask is attached to them while Keras runs the model. Layers such as
        # MultiHeadAttention remove the masks of their arguments. This matters for outputs of the
        # model only: layers were told their masks when the model was built.
        self._attached: set[int] = set()

    def add_input(self, tensor: keras.KerasTensor, name: str) -> int:
        """Add an input of the model; return its index."""
        return self._add_tensor(tensor, name, None)

    def add(self, draft: Draft, outputs: list[keras.KerasTensor]) -> list[int]:
        """Add a draft.

        Args:
            draft: the draft.
            outputs: shapes and dtypes of its outputs, as Keras declared them.

        Returns:
            The indices of `outputs`. A recurrent layer gets more, for the rest of its memory.
        """
        declared = len(outputs)
        outputs = [*outputs, *self._hidden(draft, declared)]
        draft.index = len(self._drafts)
        if self._may_differ(draft, outputs):
            call = self._call(draft)
            traced = trace(call, [*map(self.spec, draft.inputs)]).outputs
            outputs = [*map(_corrected, outputs, traced)]
        for number, tensor in enumerate(outputs):
            name = f"{draft.name}#{number}" if number else draft.name
            draft.outputs.append(self._add_tensor(tensor, name, draft.index))
        self._drafts.append(draft)
        return draft.outputs[:declared]

    def spec(self, index: int) -> keras.KerasTensor:
        """Return the shape and dtype of a tensor, with an open batch axis."""
        tensor = self._tensors[index]
        return keras.KerasTensor((None, *tensor.shape), tensor.dtype)

    def graph(
        self, model: keras.Model, inputs: list[int], outputs: list[int], taken: Any, given: Any
    ) -> Graph:
        """Return the graph.

        Args:
            model: the frame model.
            inputs: indices of its inputs.
            outputs: indices of its outputs.
            taken: the structure of its inputs.
            given: the structure of its outputs.
        """
        for draft in sorted(self._drafts, key=lambda draft: draft.order):
            if not reads_past(draft.operation):
                self._add_masks(draft)
        masks = [self._mask_of[t] if t in self._attached else None for t in outputs]
        unique = list(dict.fromkeys(mask for mask in masks if mask is not None))
        positions = {mask: len(outputs) + number for number, mask in enumerate(unique)}
        return Graph(
            model,
            tuple(map(self._node, self._drafts)),
            tuple(self._tensors),
            tuple(inputs),
            (*outputs, *unique),
            taken,
            given,
            tuple(None if mask is None else positions[mask] for mask in masks),
        )

    def _hidden(self, draft: Draft, declared: int) -> list[keras.KerasTensor]:
        """Return what a recurrent layer remembers besides its `declared` outputs."""
        layer = draft.operation
        shape = self.spec(draft.inputs[0]).shape if draft.inputs else ()
        if not isinstance(layer, RecurrentLayer) or len(shape) != layer.frame_rank:
            return []
        shapes = layer.compute_memory_shapes(shape)[declared:]
        return [keras.KerasTensor(shape, layer.compute_dtype) for shape in shapes]

    def _add_tensor(self, tensor: keras.KerasTensor, name: str, producer: int | None) -> int:
        index = len(self._tensors)
        dtype = keras.backend.standardize_dtype(tensor.dtype)
        self._tensors.append(Tensor(index, name, tuple(tensor.shape[1:]), dtype, producer))
        return index

    def _add_masks(self, draft: Draft) -> None:
        """Let `draft` read the masks of its inputs, and find out which outputs have masks."""
        masks = [self._mask_of.get(tensor) for tensor in draft.inputs]
        draft.masks = list(dict.fromkeys(mask for mask in masks if mask is not None))
        if not draft.masks and not may_create_masks(draft.operation):
            return
        call = self._call(draft)
        specs = [*map(self.spec, draft.inputs)], [*map(self.spec, draft.masks)]
        traced = trace(call, *specs)
        for position, mask in enumerate(traced.masks):
            if mask is not None:
                output = draft.outputs[position]
                name = f"{self._tensors[output].name}:mask"
                index = self._add_tensor(mask, name, draft.index)
                self._mask_of[output] = draft.masked_outputs[position] = index
        pairs = zip(draft.inputs, masks, strict=True)
        as_in_keras = [tensor in self._attached or mask is None for tensor, mask in pairs]
        if not draft.masks_recorded and not all(as_in_keras):
            kept = zip(call.masks, as_in_keras, strict=True)
            call = dataclasses.replace(call, masks=tuple(m if k else None for m, k in kept))
            traced = trace(call, *specs)
        masked = zip(draft.outputs, traced.masks, strict=True)
        self._attached |= {tensor for tensor, mask in masked if mask is not None}
        left = zip(draft.inputs, traced.left, strict=True)
        self._attached -= {tensor for tensor, attached in left if not attached}

    def _may_differ(self, draft: Draft, outputs: list[keras.KerasTensor]) -> bool:
        """Return whether the outputs may be others than `outputs`, which Keras declared.

        Keras declares the outputs of a model by its layers even if it has a call of its own, those
        of a layer by its dtype policy when the model was built, and those of an operation without
        the casts of variables around it.
        """
        operation = draft.operation
        if isinstance(operation, keras.Model):
            return True
        read = zip(draft.inputs, draft.arguments.keras_tensors, strict=True)
        if any(self._tensors[index].dtype != tensor.dtype for index, tensor in read):
            return True
        if not isinstance(operation, keras.layers.Layer):
            constants = self._call(draft).constants
            return bool(draft.scope) and any(isinstance(x, keras.Variable) for x in constants)
        own = not type(operation).__module__.startswith("keras.")
        policy = operation.compute_dtype
        return (own and policy != operation.variable_dtype) or any(
            keras.backend.is_float_dtype(tensor.dtype) and tensor.dtype != policy
            for tensor in outputs
        )

    def _call(self, draft: Draft) -> Call:
        masks = [self._mask_of.get(tensor) if draft.masks else None for tensor in draft.inputs]
        return Call(
            draft.operation,
            draft.arguments,
            draft.training,
            draft.scope,
            tuple(self._tensors[index].dtype for index in draft.outputs),
            tuple(None if mask is None else draft.masks.index(mask) for mask in masks),
            tuple(draft.masked_outputs),
        )

    def _node(self, draft: Draft) -> Node:
        call = self._call(draft)
        return Node(
            draft.index,
            draft.name,
            draft.operation,
            (*draft.inputs, *draft.masks),
            (*draft.outputs, *draft.masked_outputs.values()),
            tuple(draft.symbolic_outputs),
            call,
            tuple(call.constants),
        )


def _corrected(declared: keras.KerasTensor, traced: keras.KerasTensor) -> keras.KerasTensor:
    """Return the spec of an output: the traced one, with sizes that only Keras knows."""
    if len(traced.shape) != len(declared.shape):
        return traced
    pairs = zip(traced.shape, declared.shape, strict=True)
    shape = [given if size is None else size for size, given in pairs]
    return keras.KerasTensor(shape, traced.dtype)

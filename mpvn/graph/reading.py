"""Reads a Keras model over one frame as a graph of nodes and tensors.

The order of the nodes is a depth-first search from the outputs: the first input of a node with all
of its ancestors, then the second input, then the node. So the nodes of a branch are consecutive. A
side branch comes right after the node that it starts from, if its reader lists it before the main
path.

Nested functional and sequential models become their nodes, with a `Door` where Keras casts their
inputs. Any other layer is one node, and so is a model with a call of its own; see
`mpvn.graph.nesting`.

Only `reading.py`, `drafts.py`, `calls.py`, `nesting.py`, `opaque.py` and `masks.py` use Keras
internals (`_keras_history`, `_inbound_nodes`, `SymbolicArguments`, ...).
`tests/graph/test_keras_internals.py` fails if they change.
"""

import collections
import dataclasses
import inspect
from typing import Any

import keras
from keras.src.backend.common.variables import AutocastScope
from keras.src.ops.symbolic_arguments import SymbolicArguments

from mpvn.graph.calls import takes_training
from mpvn.graph.data import Graph
from mpvn.graph.drafts import Draft, Drafts
from mpvn.graph.masks import explicit_arguments
from mpvn.graph.nesting import Door, Inside, functional_graph, inside, reads_through
from mpvn.graph.opaque import announce, refuse_memory, symbolic_inputs, symbolic_outputs
from mpvn.graph.regions import merge_regions


def read_graph(model: keras.Model) -> Graph:
    """Return the graph of `model`.

    Args:
        model: a built Keras model over a batch of frames: functional, sequential or subclassed. A
            model with a call of its own is one node, which a warning says once.

    Raises:
        TypeError: `model` is not a Keras model, or is not built.
        ValueError: the model has no layers, or a tensor of unknown size.
    """
    read = _read_functional if reads_through(model) else _read_opaque
    graph = read(model)
    if not graph.nodes:
        raise ValueError(
            "Expected a frame model with layers. "
            f"Received: {model.name!r}, whose outputs are its inputs."
        )
    graph = merge_regions(graph)
    unknown = [t.name for t in graph.tensors if any(size is None for size in t.shape)]
    if unknown:
        raise ValueError(
            "Expected a frame model with a fixed frame size, because a network keeps values "
            f"between steps. Received: {model.name!r}, where these tensors have unknown sizes: "
            f"{', '.join(unknown[:5])}{', ...' if len(unknown) > 5 else ''}. Build it with a full "
            "input shape, such as (224, 224, 3), or call it on inputs that have one: "
            "keras.Model(inputs, model(inputs))."
        )
    return graph


def layers_graph(model: keras.Model) -> Graph | None:
    """Return the graph of the layers of `model`, whatever its call does; None if it has none."""
    return _read_functional(model) if functional_graph(model) else None


def _read_functional(model: keras.Model) -> Graph:
    functional = functional_graph(model)
    drafts = Drafts()
    inputs = [drafts.add_input(tensor, _input_name(tensor)) for tensor in functional.inputs]
    reader = _Reader(drafts)
    reader.order_calls(functional)
    seen = dict(zip(map(id, functional.inputs), inputs, strict=True))
    reader.read(functional, seen, _Around(scope=_entered(None, model)))
    outputs = [seen[id(tensor)] for tensor in functional.outputs]
    structure = functional._outputs_struct
    if isinstance(structure, (list, tuple)) and len(structure) == 1:
        (structure,) = structure  # a functional model returns its only output alone
    return drafts.graph(model, inputs, outputs, functional._inputs_struct, structure)


def _read_opaque(model: keras.Model) -> Graph:
    structure = symbolic_inputs(model)
    symbolic = symbolic_outputs(model, structure)
    announce(model)
    drafts = Drafts()
    inputs = [drafts.add_input(t, t.name) for t in keras.tree.flatten(structure)]
    tensors = keras.tree.flatten(symbolic)
    arguments = SymbolicArguments(structure)
    outputs = drafts.add(Draft(model.name, model, arguments, inputs, tensors), tensors)
    return drafts.graph(model, inputs, outputs, structure, symbolic)


@dataclasses.dataclass(frozen=True)
class _Around:
    """What is around the calls in a model.

    Attributes:
        prefix: beginning of the names of its nodes.
        path: ids of the calls of models that lead to it.
        scope: Keras's `AutocastScope` in it, which says to what dtype variables are cast.
        shapes: shapes of its tensors, by id, where they differ from those that it was built with.
    """

    prefix: str = ""
    path: tuple[int, ...] = ()
    scope: Any = None
    shapes: dict[int, tuple] = dataclasses.field(default_factory=dict)


class _Reader:
    """Adds the calls of a model, and of the models nested in it, to `drafts`."""

    def __init__(self, drafts: Drafts) -> None:
        self._drafts = drafts
        self._recorded: dict[int, tuple[Any, Inside | None]] = {}
        # For each call: its place in the order in which Keras runs the model, and its training mode
        # if the network has none.
        self._order: dict[tuple, int] = {}
        self._training: dict[tuple, bool | None] = {}
        self._mode: bool | None = None

    def order_calls(self, functional, path: tuple = (), outer: bool | None = None) -> None:
        """Go through the calls as Keras runs them when the training mode is `outer`.

        A layer that was called without a training mode takes the one that Keras has at that moment,
        which may come from the layer before it.
        """
        for depth in sorted(functional._nodes_by_depth, reverse=True):
            for node in functional._nodes_by_depth[depth]:
                if node.is_input:
                    continue
                key = (path, id(node))
                self._order[key] = len(self._order)
                if takes_training(node.operation):
                    self._mode = self._training[key] = self._training_mode(node, outer)
                nested = self._record(node)[1]
                if nested:
                    self.order_calls(nested.functional, (*path, id(node)), self._mode)

    def read(self, functional, seen: dict[int, int], around: _Around) -> None:
        """Add the nodes of `functional`; `seen` maps the ids of its tensors to indices."""
        calls = self._calls(functional)
        for node, name in zip(calls, _call_names(calls), strict=True):
            arguments, nested = self._record(node)
            if nested:
                self._read_nested(node, nested, name, seen, around)
            else:
                self._add(node, arguments, name, seen, around)

    def _training_mode(self, node, outer: bool | None) -> bool | None:
        if outer is not None:
            return outer
        if "training" in node.arguments.kwargs:
            return node.arguments.kwargs["training"]
        if self._mode is not None:
            return self._mode
        parameter = inspect.signature(node.operation.call).parameters.get("training")
        if parameter is None or parameter.default is parameter.empty:
            return None
        return parameter.default

    def _record(self, node) -> tuple[Any, Inside | None]:
        """Return the arguments of a call without implicit masks, and its inside if it has one."""
        if id(node) not in self._recorded:
            arguments = explicit_arguments(node)
            self._recorded[id(node)] = arguments, inside(node.operation, arguments)
        return self._recorded[id(node)]

    def _read_nested(self, node, nested: Inside, name: str, seen, around: _Around) -> None:
        """Add the nodes of a nested model, connected to the tensors outside it."""
        prefix, path = f"{around.prefix}{name}/", (*around.path, id(node))
        functional = nested.functional
        within = {}
        for tensor, outside in zip(functional.inputs, nested.arguments, strict=True):
            order = self._order[around.path, id(node)]
            within[id(tensor)] = self._enter(tensor, seen[id(outside)], prefix, order)
        scope = _entered(around.scope, node.operation)
        shapes = self._shapes(functional, [within[id(tensor)] for tensor in functional.inputs])
        self.read(functional, within, _Around(prefix, path, scope, shapes))
        for outer, result in zip(node.outputs, functional.outputs, strict=True):
            seen[id(outer)] = within[id(result)]

    def _enter(self, tensor, index: int, prefix: str, order: int) -> int:
        """Return the index of the nested input `tensor`, given the index of what is passed."""
        outside = self._drafts.spec(index)
        rank = len(tensor.shape)
        if (outside.dtype, len(outside.shape)) == (tensor.dtype, rank):
            return index
        name = _input_name(tensor)
        door = Door(tensor.dtype, rank, name=name)
        shape = outside.shape[:-1] if rank < len(outside.shape) else (*outside.shape, 1)[:rank]
        inside = keras.KerasTensor(shape, tensor.dtype)
        arguments = SymbolicArguments(outside)
        draft = Draft(prefix + name, door, arguments, [index], [inside], order=order)
        return self._drafts.add(draft, [inside])[0]

    def _shapes(self, functional, inputs: list[int]) -> dict[int, tuple]:
        """Return the shapes of all tensors of `functional`, if it was built for other ones."""
        specs = [self._drafts.spec(index) for index in inputs]
        if all(s.shape[1:] == t.shape[1:] for s, t in zip(specs, functional.inputs, strict=True)):
            return {}
        known = dict(zip(map(id, functional.inputs), specs, strict=True))
        for node in self._calls(functional):
            args, kwargs = self._record(node)[0].fill_in(known)
            outputs = keras.tree.flatten(node.operation.compute_output_spec(*args, **kwargs))
            known.update(zip(map(id, node.outputs), outputs, strict=True))
        return {key: spec.shape for key, spec in known.items()}

    def _add(self, node, arguments, name: str, seen, around: _Around) -> None:
        refuse_memory(node.operation)
        tensors = [
            keras.KerasTensor(around.shapes.get(id(tensor), tensor.shape), tensor.dtype)
            for tensor in node.outputs
        ]
        key = (around.path, id(node))
        draft = Draft(
            around.prefix + name,
            node.operation,
            arguments,
            [seen[id(tensor)] for tensor in arguments.keras_tensors],
            node.outputs,
            training=self._training.get(key),
            scope=around.scope,
            order=self._order[key],
            masks_recorded=arguments is not node.arguments,
        )
        seen.update(zip(map(id, node.outputs), self._drafts.add(draft, tensors), strict=True))

    def _calls(self, functional) -> list:
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
            node = operation._inbound_nodes[index]
            read = self._record(node)[0].keras_tensors
            missing = [t for t in read if id(t) not in computed]
            if missing:
                waiting += reversed(missing)
            else:
                calls.append(node)
                computed.update(id(output) for output in node.outputs)
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


def _input_name(tensor: keras.KerasTensor) -> str:
    """Return the name of the input layer of `tensor`."""
    return tensor._keras_history.operation.name


def _entered(scope: Any, model: keras.Model) -> Any:
    """Return the `AutocastScope` that Keras has inside `model`, called in `scope`."""
    mixed = model.compute_dtype != model.variable_dtype
    if scope is None:
        return AutocastScope(model.compute_dtype) if mixed else None
    if not model.autocast or not keras.backend.is_float_dtype(model.compute_dtype):
        return AutocastScope(None)
    return scope if scope.dtype == model.compute_dtype else AutocastScope(model.compute_dtype)

"""Fits the end of an image model to the classes of a task.

    ... -> Dense(1000) -> softmax         ... -> Dense(4)       of another number: replaced
    ... -> Dense(4, "softmax")            ... -> Dense(4)       kept, without the softmax
    ... -> map, or features               ... -> mean -> dropout -> Dense(4)

Losses take logits. A network whose softmax or sigmoid is taken for logits learns badly, and the
loss of its perfect answer is not 0. So both are removed, wherever layers that only pass values on
(a cast, a reshape, a mean over positions, a nested model) hide them.

What it does not do well: a softmax inside a layer of one's own is not seen. It is found by its
values, and refused.
"""

import dataclasses
import itertools
from collections.abc import Sequence
from typing import NamedTuple

import keras
import numpy as np
from keras import layers

from keras_layers import TemporalConv3D, TemporalRelation
from mpvn.graph.data import Graph, Node
from mpvn.graph.reading import read_graph
from mpvn.models.heads import action_head
from mpvn.models.surgery.rebuild import rebuild
from mpvn.plan.units import HEAD_UNIT, UNIT_SEPARATOR

_PROBABILITIES = ("softmax", "sigmoid", "logsoftmax", "logsigmoid")
"""Activations that turn logits into probabilities, or into their logarithms."""

_LINEAR = (layers.Dense, layers.EinsumDense, layers.Conv2D, TemporalConv3D, TemporalRelation)
"""Layers that compute any logits, given the weights, unless they have an activation."""

_PASSING_ON = (
    *("Identity", "Cast", "Door", "Reshape", "Flatten", "Squeeze", "ExpandDims", "Dropout"),
    *("GlobalAveragePooling1D", "GlobalAveragePooling2D", "AveragePooling2D", "Mean"),
)
"""Operations that pass values on, or means of them."""


class Fitted(NamedTuple):
    """A model that fits its task.

    Attributes:
        model: The model.
        remarks: What was found at the end of the given model, and what was done.
    """

    model: keras.Model
    remarks: tuple[str, ...]


class _End(NamedTuple):
    """The end of a model.

    Attributes:
        probabilities: The nodes that turn logits into probabilities, the last one first.
        linear: The node with weights before them, if values are only passed on between.
    """

    probabilities: tuple[Node, ...]
    linear: Node | None


def with_classifier(
    model: keras.Model,
    classes: int,
    after: str | None = None,
    dropout: float | None = None,
    frames: np.ndarray | None = None,
) -> Fitted:
    """Build a model with logits of `classes`, which shares the layers and weights of `model`.

    A classifier of as many classes is kept. One of another number is replaced, with the dropout
    before it. Other features and maps get a classifier: mean over positions, dropout, dense layer.

    Args:
        model: A model over one frame. It is not changed.
        classes: Number of classes.
        after: Name of the node that a new classifier reads; default: as above.
        dropout: Rate of the dropout before a new classifier; default: that of the old one, or 0.
        frames: Frames `[B, H, W, C]` on which to look for probabilities that the layers hide.

    Raises:
        ValueError: If `model` has several outputs, or one that no classifier reads; there is no
            node `after`; the classifier is kept, but `dropout` is given; or values are
            probabilities that cannot be removed.
    """
    graph = read_graph(model)
    if after is not None:
        tensor = _tensor_of(graph, after)
        return _with_head(graph, tensor, classes, dropout or 0.0, [], frames)
    tensor = _only_output(graph)
    end = _end(graph, tensor)
    linear, remarks = end.linear, [_removed(end.probabilities)] if end.probabilities else []
    shape = graph.tensors[tensor].shape
    if linear and shape == (classes,):
        if dropout is not None:
            raise _useless_dropout(graph, linear, dropout)
        fitted = _without(graph, end.probabilities)
        _check_values(fitted, graph, frames)
        return Fitted(fitted, (*remarks, f"classifier {linear.name!r} kept"))
    if linear and _classifies(graph, linear, end.probabilities, shape):
        count = graph.tensors[linear.outputs[0]].shape[-1]
        tensor, rate = _before_dropout(graph, linear.inputs[0])
        remarks.append(
            f"classifier {linear.name!r} of {count} classes replaced by one of {classes}"
        )
        rate = rate if dropout is None else dropout
        return _with_head(graph, tensor, classes, rate, remarks, frames)
    if end.probabilities:
        tensor = end.probabilities[-1].inputs[0]
    return _with_head(graph, tensor, classes, dropout or 0.0, remarks, frames)


def with_logits(model: keras.Model) -> Fitted:
    """Build a model without the softmax or sigmoid at the end of `model`, if it has one output.

    The new model shares the layers and weights of `model`, which is not changed.
    """
    graph = read_graph(model)
    if len(graph.model_outputs) != 1:
        return Fitted(model, ())
    end = _end(graph, graph.model_outputs[0])
    remarks = (_removed(end.probabilities),) if end.probabilities else ()
    return Fitted(_without(graph, end.probabilities), remarks)


# --- what is there ------------------------------------------------------------------------------


def _only_output(graph: Graph) -> int:
    outputs = [graph.tensors[index] for index in graph.model_outputs]
    if len(outputs) != 1:
        shown = ", ".join(f"{each.name!r} {list(each.shape)}" for each in outputs)
        raise ValueError(
            f"{graph.model.name!r} has several outputs. Expected one to classify from. Received: "
            f"{shown}. Name the layer that a classifier reads, such as after={outputs[0].name!r}"
        )
    return outputs[0].index


def _tensor_of(graph: Graph, name: str) -> int:
    """Return the output of the node `name`."""
    if name not in graph.by_name:
        raise ValueError(
            f"Invalid after. Expected the name of a layer of {graph.model.name!r}, such as "
            f"{', '.join(map(repr, graph.names[-3:]))}. Received: {name!r}"
        )
    return graph.by_name[name].outputs[0]


def _end(graph: Graph, tensor: int) -> _End:
    """Return what `tensor` is computed by, behind the nodes that only pass it on."""
    probabilities: list[Node] = []
    node = None if graph.opaque else graph.producer(tensor)
    while node is not None:
        activation = _activation(node)
        if activation in _PROBABILITIES:
            probabilities.append(node)
        if isinstance(node.operation, _LINEAR):
            is_linear = activation in ("linear", *_PROBABILITIES)
            return _End(tuple(probabilities), node if is_linear else None)
        passes_on = activation in ("linear", *_PROBABILITIES) or _kind(node) in _PASSING_ON
        if not passes_on:
            break
        node = graph.producer(node.inputs[0])
    return _End(tuple(probabilities), None)


def _kind(node: Node) -> str:
    return type(node.operation).__name__


def _activation(node: Node) -> str | None:
    """Return the name of the activation of a node, without `_`; None if it has none."""
    kind = _kind(node).lower()
    if kind in _PROBABILITIES:
        return kind
    function = getattr(node.operation, "activation", None)
    if isinstance(node.operation, (*_LINEAR, layers.Activation)):
        name = getattr(function, "__name__", type(function).__name__) if function else "linear"
        return name.lower().replace("_", "")
    return None


def _classifies(
    graph: Graph, linear: Node, probabilities: Sequence[Node], shape: tuple[int, ...]
) -> bool:
    """Return whether the linear node at the end computes scores of classes, and not features."""
    positions = graph.tensors[linear.outputs[0]].shape[:-1]
    return len(shape) == 1 and (bool(probabilities) or all(size == 1 for size in positions))


def _before_dropout(graph: Graph, tensor: int) -> tuple[int, float]:
    """Return what a dropout reads that outputs `tensor`, and its rate; else `tensor` and 0."""
    rate, node = 0.0, graph.producer(tensor)
    while node is not None and isinstance(node.operation, layers.Dropout):
        tensor, rate = node.inputs[0], node.operation.rate
        node = graph.producer(tensor)
    return tensor, rate


def _removed(probabilities: Sequence[Node]) -> str:
    names = " and ".join(f"{_activation(node)} of {node.name!r}" for node in probabilities)
    return f"{names} removed, because losses take logits"


def _useless_dropout(graph: Graph, classifier: Node, dropout: float) -> ValueError:
    return ValueError(
        f"{graph.model.name!r} keeps its classifier {classifier.name!r}. Expected no dropout, as "
        f"this is that of a new one. Received: dropout={dropout}. Leave it out, or name the layer "
        "that a new classifier reads with after=NAME"
    )


# --- what is built ------------------------------------------------------------------------------


def _without(graph: Graph, probabilities: Sequence[Node]) -> keras.Model:
    """Build a model with the one output of `graph`, alone, in which `probabilities` are left out.

    They pass on what they read, or have no activation.
    """
    is_alone = isinstance(graph.output_structure, keras.KerasTensor)
    if is_alone and not probabilities:
        return graph.model
    graph = dataclasses.replace(graph, output_structure=0)  # a leaf: the value alone
    removed = {node.index for node in probabilities}

    def call(node: Node, values: list) -> list:
        if node.index not in removed:
            return node.call(values)
        if isinstance(node.operation, _LINEAR):
            return [_without_activation(node.operation)(values[0])]
        return values[:1]

    return rebuild(graph, lambda values, tensor, _: values[tensor], graph.model.name, call=call)


def _without_activation(layer: keras.layers.Layer) -> keras.layers.Layer:
    """Return a copy of a layer that has no activation, with the same weights."""
    linear = layer.__class__.from_config({**layer.get_config(), "activation": None})
    linear.build(layer._build_shapes_dict["input_shape"])
    linear.set_weights(layer.get_weights())
    return linear


def _with_head(
    graph: Graph,
    tensor: int,
    classes: int,
    dropout: float,
    remarks: list[str],
    frames: np.ndarray | None,
) -> Fitted:
    """Build the model up to `tensor`, with a new classifier."""
    found, name = graph.tensors[tensor], graph.model.name
    if not 1 <= len(found.shape) <= 3 or not found.dtype.startswith(("float", "bfloat")):
        raise ValueError(
            f"{name!r}: cannot classify from {found.name!r}. Expected a map [H, W, C], rows [N, C] "
            f"or features [C] of floats. Received: {list(found.shape)}, {found.dtype}. Name the "
            "layer that a classifier reads with after=NAME"
        )
    body = _up_to(graph, tensor)
    _check_values(body, graph, frames)
    logits = action_head(body.outputs[0], classes, dropout, _new_unit(body))
    if not any("replaced" in remark for remark in remarks):
        remarks = [
            *remarks,
            f"classifier of {classes} classes added after {found.name!r} {list(found.shape)}",
        ]
    inputs = keras.tree.pack_sequence_as(graph.input_structure, body.inputs)
    return Fitted(keras.Model(inputs, logits, name=name), tuple(remarks))


def _up_to(graph: Graph, tensor: int) -> keras.Model:
    """Build the model that outputs `tensor`."""
    last = graph.tensors[tensor].producer
    part = dataclasses.replace(
        graph,
        nodes=graph.nodes[: 0 if last is None else last + 1],
        outputs=(tensor,),
        output_structure=0,  # a leaf: the value alone
        output_masks=(None,),
    )
    return rebuild(part, lambda values, index, _: values[index], graph.model.name)


def _new_unit(model: keras.Model) -> str:
    """Return the name of the unit of heads, with a number if `model` has such a unit already."""
    taken = {layer.name.partition(UNIT_SEPARATOR)[0] for layer in model.layers}
    numbered = (f"{HEAD_UNIT}_{number}" for number in itertools.count(2))
    return next(unit for unit in itertools.chain([HEAD_UNIT], numbered) if unit not in taken)


def _check_values(model: keras.Model, graph: Graph, frames: np.ndarray | None) -> None:
    """Raise ValueError if `model`, built of `graph`, outputs probabilities.

    They are not negative, and their sum is 1.
    """
    if frames is None:
        return
    inputs = keras.tree.pack_sequence_as(graph.input_structure, [frames])
    (values,) = keras.tree.flatten(model(inputs, training=False))
    outputs = np.asarray(keras.ops.convert_to_numpy(values), np.float32)
    sums = outputs.sum(axis=-1)
    if outputs.shape[-1] > 1 and outputs.min() >= 0 and np.abs(sums - 1).max() < 1e-3:
        raise ValueError(
            f"{model.name!r} ends in probabilities: its values are not negative, and their sum is "
            "1. Expected logits or features. Save it without its last layer, or name the layer "
            "that a classifier reads with after=NAME"
        )

"""Implicit Keras masks, as tensors of a graph.

A layer such as `keras.layers.Embedding(mask_zero=True)` attaches a mask to its output, and Keras
passes it on from layer to layer beside the values. In a graph, a mask is an output of the node that
attaches it and an input of every node that reads the tensor, so a boundary delays it, and a clock
holds it, like the tensor itself.

Which outputs have masks is found by tracing the calls that may attach one. Temporal layers and
feedback nodes drop masks.

This file uses Keras internals; `mpvn.graph.reading` says which files do.
"""

import inspect
from typing import Any

import keras
import numpy as np
from keras.src.backend import get_keras_mask
from keras.src.ops.symbolic_arguments import SymbolicArguments


def explicit_arguments(keras_node: Any) -> SymbolicArguments:
    """Return the arguments of a recorded call without implicit masks.

    Keras records the mask of a layer's argument as one more argument, computed from the model's
    inputs. Without it, the layer takes the mask that is attached to the argument itself.
    """
    arguments = keras_node.arguments
    names = [
        name
        for name, value in arguments.kwargs.items()
        if (name == "mask" or name.endswith("_mask")) and _tensors(value)
    ]
    if not names or not isinstance(keras_node.operation, keras.layers.Layer):
        return arguments
    call = inspect.signature(keras_node.operation.call)
    bound = call.bind(*arguments.args, **arguments.kwargs).arguments
    read = {name: value for name, value in bound.items() if name not in names and _tensors(value)}
    of = {f"{name}_mask": value for name, value in read.items()}
    if len(read) == 1:
        (of["mask"],) = read.values()
    implicit = [name for name in names if name in of and _is_mask_of(bound[name], of[name])]
    kwargs = {name: x for name, x in arguments.kwargs.items() if name not in implicit}
    return SymbolicArguments(*arguments.args, **kwargs) if implicit else arguments


def _tensors(value: Any) -> list[keras.KerasTensor]:
    return [x for x in keras.tree.flatten(value) if isinstance(x, keras.KerasTensor)]


def _is_mask_of(masks: Any, tensors: Any) -> bool:
    """Return whether `masks` are the implicit masks of `tensors`, structures of Keras tensors."""
    masks, tensors = keras.tree.flatten(masks), keras.tree.flatten(tensors)
    return len(masks) == len(tensors) and all(
        _same(mask, get_keras_mask(tensor)) for mask, tensor in zip(masks, tensors, strict=True)
    )


def _same(first: Any, second: Any) -> bool:
    """Return whether two recorded arguments are equal.

    A model that was loaded from a file computes its masks twice, by the operations in the file and
    by the layers. So two tensors are equal if the same operations compute them.
    """
    if first is second:
        return True
    if not (isinstance(first, keras.KerasTensor) and isinstance(second, keras.KerasTensor)):
        return type(first) is type(second) and bool(np.all(first == second))
    one, other = first._keras_history, second._keras_history
    if one.tensor_index != other.tensor_index or not _same_operation(one[0], other[0]):
        return False
    pairs = [history.operation._inbound_nodes[history.node_index] for history in (one, other)]
    flat = [keras.tree.flatten((x.arguments.args, x.arguments.kwargs)) for x in pairs]
    return len(flat[0]) == len(flat[1]) and all(map(_same, *flat))


def _same_operation(first: Any, second: Any) -> bool:
    if first is second:
        return True
    if type(first) is not type(second) or isinstance(first, keras.layers.Layer):
        return False
    settings = [
        {name: x for name, x in vars(operation).items() if name != "name" and name[0] != "_"}
        for operation in (first, second)
    ]
    return settings[0] == settings[1]


def may_create_masks(operation: keras.Operation) -> bool:
    """Return whether `operation` may attach a mask though its inputs have none."""
    return isinstance(operation, keras.layers.Layer) and any(
        layer.supports_masking
        and (
            isinstance(layer, (keras.layers.Embedding, keras.layers.Masking))
            or not type(layer).__module__.startswith("keras.")
        )
        for layer in operation._flatten_layers()
    )

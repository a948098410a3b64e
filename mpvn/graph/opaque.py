"""Models with a call of their own: a whole frame model that is one node.

Keras decides what happens inside, so such a model cannot be divided, but it can be run, trained,
streamed and exported. Its outputs are found by tracing the call, because the shapes that Keras
infers for a functional model are those of its layers, not of its own call.

This file uses Keras internals; `mpvn.graph.reading` says which files do.
"""

import warnings
import weakref
from typing import Any

import keras
from keras.src import backend

from mpvn.graph.memory import reads_past
from mpvn.graph.nesting import functional_graph

_announced: weakref.WeakSet = weakref.WeakSet()


def announce(model: keras.Model) -> None:
    """Warn, once for each model, that `model` is one node."""
    if model not in _announced:
        _announced.add(model)
        warnings.warn(
            f"{type(model).__name__} {model.name!r} has a call of its own, so it is one node of "
            f"the plan: its layers cannot be divided among subnetworks. {REMEDY}",
            UserWarning,
            stacklevel=5,
        )


REMEDY = (
    "To divide it, build a functional model, keras.Model(inputs, outputs), and put computations of "
    "its own into layers. If it is functional and its call adds nothing, as in the tasks of "
    "keras-hub, use keras.Model(model.inputs, model.outputs)."
)
"""How to expose the layers of a model."""


def symbolic_inputs(model: keras.Model) -> Any:
    """Return the inputs of `model` as a structure of symbolic tensors.

    Raises:
        TypeError: `model` is not a Keras model, or is not built.
    """
    functional = functional_graph(model)
    if functional is not None:
        return functional._inputs_struct
    shapes = _built_shapes(model)
    if shapes is None:
        raise TypeError(
            "Expected a Keras model that is built: a functional model, a built Sequential model, "
            "or a subclassed model that was called on a frame. "
            f"Received: {type(model).__name__} {getattr(model, 'name', '?')!r}. Build it with "
            "keras.Model(inputs, outputs), or call it on a batch of frames first."
        )
    tensors: list[keras.KerasTensor] = []

    def tensor(shape: tuple) -> keras.KerasTensor:
        name = f"input_{len(tensors)}" if tensors else "input"
        tensors.append(keras.KerasTensor((None, *shape[1:]), model.input_dtype, name=name))
        return tensors[-1]

    return keras.tree.map_shape_structure(tensor, shapes)


def symbolic_outputs(model: keras.Model, inputs: Any) -> Any:
    """Return the outputs of `model` for symbolic `inputs`, by tracing its call.

    Raises:
        ValueError: an output is not a tensor, or a layer in `model` needs past frames.
    """
    refuse_memory(model)
    outputs = backend.compute_output_spec(model, inputs)
    if not all(isinstance(output, keras.KerasTensor) for output in keras.tree.flatten(outputs)):
        raise ValueError(
            f"Expected a frame model whose outputs are tensors. Received: {model.name!r}, which "
            f"returns {outputs}."
        )
    return outputs


def refuse_memory(operation: keras.Operation) -> None:
    """Raise an error if `operation`, which is one node, has layers in it that need past frames."""
    if reads_past(operation) or not isinstance(operation, keras.layers.Layer):
        return
    layers = [layer.name for layer in operation._flatten_layers() if reads_past(layer)]
    if layers:
        model = isinstance(operation, keras.Model)
        raise ValueError(
            f"{type(operation).__name__} {operation.name!r} has a call of its own, so mpvn cannot "
            f"give its layers their past frames: {', '.join(layers)}. "
            f"{REMEDY if model else 'Call them in the functional model, not in another layer.'}"
        )


def _built_shapes(model: object) -> Any:
    """Return the input shapes that a subclassed model was built with; None if it was not."""
    if not isinstance(model, keras.Model) or not model.built:
        return None
    shapes = model._build_shapes_dict or {}
    return next(iter(shapes.values())) if len(shapes) == 1 else None

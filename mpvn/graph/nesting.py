"""Which models are read through, and what Keras does at their doors.

A functional or sequential model is read through, so that its layers can be divided among
subnetworks, only if this cannot change what Keras computes: the model is called as Keras itself
calls it. Any other model is one node.

Keras casts the inputs of a model to the dtypes that the model was built with, and adds or removes a
last axis of size 1. `Door` is the layer that does so where a model is read through.

This file uses Keras internals; `mpvn.graph.reading` says which files do.
"""

import dataclasses
import inspect
from typing import Any

import keras
from keras.src.models.functional import Functional

from mpvn.graph.structures import match_inputs

_FUNCTIONAL_METHODS = (
    "__call__",
    "call",
    "_standardize_inputs",
    "_convert_inputs_to_tensors",
    "_adjust_input_rank",
    "_run_through_graph",
)
_SEQUENTIAL_METHODS = ("__call__", "call", "input_dtype")
"""What Keras does from a call of a model to the calls of its layers."""


@dataclasses.dataclass(frozen=True)
class Inside:
    """The inside of a model that is read through.

    Attributes:
        functional: the functional model.
        arguments: the tensor for each of its inputs, outside.
    """

    functional: Functional
    arguments: list[keras.KerasTensor]


def functional_graph(model: Any) -> Any:
    """Return the Keras functional model in `model`; None if it has no graph of layers."""
    if isinstance(model, keras.Sequential):
        return model._functional
    return model if isinstance(model, Functional) else None


def reads_through(model: Any) -> bool:
    """Return whether calling the layers of `model` is all that Keras does when it calls `model`."""
    functional = functional_graph(model)
    if functional is None:
        return False
    sequential = isinstance(model, keras.Sequential)
    base = keras.Sequential if sequential else Functional
    methods = _SEQUENTIAL_METHODS if sequential else _FUNCTIONAL_METHODS
    changed = any(
        name in vars(model) or inspect.getattr_static(type(model), name) is not _static(base, name)
        for name in methods
    )
    return not (changed or model.activity_regularizer or model.supports_masking)


def inside(operation: keras.Operation, arguments: Any) -> Inside | None:
    """Return the inside of a model that is called in another model, if it is read through.

    Args:
        operation: what is called.
        arguments: Keras's record of the arguments, without implicit masks.
    """
    if not reads_through(operation):
        return None
    functional = functional_graph(operation)
    call = inspect.signature(type(operation).call)
    try:
        bound = call.bind(operation, *arguments.args, **arguments.kwargs).arguments
        values = match_inputs(functional._inputs_struct, bound.pop("inputs"))
    except (TypeError, ValueError):
        return None  # Keras decides what to do with these arguments
    for name in ("self", "training"):
        bound.pop(name, None)
    more = [value for value in keras.tree.flatten(bound) if value is not None]
    if more or not all(isinstance(value, keras.KerasTensor) for value in values):
        return None
    return Inside(functional, values)


@keras.saving.register_keras_serializable(package="mpvn")
class Door(keras.layers.Layer):
    """Gives a tensor the dtype and the rank that a nested model expects, as Keras does.

    Args:
        dtype: the dtype that the model was built with.
        rank: its rank, with the batch axis. A last axis of size 1 is added or removed.

    Call arguments:
        inputs: a tensor; a mask passes unchanged.
    """

    def __init__(self, dtype: str, rank: int, **kwargs: Any) -> None:
        super().__init__(autocast=False, **kwargs)
        self._to, self._rank = dtype, rank
        self.supports_masking = True
        self.built = True

    def call(self, inputs):
        value = keras.ops.convert_to_tensor(inputs, dtype=self._to)
        if len(value.shape) > self._rank:
            return keras.ops.squeeze(value, axis=-1)
        return value if len(value.shape) == self._rank else keras.ops.expand_dims(value, axis=-1)

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "dtype": self._to, "rank": self._rank}


def _static(owner: type, name: str) -> object:
    return inspect.getattr_static(owner, name)

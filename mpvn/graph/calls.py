"""Calls of Keras operations, as they were recorded when a model was built.

A call does what Keras does when it runs the model: it fills in the arguments, passes the training
mode on, casts variables as the model around it does, and attaches masks to tensors. Implicit masks
(`keras.layers.Embedding(mask_zero=True)`, `keras.layers.Masking`) are arguments and results like
all others, so that whoever delays or holds a tensor does the same with its mask.

This file uses Keras internals; `mpvn.graph.reading` says which files do.
"""

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import tensorflow as tf
from keras.src import backend
from keras.src.backend import get_keras_mask as get_mask
from keras.src.backend import set_keras_mask
from keras.src.backend.common import global_state

from keras_layers.recurrent import RecurrentLayer


@dataclasses.dataclass(frozen=True, eq=False)
class Call:
    """One call of an operation.

    Attributes:
        operation: the Keras layer or operation.
        arguments: Keras's record of the arguments, without implicit masks.
        training: the training mode, if the network's is None.
        scope: the `AutocastScope` around the call, which says to what dtype variables are cast.
        dtypes: the dtype of each output.
        masks: for each tensor among the arguments, the position of its mask among the masks that
            the call gets; None if it has none.
        masked_outputs: positions of the outputs that have masks.
    """

    operation: keras.Operation
    arguments: Any
    training: bool | None
    scope: Any
    dtypes: tuple[str, ...]
    masks: tuple[int | None, ...]
    masked_outputs: tuple[int, ...] = ()

    def __call__(self, values: list, training: bool | None = None) -> list:
        """Run the operation.

        Args:
            values: the tensors among the arguments, then their masks; for a recurrent layer, its
                input, then its memory, which is empty if it is left out.
            training: the network's training mode.

        Returns:
            The outputs, then their masks; for a recurrent layer, its memory after the call.
        """
        tensors, masks = values[: len(self.masks)], values[len(self.masks) :]
        outputs = self.run(tensors, masks, training)
        results = [get_mask(outputs[position]) for position in self.masked_outputs]
        if not _symbolic(tensors):  # symbolic tensors keep their masks
            for tensor in (*tensors, *outputs):
                set_mask(tensor, None)
        return [*map(_cast, outputs, self.dtypes), *results]

    def run(self, tensors: list, masks: list, training: bool | None) -> list:
        """Return the outputs as the operation returns them, with masks attached.

        Args:
            tensors: the tensors among the arguments.
            masks: their masks, or the memory of a recurrent layer.
            training: the network's training mode.
        """
        for tensor, position in zip(tensors, self.masks, strict=True):
            set_mask(tensor, None if position is None else masks[position])
        ids = map(id, self.arguments.keras_tensors)
        args, kwargs = self.arguments.fill_in(dict(zip(ids, tensors, strict=True)))
        if isinstance(self.operation, RecurrentLayer) and not _symbolic(tensors):
            args, kwargs = ([*tensors, *masks],), {}  # in a list, so that the memory is returned
        training = self.training if training is None else training
        if training is not None and takes_training(self.operation):
            kwargs = {**kwargs, "training": training}
        # TensorFlow takes the name of a layer such as "_hidden" only inside a scope.
        with _autocast(self.scope), tf.name_scope("frame_model"):
            return keras.tree.flatten(self.operation(*args, **kwargs))

    @property
    def constants(self) -> list[Any]:
        """The arguments that are not tensors of the model."""
        arguments = keras.tree.flatten((self.arguments.args, self.arguments.kwargs))
        return [value for value in arguments if not isinstance(value, keras.KerasTensor)]


@dataclasses.dataclass(frozen=True)
class Traced:
    """What a call does, seen by tracing it: specs of symbolic tensors.

    Attributes:
        outputs: its outputs.
        masks: the mask of each output, or None.
        left: for each tensor among the arguments, whether its mask is attached after the call.
    """

    outputs: list[keras.KerasTensor]
    masks: list[keras.KerasTensor | None]
    left: list[bool]


def trace(
    call: Call, tensors: Sequence[keras.KerasTensor], masks: Sequence[keras.KerasTensor] = ()
) -> Traced:
    """Trace `call` for the specs of the tensors among its arguments, and of their masks."""
    left: list[bool] = []

    def run(*values: Any) -> tuple[list, list]:
        arguments = list(values[: len(tensors)])
        outputs = call.run(arguments, list(values[len(tensors) :]), training=False)
        left.extend(get_mask(value) is not None for value in arguments)
        return outputs, [get_mask(output) for output in outputs]

    outputs, found = backend.compute_output_spec(run, *tensors, *masks)
    return Traced(outputs, found, left)


def takes_training(operation: keras.Operation) -> bool:
    """Return whether `operation`, or a layer inside it, has a training mode, as Keras decides it.

    Keras passes the mode to every layer, also to one whose `call` has no such argument: the layers
    inside get it.
    """
    return "training" in getattr(operation, "_call_context_args", ())


@contextlib.contextmanager
def _autocast(scope: Any) -> Iterator[None]:
    outside = global_state.get_global_attribute("autocast_scope")
    global_state.set_global_attribute("autocast_scope", scope)
    try:
        yield
    finally:
        global_state.set_global_attribute("autocast_scope", outside)


def set_mask(tensor: Any, mask: Any) -> None:
    """Attach the implicit `mask` to `tensor`, or remove it if `mask` is None."""
    if mask is not None or get_mask(tensor) is not None:
        set_keras_mask(tensor, mask)


def _symbolic(tensors: list) -> bool:
    """Return whether a call on `tensors` becomes a part of a functional model."""
    return any(isinstance(tensor, keras.KerasTensor) for tensor in tensors)


def _cast(value: Any, dtype: str) -> Any:
    """Return `value` in the dtype that Keras declared when the model was built."""
    same = keras.backend.standardize_dtype(value.dtype) == dtype
    return value if same else keras.ops.cast(value, dtype)

"""Layers as pure functions: variables' values go in; outputs, new values and losses come out.

Needed wherever a layer runs more often than its caller sees: in the body of a loop over steps, or a
second time in a backward pass. Then batch norm still counts a frame once, and dropout keeps its
mask.

What it does not do well: it knows only the state that Keras knows. Numbers drawn from `tf.random`
differ from call to call, and a `tf.Variable` is assigned at every call.

This file reads Keras internals (`global_state`): Keras has no public way to read a variable in its
own dtype inside a layer that casts it, to call a layer later as if it were called now, or to
leave a variable without a value.
"""

import contextlib
import copy
from collections.abc import Iterable, Iterator
from typing import Any

import keras
import tensorflow as tf
from keras.src.backend.common import global_state

CallContext = dict[str, Any]
"""What layers take from around their call: `training`, and the dtype that variables are cast to."""

_ATTRIBUTES = ("current_call_ctx", "autocast_scope")


def call_context() -> CallContext:
    """Return a copy of the present call context."""
    return {name: copy.copy(global_state.get_global_attribute(name)) for name in _ATTRIBUTES}


@contextlib.contextmanager
def restored_context(context: CallContext) -> Iterator[None]:
    """Call layers and read variables as in `context`; `{}` is outside of any layer."""
    outside = {name: global_state.get_global_attribute(name) for name in _ATTRIBUTES}
    for name in _ATTRIBUTES:
        # Layer calls change the context in place, so each call gets a copy.
        global_state.set_global_attribute(name, copy.copy(context.get(name)))
    try:
        yield
    finally:
        for name, value in outside.items():
            global_state.set_global_attribute(name, value)


@contextlib.contextmanager
def without_values() -> Iterator[None]:
    """Build models whose variables have shapes, but no values: for plans and counts, not for calls.

    A large network is built in a fraction of the time, without the memory of its weights.
    """
    waiting = global_state.get_global_attribute("uninitialized_variables")
    try:
        with keras.StatelessScope(initialize_variables=False):
            yield
    finally:
        # Keras would initialize the variables when another scope ends.
        global_state.set_global_attribute("uninitialized_variables", waiting)


def read_variables(variables: Iterable[keras.Variable]) -> list[tf.Tensor]:
    """Return the values of `variables` in their own dtypes."""
    with restored_context({}):
        return [tf.convert_to_tensor(variable.value) for variable in variables]


class PureScope(keras.StatelessScope):
    """A scope in which layers read and assign tensors in place of their variables.

    No gradient flows through an assigned value, as none flows through an assigned variable.

    Args:
        variables: all variables that the layers may use.
        values: a tensor for each.
        remedy: the last sentence of error messages.

    Attributes:
        layer: the layer that is being called, which error messages name. The caller sets it.
        assigned: the variables that layers assigned, by id, in order.
        added_losses: pairs of a layer and a loss that it added.
    """

    def __init__(
        self,
        variables: Iterable[keras.Variable] = (),
        values: Iterable[tf.Tensor] = (),
        remedy: str = "",
    ) -> None:
        with restored_context({}):  # or values would be cast to the dtype of the calling layer
            super().__init__(zip(variables, values, strict=True), collect_losses=True)
        self.layer: Any = None
        self.assigned: dict[int, keras.Variable] = {}
        self.added_losses: list[tuple[Any, tf.Tensor]] = []
        self._remedy = remedy

    def get_current_value(self, variable: keras.Variable) -> tf.Tensor:
        if id(variable) not in self.state_mapping:
            raise self._error("reads", variable)
        return super().get_current_value(variable)

    def add_update(self, update: tuple[keras.Variable, tf.Tensor]) -> None:
        variable, value = update
        if id(variable) not in self.state_mapping or variable.trainable:
            raise self._error("assigns", variable)
        self.assigned[id(variable)] = variable
        super().add_update((variable, tf.stop_gradient(value)))

    def add_loss(self, loss: tf.Tensor) -> None:
        self.added_losses.append((self.layer, loss))

    def _error(self, verb: str, variable: keras.Variable) -> ValueError:
        return ValueError(
            f"Layer {self.layer.name!r} {verb} the variable {variable.path!r}, so it cannot run as "
            "a pure function. Expected a layer that reads only its own variables and assigns only "
            "non-trainable ones. Random layers need a keras.random.SeedGenerator of their own, "
            f"and training=True. {self._remedy}".rstrip()
        )


class DiscardedUpdates(keras.StatelessScope):
    """A scope in which layers leave no trace.

    Layers read their variables. What they assign, and the losses that they add, end with the scope.
    """

    def __init__(self) -> None:
        super().__init__(collect_losses=True, initialize_variables=False)

    def get_current_value(self, variable: keras.Variable) -> tf.Tensor | None:
        value = super().get_current_value(variable)
        if value is None and self.original_scope is not None:
            return self.original_scope.get_current_value(variable)
        return value


def refuse_losses(layers: Iterable[str], remedy: str = "Remove these losses.") -> None:
    """Raise an error if there are layers that add losses at each step.

    Args:
        layers: names of the layers that added losses.
        remedy: the last sentence of the message.

    Raises:
        ValueError: there are any.
    """
    names = ", ".join(dict.fromkeys(layers))
    if names:
        raise ValueError(
            f"Layers that run step by step add losses (by an activity regularizer or `add_loss`): "
            f"{names}. Expected layers without losses, because a loss cannot leave the loop over "
            f"steps. {remedy}"
        )

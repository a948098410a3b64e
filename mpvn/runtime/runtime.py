"""What a runtime does: compiles units, and holds values."""

import abc
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from mpvn.runtime.freeze import Frozen
from mpvn.runtime.specs import Specs

Value = Any
"""A value `[B, ...]` as a runtime holds it."""

Run = Callable[[Sequence[Value]], Sequence[Value]]
"""Runs a unit: takes the values that it reads, and returns those that it computes."""

NO_BFLOAT16 = (
    "{runtime} does not compute in bfloat16 on this machine, and would use float32. Expected "
    "precision='float32'. Received: precision='bfloat16'."
)


class Runtime(abc.ABC):
    """A library that runs units.

    Attributes:
        handover: dtype in which units hand over float32 values; None for float32.
        masks: whether Keras masks can be attached to what users get.
        threads: number of threads that run a unit.
    """

    handover: str | None = None
    masks: bool = True
    threads: int = 1

    @abc.abstractmethod
    def compile(self, frozen: Frozen, specs: Specs) -> Run:
        """Return a function that runs a unit on any number of streams.

        Threads may call it at once.

        Args:
            frozen: the unit.
            specs: the specs in which values are handed over, by place.
        """

    @abc.abstractmethod
    def array(self, value: Any, dtype: str) -> Any:
        """Return what a user passed as an array or a tensor."""

    @abc.abstractmethod
    def hold(self, value: Any, spec: tf.TensorSpec) -> Value:
        """Return a user's array or tensor as a value that no user can change.

        Raises:
            TypeError: its dtype is of another kind.
        """

    def borrow(self, value: Any, spec: tf.TensorSpec) -> Value:
        """Return a user's array or tensor as a value for a call, in which no user changes it.

        Raises:
            TypeError: its dtype is of another kind.
        """
        return self.hold(value, spec)

    @abc.abstractmethod
    def show(self, value: Value) -> Any:
        """Return a value as a user's array or tensor."""

    @abc.abstractmethod
    def stack(self, steps: list[Any]) -> Any:
        """Return users' arrays or tensors `[B, ...]` of each step as one `[B, T, ...]`."""

    @abc.abstractmethod
    def gather(self, value: Value, rows: list[int]) -> Value:
        """Return some rows of a value."""

    @abc.abstractmethod
    def scatter(self, value: Value, rows: list[int], new: Value) -> Value:
        """Return a copy of a value with other rows."""

    @abc.abstractmethod
    def zeros(self, rows: int, spec: tf.TensorSpec) -> Value:
        """Return zeros `[rows, ...]`."""

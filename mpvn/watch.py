"""Notices when the layers of a network change, so that traced functions do not go stale.

`trainable`, an activation, LoRA, quantization, a dtype policy, a rate: all are attributes, and
whoever assigns an attribute of a layer calls the layer's tracker. Trackers of watched layers count
these calls. So a step costs one comparison of numbers as long as nothing changes.

What it does not notice: changes without an assignment, such as an item of a list, and attributes of
objects that are no layers.

This file uses Keras internals (`Tracker`, `_compile_config`); `tests/test_stale_traces.py` fails if
they change.
"""

import itertools
from typing import Any

import keras
import tensorflow as tf
from keras.src.utils.tracking import Tracker

from mpvn.graph.data import Graph


class CountingTracker(Tracker):
    """A layer's tracker that also counts assignments.

    Attributes:
        assignments: number of assigned attributes of all watched layers.
    """

    assignments = 0

    def track(self, attr: Any) -> Any:
        CountingTracker.assignments += 1
        return super().track(attr)


class LayerWatch:
    """Watches the layers of a network, the layers inside of them, and the call of `compile`.

    Args:
        network: the network.
        graph: its frame model.
    """

    def __init__(self, network: keras.Model, graph: Graph) -> None:
        self._network = network
        self._graph = graph
        self._attributes: list[dict[str, Any]] = []
        self._values: list[Any] = []
        self._assignments = 0
        self.update()

    def changed(self) -> bool:
        """Return whether an attribute was assigned another object since the last update."""
        if CountingTracker.assignments == self._assignments:
            return False
        self._assignments = CountingTracker.assignments
        values = self._read()
        return len(values) != len(self._values) or not all(map(_is_same, values, self._values))

    def update(self) -> None:
        """Remember the layers as they are now."""
        operations = self._graph.operations
        for operation in (self._network, *operations):
            tracker = getattr(operation, "_tracker", None)
            if type(tracker) is Tracker:
                tracker.__class__ = CountingTracker
        self._assignments = CountingTracker.assignments
        self._attributes = [vars(operation) for operation in operations]
        self._values = self._read()

    def _read(self) -> list[Any]:
        values = (attributes.values() for attributes in self._attributes)
        compiled = vars(self._network).get("_compile_config")  # another one at every compile
        return [compiled, *itertools.chain.from_iterable(values)]


def _is_same(new: object, old: object) -> bool:
    """Return whether two values are one object, or tensors that a layer kept from traces."""
    return new is old or (tf.is_symbolic_tensor(new) and tf.is_symbolic_tensor(old))

"""The protocol of executors: where a run keeps its values, and which ones a group of nodes uses.

    place            step by step                            layer by layer
    now(tensor)      the tensor at this step, [B, ...]       its n ticks in the clip, [B, n, ...]
    before(slot)     the slot before the step, [B, ...]      the slot before the clip
    after(slot)      the slot after it, [B, ...]             the slot after it

A slot is one tick in a history (`mpvn.plan.history`). An executor lists the places that a node
reads and fills; from these, `Run` derives what enters and leaves a group of nodes. So a group can
run under a condition (`step`), as a pure function (`segment`), or under its own gradient tape
(`mpvn.sideways.stepper`).
"""

import abc
import copy
import enum
from typing import NamedTuple, Self

import tensorflow as tf

from mpvn.graph.data import Node
from mpvn.plan import Plan
from mpvn.plan.history import Read

State = dict[str, tf.Tensor]
"""Slots `[B, ...]` by name: everything that a network keeps from one step to the next."""


class Time(enum.Enum):
    """When a run holds a value."""

    NOW = "computed in this step, or in this clip"
    BEFORE = "kept from before it"
    AFTER = "kept for after it"


class Place(NamedTuple):
    """Where a run holds a value: a tensor (by index) now, a slot (by name) before or after."""

    time: Time
    key: int | str


def now(tensor: int) -> Place:
    """Return the place of the tensor with this index."""
    return Place(Time.NOW, tensor)


def before(slot: str) -> Place:
    """Return the place of the slot before the step or clip."""
    return Place(Time.BEFORE, slot)


def after(slot: str) -> Place:
    """Return the place of the slot after the step or clip."""
    return Place(Time.AFTER, slot)


class Run(abc.ABC):
    """A step, a frame or a clip while it is being computed.

    Args:
        plan: the plan to run.
        training: as in Keras.
        values: the values so far, which `compute` adds to.
    """

    def __init__(
        self, plan: Plan, training: bool | None = None, values: dict[Place, tf.Tensor] | None = None
    ) -> None:
        self.plan = plan
        self.training = training
        self.values: dict[Place, tf.Tensor] = {} if values is None else values

    @abc.abstractmethod
    def compute(self, node: Node) -> None:
        """Compute `node` from `values`, and add its results to them."""

    @abc.abstractmethod
    def reads(self, node: Node | None) -> list[Place]:
        """Return the places that `node` reads; for None, those of the model's outputs."""

    def fills(self, node: Node) -> list[Place]:
        """Return the places that `node` fills."""
        slots = [
            slot for history in self.plan.histories.produced_by([node]) for slot in history.slots
        ]
        return [*map(now, node.outputs), *map(after, slots)]

    def entering(self, nodes: list[Node]) -> list[Place]:
        """Return the places that `nodes`, computed in order, read but do not fill themselves."""
        filled = {place for node in nodes for place in self.fills(node)}
        places = dict.fromkeys(place for node in nodes for place in self.reads(node))
        return [place for place in places if place not in filled]

    def leaving(self, nodes: list[Node]) -> list[Place]:
        """Return the places that `nodes` fill for others: other nodes, outputs, the next step."""
        inside = {node.index for node in nodes}
        readers = [None, *(n for n in self.plan.graph.nodes if n.index not in inside)]
        read = {place for reader in readers for place in self.reads(reader)}
        filled = [place for node in nodes for place in self.fills(node)]
        return [place for place in filled if place.time is Time.AFTER or place in read]

    def edges(self, node: Node | None) -> list[Read]:
        """Return how `node`, or the model's outputs (None), read tensors."""
        histories = self.plan.histories
        if node is None:
            return [histories.output_read(tensor) for tensor in self.plan.graph.outputs]
        return histories.reads(node)

    def state_after(self) -> State:
        """Return the slots after the step or clip, once all nodes have run."""
        return {
            slot: _shaped(self.values[after(slot)], spec.shape)
            for slot, spec in self.plan.histories.specs.items()
        }

    def with_values(self, values: dict[Place, tf.Tensor]) -> Self:
        """Return a copy of the run with other values."""
        run = copy.copy(self)
        run.values = values
        return run


def _shaped(value: tf.Tensor, shape: tf.TensorShape) -> tf.Tensor:
    """Return `value` with the static `shape`, which a layer may have lost while it is traced."""
    return value if value.shape.is_subtype_of(shape) else tf.ensure_shape(value, shape)

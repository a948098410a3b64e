"""What travels between subnetworks on devices of their own: bytes per step, from the plan.

    forward     what a subnetwork reads of others at its ticks, each value once a step
    backward    by Sideways, the gradient of each of these values, the other way

A temporal layer that reads another subnetwork reads all ticks of its window there. Frames come from
outside, and outputs go there: they are not counted.
"""

from collections.abc import Callable, Hashable, Mapping
from typing import NamedTuple

import tensorflow as tf

from mpvn.graph.data import Node
from mpvn.plan.history import Read
from mpvn.plan.plan import Plan

Traffic = Mapping[tuple[int, int], float]
"""Bytes per step from one subnetwork to another: a mean over a period, for one stream."""


def forward_traffic(plan: Plan) -> Traffic:
    """Return the bytes of the values that subnetworks read; nothing within a device.

    A plan without devices is taken as if each subnetwork had its own. What several subnetworks of
    one device read is counted once, for the first.
    """
    return _mean([_between_devices(plan, step) for step in range(plan.period)])


def backward_traffic(plan: Plan) -> Traffic:
    """Return the bytes of the gradients that Sideways sends, for a plan that it can train."""
    dtypes = [tf.as_dtype(tensor.dtype) for tensor in plan.graph.tensors]
    values = {
        value._replace(source=value.target, target=value.source): size
        for value, size in _between_devices(plan, 0).items()
        if dtypes[value.tensor].is_floating
    }
    return _mean([values])


class Value(NamedTuple):
    """A value that a subnetwork reads of another one.

    Attributes:
        source: the subnetwork that makes it.
        target: the subnetwork that reads it.
        tensor: index of the tensor that it is a tick of.
        slot: the slot that holds it; empty for one that is computed in this step.
        delay: steps from the newest tick that the reader sees to the reader.
    """

    source: int
    target: int
    tensor: int
    slot: str
    delay: int


def values_of_step(
    plan: Plan, step: int, lane: Callable[[Node], int], place: Callable[[int], Hashable]
) -> dict[Value, int]:
    """Return the bytes of each value that is read at another place in a step.

    Args:
        plan: the plan.
        step: number of the step.
        lane: the subnetwork of a node.
        place: the place of a subnetwork. What several of one place read is counted for the first.
    """
    values: dict[Value, int] = {}
    arrived: set[tuple[Hashable, int, str]] = set()
    for node in sorted(plan.graph.nodes, key=lane):
        target = lane(node)
        for read in plan.histories.reads(node) if plan.clock(node).ticks(step) else ():
            producer = plan.graph.producer(read.tensor)
            source = target if producer is None else lane(producer)
            if place(source) == place(target):
                continue
            for slot, size in _ticks(plan, read).items():
                if (place(target), read.tensor, slot) not in arrived:
                    arrived.add((place(target), read.tensor, slot))
                    values[Value(source, target, read.tensor, slot, read.delay)] = size
    return values


def _ticks(plan: Plan, read: Read) -> dict[str, int]:
    """Return the bytes of what a node reads, by slot: the newest tick, and older ones."""
    newest = read.held.slots[-1] if read.held else ""
    ticks = {newest: plan.graph.tensors[read.tensor].bytes}
    if read.past:
        end = read.past.depth - (read.held is not None)
        size = tf.TensorShape(read.past.spec.shape[1:]).num_elements() * read.past.spec.dtype.size
        for slot in read.past.slots[end + 1 - read.window : end]:
            ticks[slot] = size
    return ticks


def _between_devices(plan: Plan, step: int) -> dict[Value, int]:
    return values_of_step(plan, step, plan.column, lambda part: plan.devices[part] or part)


def _mean(steps: list[dict[Value, int]]) -> Traffic:
    totals: dict[tuple[int, int], float] = {}
    for values in steps:
        for value, size in values.items():
            ends = value.source, value.target
            totals[ends] = totals.get(ends, 0) + size / len(steps)
    return dict(sorted(totals.items()))

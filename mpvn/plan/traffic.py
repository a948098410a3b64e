"""What travels between subnetworks on devices of their own: bytes per step, from the plan.

    forward     what a subnetwork reads of others at its ticks, each value once a step
    backward    by Sideways, the gradient of each of these values, the other way

A temporal layer that reads another subnetwork reads all ticks of its window there. Frames come from
outside, and outputs go there: they are not counted.
"""

from collections.abc import Mapping

import tensorflow as tf

from mpvn.plan.history import Read
from mpvn.plan.plan import Plan

Traffic = Mapping[tuple[int, int], float]
"""Bytes per step from one subnetwork to another: a mean over a period, for one stream."""


def forward_traffic(plan: Plan) -> Traffic:
    """Return the bytes of the values that subnetworks read; nothing within a device.

    A plan without devices is taken as if each subnetwork had its own. What several subnetworks of
    one device read is counted once, for the first.
    """
    return _mean(plan, [_values_of_step(plan, step) for step in range(plan.period)])


def backward_traffic(plan: Plan) -> Traffic:
    """Return the bytes of the gradients that Sideways sends, for a plan that it can train."""
    dtypes = [tf.as_dtype(tensor.dtype) for tensor in plan.graph.tensors]
    values = {
        (target, source, key): size
        for (source, target, key), size in _values_of_step(plan, 0).items()
        if dtypes[key[0]].is_floating
    }
    return _mean(plan, [values])


_Values = dict[tuple[int, int, tuple[int, str]], int]
"""Bytes of each value by source, target, and key: the index of its tensor, and its slot if any."""


def _values_of_step(plan: Plan, step: int) -> _Values:
    """Return what crosses devices in a step."""
    values: _Values = {}
    arrived: set[tuple[object, tuple[int, str]]] = set()
    for node in sorted(plan.graph.nodes, key=plan.column):
        target = plan.column(node)
        for read in plan.histories.reads(node) if plan.clock(node).ticks(step) else ():
            producer = plan.graph.producer(read.tensor)
            source = target if producer is None else plan.column(producer)
            if _place(plan, source) == _place(plan, target):
                continue
            for key, size in _ticks(plan, read).items():
                if (_place(plan, target), key) not in arrived:
                    arrived.add((_place(plan, target), key))
                    values[source, target, key] = size
    return values


def _ticks(plan: Plan, read: Read) -> dict[tuple[int, str], int]:
    """Return the bytes of each value that a node reads: the newest tick, and the older ones."""
    newest = read.held.slots[-1] if read.held else ""
    ticks = {(read.tensor, newest): plan.graph.tensors[read.tensor].bytes}
    if read.past:
        end = read.past.depth - (read.held is not None)
        size = tf.TensorShape(read.past.spec.shape[1:]).num_elements() * read.past.spec.dtype.size
        for slot in read.past.slots[end + 1 - read.window : end]:
            ticks[read.tensor, slot] = size
    return ticks


def _place(plan: Plan, subnetwork: int) -> object:
    """Return where a subnetwork is: its device, or a place of its own."""
    return plan.devices[subnetwork] or subnetwork if any(plan.devices) else subnetwork


def _mean(plan: Plan, steps: list[_Values]) -> Traffic:
    totals: dict[tuple[int, int], float] = {}
    for values in steps:
        for (source, target, _), size in values.items():
            totals[source, target] = totals.get((source, target), 0) + size / len(steps)
    return dict(sorted(totals.items()))

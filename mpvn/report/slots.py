"""A plan's network as bars and links: what the architecture figure draws.

Of a network's several hundred nodes most only normalize, activate or pad what the node before them
made. They share its bar, so that a figure shows layers and merges rather than every operation.
"""

import dataclasses
import math
from typing import NamedTuple

import keras

from mpvn.plan import Plan
from mpvn.plan.clock import EVERY_STEP, Clock
from mpvn.plan.graph import Node, Tensor
from mpvn.plan.units import UNIT_SEPARATOR


@dataclasses.dataclass
class Slot:
    """Nodes that share a bar, or one of the model's inputs.

    Attributes:
        tensor: what the first of them makes, or the input.
        subnetwork: `Plan.subnetworks` for the head, None for an input.
        clock: when they compute.
        nodes: in plan order; none for an input.
        cost: multiply-adds of one tick.
    """

    tensor: Tensor
    subnetwork: int | None = None
    clock: Clock = EVERY_STEP
    nodes: list[Node] = dataclasses.field(default_factory=list)
    cost: int = 0

    @property
    def name(self) -> str:
        """Name of the first node, or of the input."""
        return self.nodes[0].name if self.nodes else self.tensor.name

    @property
    def extent(self) -> int:
        """Longer side of the map in pixels; 1 for a vector."""
        return max(self.tensor.shape[:-1], default=1)


class Link(NamedTuple):
    """That the bar numbered `end` reads the one numbered `start`, `delay` steps late."""

    start: int
    end: int
    delay: int
    feedback: bool


def slots_and_links(plan: Plan) -> tuple[list[Slot], list[Link]]:
    """The bars of a plan, inputs first, then in plan order; and what they read, each once."""
    graph = plan.graph
    slots = [Slot(graph.tensors[index]) for index in graph.inputs]
    maker = dict(zip(graph.inputs, range(len(slots)), strict=True))  # bar of each tensor
    links: dict[Link, None] = {}
    later: list[tuple[int, int]] = []  # what is fed back: (tensor, bar of the feedback)
    for node in graph.nodes:
        bar = maker[node.inputs[0]] if _shares(plan, node) else len(slots)
        if bar == len(slots):
            tensor = graph.tensors[node.outputs[0]]
            slots.append(Slot(tensor, plan.subnetwork(node), plan.clock(node)))
        slots[bar].nodes.append(node)
        slots[bar].cost += plan.node_costs[node.index]
        maker |= dict.fromkeys(node.outputs, bar)
        for read in plan.histories.reads(node):
            if node.feedback_source:
                later.append((read.tensor, bar))
            elif maker[read.tensor] != bar:
                links[Link(maker[read.tensor], bar, read.delay, False)] = None
    links |= dict.fromkeys(Link(maker[tensor], bar, 1, True) for tensor, bar in later)
    return slots, list(links)


def _shares(plan: Plan, node: Node) -> bool:
    """Whether `node` does no more than normalize, activate, reshape or pad what one node made."""
    producer = plan.graph.producer(node.inputs[0]) if len(node.inputs) == 1 else None
    if producer is None or node.temporal or node.feedback_source or plan.node_costs[node.index]:
        return False
    if _company(plan, node) != _company(plan, producer):
        return False
    weights = getattr(node.operation, "weights", [])
    read, made = (plan.graph.tensors[t].shape for t in (node.inputs[0], node.outputs[0]))
    padded = isinstance(node.operation, keras.layers.ZeroPadding2D)
    same_size = math.prod(made) == math.prod(read)
    return (same_size or padded) and all(len(weight.shape) < 2 for weight in weights)


def _company(plan: Plan, node: Node) -> tuple[int, Clock, str]:
    """What nodes of one bar have in common: subnetwork, clock and unit."""
    unit, separator, _ = node.name.partition(UNIT_SEPARATOR)
    return plan.subnetwork(node), plan.clock(node), unit if separator else ""

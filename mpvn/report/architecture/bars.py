"""A plan's network as bars and links.

Most of a network's several hundred nodes only normalize, activate or pad the output of another
node. They share its bar, so that the figure shows layers and merges, not every operation.
"""

import dataclasses
import math
from typing import NamedTuple

import keras

from mpvn.graph.data import Node, Tensor
from mpvn.graph.memory import reads_past
from mpvn.plan import Plan
from mpvn.plan.clock import EVERY_STEP, Clock
from mpvn.plan.units import UNIT_SEPARATOR


@dataclasses.dataclass
class Bar:
    """An input of the model, or the nodes that share a bar.

    Attributes:
        tensor: The output of the first node, or the input.
        subnetwork: Index of the subnetwork; `Plan.subnetworks` for the head; None for an input.
        clock: Clock of the nodes.
        nodes: The nodes in plan order; empty for an input.
        cost: Multiply-adds of one tick.
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
        """The longer side of the feature map in pixels; 1 for a vector."""
        return max(self.tensor.shape[:-1], default=1)


class Link(NamedTuple):
    """One bar reads another.

    Attributes:
        start: Index of the bar that is read.
        end: Index of the bar that reads.
        delay: 1 if the bar reads the value of the previous step, else 0.
        feedback: Whether a `Feedback` layer reads.
    """

    start: int
    end: int
    delay: int
    feedback: bool

    @property
    def is_joint(self) -> bool:
        """Whether the bars are neighbors, so that a joint is drawn instead of an arc."""
        return self.end == self.start + 1 and not self.delay and not self.feedback


def bars_and_links(plan: Plan) -> tuple[list[Bar], list[Link]]:
    """Return the bars of a plan, inputs first, then in plan order, and the links between them."""
    graph = plan.graph
    bars = [Bar(graph.tensors[index]) for index in graph.inputs]
    bar_of = dict(zip(graph.inputs, range(len(bars)), strict=True))  # By index of the tensor.
    links: dict[Link, None] = {}
    feedback: list[tuple[int, int]] = []  # (tensor, bar that reads it). Tensors come later.
    for node in graph.nodes:
        index = bar_of[node.inputs[0]] if _shares_bar(plan, node) else len(bars)
        if index == len(bars):
            tensor = graph.tensors[node.outputs[0]]
            bars.append(Bar(tensor, plan.subnetwork(node), plan.clock(node)))
        bars[index].nodes.append(node)
        bars[index].cost += plan.multiply_adds[node.index]
        bar_of |= dict.fromkeys(node.outputs, index)
        for read in plan.histories.reads(node):
            if node.feedback_source:
                feedback.append((read.tensor, index))
            elif bar_of[read.tensor] != index:
                links[Link(bar_of[read.tensor], index, read.delay, False)] = None
    links |= dict.fromkeys(Link(bar_of[tensor], index, 1, True) for tensor, index in feedback)
    return bars, list(links)


def _shares_bar(plan: Plan, node: Node) -> bool:
    """Return whether `node` only normalizes, activates, reshapes or pads the output of one node."""
    producer = plan.graph.producer(node.inputs[0]) if len(node.inputs) == 1 else None
    if producer is None or reads_past(node.operation) or plan.multiply_adds[node.index]:
        return False
    if _group(plan, node) != _group(plan, producer):
        return False
    shapes = (plan.graph.tensors[index].shape for index in (node.inputs[0], node.outputs[0]))
    in_size, out_size = map(math.prod, shapes)
    is_padding = isinstance(node.operation, keras.layers.ZeroPadding2D)
    return (in_size == out_size or is_padding) and all(len(v.shape) < 2 for v in node.variables)


def _group(plan: Plan, node: Node) -> tuple[int, Clock, str]:
    """Return what all nodes of a bar have in common: subnetwork, clock and unit."""
    unit, separator, _ = node.name.partition(UNIT_SEPARATOR)
    return plan.subnetwork(node), plan.clock(node), unit if separator else ""

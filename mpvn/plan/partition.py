"""Rules for the boundaries, clock rates and phases of a plan.

Pure functions over a `Graph`. `mpvn.plan.resolve` calls them and checks the result.
"""

import itertools
import math
import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

import keras

from mpvn.graph.data import Graph, Node

Rates = tuple[int, ...]
"""A clock rate for each node."""

PARTITIONS = ("equal", "balanced", "units")
"""The ways to divide nodes among a number of subnetworks."""


def equal_starts(count: int, parts: int) -> list[int]:
    """Return the first index of each of `parts` runs that share `count` items (almost) equally."""
    return [part * count // parts for part in range(parts)]


def balanced_starts(costs: Sequence[float], parts: int) -> list[int]:
    """Return the first index of each of `parts` non-empty runs that minimize the highest run cost.

    Each run ends as late as that minimum allows, so the next run starts at the item that did not
    fit (in a network: at a convolution, not at the activation after one).
    """
    count = len(costs)

    def starts_within(bound: float) -> list[int]:
        """Fill the runs in order up to `bound`; the last run takes the rest."""
        starts, load = [0], costs[0]
        for item in range(1, count):
            runs_left = parts - len(starts)
            if runs_left and (load + costs[item] > bound or count - item == runs_left):
                starts.append(item)
                load = 0
            load += costs[item]
        return starts

    def highest_cost(starts: list[int]) -> float:
        return max(sum(costs[a:b]) for a, b in itertools.pairwise([*starts, count]))

    low, high = max(costs), sum(costs)
    while high - low > 1e-9 * sum(costs):
        middle = (low + high) / 2
        if highest_cost(starts_within(middle)) <= middle:
            high = middle
        else:
            low = middle
    return starts_within(high)


def inherited_rates(graph: Graph, choose: Callable[[Node, int], int | None]) -> Rates:
    """Return a rate for every node: `choose(node, inherited)`, or the inherited rate if None.

    A node inherits the smallest rate among its inputs, times its temporal stride. Feedback does not
    count, because every node after it would then tick at the rate of the feedback.
    """
    rates: list[int] = []
    for node in graph.nodes:
        inherited = lowest_rate(graph, node, rates) * node.temporal_stride
        chosen = choose(node, inherited)
        rates.append(inherited if chosen is None else chosen)
    return tuple(rates)


def lowest_rate(graph: Graph, node: Node, rates: Sequence[int]) -> int:
    """Return the smallest rate among the inputs of `node`; below it, the node would repeat work."""
    producers = graph.producers(node)
    if not producers or None in graph.sources(node):
        return 1
    forward = [p for p in producers if p.index not in graph.feedback_only]
    return min(rates[producer.index] for producer in forward or producers)


class AutoClocks(NamedTuple):
    """Clocks that follow from the model; see `auto_rates`.

    Attributes:
        most: the highest rate, before `every`; None for any.
        every: factor of all rates: the model sees one frame in `every`.
    """

    most: int | None = None
    every: int = 1

    @classmethod
    def parse(cls, text: str) -> "AutoClocks | None":
        """Return what text such as `auto`, `auto:4` and `2*auto:4` means; None for other text."""
        found = re.fullmatch(r"(?:([1-9]\d*)\*)?auto(?::([1-9]\d*))?", text)
        if not found:
            return None
        every, most = found.groups()
        return cls(int(most) if most else None, int(every or 1))

    def __str__(self) -> str:
        factor = f"{self.every}*" if self.every > 1 else ""
        return f"{factor}auto{f':{self.most}' if self.most else ''}"


def auto_rates(graph: Graph, clocks: AutoClocks) -> Rates:
    """Return rates that follow from the model.

    If the model has temporal strides, they set the rates. Otherwise the rate doubles with each
    halving of the spatial resolution after the first one, which is the stem's: 2, 4, 8, 16 for maps
    of 56, 28, 14 and 7 pixels from frames of 224, as in Par-DenseNet. A model that is one node
    keeps the rate of its inputs: its resolution says nothing about the layers inside.

    Args:
        graph: the nodes.
        clocks: the highest rate, and the factor of all rates.
    """
    strided = any(node.temporal_stride > 1 for node in graph.nodes)
    full = max((_extent(graph.tensors[t].shape) for t in graph.inputs), default=1)

    def by_resolution(node: Node, inherited: int) -> int | None:
        if node.feedback_source or node.temporal_stride > 1:
            return None
        extent = _extent(graph.tensors[node.outputs[0]].shape)
        if strided or extent <= 1 or isinstance(node.operation, keras.Model):
            return max(inherited, clocks.every)
        halvings = round(math.log2(max(full / extent, 1.0)))
        rate = 2 ** max(0, halvings - 1)
        return max(inherited, clocks.every * min(rate, clocks.most or rate))

    return inherited_rates(graph, by_resolution)


def chained_offsets(graph: Graph, subnetwork: Sequence[int], parts: int) -> list[int]:
    """Return the offset of each subnetwork: one step after the latest of those that it reads.

    Subnetworks of any nodes may read each other in a circle. So only what a subnetwork reads from
    lower-numbered ones counts.
    """
    sources: list[set[int]] = [set() for _ in range(parts)]
    for node in graph.nodes:
        part = subnetwork[node.index]
        if part < parts:
            sources[part] |= {subnetwork[p.index] for p in graph.producers(node)} - {part}
    offsets: list[int] = []
    for part in range(parts):
        lower = (offsets[source] for source in sources[part] if source < part)
        offsets.append(1 + max(lower, default=-1))
    return offsets


def _extent(shape: tuple[int, ...]) -> int:
    """Return the longer side of a map `(H, W, C)`; 1 for a shape without spatial axes."""
    return max(shape[:2]) if len(shape) == 3 else 1

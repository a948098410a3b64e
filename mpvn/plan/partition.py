"""The choices a plan is made of: where to cut, at which rate nodes tick, and when.

Pure functions over a `Graph`; `Plan` calls them and validates what comes out.
"""

import itertools
import math
from collections.abc import Callable, Sequence

from mpvn.plan.graph import Graph, Node

Rates = tuple[int, ...]
"""One clock rate per node."""

PARTITIONS = ("equal", "balanced", "units")
"""The ways to divide nodes among a number of subnetworks."""


def equal_starts(count: int, parts: int) -> list[int]:
    """First index of each of `parts` runs of (almost) equally many of `count` items."""
    return [part * count // parts for part in range(parts)]


def balanced_starts(costs: Sequence[float], parts: int) -> list[int]:
    """First index of each of `parts` non-empty runs whose dearest run is as cheap as possible.

    Runs are cut as late as the bound allows, so that a run begins at the item that no longer fitted
    (in a network: at a convolution, not at the activation after one).
    """
    count = len(costs)

    def starts_within(bound: float) -> list[int]:
        """Runs filled one after the other up to `bound`; the last takes what is left."""
        starts, load = [0], costs[0]
        for item in range(1, count):
            runs_left = parts - len(starts)
            if runs_left and (load + costs[item] > bound or count - item == runs_left):
                starts.append(item)
                load = 0
            load += costs[item]
        return starts

    def dearest(starts: list[int]) -> float:
        return max(sum(costs[a:b]) for a, b in itertools.pairwise([*starts, count]))

    low, high = max(costs), sum(costs)
    while high - low > 1e-9 * sum(costs):
        middle = (low + high) / 2
        if dearest(starts_within(middle)) <= middle:
            high = middle
        else:
            low = middle
    return starts_within(high)


def inherited_rates(graph: Graph, given: Callable[[Node, int], int | None]) -> Rates:
    """A rate for every node: what `given(node, inherited)` says or, where it says None, inherited.

    A node inherits the smallest rate among what it reads, times its temporal stride. What is fed
    back does not count, for it would make everything it reaches tick at its own rate.
    """
    rates: list[int] = []
    for node in graph.nodes:
        inherited = least_rate(graph, node, rates) * node.temporal_stride
        wanted = given(node, inherited)
        rates.append(inherited if wanted is None else wanted)
    return tuple(rates)


def least_rate(graph: Graph, node: Node, rates: Sequence[int]) -> int:
    """The smallest rate among what `node` reads; below it, a node would repeat its work."""
    producers = graph.producers(node)
    if not producers or None in graph.sources(node):
        return 1
    forward = [p for p in producers if p.index not in graph.fed_back]
    return min(rates[producer.index] for producer in forward or producers)


def auto_rates(graph: Graph) -> Rates:
    """Rates from the model itself.

    A model with temporal strides has said them. For any other, the rate doubles with each halving
    of the spatial resolution after the first, which is the stem's: 2, 4, 8, 16 for maps of 56, 28,
    14 and 7 pixels from frames of 224, as in Par-DenseNet.
    """
    if any(node.temporal_stride > 1 for node in graph.nodes):
        return inherited_rates(graph, lambda node, inherited: None)
    full = max((_extent(graph.tensors[t].shape) for t in graph.inputs), default=1)

    def by_resolution(node: Node, inherited: int) -> int | None:
        extent = _extent(graph.tensors[node.outputs[0]].shape)
        if extent <= 1 or node.feedback_source:
            return None
        halvings = round(math.log2(max(full / extent, 1.0)))
        return max(inherited, 2 ** max(0, halvings - 1))

    return inherited_rates(graph, by_resolution)


def chained_offsets(graph: Graph, subnetwork: Sequence[int], parts: int) -> list[int]:
    """An offset per subnetwork: each ticks one step after the latest of those that feed it."""
    feeding: list[set[int]] = [set() for _ in range(parts)]
    for node in graph.nodes:
        mine = subnetwork[node.index]
        if mine < parts:
            others = {subnetwork[p.index] for p in graph.producers(node)}
            feeding[mine] |= others - {mine}
    offsets: list[int] = []
    for part in range(parts):
        offsets.append(1 + max((offsets[other] for other in feeding[part]), default=-1))
    return offsets


def _extent(shape: tuple[int, ...]) -> int:
    """Longer side of a map `(H, W, C)`; 1 for anything without spatial axes."""
    return max(shape[:2]) if len(shape) == 3 else 1

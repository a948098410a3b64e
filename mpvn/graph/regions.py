"""Merges nodes that regroup the batch axis into regions that keep it.

    partition  [B, H, W, C] -> [B*n, w, w, C]      \\
    attention  of each window                       >  one node, [B, H, W, C] -> [B, H, W, C]
    reverse    [B*n, w, w, C] -> [B, H, W, C]      /

A region starts at a node that regroups the batch axis, and includes every node that reads a tensor
without it (`mpvn.graph.batch_axis`), until all tensors that leave have it again. It is one node:
a plan cannot divide it. A model whose outputs never have the batch axis again mixes its streams.
"""

import collections
import dataclasses
import heapq

import keras

from mpvn.graph.batch_axis import BatchAxis, find_batch_axis
from mpvn.graph.data import Graph, Node
from mpvn.graph.memory import reads_past


class RegionOperation(keras.Operation):
    """Stands for the operations of a region.

    Args:
        layers: the layers of the region.
        name: name of the region.
    """

    def __init__(self, layers: list[keras.layers.Layer], name: str) -> None:
        super().__init__(name.replace("/", "_"))
        self._layers = layers

    def add_loss(self, loss: object) -> None:
        """Add a loss that a layer of the region added."""
        self._layers[0].add_loss(loss)


@dataclasses.dataclass(frozen=True, eq=False)
class Region(Node):
    """Nodes that regroup the batch axis and restore it, as one node named after the first.

    Attributes:
        parts: the nodes in topological order. They count tensors as before the merge.
        shapes: shapes of their tensors, with axis 0, for a batch of `streams`.
        streams: number of streams.
    """

    parts: tuple[Node, ...] = ()
    shapes: dict[int, tuple[int, ...]] = dataclasses.field(repr=False, default_factory=dict)
    streams: int = 1

    @property
    def calls(self) -> tuple[Node, ...]:
        return self.parts

    @property
    def variables(self) -> list[keras.Variable]:
        return [variable for part in self.parts for variable in part.variables]

    @property
    def layers(self) -> list[keras.layers.Layer]:
        return [layer for part in self.parts for layer in part.layers]


def merge_regions(graph: Graph) -> Graph:
    """Return `graph` with each region as one node.

    Raises:
        ValueError: the model mixes the streams of a batch or remembers earlier frames in variables,
            or a region contains a layer with a memory.
    """
    axis = find_batch_axis(graph)
    graph = dataclasses.replace(graph, tensors=tuple(map(axis.sized, graph.tensors)))
    _refuse_mixing(graph, axis)
    _refuse_variables(graph, axis)
    groups = _groups(graph, axis)
    for group in groups:
        _refuse_memory([graph.nodes[index] for index in sorted(group)])
    if groups:
        return _merged(graph, axis, groups)
    return dataclasses.replace(graph, batch_size=axis.batch_size) if axis.batch_size else graph


# --- faults -----------------------------------------------------------------------------------


def _refuse_mixing(graph: Graph, axis: BatchAxis) -> None:
    for output in graph.outputs:
        if output not in axis.inner:
            continue
        nodes = _inner_ancestors(graph, axis, output)
        mixing = [n for n in nodes if not axis.mixed.isdisjoint(n.outputs)]
        first = (mixing or nodes)[0]
        verb = "combines" if mixing else "regroups, reorders or numbers"
        raise ValueError(
            "Expected a frame model that computes each stream of a batch by itself, because "
            "streams come and go and clips run with time in the batch axis. "
            f"Received: {graph.model.name!r}, where {first.name!r} {verb} the rows of a batch "
            f"(axis 0), and no later node undoes it before the output "
            f"{graph.tensors[output].name!r}. Compute along axes 1, 2, ... instead, or move what "
            "compares streams, such as a loss, out of the frame model."
        )


def _refuse_variables(graph: Graph, axis: BatchAxis) -> None:
    for name, paths in axis.remembering.items():
        raise ValueError(
            "Expected a frame model that remembers nothing in variables, because each stream has "
            f"its own past. Received: {graph.model.name!r}, where {name!r} changes at inference: "
            f"{', '.join(paths)}. Build it without (an RNN with stateful=False), and give frames a "
            "past with a recurrent layer (keras_layers.TemporalConvLSTM2D, TemporalConvGRU2D, or a "
            "RecurrentLayer of your own), a temporal layer, or keras_layers.Feedback."
        )


def _inner_ancestors(graph: Graph, axis: BatchAxis, output: int) -> list[Node]:
    """Return the nodes from which `output` gets its rows, through inner tensors, in order."""
    nodes: dict[int, Node] = {}
    waiting = [output]
    while waiting:
        node = graph.producer(waiting.pop())
        if node is not None and node.index not in nodes:
            nodes[node.index] = node
            waiting += axis.inner.intersection(node.inputs)
    return [nodes[index] for index in sorted(nodes)]


def _refuse_memory(group: list[Node]) -> None:
    for node in group:
        if reads_past(node.operation):
            raise ValueError(
                f"The layer {node.name!r} remembers earlier frames of each stream. Expected an "
                f"input with one row per stream. Received: it lies between {group[0].name!r} and "
                f"{group[-1].name!r}, which regroup the batch axis. Call it before or after them."
            )


# --- which nodes form a region ----------------------------------------------------------------

Groups = list[set[int]]
"""The indices of the nodes of each region."""


def _groups(graph: Graph, axis: BatchAxis) -> Groups:
    """Return the nodes of each region; no path leaves a region and comes back."""
    groups: Groups = []
    for tensor in axis.inner:
        touching = {node.index for node in graph.nodes if tensor in (*node.inputs, *node.outputs)}
        groups = _with(groups, touching)
    before = _ancestors(graph) if groups else []
    joined: Groups = []
    while joined != groups:
        joined = groups
        groups = []
        for group in joined:
            ancestors = set().union(*(before[index] for index in group))
            between = {index for index in ancestors if not before[index].isdisjoint(group)}
            groups = _with(groups, group | between)
    return groups


def _with(groups: Groups, group: set[int]) -> Groups:
    """Return `groups` and `group`, joined with those that it overlaps."""
    overlapping = [other for other in groups if not other.isdisjoint(group)]
    apart = [other for other in groups if other.isdisjoint(group)]
    return [*apart, group.union(*overlapping)]


def _ancestors(graph: Graph) -> list[set[int]]:
    """Return the indices of all nodes before each node."""
    before: list[set[int]] = []
    for node in graph.nodes:
        producers = {producer.index for producer in graph.producers(node)}
        before.append(producers.union(*(before[index] for index in producers)))
    return before


# --- the graph of regions ---------------------------------------------------------------------


def _merged(graph: Graph, axis: BatchAxis, groups: Groups) -> Graph:
    """Return `graph` with one node for each of `groups`."""
    nodes = [
        _region(graph, axis, calls) if {call.index for call in calls} in groups else calls[0]
        for calls in _order(graph, groups)
    ]
    position = {call.index: index for index, node in enumerate(nodes) for call in node.calls}
    visible = {*graph.inputs, *(tensor for node in nodes for tensor in node.outputs)}
    tensors = [tensor for tensor in graph.tensors if tensor.index in visible]
    number = {tensor.index: index for index, tensor in enumerate(tensors)}

    def renumbered(indices: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(number[index] for index in indices)

    return dataclasses.replace(
        graph,
        nodes=tuple(
            dataclasses.replace(
                node,
                index=index,
                inputs=renumbered(node.inputs),
                outputs=renumbered(node.outputs),
            )
            for index, node in enumerate(nodes)
        ),
        tensors=tuple(
            dataclasses.replace(
                tensor,
                index=index,
                producer=None if tensor.producer is None else position[tensor.producer],
            )
            for index, tensor in enumerate(tensors)
        ),
        inputs=renumbered(graph.inputs),
        outputs=renumbered(graph.outputs),
        batch_size=axis.batch_size,
    )


def _order(graph: Graph, groups: Groups) -> list[list[Node]]:
    """Return the nodes in order, those of a group together: the first that can run comes first."""
    key = {index: min(group) for group in groups for index in group}
    calls: dict[int, list[Node]] = collections.defaultdict(list)
    waits_for: dict[int, set[int]] = collections.defaultdict(set)
    for node in graph.nodes:
        first = key.get(node.index, node.index)
        producers = (graph.tensors[tensor].producer for tensor in node.inputs)
        calls[first].append(node)
        waits_for[first] |= {key.get(p, p) for p in producers if p is not None} - {first}
    readers: dict[int, list[int]] = collections.defaultdict(list)
    for reader, sources in waits_for.items():
        for source in sources:
            readers[source].append(reader)
    ready = [first for first in calls if not waits_for[first]]
    heapq.heapify(ready)
    order = []
    while ready:
        first = heapq.heappop(ready)
        order.append(calls[first])
        for reader in readers[first]:
            waits_for[reader].remove(first)
            if not waits_for[reader]:
                heapq.heappush(ready, reader)
    return order


def _region(graph: Graph, axis: BatchAxis, parts: list[Node]) -> Region:
    """Return `parts` as one node."""
    inside = {tensor for part in parts for tensor in part.outputs}
    others = [node for node in graph.nodes if node not in parts]
    read = {*graph.outputs, *(tensor for node in others for tensor in node.inputs)}
    entering = dict.fromkeys(t for part in parts for t in part.inputs if t not in inside)
    leaving = [tensor for part in parts for tensor in part.outputs if tensor in read]
    symbolic = {
        tensor: value
        for part in parts
        for tensor, value in zip(part.outputs, part.symbolic_outputs, strict=False)  # then masks
    }

    def call(values: list, training: bool | None) -> list:
        tensors = dict(zip(entering, values, strict=True))
        for part in parts:
            outputs = part.call([tensors[tensor] for tensor in part.inputs], training)
            tensors.update(zip(part.outputs, outputs, strict=True))
        return [tensors[tensor] for tensor in leaving]

    layers = [layer for part in parts for layer in part.layers]
    return Region(
        index=parts[0].index,
        name=parts[0].name,
        operation=RegionOperation(layers, parts[0].name),
        inputs=tuple(entering),
        outputs=tuple(leaving),
        symbolic_outputs=tuple(symbolic[tensor] for tensor in leaving if tensor in symbolic),
        _call=call,
        parts=tuple(parts),
        shapes={t: axis.shape(graph.tensors[t]) for t in (*inside, *entering)},
        streams=axis.streams,
    )

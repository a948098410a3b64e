"""Adds temporal shifts to a network: any residual image model becomes a video model.

*Temporal Shift Module for Efficient Video Understanding on Cloud and Edge* (TSM), section 3.3.2. A
residual block is where an addition joins two paths that start at the same node. The path with more
convolutions is the residual branch. If skip connections are nested, the innermost block counts.

What it does not do well: blocks that join their paths by other operations than an addition must be
named. And the new model shares its layers, so `layer.output` is still the output in the old model.
"""

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import keras
from absl import logging
from keras import layers

from keras_layers.temporal_shift import TemporalShift
from mpvn.graph.data import Graph, Node
from mpvn.graph.reading import read_graph
from mpvn.models.surgery.rebuild import Read, rebuild

PLACEMENTS = ("residual", "in_place")
"""What reads the shifted channels.

- `"residual"`: only the first convolution of the residual branch; the identity is not shifted.
- `"in_place"`: both paths of the block.
"""

DEEP_STAGE = 22
"""Number of consecutive blocks of one output shape from which, by default, every second one is
shifted: ResNet-101 has 23, or 22."""

_CONVOLUTIONS = (layers.Conv2D, layers.DepthwiseConv2D, layers.SeparableConv2D)

_Edges = list[tuple[int, Node]]
"""Tensors to shift, each with a node that reads it."""


class _Block(NamedTuple):
    """A residual block: output shape, name of the branch's first convolution, edges to shift."""

    shape: tuple
    first: str
    edges: _Edges


def insert_temporal_shift(
    model: keras.Model,
    temporal_padding: str = "symmetric",
    divisor: int = 8,
    placement: str = "residual",
    *,
    where: Sequence[str] | None = None,
    every: int | None = None,
    segments: int | None = None,
    name: str | None = None,
) -> keras.Model:
    """Build a model that shares the layers and weights of `model`, with shifts in its blocks.

    Args:
        model: A functional model over one frame. It is not changed.
        temporal_padding, divisor, segments: As in `keras_layers.TemporalShift`.
        placement: `"residual"` or `"in_place"`; see `PLACEMENTS`.
        where: Names of the first layers of the residual branches to shift. Defaults to the
            branches of all blocks that are found.
        every: Shift every `every`-th of consecutive blocks with the same output shape. Defaults to
            2 for residual placement in networks as deep as ResNet-101, else 1.
        name: Name of the new model. Defaults to the name of `model` with `_shifted` appended.

    Returns:
        A functional model. Each shift is called after the layer that reads it. `shifted_layers`
        lists the shifts, and so does the log.

    Raises:
        ValueError: If an argument is out of range, no residual block is found, `where` names
            unknown layers, or a block has fewer channels than `divisor`.
    """
    if placement not in PLACEMENTS:
        raise ValueError(
            f"Invalid placement. Expected one of {PLACEMENTS}. Received: {placement!r}"
        )
    graph = read_graph(model)
    shifts: dict[tuple[int, int], TemporalShift] = {}
    for first, edges in _edges_to_shift(graph, placement == "in_place", where, every).items():
        shift = TemporalShift(
            temporal_padding,
            divisor,
            segments,
            dtype=graph.by_name[first].operation.dtype_policy,
            name=f"{first.replace('/', '_').replace(':', '_')}_shift",
        )
        shifts.update({(tensor, reader.index): shift for tensor, reader in edges})
    shifted = rebuild(graph, _read_through(shifts), name or f"{model.name}_shifted")
    names = ", ".join(shifted_layers(shifted))
    logging.info("%s: %s shift of 1/%d before %s", shifted.name, temporal_padding, divisor, names)
    return shifted


def shifted_layers(model: keras.Model) -> dict[str, TemporalShift]:
    """Return the temporal shifts of `model` by the name of the layer that reads them.

    If several layers read a shift (placement `"in_place"`), it is the first one in plan order.
    """
    graph = read_graph(model)
    shifts: dict[str, TemporalShift] = {}
    for node in graph.nodes:
        for source in graph.producers(node):
            shift = source.operation
            if isinstance(shift, TemporalShift) and shift not in shifts.values():
                shifts[node.name] = shift
    return shifts


def _edges_to_shift(
    graph: Graph, in_place: bool, where: Sequence[str] | None, every: int | None
) -> dict[str, _Edges]:
    """Return the edges to shift in each block, by the name of the branch's first layer."""
    if where is not None:
        return _named_blocks(graph, where, in_place)
    blocks = list(_residual_blocks(graph, in_place))
    if not blocks:
        raise ValueError(
            f"No residual block was found in {graph.model.name!r}. Expected an addition of two "
            "paths, one with more convolutions than the other. Name the first layers of the "
            "branches to shift with where=[...]."
        )
    stages = [list(stage) for _, stage in itertools.groupby(blocks, lambda block: block.shape)]
    if every is None:
        deep = max(map(len, stages)) >= DEEP_STAGE
        every = 2 if deep and not in_place else 1
    if every < 1:
        raise ValueError(f"Invalid every. Expected at least 1. Received: {every}")
    return {block.first: block.edges for stage in stages for block in stage[::every]}


def _residual_blocks(graph: Graph, in_place: bool) -> Iterator[_Block]:
    ancestors = _ancestors(graph)
    for node in filter(_is_addition, graph.nodes):
        ends = [graph.producer(tensor) for tensor in node.inputs]
        paths = [ancestors[end.index] | {end.index} if end else set() for end in ends]
        fork = max(paths[0] & paths[1], default=None)
        if fork is None:
            continue
        before = ancestors[fork] | {fork}
        branches = [[graph.nodes[index] for index in sorted(path - before)] for path in paths]
        inside = [*branches[0], *branches[1]]
        shorter, longer = sorted(map(_convolutions, branches), key=len)
        if len(shorter) == len(longer) or any(map(_is_addition, inside)):
            continue
        first = longer[0]
        tensor = graph.nodes[fork].outputs[0] if in_place else first.inputs[0]
        readers = [*inside, node] if in_place else [first]
        edges = [(tensor, reader) for reader in readers if tensor in reader.inputs]
        yield _Block(graph.tensors[node.outputs[0]].shape, first.name, edges)


def _is_addition(node: Node) -> bool:
    """Return whether `node` adds two different tensors, by a layer or by `+`."""
    return type(node.operation).__name__ == "Add" and len(set(node.inputs)) == 2


def _convolutions(branch: list[Node]) -> list[Node]:
    return [node for node in branch if isinstance(node.operation, _CONVOLUTIONS)]


def _ancestors(graph: Graph) -> list[set[int]]:
    """Return, for each node, the indices of all nodes that it depends on."""
    ancestors: list[set[int]] = []
    for node in graph.nodes:
        direct = [producer.index for producer in graph.producers(node)]
        ancestors.append(set(direct).union(*(ancestors[index] for index in direct)))
    return ancestors


def _named_blocks(graph: Graph, where: Sequence[str], in_place: bool) -> dict[str, _Edges]:
    invalid = [name for name in where if len(getattr(graph.by_name.get(name), "inputs", ())) != 1]
    if invalid or not where:
        raise ValueError(
            f"Invalid where. Expected names of layers of {graph.model.name!r} that read one map, "
            f"such as {', '.join(graph.names[:3])}. Received: {', '.join(invalid) or 'none'}"
        )
    blocks = {}
    for name in where:
        (tensor,) = graph.by_name[name].inputs
        readers = graph.nodes if in_place else [graph.by_name[name]]
        blocks[name] = [(tensor, reader) for reader in readers if tensor in reader.inputs]
    return blocks


def _read_through(shifts: dict[tuple[int, int], TemporalShift]) -> Read:
    """Return a function for `rebuild` that shifts the given (tensor, reader) edges."""
    shifted: dict[tuple[int, TemporalShift], keras.KerasTensor] = {}

    def read(values: dict[int, keras.KerasTensor], tensor: int, reader: Node) -> keras.KerasTensor:
        shift = shifts.get((tensor, reader.index))
        if shift is None:
            return values[tensor]
        if (tensor, shift) not in shifted:
            shifted[tensor, shift] = shift(values[tensor])
        return shifted[tensor, shift]

    return read

"""Temporal shifts in a network that has none: any residual image model becomes a video model.

*Temporal Shift Module for Efficient Video Understanding on Cloud and Edge* (TSM), section 3.2. A
residual block is found where an addition joins two paths that part further up: the path of more
convolutions is the residual branch. Of skips around whole blocks, the innermost count.

What it does not do well: a block that joins its paths by other means than an addition has to be
named; and since layers are shared, `layer.output` stays that of the network they come from.
"""

import itertools
from collections.abc import Iterator, Sequence

import keras
from absl import logging
from keras import layers

from keras_layers.temporal_shift import TemporalShift
from mpvn.models.surgery.rebuild import Read, rebuilt
from mpvn.plan.graph import Graph, Node, read_graph

PLACEMENTS = ("residual", "in_place")

DEEP_STAGE = 22
"""Blocks of one shape in a row from which every second one is shifted: ResNet-101 has 23, or 22."""

_CONVOLUTIONS = (layers.Conv2D, layers.DepthwiseConv2D, layers.SeparableConv2D)

_Edges = list[tuple[int, Node]]
"""Tensors, and who reads them."""


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
    """A model that shares the layers and weights of `model`, with temporal shifts in its blocks.

    Args:
        model: a functional model over one frame; it stays as it is.
        temporal_padding: `"symmetric"` (offline) or `"causal"` (streams too).
        divisor: the share of the channels that moves one way; see `keras_layers.TemporalShift`.
        placement: `"residual"`: what the first convolution of the residual branch reads is shifted,
            and the identity is not; `"in_place"`: both read the block's input shifted.
        where: names of the first layers of the residual branches; default: all that are found.
        every: shifts one in so many of the blocks of one shape that follow each other; default: 2
            for residual placement if there is a row as long as ResNet-101's, else 1.
        segments: as of `TemporalShift`, for training with time folded into the batch.
        name: of the new model; default: that of `model` with `_shifted`.

    Returns:
        A functional model, its shifts called after the layer that reads them; `shifted_layers`
        lists them, and so does the log.

    Raises:
        ValueError: no residual block was found, `where` names what is not there, or a block has
            fewer channels than `divisor`.
    """
    if placement not in PLACEMENTS:
        raise ValueError(
            f"placement must be one of {', '.join(PLACEMENTS)}. Received: {placement!r}"
        )
    graph = read_graph(model)
    in_place = placement == "in_place"
    if where is None:
        blocks = _chosen(list(_residual_blocks(graph, in_place)), every, in_place)
    else:
        blocks = _named_blocks(graph, where, in_place)
    if not blocks:
        raise ValueError(
            f"no residual block was found in {model.name!r}: an addition of two paths of which one "
            "has more convolutions. Name the first layers of the branches to shift with where=[...]"
        )
    shifts: dict[tuple[int, int], TemporalShift] = {}
    for first, edges in blocks.items():
        shift = TemporalShift(
            temporal_padding,
            divisor,
            segments,
            dtype=graph.by_name[first].operation.dtype_policy,
            name=f"{first.replace('/', '_').replace(':', '_')}_shift",
        )
        shifts.update({(tensor, reader.index): shift for tensor, reader in edges})
    shifted = rebuilt(graph, _through(shifts), name or f"{model.name}_shifted")
    said = ", ".join(shifted_layers(shifted))
    logging.info("%s: %s shift of 1/%d before %s", shifted.name, temporal_padding, divisor, said)
    return shifted


def shifted_layers(model: keras.Model) -> dict[str, TemporalShift]:
    """The temporal shifts of `model`, by the name of the layer that reads them.

    With placement `"in_place"`, of the first layer in plan order that does.
    """
    graph = read_graph(model)
    found: dict[str, TemporalShift] = {}
    for node in graph.nodes:
        for source in graph.producers(node):
            shift = source.operation
            if isinstance(shift, TemporalShift) and shift not in found.values():
                found[node.name] = shift
    return found


def _residual_blocks(graph: Graph, in_place: bool) -> Iterator[tuple[tuple, str, _Edges]]:
    """Shape of each block's output, its first convolution, and the edges to shift."""
    above = _ancestors(graph)
    for node in filter(_adds, graph.nodes):
        ends = [graph.producer(tensor) for tensor in node.inputs]
        paths = [above[end.index] | {end.index} if end else set() for end in ends]
        fork = max(paths[0] & paths[1], default=None)
        if fork is None:
            continue
        before = above[fork] | {fork}
        branches = [[graph.nodes[index] for index in sorted(path - before)] for path in paths]
        inside = [*branches[0], *branches[1]]
        shorter, longer = sorted(map(_convolutions, branches), key=len)
        if len(shorter) == len(longer) or any(map(_adds, inside)):
            continue
        first = longer[0]
        tensor = graph.nodes[fork].outputs[0] if in_place else first.inputs[0]
        readers = [*inside, node] if in_place else [first]
        edges = [(tensor, reader) for reader in readers if tensor in reader.inputs]
        yield graph.tensors[node.outputs[0]].shape, first.name, edges


def _adds(node: Node) -> bool:
    """Whether `node` adds two maps: by the layer, or by `+`."""
    return type(node.operation).__name__ == "Add" and len(set(node.inputs)) == 2


def _convolutions(branch: list[Node]) -> list[Node]:
    return [node for node in branch if isinstance(node.operation, _CONVOLUTIONS)]


def _ancestors(graph: Graph) -> list[set[int]]:
    """Indices of all nodes that each node stems from."""
    above: list[set[int]] = []
    for node in graph.nodes:
        direct = [producer.index for producer in graph.producers(node)]
        above.append(set(direct).union(*(above[index] for index in direct)))
    return above


def _chosen(
    blocks: list[tuple[tuple, str, _Edges]], every: int | None, in_place: bool
) -> dict[str, _Edges]:
    """One in `every` block of each stage, by the name of its first convolution."""
    stages = [list(stage) for _, stage in itertools.groupby(blocks, lambda block: block[0])]
    if every is None:
        deep = max(map(len, stages), default=0) >= DEEP_STAGE
        every = 2 if deep and not in_place else 1
    if every < 1:
        raise ValueError(f"every must be at least 1. Received: {every}")
    return {first: edges for stage in stages for _, first, edges in stage[::every]}


def _named_blocks(graph: Graph, where: Sequence[str], in_place: bool) -> dict[str, _Edges]:
    unknown = [name for name in where if len(getattr(graph.by_name.get(name), "inputs", ())) != 1]
    if unknown or not where:
        raise ValueError(
            f"where must name layers of {graph.model.name!r} that read one map, such as "
            f"{', '.join(graph.names[:3])}. Received: {', '.join(unknown) or 'none'}"
        )
    blocks = {}
    for name in where:
        (tensor,) = graph.by_name[name].inputs
        readers = graph.nodes if in_place else [graph.by_name[name]]
        blocks[name] = [(tensor, reader) for reader in readers if tensor in reader.inputs]
    return blocks


def _through(shifts: dict[tuple[int, int], TemporalShift]) -> Read:
    """A way of reading in which some readers read some tensors through a shift."""
    shifted: dict[tuple[int, TemporalShift], keras.KerasTensor] = {}

    def read(values: dict[int, keras.KerasTensor], tensor: int, reader: Node) -> keras.KerasTensor:
        shift = shifts.get((tensor, reader.index))
        if shift is None:
            return values[tensor]
        if (tensor, shift) not in shifted:
            shifted[tensor, shift] = shift(values[tensor])
        return shifted[tensor, shift]

    return read

"""What the nodes of a model and the steps of a schedule cost.

The cost of a node is one number. Partitions, phases, grids and figures use it, whatever it is:
multiply-adds, counted from weights and shapes, or measured time (`mpvn.runtime.profile`).
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import keras

from keras_layers.temporal_conv import TemporalConv3D
from mpvn.graph.data import Graph, Node
from mpvn.graph.reading import layers_graph
from mpvn.graph.regions import Region
from mpvn.plan.schedule import Schedule

_CONVOLUTIONS = (
    keras.layers.Conv1D,
    keras.layers.Conv2D,
    keras.layers.Conv3D,
    keras.layers.DepthwiseConv2D,
    TemporalConv3D,
)


class Unit(NamedTuple):
    """The unit of costs.

    Attributes:
        name: what is counted.
        million: how to write a million of it after a number.
    """

    name: str
    million: str

    def text(self, cost: float) -> str:
        """Return a cost as text."""
        millions = cost / 1e6
        digits = ",.1f" if millions >= 10 else "#.3g"
        return f"{millions:{digits}} {self.million}"


TIME = Unit("measured time", "ms")
"""Nanoseconds."""


@runtime_checkable
class Costs(Protocol):
    """What nodes cost, in ints, so that equal costs are equal."""

    @property
    def unit(self) -> Unit:
        """The unit."""

    @property
    def of_step(self) -> int:
        """What each step costs besides its nodes."""

    def of_nodes(self, graph: Graph) -> tuple[int, ...]:
        """Return the cost of one tick of each node, for one stream, in plan order.

        Raises:
            ValueError: the costs are those of another model.
        """


class _MultiplyAdds:
    """Costs in multiply-adds."""

    unit = Unit("multiply-adds", "M multiply-adds")
    of_step = 0

    def of_nodes(self, graph: Graph) -> tuple[int, ...]:
        return tuple(multiply_adds(graph, node) for node in graph.nodes)


MULTIPLY_ADDS = _MultiplyAdds()
"""Costs that need no measurement."""


def check_costs(costs: Costs | None) -> Costs:
    """Return the costs that an argument means: None are multiply-adds.

    Raises:
        TypeError: they are not costs.
    """
    if costs is None:
        return MULTIPLY_ADDS
    if not isinstance(costs, Costs):
        raise TypeError(
            "Invalid costs of a plan. Expected None or an mpvn.runtime.Profile. "
            f"Received: {costs!r}."
        )
    return costs


def multiply_adds(graph: Graph, node: Node) -> int:
    """Return the multiply-adds of one tick of `node` on one frame.

    Counts dense layers and convolutions (also grouped, depthwise, separable, transposed and
    temporal ones); everything else is free, as usual. A custom layer is counted by its own method
    `multiply_adds(input_shape, output_shape)`, if it has one. These shapes have no batch axis. Of a
    model that is one node, the layers that Keras knows how to connect are counted.
    """
    if isinstance(node.operation, keras.Model) and not hasattr(node.operation, "multiply_adds"):
        inside = layers_graph(node.operation)
        return sum(multiply_adds(inside, node) for node in inside.nodes) if inside else 0
    if isinstance(node, Region):
        total = 0
        for part in node.parts:
            shape = node.shapes[part.outputs[0]] or (1,)
            total += shape[0] * _row(part.operation, node.shapes[part.inputs[0]][1:], shape[1:])
        return total // node.streams
    output = graph.tensors[node.outputs[0]].shape
    source = graph.tensors[node.inputs[0]].shape if node.inputs else ()
    return _row(node.operation, source, output)


def _row(layer: Any, source: tuple[int, ...], output: tuple[int, ...]) -> int:
    """Return the multiply-adds of `layer` for one row of the batch axis.

    Args:
        layer: a layer or operation.
        source: shape of its first input, without the batch axis.
        output: shape of its first output.
    """
    if hasattr(layer, "multiply_adds"):
        return int(layer.multiply_adds(source, output))
    if isinstance(layer, (keras.layers.Conv2DTranspose, keras.layers.Conv1DTranspose)):
        return math.prod(source[:-1]) * math.prod(layer.kernel.shape)
    if isinstance(layer, (keras.layers.SeparableConv2D, keras.layers.SeparableConv1D)):
        weights = math.prod(layer.depthwise_kernel.shape) + math.prod(layer.pointwise_kernel.shape)
        return math.prod(output[:-1]) * weights
    if isinstance(layer, _CONVOLUTIONS):
        return math.prod(_positions(layer, output)) * math.prod(layer.kernel.shape)
    if isinstance(layer, keras.layers.Dense):
        return math.prod(output[:-1]) * math.prod(layer.kernel.shape)
    return 0


def _positions(layer, output: tuple[int, ...]) -> tuple[int, ...]:
    """Return the spatial shape of the output, where the kernel is applied."""
    channels_first = getattr(layer, "data_format", "channels_last") == "channels_first"
    return output[1:] if channels_first else output[:-1]


def costs_by_step(schedule: Schedule, node_costs: Sequence[int]) -> tuple[tuple[int, ...], ...]:
    """Return the costs `[period][subnetworks]`; the head counts with the last subnetwork.

    Args:
        schedule: the schedule.
        node_costs: cost of one tick of each node, in plan order.
    """
    rows = [[0] * schedule.subnetworks for _ in range(schedule.period)]
    for node, cost in zip(schedule.graph.nodes, node_costs, strict=True):
        clock = schedule.clock(node)
        for step in range(clock.phase, schedule.period, clock.rate):
            rows[step][schedule.column(node)] += cost
    return tuple(tuple(row) for row in rows)


def cost_of_clip(step_costs: Sequence[int], frames: int) -> int:
    """Return the cost of the first `frames` steps.

    Args:
        step_costs: cost of each step of a period.
        frames: number of steps.
    """
    periods, rest = divmod(frames, len(step_costs))
    return periods * sum(step_costs) + sum(step_costs[:rest])

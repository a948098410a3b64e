"""Resolves the arguments of a plan into a schedule.

One error lists all faults. Each argument is checked even if another one has a fault: an argument
with a fault is replaced by a harmless default, so that the others can still be checked.
"""

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from mpvn.graph.data import Graph, Node
from mpvn.graph.opaque import REMEDY
from mpvn.plan.clock import EVERY_STEP, Clock
from mpvn.plan.cost import multiply_adds
from mpvn.plan.partition import (
    PARTITIONS,
    Rates,
    auto_rates,
    balanced_starts,
    chained_offsets,
    equal_starts,
    inherited_rates,
    lowest_rate,
)
from mpvn.plan.schedule import Schedule
from mpvn.plan.units import units


class PlanError(ValueError):
    """A plan does not fit its model. The message lists every fault."""


def resolve(graph: Graph, **arguments: Any) -> Schedule:
    """Return the schedule of `graph` that the arguments of a `Plan` describe.

    Raises:
        PlanError: an argument does not fit the graph.
    """
    resolver = _Resolver(graph, **arguments)
    if resolver.faults:
        lines = "\n".join(f"  - {fault}." for fault in resolver.faults)
        raise PlanError(f"The plan does not fit the model {graph.model.name!r}:\n{lines}")
    return Schedule(
        graph=graph,
        boundaries=tuple(graph.names[start] for start in resolver.starts[1:]),
        head=resolver.head,
        devices=resolver.devices,
        node_subnetworks=resolver.node_subnetworks,
        node_clocks=resolver.node_clocks,
        feedback=resolver.feedback,
    )


class _Resolver:
    """Resolves one argument after the other and collects faults.

    Attributes:
        faults: a message for each fault, without its final period.
        head: name of the first node of the head, or None.
        starts: index of the first node of each subnetwork.
        node_subnetworks: subnetwork of each node; `len(starts)` for the head.
        node_clocks: clock of each node.
        devices: device of each subnetwork.
        feedback: index of the node that each feedback node reads, by the index of the latter.
    """

    def __init__(
        self,
        graph: Graph,
        *,
        subnetworks: Any = None,
        boundaries: Any = None,
        partition: Any = "equal",
        clocks: Any = None,
        phases: Any = None,
        devices: Any = None,
        head: Any = None,
        feedback: Mapping[str, str] | None = None,
    ) -> None:
        self._graph = graph
        self.faults: list[str] = []
        self._units = units(graph.names)
        if head in self._units:
            head = graph.names[self._units[head]]
        self.head = head
        head_start = None if head is None else self._index_of(head, "head")
        self._body = len(graph.nodes) if head_start is None else head_start
        by_node = self._rates_by_node(clocks)
        self.starts = self._resolve_starts(subnetworks, boundaries, partition, by_node)
        # A list with one item per subnetwork is checked against the number of subnetworks that the
        # user gave, even if a boundary has a fault.
        self._count = len(boundaries) + 1 if _is_list(boundaries) else len(self.starts)
        self.node_subnetworks = tuple(
            len(self.starts) if index >= self._body else sum(index >= s for s in self.starts) - 1
            for index in range(len(graph.nodes))
        )
        self._rates = by_node or self._rates_by_subnetwork(clocks)
        self.node_clocks = self._resolve_clocks(phases)
        self.devices = self._resolve_devices(devices)
        self.feedback = self._resolve_feedback(feedback or {})
        for node in graph.nodes:
            self._check_node(node)

    # --- arguments --------------------------------------------------------------------------

    def _rates_by_node(self, clocks: Any) -> Rates | None:
        """Return rates that do not depend on the boundaries; None if `clocks` is a list."""
        if _is_list(clocks):
            return None
        if isinstance(clocks, str) and clocks == "auto":
            return auto_rates(self._graph)
        rates: dict[str, int] = {}
        if isinstance(clocks, Mapping):
            for name, rate in clocks.items():
                if not _is_int(rate, 1):
                    self._fault(f"clocks: expected a rate >= 1 for {name!r}. Received: {rate!r}")
                elif self._index_of(name, "clocks") is not None:
                    rates[name] = rate
        elif clocks is not None:
            self._fault(f'clocks: expected None, "auto", a list or a mapping. Received: {clocks!r}')
        return inherited_rates(self._graph, lambda node, _: rates.get(node.name))

    def _rates_by_subnetwork(self, clocks: Any) -> Rates:
        rates = self._int_list(clocks, "clocks", "rates", 1)
        if rates is None:
            return inherited_rates(self._graph, lambda node, inherited: None)
        return tuple((*rates, 1)[subnetwork] for subnetwork in self.node_subnetworks)

    def _resolve_starts(
        self, subnetworks: Any, boundaries: Any, partition: Any, rates: Rates | None
    ) -> list[int]:
        if partition not in PARTITIONS:
            self._fault(
                f"partition: expected one of {', '.join(PARTITIONS)}. Received: {partition!r}"
            )
        if boundaries is not None:
            return self._starts_by_name(subnetworks, boundaries)
        subnetworks = 1 if subnetworks is None else subnetworks
        if not _is_int(subnetworks):
            self._fault(
                f"subnetworks: expected an int. Received: {subnetworks!r}. To pass the names of "
                "the nodes at which subnetworks begin, use boundaries=[...]"
            )
            return [0]
        if partition == "units":
            return self._starts_by_unit(subnetworks)
        body = self._body
        if not 1 <= subnetworks <= body:
            self._fault(
                f"subnetworks: expected 1 to {body}, because the model has {body} nodes to divide. "
                f"Received: {subnetworks}{self._opaque_models()}"
            )
            return [0]
        if partition == "balanced":
            rates = rates or (1,) * body
            nodes = self._graph.nodes[:body]
            costs = [multiply_adds(self._graph, node) / rates[node.index] for node in nodes]
            return balanced_starts(costs, subnetworks)
        return equal_starts(body, subnetworks)

    def _starts_by_unit(self, subnetworks: int) -> list[int]:
        body = {unit: start for unit, start in self._units.items() if start < self._body}
        if not body:
            self._fault(
                'partition: "units" needs nodes named "unit.part", from the first node on. '
                f"Received: a model whose first node is {self._graph.names[0]!r}"
            )
        elif not 1 <= subnetworks <= len(body):
            self._fault(
                f"subnetworks: expected 1 to {len(body)}, because the model has {len(body)} units "
                f"to divide: {', '.join(body)}. Received: {subnetworks}"
            )
        else:
            # A fresh head counts as a unit, so that it does not move the boundaries.
            count = len(body) + (self._body < len(self._graph.nodes))
            starts = list(body.values())
            return [starts[unit] for unit in equal_starts(count, subnetworks)]
        return [0]

    def _starts_by_name(self, subnetworks: Any, boundaries: Any) -> list[int]:
        if subnetworks is not None:
            self._fault(
                "expected either subnetworks or boundaries, not both. Received: "
                f"subnetworks={subnetworks!r}, boundaries={boundaries!r}"
            )
        if not _is_list(boundaries):
            self._fault(f"boundaries: expected a list of node names. Received: {boundaries!r}")
            return [0]
        starts: list[int] = []
        for name in boundaries:
            index = self._index_of(name, "boundaries")
            if index in starts:
                self._fault(f"boundaries: {name!r} appears twice")
            elif index == 0:
                self._fault(
                    f"boundaries: {name!r} is the first node of the model. Name only the nodes at "
                    "which subnetworks 1, 2, ... begin"
                )
            elif index is not None and index >= self._body:
                self._fault(f"boundaries: {name!r} is in the head, which cannot be divided")
            elif index is not None:
                starts.append(index)
        return [0, *sorted(starts)]

    def _resolve_clocks(self, phases: Any) -> tuple[Clock, ...]:
        parts = len(self.starts)
        chained = phases == "chain" if isinstance(phases, str) else parts > 1
        offsets = [0] * parts
        if _is_list(phases):
            offsets = self._int_list(phases, "phases", "offsets", 0) or offsets
        elif chained:
            offsets = chained_offsets(self._graph, self.node_subnetworks, parts)
        if not (phases is None or phases in ("aligned", "chain") or not isinstance(phases, str)):
            self._fault(
                f'phases: expected "aligned", "chain", a list or a mapping. Received: {phases!r}'
            )
        by_name = self._phases_by_name(phases) if isinstance(phases, Mapping) else {}
        clocks = []
        for node, subnetwork in zip(self._graph.nodes, self.node_subnetworks, strict=True):
            rate = self._rates[node.index]
            phase = by_name.get(node.name, offsets[min(subnetwork, parts - 1)] % rate)
            clocks.append(EVERY_STEP if subnetwork == parts else Clock(rate, phase))
        return tuple(clocks)

    def _phases_by_name(self, phases: Mapping) -> dict[str, int]:
        by_name = {}
        for name, phase in phases.items():
            index = self._index_of(name, "phases")
            if index is None:
                continue
            rate = self._rates[index]
            if _is_int(phase, 0) and phase < rate:
                by_name[name] = phase
            else:
                self._fault(
                    f"phases: {name!r} ticks every {rate} steps. Expected a phase from 0 to "
                    f"{rate - 1}. Received: {phase!r}"
                )
        return by_name

    def _resolve_devices(self, devices: Any) -> tuple[str | None, ...]:
        if devices is None:
            return (None,) * len(self.starts)
        if not _is_list(devices) or len(devices) != self._count:
            self._fault(
                f"devices: expected a list with one device for each of the {self._count} "
                f"subnetworks. Received: {devices!r}"
            )
            return (None,) * len(self.starts)
        for device in devices:
            try:
                tf.DeviceSpec.from_string(device or "")
            except (ValueError, AttributeError, TypeError):
                self._fault(f"devices: expected strings such as '/GPU:0'. Received: {device!r}")
        return tuple(devices)

    def _resolve_feedback(self, feedback: Mapping[str, str]) -> dict[int, int]:
        """Return the sources of feedback: those of `feedback`, else as their layers name them."""
        sources = {}
        for node in self._graph.nodes:
            if node.feedback_source:
                name = feedback.get(node.name, node.feedback_source)
                source = self._index_of(name, f"feedback {node.name!r}")
                if source is not None:
                    self._check_feedback(node, self._graph.nodes[source])
                    sources[node.index] = source
        return sources

    # --- checks of each node ----------------------------------------------------------------

    def _check_node(self, node: Node) -> None:
        if self.node_subnetworks[node.index] < len(self.starts):
            self._check_rate(node)
        if (node.temporal or node.memory) and len(node.inputs) != 1:
            self._fault(
                f"{node.name!r} looks back in time, so it must have one input. "
                f"Received: {len(node.inputs)} inputs"
            )
        elif node.memory:
            self._check_memory(node)
        if node.temporal and node.temporal.lookahead and len(self.starts) > 1:
            self._fault(
                f"{node.name!r} looks into the future (symmetric temporal padding), which needs a "
                'plan with 1 subnetwork. Use 1 subnetwork, or temporal_padding="causal"'
            )

    def _check_memory(self, node: Node) -> None:
        shape = self._graph.tensors[node.inputs[0]].shape
        rank = node.operation.frame_rank - 1
        if len(shape) != rank:
            self._fault(
                f"{node.name!r} is recurrent, so it must read the maps of one frame. Expected an "
                f"input of rank {rank}, without the batch axis. Received: the shape {shape}"
            )

    def _check_rate(self, node: Node) -> None:
        lowest = lowest_rate(self._graph, node, self._rates)
        rate, stride = self._rates[node.index], node.temporal_stride
        if stride > 1 and rate != lowest * stride:
            self._fault(
                f"{node.name!r} has a temporal stride of {stride} over an input of rate {lowest}. "
                f"Expected the rate {lowest * stride}. Received: {rate}"
            )
        elif rate < lowest:
            self._fault(
                f"{node.name!r} has clock rate {rate}, below the rate {lowest} of its inputs, so "
                f"it would repeat its work. Use a rate of at least {lowest}"
            )

    def _check_feedback(self, node: Node, source: Node) -> None:
        received = self._graph.tensors[source.outputs[0]].shape
        expected = self._graph.tensors[node.outputs[0]].shape
        if received != expected:
            self._fault(
                f"feedback {node.name!r}: expected an output of shape {expected} from "
                f"{source.name!r}. Received: {received}"
            )

    # --- tools ------------------------------------------------------------------------------

    def _opaque_models(self) -> str:
        """Return which nodes are models that cannot be divided, and what to do."""
        nodes = [n.name for n in self._graph.nodes if isinstance(n.operation, keras.Model)]
        return f". Models with a call of their own: {', '.join(nodes)}. {REMEDY[:-1]}" * bool(nodes)

    def _fault(self, message: str) -> None:
        if message not in self.faults:
            self.faults.append(message)

    def _index_of(self, name: Any, context: str) -> int | None:
        """Return the index of the node called `name`; None and a fault if there is none."""
        if name in self._graph.by_name:
            return self._graph.by_name[name].index
        if name in self._graph.region_of:
            first, *_, last = self._graph.region_of[name].calls
            self._fault(
                f"{context}: {name!r} is inside the indivisible region {first.name!r} to "
                f"{last.name!r}, which regroups the batch axis. Use {first.name!r}, or a node "
                "after the region"
            )
            return None
        names = self._graph.names
        similar = difflib.get_close_matches(str(name), names, n=3) or names[:3]
        self._fault(
            f"{context}: no node is named {name!r}. Nodes have names such as "
            f"{', '.join(map(repr, similar))}"
        )
        return None

    def _int_list(self, values: Any, context: str, items: str, lowest: int) -> list[int] | None:
        """Return `values` as one int per subnetwork; None and a fault if they are not."""
        if len(values) == self._count and all(_is_int(value, lowest) for value in values):
            return list(values) if self._count == len(self.starts) else None
        self._fault(
            f"{context}: expected a list of {items} >= {lowest}, one for each of the "
            f"{self._count} subnetworks. Received: {list(values)}"
        )
        return None


def _is_int(value: object, lowest: float = float("-inf")) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= lowest


def _is_list(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)

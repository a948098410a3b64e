"""Resolves the arguments of a plan into a schedule.

One error lists all faults. Each argument is checked even if another one has a fault: an argument
with a fault is replaced by a harmless default, so that the others can still be checked.
"""

import dataclasses
import functools
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from mpvn.graph.data import Graph, Node
from mpvn.plan.clock import EVERY_STEP, Clock
from mpvn.plan.cost import MULTIPLY_ADDS, Costs
from mpvn.plan.division import Division
from mpvn.plan.faults import Faults, PlanError, is_int, is_list
from mpvn.plan.partition import (
    AutoClocks,
    Rates,
    auto_rates,
    chained_offsets,
    inherited_rates,
    lowest_rate,
)
from mpvn.plan.phases import GOALS, searched_clocks
from mpvn.plan.schedule import Schedule
from mpvn.plan.units import HEAD_UNIT, units

PHASES = ("aligned", "chain", *GOALS)
"""The phases that have names; see `Plan`."""


def resolve(graph: Graph, costs: Costs = MULTIPLY_ADDS, **arguments: Any) -> Schedule:
    """Return the schedule of `graph` that the arguments of a `Plan` describe.

    Raises:
        PlanError: an argument does not fit the graph.
    """
    node_costs = functools.cache(lambda: costs.of_nodes(graph))
    resolver = _Resolver(graph, node_costs, **arguments)
    if resolver.faults.messages:
        lines = "\n".join(f"  - {message}." for message in resolver.faults.messages)
        raise PlanError(f"The plan does not fit the model {graph.model.name!r}:\n{lines}")
    schedule = Schedule(
        graph=graph,
        head=resolver.head,
        devices=resolver.devices,
        node_subnetworks=resolver.node_subnetworks,
        node_clocks=resolver.node_clocks,
        feedback=resolver.feedback,
    )
    if resolver.goal is None:
        return schedule
    clocks = searched_clocks(schedule, node_costs(), resolver.goal)
    return dataclasses.replace(schedule, node_clocks=clocks)


def checked_devices(schedule: Schedule, devices: Any) -> tuple[str | None, ...]:
    """Return the device of each subnetwork of `schedule`; None for TensorFlow's choice.

    Raises:
        PlanError: they are not one for each subnetwork.
    """
    if devices is None:
        return (None,) * schedule.subnetworks
    for fault in _device_faults(devices, schedule.subnetworks):
        raise PlanError(f"The plan does not fit the model {schedule.graph.model.name!r}: {fault}.")
    return tuple(devices)


def _device_faults(devices: Any, count: int) -> list[str]:
    """Return what is wrong with the devices of `count` subnetworks."""
    if not is_list(devices) or len(devices) != count:
        return [
            f"devices: expected a list with one device for each of the {count} subnetworks. "
            f"Received: {devices!r}"
        ]
    return [
        f"devices: expected strings such as '/GPU:0'. Received: {device!r}"
        for device in devices
        if not _is_device(device)
    ]


def _is_device(name: Any) -> bool:
    try:
        tf.DeviceSpec.from_string(name or "")
    except (ValueError, AttributeError, TypeError):
        return False
    return True


class _Resolver:
    """Resolves one argument after the other and collects faults.

    Attributes:
        faults: what is wrong with the arguments.
        head: name of the first node of the head, or None.
        parts: number of subnetworks.
        node_subnetworks: subnetwork of each node; `parts` for the head.
        node_clocks: clock of each node.
        goal: what the phases are still to be searched for; None if they are known.
        devices: device of each subnetwork.
        feedback: index of the node that each feedback node reads, by the index of the latter.
    """

    def __init__(
        self,
        graph: Graph,
        node_costs: Callable[[], Sequence[int]],
        *,
        subnetworks: Any = None,
        boundaries: Any = None,
        partition: Any = "equal",
        assignment: Any = None,
        clocks: Any = None,
        phases: Any = None,
        devices: Any = None,
        head: Any = None,
        feedback: Mapping[str, str] | None = None,
        restored: bool = False,
    ) -> None:
        self._graph = graph
        self.faults = Faults(graph)
        starts = units(graph.names)
        if head in starts:
            head = graph.names[starts[head]]
        self.head = head
        head_start = None if head is None else self.faults.index_of(head, "head")
        self._body = len(graph.nodes) if head_start is None else head_start
        by_node = self._rates_by_node(clocks)
        division = Division(graph, self._body, self.faults, node_costs)
        ways = {"boundaries": boundaries, "assignment": assignment}
        body = division.subnetworks(subnetworks, partition, ways, by_node)
        self.parts = max(1, len(set(body)))
        # A list with one item per subnetwork is checked against the number of subnetworks that the
        # user gave, even if a boundary has a fault.
        self._count = len(boundaries) + 1 if is_list(boundaries) else self.parts
        self.node_subnetworks = (*body, *[self.parts] * (len(graph.nodes) - len(body)))
        self._rates = by_node or self._rates_by_subnetwork(clocks)
        if HEAD_UNIT in starts and not isinstance(clocks, Mapping):
            self._rates = self._with_head_at_frame_rate(starts[HEAD_UNIT])
        self.goal = GOALS.get(phases) if isinstance(phases, str) else None
        self.node_clocks = self._resolve_clocks(phases)
        self.devices = self._resolve_devices(devices)
        self.feedback = self._resolve_feedback(feedback or {})
        # Rates of a saved plan were checked under the names that its model had.
        fast = starts.get(HEAD_UNIT, len(graph.nodes)) if not restored else 0
        for node in graph.nodes:
            self._check_node(node, node.index >= fast and self._reads_late(node))

    # --- arguments --------------------------------------------------------------------------

    def _rates_by_node(self, clocks: Any) -> Rates | None:
        """Return rates that do not depend on the boundaries; None if `clocks` is a list."""
        if is_list(clocks):
            return None
        auto = AutoClocks.parse(clocks) if isinstance(clocks, str) else None
        if auto:
            return auto_rates(self._graph, auto)
        rates: dict[str, int] = {}
        if isinstance(clocks, Mapping):
            for name, rate in clocks.items():
                if not is_int(rate, 1):
                    self.faults.add(
                        f"clocks: expected a rate >= 1 for {name!r}. Received: {rate!r}"
                    )
                elif self.faults.index_of(name, "clocks") is not None:
                    rates[name] = rate
        elif clocks is not None:
            self.faults.add(
                f'clocks: expected None, "auto", "auto:4" or the like, a list or a mapping. '
                f"Received: {clocks!r}"
            )
        return inherited_rates(self._graph, lambda node, _: rates.get(node.name))

    def _rates_by_subnetwork(self, clocks: Any) -> Rates:
        rates = self._int_list(clocks, "clocks", "rates", 1)
        if rates is None:
            return inherited_rates(self._graph, lambda node, inherited: None)
        return tuple((*rates, 1)[subnetwork] for subnetwork in self.node_subnetworks)

    def _with_head_at_frame_rate(self, start: int) -> Rates:
        """Return the rates, with 1 for what the head unit computes from other subnetworks' maps.

        Such maps change one step after their subnetwork ticks, when the last one may rest. A node
        with a temporal stride counts ticks of its input, so it keeps its rate.

        Args:
            start: index of the first node of the head unit.
        """
        rates, changed = list(self._rates), set[int]()
        for node in self._graph.nodes[start:]:
            stride = node.temporal_stride
            late = stride == 1 and self._reads_late(node)
            if late or changed & {p.index for p in self._graph.producers(node)}:
                changed.add(node.index)
                rates[node.index] = 1 if late else stride * lowest_rate(self._graph, node, rates)
        return tuple(rates)

    def _reads_late(self, node: Node) -> bool:
        """Return whether `node` reads another subnetwork with delay."""
        subnetwork = self.node_subnetworks[node.index]
        sources = {self.node_subnetworks[p.index] for p in self._graph.producers(node)}
        return subnetwork < self.parts and bool(sources - {subnetwork})

    def _resolve_clocks(self, phases: Any) -> tuple[Clock, ...]:
        parts = self.parts
        chained = phases == "chain" if isinstance(phases, str) else parts > 1
        offsets = [0] * parts
        if is_list(phases):
            offsets = self._int_list(phases, "phases", "offsets", 0) or offsets
        elif chained:
            offsets = chained_offsets(self._graph, self.node_subnetworks, parts)
        if isinstance(phases, str) and phases not in PHASES:
            self.faults.add(
                f"phases: expected {', '.join(map(json.dumps, PHASES))}, a list or a mapping. "
                f"Received: {phases!r}"
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
            index = self.faults.index_of(name, "phases")
            if index is None:
                continue
            rate = self._rates[index]
            if is_int(phase, 0) and phase < rate:
                by_name[name] = phase
            else:
                self.faults.add(
                    f"phases: {name!r} ticks every {rate} steps. Expected a phase from 0 to "
                    f"{rate - 1}. Received: {phase!r}"
                )
        return by_name

    def _resolve_devices(self, devices: Any) -> tuple[str | None, ...]:
        if devices is None:
            return (None,) * self.parts
        faults = _device_faults(devices, self._count)
        for fault in faults:
            self.faults.add(fault)
        return (None,) * self.parts if faults else tuple(devices)

    def _resolve_feedback(self, feedback: Mapping[str, str]) -> dict[int, int]:
        """Return the sources of feedback: those of `feedback`, else as their layers name them."""
        sources = {}
        for node in self._graph.nodes:
            if node.feedback_source:
                name = feedback.get(node.name, node.feedback_source)
                source = self.faults.index_of(name, f"feedback {node.name!r}")
                if source is not None:
                    self._check_feedback(node, self._graph.nodes[source])
                    sources[node.index] = source
        return sources

    # --- checks of each node ----------------------------------------------------------------

    def _check_node(self, node: Node, fast: bool) -> None:
        """Check a node, which may tick faster than its inputs if it is `fast`."""
        if node.index < self._body:
            self._check_rate(node, fast)
        if (node.temporal or node.memory) and len(node.inputs) != 1:
            self.faults.add(
                f"{node.name!r} looks back in time, so it must have one input. "
                f"Received: {len(node.inputs)} inputs"
            )
        elif node.memory:
            self._check_memory(node)
        if node.temporal and node.temporal.lookahead and self.parts > 1:
            self.faults.add(
                f"{node.name!r} looks into the future (symmetric temporal padding), which needs a "
                'plan with 1 subnetwork. Use 1 subnetwork, or temporal_padding="causal"'
            )

    def _check_memory(self, node: Node) -> None:
        shape = self._graph.tensors[node.inputs[0]].shape
        rank = node.operation.frame_rank - 1
        if len(shape) != rank:
            self.faults.add(
                f"{node.name!r} is recurrent, so it must read the maps of one frame. Expected an "
                f"input of rank {rank}, without the batch axis. Received: the shape {shape}"
            )

    def _check_rate(self, node: Node, fast: bool) -> None:
        lowest = lowest_rate(self._graph, node, self._rates)
        rate, stride = self._rates[node.index], node.temporal_stride
        if stride > 1 and rate != lowest * stride:
            self.faults.add(
                f"{node.name!r} has a temporal stride of {stride} over an input of rate {lowest}. "
                f"Expected the rate {lowest * stride}. Received: {rate}"
            )
        elif rate < lowest and not fast:
            self.faults.add(
                f"{node.name!r} has clock rate {rate}, below the rate {lowest} of its inputs, so "
                f"it would repeat its work. Use a rate of at least {lowest}"
            )

    def _check_feedback(self, node: Node, source: Node) -> None:
        received = self._graph.tensors[source.outputs[0]].shape
        expected = self._graph.tensors[node.outputs[0]].shape
        if received != expected:
            self.faults.add(
                f"feedback {node.name!r}: expected an output of shape {expected} from "
                f"{source.name!r}. Received: {received}"
            )

    # --- tools ------------------------------------------------------------------------------

    def _int_list(self, values: Any, context: str, items: str, lowest: int) -> list[int] | None:
        """Return `values` as one int per subnetwork; None and a fault if they are not."""
        if len(values) == self._count and all(is_int(value, lowest) for value in values):
            return list(values) if self._count == self.parts else None
        self.faults.add(
            f"{context}: expected a list of {items} >= {lowest}, one for each of the "
            f"{self._count} subnetworks. Received: {list(values)}"
        )
        return None
